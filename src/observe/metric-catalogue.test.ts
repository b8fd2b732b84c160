import { describe, expect, it } from 'vitest';
import { type CataloguedMetric, metricCatalogue } from './metric-catalogue.js';

/** What is promised to dashboards, alerts and scripts of others: kind, and labels in any order. Added to, never changed. */
const promised: Readonly<Record<string, readonly [CataloguedMetric['type'], ...string[]]>> = {
  koi_build_info: ['gauge', 'version', 'commit'],
  koi_node_info: ['gauge', 'node', 'cluster'],
  koi_vr_info: ['gauge', 'vr', 'id', 'protocol', 'interface', 'virtual_mac'],
  koi_vr_state: ['gauge', 'vr', 'state'],
  koi_vr_priority: ['gauge', 'vr'],
  koi_vr_term: ['gauge', 'vr'],
  koi_vip_desired: ['gauge', 'vr', 'vip'],
  koi_vip_present: ['gauge', 'vr', 'vip'],
  koi_virtual_mac_attached: ['gauge', 'vr'],
  koi_transitions_total: ['counter', 'vr', 'to', 'reason'],
  koi_takeover_duration_seconds: ['histogram', 'vr', 'phase'],
  koi_adverts_sent_total: ['counter', 'vr'],
  koi_adverts_received_total: ['counter', 'vr'],
  koi_adverts_rejected_total: ['counter', 'interface', 'reason'],
  koi_advert_lateness_seconds: ['histogram'],
  koi_peer_last_seen_timestamp_seconds: ['gauge', 'vr', 'peer'],
  koi_announcements_sent_total: ['counter', 'vr', 'operation'],
  koi_announcements_failed_total: ['counter', 'vr', 'reason'],
  koi_announcements_refused_total: ['counter', 'vr', 'reason'],
  koi_split_brain: ['gauge', 'vr'],
  koi_split_brain_detected_total: ['counter', 'vr', 'source'],
  koi_wrong_mac_detected_total: ['counter', 'vr', 'kind'],
  koi_wrong_mac_suppressed_total: ['counter', 'vr'],
  koi_duplicate_id_detected_total: ['counter', 'vr'],
  koi_virtual_mac_leaks_total: ['counter', 'vr'],
  koi_detector_frames_total: ['counter', 'interface'],
  koi_detector_frames_dropped_total: ['counter', 'interface'],
  koi_probe_responders: ['gauge', 'vr', 'vip'],
  koi_probe_mac_match: ['gauge', 'vr', 'vip'],
  koi_lan_path_ok: ['gauge', 'vr', 'peer'],
  koi_lease_remaining_seconds: ['gauge'],
  koi_lease_duration_seconds: ['gauge'],
  koi_fenced_total: ['counter', 'reason'],
  koi_episodes_open: ['gauge', 'vr', 'kind'],
  koi_log_connected: ['gauge'],
  koi_log_outbox_events: ['gauge'],
  koi_log_lag_events: ['gauge'],
  koi_log_server_up: ['gauge'],
  koi_log_server_restarts_total: ['counter'],
  koi_log_append_duration_seconds: ['histogram'],
  koi_log_append_conflicts_total: ['counter'],
  koi_log_regressions_total: ['counter'],
  koi_log_reconnects_total: ['counter'],
  koi_node_drained: ['gauge'],
  koi_dataplane_up: ['gauge'],
  koi_guard_up: ['gauge'],
  koi_sysctl_drift: ['gauge', 'interface', 'key'],
  koi_link_repairs_total: ['counter', 'vr', 'kind'],
};

describe('the metrics', () => {
  const catalogue = metricCatalogue();
  const found = new Map(catalogue.map((metric) => [metric.name, metric]));

  it('are those that are promised: name, kind and labels', () => {
    for (const [name, [type, ...labels]] of Object.entries(promised)) {
      const metric = found.get(name);
      expect({ name, type: metric?.type, labels: [...(metric?.labels ?? [])].sort() }).toEqual({
        name,
        type,
        labels: labels.sort(),
      });
    }
  });

  it('are all promised: a new one belongs into the list above', () => {
    expect([...found.keys()].filter((name) => !(name in promised))).toEqual([]);
  });

  for (const { name, type, help, labels } of catalogue) {
    it(`${name} is named and explained as Prometheus wants it`, () => {
      expect(name).toMatch(/^koi(_[a-z]+)+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|us|count|sum|bucket|gauge|counter)$/);
      expect(help).toMatch(/^[A-Z0-9].{10,}[^.]$/);
      for (const label of labels) expect(label).toMatch(/^[a-z]+(_[a-z]+)?$/);
      // A MAC is bounded only where it is configured.
      expect(labels.filter((label) => label.includes('mac') && !name.endsWith('_info'))).toEqual([]);
    });
  }
});
