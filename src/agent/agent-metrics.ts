import type { VirtualRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { placeOf } from '../core/election-rules.js';
import type { AppendResult } from '../log/port.js';
import type { KoiMetrics } from '../observe/metrics.js';
import { Scrape } from '../observe/scrape.js';
import type { EpisodeDesk } from './episode-desk.js';
import type { FoldedLog } from './folded-log.js';
import type { Leases } from './leases.js';
import type { OwnNode } from './own-node.js';
import type { SnapshotShelf } from './snapshot-shelf.js';

export interface AgentMetricsOptions {
  readonly metrics: KoiMetrics;
  readonly node: Pick<OwnNode, 'name' | 'config' | 'told'>;
  readonly log: Pick<FoldedLog, 'state' | 'status' | 'reachable'>;
  readonly snapshots: Pick<SnapshotShelf, 'read'>;
  readonly episodes: Pick<EpisodeDesk, 'report'>;
  readonly lease: () => Pick<Leases, 'remainingMs' | 'durationMs'>;
  readonly outboxEvents: () => number;
}

/** Brings what the agent knows into the metrics: as it changes where that is seldom, otherwise when somebody asks for them. */
export class AgentMetrics {
  readonly #options: AgentMetricsOptions;
  readonly #scrape: Scrape;

  constructor(options: AgentMetricsOptions) {
    this.#options = options;
    this.#scrape = new Scrape({ now: () => performance.now(), render: () => this.#render() });
  }

  text(): Promise<string> {
    return this.#scrape.text();
  }

  /** The virtual routers, before the dataplane has told anything of them. */
  declareConfigured(): void {
    for (const vr of this.#options.node.config.virtualRouters) this.#declare(vr, vr.interface.value, '');
  }

  /** Those of which the dataplane has told. */
  declareTold(): void {
    const { metrics, node } = this.#options;
    for (const vr of node.config.virtualRouters) {
      const told = node.told.get(vr.name);
      if (told === undefined) continue;
      this.#declare(vr, told.interface, told.virtualMac);
      metrics.setVrState(vr.name, told.state);
    }
  }

  /** Of the dataplane as it told last. */
  showSnapshot(): void {
    const snapshot = this.#options.snapshots.read();
    if (snapshot !== undefined) this.#options.metrics.apply(snapshot);
  }

  showLog(): void {
    const { metrics, log, outboxEvents } = this.#options;
    metrics.setLog({ connected: log.reachable, outboxEvents: outboxEvents(), lagEvents: log.status.lagEvents });
  }

  appended(result: AppendResult, durationMs: number): void {
    const { metrics } = this.#options;
    metrics.logAppended(durationMs);
    if (result.kind === 'conflict') metrics.logConflicted();
  }

  #declare(vr: VirtualRouterConfig, parent: string, virtualMac: string): void {
    this.#options.metrics.declareVr({
      name: vr.name,
      id: vr.id,
      protocol: vr.protocol,
      interface: parent,
      virtualMac,
      priority: placeOf(electionOf(vr)),
      vips: vr.addresses.map(({ address }) => address),
    });
  }

  #render(): Promise<string> {
    const { metrics, node, log, episodes, lease } = this.#options;
    this.showSnapshot();
    const { remainingMs, durationMs } = lease();
    metrics.setLease({ remainingMs, durationMs });
    metrics.setEpisodes(episodes.report(node.name, log.state).filter((each) => each.node === node.name));
    return metrics.text();
  }
}
