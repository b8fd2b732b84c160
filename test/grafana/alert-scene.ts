import { metricCatalogue } from '../../src/observe/metric-catalogue.js';

/** Seconds between two scrapes, and between two evaluations of the rules. */
export const stepSeconds = 15;

/** The value of a series at a scrape; undefined where the scrape brought none. */
export type Course = (step: number) => number | undefined;
export type NodeName = 'r1' | 'r2';
export type State = 'init' | 'fault' | 'backup' | 'candidate' | 'master' | 'draining' | 'fenced';
type Labels = Readonly<Record<string, string>>;

const states: readonly State[] = ['init', 'fault', 'backup', 'candidate', 'master', 'draining', 'fenced'];
const known = new Set(metricCatalogue().map(({ name }) => name));
export const vip = '10.77.0.254';

/**
 * What Prometheus scraped of two routers that share `gw`, by the step: a healthy pair, r1 the master, until a test says
 * otherwise. Only metrics that Koi has can be set.
 */
export class Scene {
  readonly steps: number;
  readonly #series = new Map<string, Course>();
  readonly #downAt = new Map<NodeName, (step: number) => boolean>();

  constructor(steps: number) {
    this.steps = steps;
    for (const node of ['r1', 'r2'] as const) this.#healthy(node);
    this.states({ r1: () => 'master', r2: () => 'backup' });
  }

  set(node: NodeName, name: string, labels: Labels, course: Course | number): this {
    const bare = name.replace(/_(bucket|sum|count)$/, '');
    if (name !== 'up' && !known.has(name) && !known.has(bare)) throw new Error(`koi has no metric ${name}`);
    const all = { ...labels, instance: `${node}:9650`, job: 'koi' };
    const text = Object.entries(all)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([label, value]) => `${label}="${value}"`);
    this.#series.set(`${name}{${text.join(',')}}`, typeof course === 'number' ? () => course : course);
    return this;
  }

  /** A counter that was 0 and is one more from a step on. */
  counts(node: NodeName, name: string, labels: Labels, fromStep: number, by = 1): this {
    return this.set(node, name, labels, (step) => (step < fromStep ? 0 : by));
  }

  /** In which state each is, and with it what its kernel has, and whom the other hears. */
  states(course: Readonly<Record<NodeName, (step: number) => State>>): this {
    for (const [node, other] of [
      ['r1', 'r2'],
      ['r2', 'r1'],
    ] as const) {
      const holds = (step: number): number => (['master', 'draining'].includes(course[node](step)) ? 1 : 0);
      for (const state of states) {
        this.set(node, 'koi_vr_state', { vr: 'gw', state }, (step) => (course[node](step) === state ? 1 : 0));
      }
      this.set(node, 'koi_virtual_mac_attached', { vr: 'gw' }, holds);
      this.set(node, 'koi_vip_desired', { vr: 'gw', vip }, holds);
      this.set(node, 'koi_vip_present', { vr: 'gw', vip }, holds);
      let lastHeardSeconds = 0;
      const heard = Array.from({ length: this.steps + 1 }, (_, step) => {
        if (course[other](step) === 'master') lastHeardSeconds = step * stepSeconds;
        return lastHeardSeconds;
      });
      this.set(node, 'koi_peer_last_seen_timestamp_seconds', { vr: 'gw', peer: other }, (step) => heard[step]);
      this.set(node, 'koi_probe_responders', { vr: 'gw', vip }, (step) => (course[other](step) === 'master' ? 1 : 0));
    }
    return this;
  }

  /** The node does not answer its scrape at these steps. */
  unreachable(node: NodeName, at: (step: number) => boolean): this {
    this.#downAt.set(node, at);
    return this;
  }

  /** There is no such node, and never was. */
  without(node: NodeName): this {
    for (const series of this.#series.keys()) if (series.includes(`instance="${node}:`)) this.#series.delete(series);
    return this;
  }

  /** As promtool reads it. */
  inputSeries(): { readonly series: string; readonly values: string }[] {
    return [...this.#series].map(([series, course]) => {
      const node: NodeName = series.includes('instance="r1:9650"') ? 'r1' : 'r2';
      const isDown = this.#downAt.get(node) ?? (() => false);
      const values = Array.from({ length: this.steps + 1 }, (_, step) => {
        if (series.startsWith('up{')) return isDown(step) ? 0 : 1;
        // Prometheus ends the series of a target that does not answer.
        return isDown(step) ? 'stale' : (course(step) ?? '_');
      });
      return { series, values: values.join(' ') };
    });
  }

  #healthy(node: NodeName): void {
    const vr = 'gw';
    const info = { vr, id: '51', protocol: 'vrrp3', interface: 'eth1', virtual_mac: '00:00:5e:00:01:33' };
    const gauges: readonly (readonly [string, Labels, number])[] = [
      ['up', {}, 1],
      ['koi_vr_info', info, 1],
      ['koi_split_brain', { vr }, 0],
      ['koi_probe_mac_match', { vr, vip }, 1],
      ['koi_lan_path_ok', { vr, peer: node === 'r1' ? 'r2' : 'r1' }, 1],
      ['koi_dataplane_up', {}, 1],
      ['koi_guard_up', {}, 1],
      ['koi_node_drained', {}, 0],
      ['koi_sysctl_drift', { interface: 'eth1', key: 'arp_ignore' }, 0],
      ['koi_log_connected', {}, 1],
      ['koi_log_outbox_events', {}, 0],
      ['koi_log_lag_events', {}, 0],
      ['koi_log_server_up', {}, 0],
      ['koi_lease_duration_seconds', {}, 4],
      ...['split_brain', 'advert_path_lost', 'sysctl_drift', 'foreign_manager', 'configuration_differs'].map(
        (kind) => ['koi_episodes_open', { vr, kind }, 0] as const,
      ),
      ['koi_episodes_open', { vr: '', kind: 'log_server_down' }, 0],
      ['koi_split_brain_detected_total', { vr, source: 'advert' }, 0],
      ['koi_wrong_mac_detected_total', { vr, kind: 'arp_reply' }, 0],
      ['koi_wrong_mac_suppressed_total', { vr }, 0],
      ['koi_virtual_mac_leaks_total', { vr }, 0],
      ['koi_duplicate_id_detected_total', { vr }, 0],
      ['koi_announcements_failed_total', { vr, reason: 'not_seen' }, 0],
      ['koi_announcements_refused_total', { vr, reason: 'not_attached' }, 0],
      ['koi_transitions_total', { vr, to: 'master', reason: 'attached' }, 0],
      ['koi_fenced_total', { reason: 'dataplane_hung' }, 0],
      ['koi_adverts_rejected_total', { interface: 'eth1', reason: 'bad_digest' }, 0],
      ['koi_adverts_rejected_total', { interface: 'eth1', reason: 'unknown_id' }, 0],
      ['koi_detector_frames_dropped_total', { interface: 'eth1' }, 0],
      ['koi_link_repairs_total', { vr, kind: 'address_deleted' }, 0],
      ['koi_log_regressions_total', {}, 0],
      ['koi_log_server_restarts_total', {}, 0],
    ];
    for (const [name, labels, value] of gauges) this.set(node, name, labels, value);
    // Between 3 and 4 s, whenever it is looked at.
    this.set(node, 'koi_lease_remaining_seconds', {}, (step) => 3.1 + (step % 4) * 0.2);
    this.histogram(node, 'koi_advert_lateness_seconds', ['0.001', '0.1', '0.25'], 15, '0.001');
    this.histogram(node, 'koi_log_append_duration_seconds', ['0.005', '0.05', '0.1'], 15, '0.005');
  }

  /** So many observations a step; all of them in one bucket from `fromStep` on, and in the first one before. */
  histogram(
    node: NodeName,
    name: string,
    bounds: readonly string[],
    perStep: number,
    bound: string,
    fromStep = 0,
  ): this {
    for (const le of [...bounds, '+Inf']) {
      const isAbove = le === '+Inf' || Number(le) >= Number(bound);
      this.set(node, `${name}_bucket`, { le }, (step) => perStep * (isAbove ? step : Math.min(step, fromStep)));
    }
    return this;
  }
}
