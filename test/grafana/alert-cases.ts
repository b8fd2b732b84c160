import { Scene, type State, vip } from './alert-scene.js';

/** What is scraped, and what has to fire at which step; at every other step that is looked at nothing fires. */
export interface AlertCase {
  readonly name: string;
  readonly scene: Scene;
  /** The alert that the case is about, with the labels that it fires with. */
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  /** It does not fire yet. */
  readonly quietAt: number;
  readonly firesAt: number;
  /** Others that fire then, rightly. */
  readonly along?: readonly string[];
}

const job = 'koi';
const vr = 'gw';
const r1 = { job, instance: 'r1:9650' };
const r2 = { job, instance: 'r2:9650' };
const from =
  (step: number, then: State, before: State) =>
  (at: number): State =>
    at < step ? before : then;
const always = (state: State) => (): State => state;
const since =
  (step: number, value: number, before = 0) =>
  (at: number) =>
    at < step ? before : value;

/** One case for each way in which an alert can fire; step 10 is where it begins. */
export const alertCases: readonly AlertCase[] = [
  {
    name: 'a second master is heard',
    scene: new Scene(20).set('r1', 'koi_split_brain', { vr }, since(10, 1)),
    alert: 'KoiSplitBrain',
    labels: { job, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'a second master was heard between two scrapes, and it is over',
    scene: new Scene(20).counts('r1', 'koi_split_brain_detected_total', { vr, source: 'advert' }, 10),
    alert: 'KoiSplitBrain',
    labels: { job, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'two nodes say that they are masters, and go on saying so',
    scene: new Scene(20).states({ r1: always('master'), r2: from(10, 'master', 'backup') }),
    alert: 'KoiTwoMastersReported',
    labels: { job, vr },
    quietAt: 12,
    firesAt: 13,
  },
  {
    name: 'two hosts answer a probe',
    scene: new Scene(20).set('r2', 'koi_probe_responders', { vr, vip }, since(10, 2, 1)),
    alert: 'KoiSeveralAnswer',
    labels: { job, vr, vip },
    quietAt: 11,
    firesAt: 12,
  },
  {
    name: 'no node is master',
    scene: new Scene(20).states({ r1: from(10, 'backup', 'master'), r2: always('backup') }),
    alert: 'KoiNoMaster',
    labels: { job, vr },
    quietAt: 10,
    firesAt: 12,
  },
  {
    name: 'the master is gone with its machine, and nobody takes over',
    scene: new Scene(20)
      .states({ r1: from(10, 'backup', 'master'), r2: always('backup') })
      .unreachable('r1', (step) => step >= 10),
    alert: 'KoiNoMaster',
    labels: { job, vr },
    quietAt: 10,
    firesAt: 12,
  },
  {
    name: 'a frame bound the address to another MAC',
    scene: new Scene(20).counts('r2', 'koi_wrong_mac_detected_total', { vr, kind: 'arp_reply' }, 10),
    alert: 'KoiWrongMac',
    labels: { job, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'a probe is answered with another MAC',
    scene: new Scene(20).set('r2', 'koi_probe_mac_match', { vr, vip }, since(10, 0, 1)),
    alert: 'KoiWrongMac',
    labels: { job, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'frames with the virtual MAC come from elsewhere',
    scene: new Scene(20).counts('r1', 'koi_virtual_mac_leaks_total', { vr }, 10, 3),
    alert: 'KoiVirtualMacLeak',
    labels: { job, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'a stranger uses the id',
    scene: new Scene(20).counts('r1', 'koi_duplicate_id_detected_total', { vr }, 10),
    alert: 'KoiDuplicateId',
    labels: { job, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'a backup has the address',
    scene: new Scene(20)
      .set('r2', 'koi_vip_present', { vr, vip }, since(10, 1))
      .set('r2', 'koi_vip_desired', { vr, vip }, since(10, 1)),
    alert: 'KoiVipOnNonMaster',
    labels: { ...r2, vr, vip },
    quietAt: 10,
    firesAt: 11,
  },
  {
    name: 'a master has no virtual MAC',
    scene: new Scene(20).set('r1', 'koi_virtual_mac_attached', { vr }, since(10, 0, 1)),
    alert: 'KoiVirtualMacNotAttached',
    labels: { ...r1, vr },
    quietAt: 10,
    firesAt: 11,
  },
  {
    name: 'a master has no address',
    scene: new Scene(20).set('r1', 'koi_vip_present', { vr, vip }, since(10, 0, 1)),
    alert: 'KoiVipMismatch',
    labels: { ...r1, vr, vip },
    quietAt: 11,
    firesAt: 12,
  },
  {
    name: 'announcements do not leave',
    scene: new Scene(30).set('r1', 'koi_announcements_failed_total', { vr, reason: 'not_seen' }, (step) =>
      Math.max(0, step - 9),
    ),
    alert: 'KoiAnnouncementsFailing',
    labels: { ...r1, vr },
    quietAt: 11,
    firesAt: 14,
  },
  {
    name: 'announcements are refused',
    scene: new Scene(20).counts('r1', 'koi_announcements_refused_total', { vr, reason: 'not_attached' }, 10, 5),
    alert: 'KoiAnnouncementsFailing',
    labels: { ...r1, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'the only backup is in fault',
    scene: new Scene(40).states({ r1: always('master'), r2: from(10, 'fault', 'backup') }),
    alert: 'KoiRedundancyLost',
    labels: { job, vr },
    quietAt: 13,
    firesAt: 18,
    along: ['KoiNotServing'],
  },
  {
    name: 'the only backup is gone with its machine',
    scene: new Scene(40).unreachable('r2', (step) => step >= 10),
    alert: 'KoiRedundancyLost',
    labels: { job, vr },
    quietAt: 13,
    firesAt: 18,
    along: ['KoiTargetDown'],
  },
  {
    name: 'a node is in fault',
    scene: new Scene(20).states({ r1: always('master'), r2: from(10, 'fault', 'backup') }),
    alert: 'KoiNotServing',
    labels: { ...r2, vr, state: 'fault' },
    quietAt: 13,
    firesAt: 14,
  },
  {
    name: 'mastership goes to and fro',
    scene: new Scene(40).set('r1', 'koi_transitions_total', { vr, to: 'master', reason: 'attached' }, (step) =>
      Math.max(0, Math.floor((step - 8) / 2)),
    ),
    alert: 'KoiFlapping',
    labels: { job, vr },
    quietAt: 16,
    firesAt: 24,
  },
  {
    name: 'the guard fenced a hung dataplane',
    scene: new Scene(20).counts('r1', 'koi_fenced_total', { reason: 'dataplane_hung' }, 10),
    alert: 'KoiFenced',
    labels: { ...r1, reason: 'dataplane_hung' },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'a dataplane does not come back',
    scene: new Scene(20)
      .states({ r1: always('master'), r2: from(10, 'fault', 'backup') })
      .set('r2', 'koi_dataplane_up', {}, since(10, 0, 1))
      .set('r2', 'koi_vip_present', { vr, vip }, since(10, Number.NaN, 0)),
    alert: 'KoiDataplaneDown',
    labels: r2,
    quietAt: 11,
    firesAt: 12,
  },
  {
    name: 'nobody guards a dataplane',
    scene: new Scene(20).set('r1', 'koi_guard_up', {}, since(10, 0, 1)),
    alert: 'KoiGuardDown',
    labels: r1,
    quietAt: 11,
    firesAt: 12,
  },
  {
    name: 'a master does not answer its scrape, and the backup hears it',
    scene: new Scene(17).unreachable('r1', (step) => step >= 10),
    alert: 'KoiTargetDown',
    labels: r1,
    quietAt: 13,
    firesAt: 14,
  },
  {
    name: 'a drained node is forgotten',
    scene: new Scene(260).set('r2', 'koi_node_drained', {}, since(10, 1)),
    alert: 'KoiNodeDrained',
    labels: r2,
    quietAt: 249,
    firesAt: 250,
  },
  {
    name: 'the LAN between two nodes does not carry adverts',
    scene: new Scene(20).set('r2', 'koi_lan_path_ok', { vr, peer: 'r1' }, since(10, 0, 1)),
    alert: 'KoiAdvertPathLost',
    labels: { ...r2, vr },
    quietAt: 11,
    firesAt: 12,
  },
  {
    name: 'the adverts of a node that serves do not come through',
    scene: new Scene(20).set('r2', 'koi_episodes_open', { vr, kind: 'advert_path_lost' }, since(10, 1)),
    alert: 'KoiAdvertPathLost',
    labels: { ...r2, vr },
    quietAt: 11,
    firesAt: 12,
  },
  {
    name: 'adverts with another key keep coming',
    scene: new Scene(40).set('r2', 'koi_adverts_rejected_total', { interface: 'eth1', reason: 'bad_digest' }, (step) =>
      Math.max(0, (step - 9) * 15),
    ),
    alert: 'KoiAdvertsRejected',
    labels: { ...r2, interface: 'eth1', reason: 'bad_digest' },
    quietAt: 12,
    firesAt: 16,
  },
  {
    name: 'adverts leave late',
    scene: new Scene(60).histogram('r1', 'koi_advert_lateness_seconds', ['0.001', '0.1', '0.25'], 15, '0.25', 10),
    alert: 'KoiAdvertsLate',
    labels: r1,
    quietAt: 20,
    firesAt: 50,
  },
  {
    name: 'a storm of ARP',
    scene: new Scene(30).set(
      'r1',
      'koi_detector_frames_dropped_total',
      { interface: 'eth1' },
      (step) => Math.max(0, step - 9) * 40_000,
    ),
    alert: 'KoiDetectorsOverrun',
    labels: { ...r1, interface: 'eth1' },
    quietAt: 11,
    firesAt: 16,
  },
  {
    name: 'a sysctl is not what it should be',
    scene: new Scene(20).set('r1', 'koi_sysctl_drift', { interface: 'eth1', key: 'arp_ignore' }, since(10, 1)),
    alert: 'KoiSysctlDrift',
    labels: r1,
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'somebody changes sysctls, and they are put back each time',
    scene: new Scene(20).set('r1', 'koi_episodes_open', { vr, kind: 'sysctl_drift' }, since(10, 1)),
    alert: 'KoiSysctlDrift',
    labels: r1,
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'the kernel drops what this host would have sent with a wrong MAC',
    scene: new Scene(20).counts('r1', 'koi_wrong_mac_suppressed_total', { vr }, 10),
    alert: 'KoiWrongMacSuppressed',
    labels: { ...r1, vr },
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'an address was taken away and put back',
    scene: new Scene(20).counts('r1', 'koi_link_repairs_total', { vr, kind: 'address_deleted' }, 10),
    alert: 'KoiForeignManager',
    labels: r1,
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'another program manages the link',
    scene: new Scene(20).set('r1', 'koi_episodes_open', { vr, kind: 'foreign_manager' }, since(10, 1)),
    alert: 'KoiForeignManager',
    labels: r1,
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'two nodes have different addresses',
    scene: new Scene(40).set('r2', 'koi_episodes_open', { vr, kind: 'configuration_differs' }, since(10, 1)),
    alert: 'KoiConfigurationDiffers',
    labels: { ...r2, vr },
    quietAt: 29,
    firesAt: 30,
  },
  {
    name: 'the log has lost what it had confirmed',
    scene: new Scene(20).counts('r1', 'koi_log_regressions_total', {}, 10),
    alert: 'KoiLogRegressed',
    labels: r1,
    quietAt: 9,
    firesAt: 10,
  },
  {
    name: 'the log is away',
    scene: new Scene(20)
      .set('r1', 'koi_log_connected', {}, since(10, 0, 1))
      .set('r1', 'koi_lease_remaining_seconds', {}, since(10, 0, 3.5))
      .set('r1', 'koi_log_outbox_events', {}, since(10, 7)),
    alert: 'KoiLogDown',
    labels: r1,
    quietAt: 13,
    firesAt: 14,
  },
  {
    name: "a node's own nats-server is down",
    scene: new Scene(20).set('r1', 'koi_episodes_open', { vr: '', kind: 'log_server_down' }, since(10, 1)),
    alert: 'KoiLogServerDown',
    labels: r1,
    quietAt: 13,
    firesAt: 14,
  },
  {
    name: "a node's own nats-server starts again and again",
    scene: new Scene(30).set('r1', 'koi_log_server_restarts_total', {}, (step) => Math.max(0, step - 9)),
    alert: 'KoiLogServerDown',
    labels: r1,
    quietAt: 11,
    firesAt: 19,
  },
  {
    name: 'events do not get into the log, which answers',
    scene: new Scene(40).set('r1', 'koi_log_outbox_events', {}, since(10, 40)),
    alert: 'KoiLogBacklog',
    labels: r1,
    quietAt: 29,
    firesAt: 30,
  },
  {
    name: 'a node does not catch up with the log',
    scene: new Scene(40).set('r1', 'koi_log_lag_events', {}, since(10, 4000)),
    alert: 'KoiLogBacklog',
    labels: r1,
    quietAt: 29,
    firesAt: 30,
  },
  {
    name: 'the log is slow',
    scene: new Scene(110).histogram('r2', 'koi_log_append_duration_seconds', ['0.005', '0.05', '0.1'], 15, '0.1', 10),
    alert: 'KoiLogSlow',
    labels: r2,
    quietAt: 45,
    firesAt: 105,
  },
  {
    name: 'a lease is not renewed',
    scene: new Scene(20).set('r2', 'koi_lease_remaining_seconds', {}, since(10, 0.5, 3.5)),
    alert: 'KoiLeaseNotRenewed',
    labels: r2,
    quietAt: 11,
    firesAt: 12,
  },
];

/** Of ordinary work nothing fires, whenever one looks. */
export const quietCases: readonly { readonly name: string; readonly scene: Scene }[] = [
  { name: 'an hour of ordinary work', scene: anHour() },
  {
    name: 'another cluster on the link, with ids of its own',
    scene: new Scene(40).set(
      'r1',
      'koi_adverts_rejected_total',
      { interface: 'eth1', reason: 'unknown_id' },
      (step) => step * 15,
    ),
  },
  {
    name: 'a router of another make serves, as in a migration',
    scene: new Scene(40)
      .states({ r1: always('backup'), r2: always('backup') })
      .set('r1', 'koi_probe_responders', { vr, vip }, 1)
      .set('r2', 'koi_probe_responders', { vr, vip }, 1),
  },
  { name: 'a virtual router of one node only', scene: new Scene(40).without('r2') },
  {
    name: 'a cluster without a log: no lease, nothing to renew',
    scene: new Scene(40).set('r1', 'koi_lease_duration_seconds', {}, 0).set('r1', 'koi_lease_remaining_seconds', {}, 0),
  },
];

/**
 * What operators do and what happens, step by step: handovers in which a scrape sees two masters, none, or one that is
 * still draining; a carrier that is lost and comes back; an upgrade of both nodes, one after the other, in which a scrape
 * finds nobody and counters begin at 0; an election of the log's servers; half an hour in which r2 is drained.
 */
function anHour(): Scene {
  const told: readonly (readonly [number, State, State])[] = [
    [0, 'master', 'backup'],
    [10, 'master', 'master'],
    [11, 'backup', 'master'],
    [30, 'draining', 'draining'],
    [31, 'master', 'backup'],
    [50, 'backup', 'candidate'],
    [51, 'backup', 'master'],
    [70, 'master', 'fault'],
    [73, 'master', 'backup'],
    [90, 'master', 'init'],
    [92, 'master', 'backup'],
    [98, 'init', 'master'],
    [100, 'backup', 'master'],
    [115, 'master', 'backup'],
  ];
  const scene = new Scene(240).states({
    r1: (step) => told.findLast(([at]) => at <= step)?.[1] ?? 'init',
    r2: (step) => told.findLast(([at]) => at <= step)?.[2] ?? 'init',
  });
  const restartedAt = { r1: 98, r2: 90 } as const;
  const tookOverAt = { r1: [31, 70, 115], r2: [10, 51, 98] } as const;
  for (const node of ['r1', 'r2'] as const) {
    const restart = restartedAt[node];
    scene
      .unreachable(node, (step) => step === restart)
      .set(node, 'koi_transitions_total', { vr, to: 'master', reason: 'attached' }, (step) => {
        const from = step < restart ? 0 : restart;
        return tookOverAt[node].filter((at) => at >= from && at <= step).length;
      })
      .set(node, 'koi_log_connected', {}, (step) => (step === 110 ? 0 : 1))
      .set(node, 'koi_lease_remaining_seconds', {}, (step) => (step === 110 ? 0 : 3.5))
      .set(node, 'koi_log_outbox_events', {}, (step) => (step === 110 ? 12 : 0));
  }
  return scene.set('r2', 'koi_node_drained', {}, (step) => (step >= 120 && step < 235 ? 1 : 0));
}
