import { Registry } from 'prom-client';
import { vrStates } from '../core/vr-state.js';
import type { BuildInfo } from './build-info.js';
import { MergedHistogram } from './merged-histogram.js';
import { defineMetrics } from './metric-definitions.js';
import {
  announcementOperations,
  type DataplaneSnapshot,
  type HistogramCounts,
  splitBrainSources,
  takeoverPhases,
  type VrSnapshot,
} from './snapshot.js';
import type { VrStateLabel } from './status.js';

/** The words that labels can take: each series exists from the start, so that its first increase is an increase. */
export interface MetricWords {
  readonly transitions: readonly { readonly to: VrStateLabel; readonly reason: string }[];
  readonly advertRejections: readonly string[];
  readonly announcementFailures: readonly string[];
  readonly announcementRefusals: readonly string[];
  readonly wrongMacKinds: readonly string[];
  readonly linkRepairKinds: readonly string[];
  readonly fenceReasons: readonly string[];
  readonly episodeKinds: readonly string[];
  readonly sysctlKeys: readonly string[];
}

/** A virtual router as its metrics name it. */
export interface DeclaredVr {
  readonly name: string;
  readonly id: number;
  readonly protocol: string;
  readonly interface: string;
  readonly virtualMac: string;
  readonly priority: number;
  readonly vips: readonly string[];
}

type Waiting =
  | { readonly kind: 'declared'; readonly vr: DeclaredVr }
  | { readonly kind: 'told'; readonly snapshot: DataplaneSnapshot }
  | { readonly kind: 'lost'; readonly states: ReadonlyMap<string, VrStateLabel> };
/** More than the virtual routers of a node, twice: where nobody ever scrapes, no more than this waits for it. */
const waitingMost = 4096;

/** Peers are nodes of the cluster; a cluster that grows beyond this shows the rest as one. */
const peersMax = 32;

const flag = (value: boolean): number => (value ? 1 : 0);

/** What the agent shows to Prometheus. A scrape only reads; everything else is pushed in by these methods. */
export class KoiMetrics {
  readonly #registry = new Registry();
  readonly #all = defineMetrics(this.#registry);
  readonly #words: MetricWords;
  readonly #declared = new Map<string, DeclaredVr>();
  #instance: string | undefined;
  #logServerRestarts = 0;
  #histograms = new Map<string, HistogramCounts>();
  #peers = new Map<string, ReadonlySet<string>>();
  /** What was said until somebody wants to see it, in order: with many virtual routers that is much work. */
  #waiting: Waiting[] = [];
  /** Where in it each virtual router is declared that has not been told of since. */
  #declaredAt = new Map<string, number>();
  /** States that were told one by one since somebody looked; they wait for the next look as well. */
  readonly #saidStates = new Map<string, VrStateLabel>();

  constructor(build: BuildInfo, words: MetricWords) {
    this.#words = words;
    const all = this.#all;
    all.buildInfo.set({ version: build.version, commit: build.commit }, 1);
    all.advertLateness.declare({});
    for (const kind of words.episodeKinds) all.episodesOpen.set({ vr: '', kind }, 0);
    for (const reason of words.fenceReasons) all.fenced.declare({ reason });
  }

  /** Prometheus text format 0.0.4. */
  text(): Promise<string> {
    this.#settle();
    return this.#registry.metrics();
  }

  /** Makes every series of a virtual router exist. Again with other values, after a reload: changes what it says. */
  declareVr(vr: DeclaredVr): void {
    const known = this.#declaredAt.get(vr.name);
    if (known === undefined) this.#declaredAt.set(vr.name, this.#waiting.length);
    this.#waiting[known ?? this.#waiting.length] = { kind: 'declared', vr };
    if (this.#waiting.length > waitingMost) this.#settle();
  }

  #declare(vr: DeclaredVr): void {
    const all = this.#all;
    const words = this.#words;
    const { name } = vr;
    const before = this.#declared.get(name);
    this.#declared.set(name, vr);
    if (before !== undefined) {
      all.vrInfo.remove(infoLabels(before));
      for (const vip of before.vips.filter((each) => !vr.vips.includes(each))) {
        for (const gauge of [all.vipDesired, all.vipPresent, all.probeResponders, all.probeMacMatch]) {
          gauge.remove({ vr: name, vip });
        }
      }
    }
    all.vrInfo.set(infoLabels(vr), 1);
    all.vrPriority.set({ vr: name }, vr.priority);
    for (const counter of [all.detectorFrames, all.detectorFramesDropped]) counter.declare({ interface: vr.interface });
    for (const reason of words.advertRejections) all.advertsRejected.declare({ interface: vr.interface, reason });
    for (const vip of vr.vips.filter((each) => !(before?.vips.includes(each) ?? false))) {
      all.vipDesired.set({ vr: name, vip }, 0);
      all.vipPresent.set({ vr: name, vip }, 0);
    }
    if (before !== undefined) return;

    this.#showVrState(name, 'init');
    for (const gauge of [all.vrTerm, all.virtualMacAttached, all.splitBrain]) gauge.set({ vr: name }, 0);
    for (const phase of takeoverPhases) all.takeoverDuration.declare({ vr: name, phase });
    for (const { to, reason } of words.transitions) all.transitions.declare({ vr: name, to, reason });
    for (const counter of [all.advertsSent, all.advertsReceived]) counter.declare({ vr: name });
    for (const counter of [all.wrongMacSuppressed, all.duplicateIdDetected, all.virtualMacLeaks]) {
      counter.declare({ vr: name });
    }
    for (const operation of announcementOperations) all.announcementsSent.declare({ vr: name, operation });
    for (const reason of words.announcementFailures) all.announcementsFailed.declare({ vr: name, reason });
    for (const reason of words.announcementRefusals) all.announcementsRefused.declare({ vr: name, reason });
    for (const source of splitBrainSources) all.splitBrainDetected.declare({ vr: name, source });
    for (const kind of words.wrongMacKinds) all.wrongMacDetected.declare({ vr: name, kind });
    for (const kind of words.episodeKinds) all.episodesOpen.set({ vr: name, kind }, 0);
    for (const kind of words.linkRepairKinds) all.linkRepairs.declare({ vr: name, kind });
  }

  /** Removes every series of a virtual router that the configuration no longer has. */
  async retractVr(name: string): Promise<void> {
    this.#settle();
    if (!this.#declared.delete(name)) return;
    for (const { name: metricName } of this.#registry.getMetricsAsArray()) {
      const metric = this.#registry.getSingleMetric(metricName);
      if (metric === undefined || metric instanceof MergedHistogram) continue;
      const { values } = await metric.get();
      for (const { labels } of values) if (labels.vr === name) metric.remove(labels);
    }
    const { transitions, advertsSent, advertsReceived, announcementsSent } = this.#all;
    const { announcementsFailed, announcementsRefused, splitBrainDetected, wrongMacDetected } = this.#all;
    const { wrongMacSuppressed, duplicateIdDetected, virtualMacLeaks, linkRepairs, takeoverDuration } = this.#all;
    for (const counter of [transitions, advertsSent, advertsReceived, announcementsSent]) counter.forget('vr', name);
    for (const counter of [announcementsFailed, announcementsRefused, splitBrainDetected]) counter.forget('vr', name);
    for (const counter of [wrongMacDetected, wrongMacSuppressed, duplicateIdDetected, virtualMacLeaks, linkRepairs])
      counter.forget('vr', name);
    for (const phase of takeoverPhases) {
      takeoverDuration.forget({ vr: name, phase });
      this.#histograms.delete(`${name} ${phase}`);
    }
    this.#peers.delete(name);
  }

  /** Takes in what the dataplane said. Virtual routers that were not declared are left out. */
  apply(snapshot: DataplaneSnapshot): void {
    // The last word of a dataplane that was counts, whatever the next one says.
    const last = this.#waiting.at(-1);
    if (last?.kind === 'told' && last.snapshot.instance === snapshot.instance) this.#waiting.pop();
    this.#wait({ kind: 'told', snapshot });
  }

  #wait(said: Waiting): void {
    this.#waiting.push(said);
    this.#declaredAt.clear();
    if (this.#waiting.length > waitingMost) this.#settle();
  }

  /** Comes before whatever is shown at once. */
  #settle(): void {
    const said = this.#waiting;
    this.#waiting = [];
    this.#declaredAt.clear();
    for (const each of said) {
      if (each.kind === 'declared') this.#declare(each.vr);
      else if (each.kind === 'told') this.#show(each.snapshot);
      else this.#showDataplaneLost(each.states);
    }
    for (const [vr, state] of this.#saidStates) this.#showVrState(vr, state);
    this.#saidStates.clear();
  }

  #show(snapshot: DataplaneSnapshot): void {
    const all = this.#all;
    if (snapshot.instance !== this.#instance) {
      this.#instance = snapshot.instance;
      this.#histograms = new Map();
      for (const metric of Object.values(all)) if ('restart' in metric) metric.restart();
    }
    all.dataplaneUp.set(1);
    all.guardUp.set(flag(snapshot.guardUp));
    for (const { interface: parent, reason, count } of snapshot.advertsRejected) {
      all.advertsRejected.report({ interface: parent, reason }, count);
    }
    for (const { reason, count } of snapshot.fenced) all.fenced.report({ reason }, count);
    for (const parent of new Set([...this.#declared.values()].map((vr) => vr.interface))) {
      for (const key of this.#words.sysctlKeys) all.sysctlDrift.set({ interface: parent, key }, 0);
    }
    for (const { interface: parent, key, drifted } of snapshot.sysctlDrift) {
      all.sysctlDrift.set({ interface: parent, key }, flag(drifted));
    }
    for (const { interface: parent, frames, dropped } of snapshot.detectors ?? []) {
      all.detectorFrames.report({ interface: parent }, frames);
      all.detectorFramesDropped.report({ interface: parent }, dropped);
    }
    all.advertLateness.add({}, this.#added('', snapshot.advertLateness));
    for (const vr of snapshot.vrs) if (this.#declared.has(vr.name)) this.#applyVr(vr);
  }

  #applyVr(snapshot: VrSnapshot): void {
    const all = this.#all;
    const vr = snapshot.name;
    this.#showVrState(vr, snapshot.state);
    all.vrPriority.set({ vr }, snapshot.priority);
    all.vrTerm.set({ vr }, snapshot.term);
    all.virtualMacAttached.set({ vr }, flag(snapshot.virtualMacAttached));
    all.splitBrain.set({ vr }, flag(snapshot.splitBrain));
    for (const { address: vip, desired, present, probe } of snapshot.vips) {
      all.vipDesired.set({ vr, vip }, flag(desired));
      all.vipPresent.set({ vr, vip }, flag(present));
      // Who does not ask any more knows nothing: what it last found must not alarm for ever.
      if (probe === undefined) this.#forgetProbe(vr, vip);
      else {
        all.probeResponders.set({ vr, vip }, probe.responders);
        all.probeMacMatch.set({ vr, vip }, flag(probe.macMatch));
      }
    }
    this.#applyPeers(snapshot);
    for (const { to, reason, count } of snapshot.transitions) all.transitions.report({ vr, to, reason }, count);
    for (const phase of takeoverPhases) {
      all.takeoverDuration.add({ vr, phase }, this.#added(`${vr} ${phase}`, snapshot.takeover[phase]));
    }
    all.advertsSent.report({ vr }, snapshot.advertsSent);
    all.advertsReceived.report({ vr }, snapshot.advertsReceived);
    for (const operation of announcementOperations) {
      all.announcementsSent.report({ vr, operation }, snapshot.announcementsSent[operation]);
    }
    for (const { reason, count } of snapshot.announcementsFailed) all.announcementsFailed.report({ vr, reason }, count);
    for (const { reason, count } of snapshot.announcementsRefused)
      all.announcementsRefused.report({ vr, reason }, count);
    for (const source of splitBrainSources) {
      all.splitBrainDetected.report({ vr, source }, snapshot.splitBrainDetected[source]);
    }
    for (const { kind, count } of snapshot.wrongMacDetected) all.wrongMacDetected.report({ vr, kind }, count);
    all.wrongMacSuppressed.report({ vr }, snapshot.wrongMacSuppressed);
    all.duplicateIdDetected.report({ vr }, snapshot.duplicateIdDetected);
    all.virtualMacLeaks.report({ vr }, snapshot.virtualMacLeaks);
    for (const { kind, count } of snapshot.linkRepairs) all.linkRepairs.report({ vr, kind }, count);
  }

  #forgetProbe(vr: string, vip: string): void {
    this.#all.probeResponders.remove({ vr, vip });
    this.#all.probeMacMatch.remove({ vr, vip });
  }

  #applyPeers({ name: vr, peers }: VrSnapshot): void {
    const all = this.#all;
    const shown = peers.slice(0, peersMax);
    const now = new Set(shown.map(({ peer }) => peer));
    for (const peer of this.#peers.get(vr) ?? []) {
      if (now.has(peer)) continue;
      all.peerLastSeen.remove({ vr, peer });
      all.lanPathOk.remove({ vr, peer });
    }
    this.#peers.set(vr, now);
    for (const { peer, lastSeenMs, lanPathOk } of shown) {
      all.peerLastSeen.set({ vr, peer }, lastSeenMs / 1_000);
      if (lanPathOk === undefined) all.lanPathOk.remove({ vr, peer });
      else all.lanPathOk.set({ vr, peer }, flag(lanPathOk));
    }
  }

  /** What a histogram has gained since the last snapshot; all of it where it began anew. */
  #added(key: string, now: HistogramCounts): HistogramCounts {
    const before = this.#histograms.get(key);
    this.#histograms.set(key, now);
    if (before === undefined || now.counts.some((count, bucket) => count < (before.counts[bucket] ?? 0))) return now;
    return {
      counts: now.counts.map((count, bucket) => count - (before.counts[bucket] ?? 0)),
      sum: now.sum - before.sum,
    };
  }

  setVrState(vr: string, state: VrStateLabel): void {
    this.#saidStates.set(vr, state);
  }

  /** Exactly one state of a virtual router is 1. */
  #showVrState(vr: string, state: VrStateLabel): void {
    for (const each of vrStates) this.#all.vrState.set({ vr, state: each }, flag(each === state));
  }

  /** For the agent, which can read the kernel where the dataplane is gone. */
  setVipPresent(vr: string, vip: string, present: boolean): void {
    this.#settle();
    this.#all.vipPresent.set({ vr, vip }, flag(present));
  }

  /**
   * The dataplane is gone: no virtual router is served, and what the kernel still has is not known until it is read. What
   * it saw on the LAN is over with it, as its episodes are.
   */
  dataplaneLost(): void {
    const states = new Map(this.#saidStates);
    this.#saidStates.clear();
    this.#wait({ kind: 'lost', states });
  }

  /** @param states that were told one by one before */
  #showDataplaneLost(states: ReadonlyMap<string, VrStateLabel>): void {
    const all = this.#all;
    for (const [vr, state] of states) this.#showVrState(vr, state);
    all.dataplaneUp.set(0);
    all.guardUp.set(0);
    all.sysctlDrift.reset();
    for (const { name, vips } of this.#declared.values()) {
      this.#showVrState(name, 'fault');
      all.virtualMacAttached.set({ vr: name }, Number.NaN);
      all.splitBrain.set({ vr: name }, 0);
      for (const peer of this.#peers.get(name) ?? []) all.lanPathOk.remove({ vr: name, peer });
      for (const vip of vips) {
        this.#forgetProbe(name, vip);
        all.vipDesired.set({ vr: name, vip }, 0);
        all.vipPresent.set({ vr: name, vip }, Number.NaN);
      }
    }
  }

  setLog(state: { readonly connected: boolean; readonly outboxEvents: number; readonly lagEvents: number }): void {
    this.#all.logConnected.set(flag(state.connected));
    this.#all.logOutbox.set(state.outboxEvents);
    this.#all.logLag.set(state.lagEvents);
  }

  setDrained(drained: boolean): void {
    this.#all.nodeDrained.set(flag(drained));
  }

  /** `restarts`: since its keeper started. */
  setLogServer({ up, restarts }: { readonly up: boolean; readonly restarts: number }): void {
    this.#all.logServerUp.set(flag(up));
    const more = restarts >= this.#logServerRestarts ? restarts - this.#logServerRestarts : restarts;
    this.#all.logServerRestarts.inc(more);
    this.#logServerRestarts = restarts;
  }

  logAppended(durationMs: number): void {
    this.#all.logAppendDuration.observe(durationMs / 1_000);
  }

  logConflicted(): void {
    this.#all.logAppendConflicts.inc();
  }

  logRegressed(): void {
    this.#all.logRegressions.inc();
  }

  logReconnected(): void {
    this.#all.logReconnects.inc();
  }

  setNode(node: string, cluster: string): void {
    this.#all.nodeInfo.set({ node, cluster }, 1);
  }

  /** Remaining is 0 once the lease has ended; the duration is 0 where this node needs none. */
  setLease({ remainingMs, durationMs }: { readonly remainingMs: number; readonly durationMs: number }): void {
    this.#all.leaseRemaining.set(Math.max(0, remainingMs) / 1_000);
    this.#all.leaseDuration.set(durationMs / 1_000);
  }

  /** Every alarm that is open now; without `vr` it is about the node. Those of unknown virtual routers are left out. */
  setEpisodes(open: readonly { readonly vr?: string | null | undefined; readonly kind: string }[]): void {
    this.#settle();
    const { episodesOpen } = this.#all;
    for (const vr of ['', ...this.#declared.keys()]) {
      for (const kind of this.#words.episodeKinds) episodesOpen.set({ vr, kind }, 0);
    }
    for (const { vr: about, kind } of open) {
      const vr = about ?? '';
      if (!this.#words.episodeKinds.includes(kind) || (vr !== '' && !this.#declared.has(vr))) continue;
      episodesOpen.inc({ vr, kind });
    }
  }

  /** Two active owners in the log: seen by the agent, not by the dataplane. */
  splitBrainInLog(vr: string): void {
    this.#all.splitBrainDetected.increment({ vr, source: 'log' });
  }
}

export const createMetrics = (build: BuildInfo, words: MetricWords): KoiMetrics => new KoiMetrics(build, words);

function infoLabels({ name, id, protocol, interface: parent, virtualMac }: DeclaredVr) {
  return { vr: name, id: String(id), protocol, interface: parent, virtual_mac: virtualMac };
}
