import { expect, it } from 'vitest';
import { createMetrics, type DeclaredVr, type MetricWords } from './metrics.js';
import {
  advertLatenessBoundsSeconds,
  BucketCounter,
  type DataplaneSnapshot,
  takeoverBoundsSeconds,
  type VrSnapshot,
} from './snapshot.js';

const words: MetricWords = {
  transitions: [
    { to: 'master', reason: 'attached' },
    { to: 'backup', reason: 'better_advert' },
  ],
  advertRejections: ['bad_checksum'],
  announcementFailures: ['send_failed'],
  announcementRefusals: ['not_attached'],
  wrongMacKinds: ['arp_sender'],
  linkRepairKinds: ['link', 'address'],
  fenceReasons: ['dataplane_hung'],
  episodeKinds: ['wrong_mac', 'sysctl_drift'],
  sysctlKeys: ['arp_ignore', 'arp_announce'],
};

const gw: DeclaredVr = {
  name: 'gw',
  id: 51,
  protocol: 'vrrp3',
  interface: 'eth1',
  virtualMac: '00:00:5e:00:01:33',
  priority: 200,
  vips: ['10.77.0.254'],
};

const none = { counts: new Array<number>(takeoverBoundsSeconds.length + 1).fill(0), sum: 0 };

function snapshot(
  instance: string,
  vr: Partial<VrSnapshot> = {},
  rest: Partial<DataplaneSnapshot> = {},
): DataplaneSnapshot {
  return {
    instance,
    guardUp: true,
    advertsRejected: [],
    advertLateness: new BucketCounter(advertLatenessBoundsSeconds).read(),
    fenced: [],
    sysctlDrift: [],
    ...rest,
    vrs: [
      {
        name: 'gw',
        state: 'master',
        priority: 200,
        term: 7,
        virtualMacAttached: true,
        splitBrain: false,
        vips: [{ address: '10.77.0.254', desired: true, present: true }],
        peers: [],
        transitions: [],
        takeover: { detect: none, arbitrate: none, attach: none, announce: none },
        advertsSent: 0,
        advertsReceived: 0,
        announcementsSent: { arp_request: 0, arp_reply: 0, na: 0 },
        announcementsFailed: [],
        announcementsRefused: [],
        splitBrainDetected: { advert: 0, probe: 0, log: 0 },
        wrongMacDetected: [],
        wrongMacSuppressed: 0,
        duplicateIdDetected: 0,
        virtualMacLeaks: 0,
        linkRepairs: [],
        ...vr,
      },
    ],
  };
}

function fresh() {
  const metrics = createMetrics({ version: '1.2.3', commit: 'abc' }, words);
  metrics.declareVr(gw);
  /** The value of one series, as a scrape shows it. */
  const value = async (series: string): Promise<string | undefined> => {
    const line = (await metrics.text()).split('\n').find((each) => each.startsWith(`${series} `));
    return line?.slice(series.length + 1);
  };
  return { metrics, value };
}

it('writes series that are well formed, and no label that a peer could choose', async () => {
  const { metrics } = fresh();
  metrics.apply(snapshot('a'));
  for (const line of (await metrics.text()).split('\n')) {
    if (line !== '' && !line.startsWith('#'))
      expect(line).toMatch(/^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (NaN|[-+0-9.e]+)$/);
  }
});

it('shows each sysctl of a parent at 0 from the first word of the dataplane on, and at 1 once it has drifted', async () => {
  const { metrics, value } = fresh();
  metrics.apply(snapshot('a'));
  expect(await value('koi_sysctl_drift{interface="eth1",key="arp_ignore"}')).toBe('0');
  metrics.apply(snapshot('a', {}, { sysctlDrift: [{ interface: 'eth1', key: 'arp_ignore', drifted: true }] }));
  expect(await value('koi_sysctl_drift{interface="eth1",key="arp_ignore"}')).toBe('1');
  expect(await value('koi_sysctl_drift{interface="eth1",key="arp_announce"}')).toBe('0');
});

it('counts the alarms that are open, by kind, and forgets those that are over', async () => {
  const { metrics, value } = fresh();
  metrics.setEpisodes([
    { vr: 'gw', kind: 'wrong_mac' },
    { vr: 'gw', kind: 'wrong_mac' },
    { vr: null, kind: 'sysctl_drift' },
    { vr: 'gw', kind: 'made_up' },
    { vr: 'made_up', kind: 'wrong_mac' },
  ]);
  expect(await value('koi_episodes_open{vr="gw",kind="wrong_mac"}')).toBe('2');
  expect(await value('koi_episodes_open{vr="",kind="sysctl_drift"}')).toBe('1');
  expect(await metrics.text()).not.toContain('made_up');
  metrics.setEpisodes([]);
  expect(await value('koi_episodes_open{vr="gw",kind="wrong_mac"}')).toBe('0');
  expect(await value('koi_episodes_open{vr="",kind="sysctl_drift"}')).toBe('0');
});

it('shows every enumerated series at 0 before anything has happened', async () => {
  const { value } = fresh();
  for (const series of [
    'koi_transitions_total{vr="gw",to="master",reason="attached"}',
    'koi_adverts_rejected_total{interface="eth1",reason="bad_checksum"}',
    'koi_announcements_sent_total{vr="gw",operation="na"}',
    'koi_announcements_refused_total{vr="gw",reason="not_attached"}',
    'koi_split_brain_detected_total{vr="gw",source="probe"}',
    'koi_wrong_mac_detected_total{vr="gw",kind="arp_sender"}',
    'koi_fenced_total{reason="dataplane_hung"}',
    'koi_link_repairs_total{vr="gw",kind="address"}',
    'koi_takeover_duration_seconds_bucket{le="+Inf",vr="gw",phase="attach"}',
    'koi_takeover_duration_seconds_count{vr="gw",phase="announce"}',
    'koi_advert_lateness_seconds_count',
    'koi_dataplane_up',
    'koi_episodes_open{vr="gw",kind="wrong_mac"}',
    'koi_vip_present{vr="gw",vip="10.77.0.254"}',
    'koi_vr_state{vr="gw",state="master"}',
  ]) {
    expect(await value(series), series).toBe('0');
  }
  expect(await value('koi_vr_state{vr="gw",state="init"}')).toBe('1');
  expect(await value('koi_build_info{version="1.2.3",commit="abc"}')).toBe('1');
  expect(
    await value('koi_vr_info{vr="gw",id="51",protocol="vrrp3",interface="eth1",virtual_mac="00:00:5e:00:01:33"}'),
  ).toBe('1');
});

it('shows exactly one state', async () => {
  const { metrics } = fresh();
  for (const state of ['master', 'draining', 'fault'] as const) {
    metrics.apply(snapshot('a', { state }));
    const ones = [...(await metrics.text()).matchAll(/^koi_vr_state\{vr="gw",state="(\w+)"\} 1$/gm)].map(
      ([, name]) => name,
    );
    expect(ones).toEqual([state]);
  }
});

it('takes totals of the dataplane as they are, and goes on where it starts anew', async () => {
  const { metrics, value } = fresh();
  const sent = () => value('koi_adverts_sent_total{vr="gw"}');
  metrics.apply(snapshot('a', { advertsSent: 10 }));
  metrics.apply(snapshot('a', { advertsSent: 10 }));
  metrics.apply(snapshot('a', { advertsSent: 15 }));
  expect(await sent()).toBe('15');
  // Another start, although its total is already higher than the last one.
  metrics.apply(snapshot('b', { advertsSent: 20 }));
  expect(await sent()).toBe('35');
  // A total that went back is another start, whatever the instance says.
  metrics.apply(snapshot('b', { advertsSent: 1 }));
  expect(await sent()).toBe('36');
});

it('takes the last word of a dataplane though nobody looked before the next one began, and before it is lost', async () => {
  const metrics = createMetrics({ version: '0.1.0', commit: 'abc' }, words);
  metrics.declareVr(gw);
  metrics.apply(snapshot('boot-1', { advertsSent: 3 }));
  metrics.apply(snapshot('boot-1', { advertsSent: 5 }));
  metrics.apply(snapshot('boot-2', { advertsSent: 2 }));
  metrics.setVrState('gw', 'backup');
  expect(await metrics.text()).toContain('koi_adverts_sent_total{vr="gw"} 7');
  expect(await metrics.text()).toContain('koi_vr_state{vr="gw",state="backup"} 1');
  metrics.apply(snapshot('boot-2', { advertsSent: 4 }));
  metrics.dataplaneLost();
  expect(await metrics.text()).toContain('koi_adverts_sent_total{vr="gw"} 9');
  expect(await metrics.text()).toContain('koi_vr_state{vr="gw",state="fault"} 1');
});

it('shows the state that was told last, whatever waits to be shown', async () => {
  const { metrics } = fresh();
  metrics.apply(snapshot('boot-1', { state: 'backup' }));
  metrics.setVrState('gw', 'candidate');
  metrics.setVrState('gw', 'master');
  // A snapshot is joined from parts, of which some are up to a second old.
  metrics.apply(snapshot('boot-1', { state: 'backup' }));
  expect(await metrics.text()).toContain('koi_vr_state{vr="gw",state="master"} 1');
  metrics.apply(snapshot('boot-1', { state: 'backup' }));
  expect(await metrics.text()).toContain('koi_vr_state{vr="gw",state="backup"} 1');
});

it('merges histograms, cumulative as Prometheus wants them', async () => {
  const { metrics, value } = fresh();
  const counter = new BucketCounter(takeoverBoundsSeconds);
  const attach = (instance: string) =>
    metrics.apply(
      snapshot(instance, { takeover: { detect: none, arbitrate: none, announce: none, attach: counter.read() } }),
    );
  const series = (suffix: string, le?: string) =>
    value(`koi_takeover_duration_seconds_${suffix}{${le === undefined ? '' : `le="${le}",`}vr="gw",phase="attach"}`);
  counter.observe(0.0005);
  counter.observe(0.003);
  attach('a');
  counter.observe(60);
  attach('a');
  expect(await series('bucket', '0.0005')).toBe('1');
  expect(await series('bucket', '0.002')).toBe('1');
  expect(await series('bucket', '0.005')).toBe('2');
  expect(await series('bucket', '10')).toBe('2');
  expect(await series('bucket', '+Inf')).toBe('3');
  expect(await series('count')).toBe('3');
  expect(Number(await series('sum'))).toBeCloseTo(60.0035);
  attach('b');
  expect(await series('count')).toBe('6');
});

it('counts a split brain that the agent sees in the log beside those of the dataplane', async () => {
  const { metrics, value } = fresh();
  metrics.splitBrainInLog('gw');
  metrics.apply(snapshot('a', { splitBrainDetected: { advert: 2, probe: 0, log: 0 } }));
  expect(await value('koi_split_brain_detected_total{vr="gw",source="log"}')).toBe('1');
  expect(await value('koi_split_brain_detected_total{vr="gw",source="advert"}')).toBe('2');
});

it('says that it does not know what the kernel has when the dataplane is lost, until somebody reads it', async () => {
  const { metrics, value } = fresh();
  metrics.apply(snapshot('a'));
  metrics.dataplaneLost();
  expect(await value('koi_dataplane_up')).toBe('0');
  expect(await value('koi_vr_state{vr="gw",state="master"}')).toBe('0');
  expect(await value('koi_vip_present{vr="gw",vip="10.77.0.254"}')).toBe('Nan');
  metrics.setVipPresent('gw', '10.77.0.254', false);
  expect(await value('koi_vip_present{vr="gw",vip="10.77.0.254"}')).toBe('0');
  metrics.apply(snapshot('b'));
  expect(await value('koi_dataplane_up')).toBe('1');
});

const sawTwoMasters = snapshot(
  'a',
  {
    splitBrain: true,
    vips: [{ address: '10.77.0.254', desired: false, present: false, probe: { responders: 2, macMatch: false } }],
    peers: [{ peer: 'r2', lastSeenMs: 1_500, lanPathOk: false }],
  },
  { sysctlDrift: [{ interface: 'eth1', key: 'arp_ignore', drifted: true }] },
);

it('alarms no more of what a dataplane saw that is gone', async () => {
  const { metrics, value } = fresh();
  metrics.apply(sawTwoMasters);
  expect(await value('koi_split_brain{vr="gw"}')).toBe('1');
  expect(await value('koi_probe_responders{vr="gw",vip="10.77.0.254"}')).toBe('2');
  metrics.dataplaneLost();
  expect(await value('koi_split_brain{vr="gw"}')).toBe('0');
  expect(await value('koi_probe_responders{vr="gw",vip="10.77.0.254"}')).toBeUndefined();
  expect(await value('koi_lan_path_ok{vr="gw",peer="r2"}')).toBeUndefined();
  expect(await value('koi_sysctl_drift{interface="eth1",key="arp_ignore"}')).toBeUndefined();
});

it('alarms no more of what a backup found that has become master and asks no longer', async () => {
  const { metrics, value } = fresh();
  metrics.apply(sawTwoMasters);
  metrics.apply(snapshot('a'));
  expect(await value('koi_probe_responders{vr="gw",vip="10.77.0.254"}')).toBeUndefined();
  expect(await value('koi_probe_mac_match{vr="gw",vip="10.77.0.254"}')).toBeUndefined();
});

it('bounds the peers, and drops those that are gone', async () => {
  const { metrics } = fresh();
  const peers = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ peer: `r${at}`, lastSeenMs: 1_500, lanPathOk: true }));
  const shown = async () =>
    [...(await metrics.text()).matchAll(/^koi_peer_last_seen_timestamp_seconds\{vr="gw",peer="\w+"\} 1.5$/gm)].length;
  metrics.apply(snapshot('a', { peers: peers(100) }));
  expect(await shown()).toBe(32);
  metrics.apply(snapshot('a', { peers: peers(1) }));
  expect(await shown()).toBe(1);
});

it('drops a retracted virtual router and only that', async () => {
  const { metrics } = fresh();
  metrics.declareVr({ ...gw, name: 'other', id: 52 });
  metrics.apply(snapshot('a', { advertsSent: 5 }));
  await metrics.retractVr('gw');
  metrics.apply(snapshot('a', { advertsSent: 6 }));
  const text = await metrics.text();
  expect(text).not.toContain('vr="gw"');
  expect(text).toContain('koi_adverts_sent_total{vr="other"} 0');
});

it('follows a reload that changes addresses and priority', async () => {
  const { metrics, value } = fresh();
  metrics.apply(snapshot('a', { advertsSent: 5 }));
  metrics.declareVr({ ...gw, priority: 50, vips: ['10.77.0.253'] });
  expect(await value('koi_vr_priority{vr="gw"}')).toBe('50');
  expect(await value('koi_vip_present{vr="gw",vip="10.77.0.254"}')).toBeUndefined();
  expect(await value('koi_vip_present{vr="gw",vip="10.77.0.253"}')).toBe('0');
  expect(await value('koi_adverts_sent_total{vr="gw"}')).toBe('5');
  expect(await value('koi_vr_state{vr="gw",state="master"}')).toBe('1');
});

it('shows at the first look what was told in order before anybody looked', async () => {
  const metrics = createMetrics({ version: '0.1.0', commit: 'abc' }, words);
  metrics.declareVr(gw);
  metrics.declareVr({ ...gw, vips: ['10.77.0.254', '10.77.0.253'] });
  metrics.apply(snapshot('boot-1', { advertsSent: 3 }));
  metrics.apply(snapshot('boot-1', { advertsSent: 5 }));
  metrics.declareVr(gw);
  metrics.setVrState('gw', 'backup');
  metrics.dataplaneLost();
  metrics.apply(snapshot('boot-2', { advertsSent: 2, state: 'candidate' }));
  const text = await metrics.text();
  expect(text).toContain('koi_adverts_sent_total{vr="gw"} 7');
  expect(text).toContain('koi_vr_state{vr="gw",state="candidate"} 1');
  expect(text).not.toContain('10.77.0.253');
  metrics.dataplaneLost();
  expect(await metrics.text()).toContain('koi_vr_state{vr="gw",state="fault"} 1');
});

it('keeps a bounded number of what was told where nobody looks', async () => {
  const metrics = createMetrics({ version: '0.1.0', commit: 'abc' }, words);
  for (let at = 0; at < 3_000; at += 1) {
    metrics.declareVr(gw);
    metrics.apply(snapshot(`boot-${at}`, { advertsSent: 1 }));
  }
  expect(await metrics.text()).toContain('koi_adverts_sent_total{vr="gw"} 3000');
});
