import { type DoubleMasters, doubleMasters, LogMasters } from '../core/detect/log-masters.js';
import type { LogState } from '../log/projection.js';
import type { StatusLease } from '../observe/status.js';

export interface LogMastersWatchOptions {
  readonly state: () => LogState;
  readonly leaseOf: (node: string) => StatusLease;
  /** Longer than a lease: who died without a word is alive for so long. */
  readonly lastsMs: () => number;
  readonly now: () => number;
  readonly onBegan: (vr: string, found: DoubleMasters) => void;
  readonly onEnded: (vr: string, found: DoubleMasters, durationMs: number) => void;
}

/** Looks for virtual routers of which the log has two masters that are alive. */
export class LogMastersWatch {
  readonly #options: LogMastersWatchOptions;
  readonly #follows = new Map<string, LogMasters>();
  readonly #open = new Map<string, DoubleMasters>();

  constructor(options: LogMastersWatchOptions) {
    this.#options = options;
  }

  /** To be called again and again while the log can be reached, with the virtual routers of this node. */
  look(vrs: readonly string[]): void {
    const { lastsMs, now, onBegan, onEnded } = this.#options;
    for (const vr of vrs) {
      const found = this.#mastersOf(vr);
      const before = this.#open.get(vr);
      let follows = this.#follows.get(vr);
      if (follows === undefined) {
        if (found === undefined) continue;
        follows = new LogMasters(lastsMs());
        this.#follows.set(vr, follows);
      }
      const news = follows.look(found, now());
      if (news === 'began' && found !== undefined) {
        this.#open.set(vr, found);
        onBegan(vr, found);
      } else if (news !== undefined && news !== 'began' && before !== undefined) {
        this.#open.delete(vr);
        onEnded(vr, before, news.endedAfterMs);
      }
      if (found === undefined) this.#follows.delete(vr);
    }
  }

  #mastersOf(vr: string): DoubleMasters | undefined {
    const { state, leaseOf } = this.#options;
    const { nodes, virtualRouters } = state();
    const standings = virtualRouters.get(vr)?.standings ?? new Map();
    // Of nearly every one of a thousand, every second.
    let masters = 0;
    for (const { state: word } of standings.values()) if (word === 'master') masters += 1;
    if (masters < 2) return undefined;
    return doubleMasters(
      [...standings].map(([node, standing]) => {
        const record = nodes.get(node);
        const speaks = record !== undefined && !record.stopped && record.boot === standing.boot;
        return {
          node,
          state: standing.state,
          term: standing.term,
          isAlive: speaks && record.dataplaneLostMs === undefined && leaseOf(node).state === 'held',
        };
      }),
    );
  }
}
