import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { ContinuedCounter } from './continued-counter.js';
import { MergedHistogram } from './merged-histogram.js';
import { advertLatenessBoundsSeconds, takeoverBoundsSeconds } from './snapshot.js';

/** Every metric of koi, registered. Names and labels are a contract with dashboards, alerts and scripts. */
export function defineMetrics(registry: Registry) {
  const registers = [registry];
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Gauge<T>({ name, help, labelNames: [...labelNames], registers });
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers });
  const continued = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new ContinuedCounter(counter(name, help, labelNames), labelNames);
  const merged = <T extends string>(
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: readonly T[],
  ) => {
    const histogram = new MergedHistogram({ name, help, bounds, labelNames });
    registry.registerMetric(histogram);
    return histogram;
  };

  return {
    buildInfo: gauge('koi_build_info', 'Version and commit of this agent; always 1', ['version', 'commit']),
    nodeInfo: gauge('koi_node_info', 'Which node of which cluster this is; always 1', ['node', 'cluster']),
    vrInfo: gauge('koi_vr_info', 'What a virtual router is; always 1', [
      'vr',
      'id',
      'protocol',
      'interface',
      'virtual_mac',
    ]),
    vrState: gauge('koi_vr_state', '1 for the state a virtual router is in, 0 for every other', ['vr', 'state']),
    vrPriority: gauge('koi_vr_priority', 'Priority of this node for a virtual router', ['vr']),
    vrTerm: gauge('koi_vr_term', 'Highest term this node knows of a virtual router', ['vr']),
    vipDesired: gauge('koi_vip_desired', '1 where this node should have a virtual IP', ['vr', 'vip']),
    vipPresent: gauge(
      'koi_vip_present',
      '1 where the kernel of this node has a virtual IP; NaN where nobody can tell',
      ['vr', 'vip'],
    ),
    virtualMacAttached: gauge(
      'koi_virtual_mac_attached',
      '1 where the virtual MAC of a virtual router is attached and up',
      ['vr'],
    ),
    splitBrain: gauge('koi_split_brain', '1 while a second master of a virtual router is seen', ['vr']),
    probeResponders: gauge('koi_probe_responders', 'How many answered the last probe for a virtual IP', ['vr', 'vip']),
    probeMacMatch: gauge('koi_probe_mac_match', '1 where every answer to the last probe had the virtual MAC', [
      'vr',
      'vip',
    ]),
    peerLastSeen: gauge('koi_peer_last_seen_timestamp_seconds', 'When the last advert of a peer was heard, Unix time', [
      'vr',
      'peer',
    ]),
    lanPathOk: gauge('koi_lan_path_ok', '1 where the LAN between this node and a peer works', ['vr', 'peer']),
    leaseRemaining: gauge('koi_lease_remaining_seconds', "Seconds until this node's lease in the log ends"),
    leaseDuration: gauge(
      'koi_lease_duration_seconds',
      'How long a renewed lease lasts, as configured; 0 where no virtual router asks the log',
    ),
    episodesOpen: gauge('koi_episodes_open', 'Alarms that are open now, by kind; vr is empty where the node is meant', [
      'vr',
      'kind',
    ]),
    logConnected: gauge('koi_log_connected', '1 while the event log can be reached'),
    logOutbox: gauge('koi_log_outbox_events', 'Events that wait on disk for the log'),
    logServerUp: gauge('koi_log_server_up', "1 while this node's own nats-server (log.embedded) serves"),
    logLag: gauge('koi_log_lag_events', 'Events in the log that this node has not read yet'),
    nodeDrained: gauge('koi_node_drained', '1 while the operator has this node out of service'),
    dataplaneUp: gauge('koi_dataplane_up', '1 while the dataplane reports'),
    guardUp: gauge('koi_guard_up', '1 while the guard watches the dataplane'),
    sysctlDrift: gauge('koi_sysctl_drift', '1 where a sysctl is not what koi set it to', ['interface', 'key']),

    transitions: continued('koi_transitions_total', 'Changes of state of a virtual router', ['vr', 'to', 'reason']),
    advertsSent: continued('koi_adverts_sent_total', 'Adverts sent', ['vr']),
    advertsReceived: continued(
      'koi_adverts_received_total',
      'Valid adverts received; one that comes in both forms of checksum counts once',
      ['vr'],
    ),
    advertsRejected: continued('koi_adverts_rejected_total', 'Adverts refused, by reason', ['interface', 'reason']),
    announcementsSent: continued('koi_announcements_sent_total', 'Gratuitous ARP and unsolicited NA sent', [
      'vr',
      'operation',
    ]),
    announcementsFailed: continued('koi_announcements_failed_total', 'Announcements that could not be sent', [
      'vr',
      'reason',
    ]),
    announcementsRefused: continued(
      'koi_announcements_refused_total',
      'Announcements refused because the virtual MAC was not in place',
      ['vr', 'reason'],
    ),
    splitBrainDetected: continued('koi_split_brain_detected_total', 'Times a second master was detected', [
      'vr',
      'source',
    ]),
    wrongMacDetected: continued('koi_wrong_mac_detected_total', 'Frames that bound a virtual IP to another MAC', [
      'vr',
      'kind',
    ]),
    wrongMacSuppressed: continued(
      'koi_wrong_mac_suppressed_total',
      'Frames of this host that would have bound a virtual IP to another MAC, dropped by the kernel',
      ['vr'],
    ),
    duplicateIdDetected: continued(
      'koi_duplicate_id_detected_total',
      'Times a stranger was heard using the id of a virtual router',
      ['vr'],
    ),
    virtualMacLeaks: continued(
      'koi_virtual_mac_leaks_total',
      'Frames with the virtual MAC from a node that is not master',
      ['vr'],
    ),
    detectorFrames: continued(
      'koi_detector_frames_total',
      'Frames about virtual IPs that the detectors have looked at',
      ['interface'],
    ),
    detectorFramesDropped: continued(
      'koi_detector_frames_dropped_total',
      'Frames of ARP and neighbour discovery that came faster than they are looked at',
      ['interface'],
    ),
    fenced: continued('koi_fenced_total', 'Times this node was fenced', ['reason']),
    linkRepairs: continued(
      'koi_link_repairs_total',
      'Links and addresses put back after another program removed them',
      ['vr', 'kind'],
    ),

    logAppendConflicts: counter('koi_log_append_conflicts_total', 'Appends refused because another node was first'),
    logRegressions: counter('koi_log_regressions_total', 'Times the log had lost or changed what it once confirmed'),
    logServerRestarts: counter('koi_log_server_restarts_total', "Times this node's own nats-server was started again"),
    logReconnects: counter('koi_log_reconnects_total', 'Times the connection to the log was made anew'),

    advertLateness: merged(
      'koi_advert_lateness_seconds',
      'How late adverts left, against their schedule',
      advertLatenessBoundsSeconds,
      [],
    ),
    takeoverDuration: merged(
      'koi_takeover_duration_seconds',
      'Duration of each phase of a takeover',
      takeoverBoundsSeconds,
      ['vr', 'phase'],
    ),
    logAppendDuration: new Histogram({
      name: 'koi_log_append_duration_seconds',
      help: 'Time until the log confirmed an append',
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2],
      registers,
    }),
  };
}

export type Metrics = ReturnType<typeof defineMetrics>;
