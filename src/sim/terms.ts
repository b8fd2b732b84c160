import type { Term } from '../core/identity.js';
import type { KoiEvent } from '../log/event.js';
import type { LogState } from '../log/projection.js';
import type { Scene } from './scene.js';

/** Two writes that a slow disk has begun. */
const slowWritesMsMax = 3000;
const never = Number.POSITIVE_INFINITY;

/** Which terms nodes take and the log gives: they only grow, and none is owned twice. */
export class Terms {
  readonly #scene: Pick<Scene, 'nowMs' | 'settings' | 'violated'>;
  /** By virtual router: the event that gave each. */
  readonly #owned = new Map<string, Map<number, string>>();
  /** By node and virtual router. */
  readonly #last = new Map<string, { readonly term: Term; readonly boot: string; readonly isExcused: boolean }>();
  /** Per node: until when its disk may be so slow that a takeover does not wait for it. */
  readonly #slowDiskUntilMs: number[];
  #log: LogState | undefined;
  #isLogReset = false;

  constructor(scene: Pick<Scene, 'nowMs' | 'settings' | 'violated'>, nodeCount: number) {
    this.#scene = scene;
    this.#slowDiskUntilMs = Array.from({ length: nodeCount }, () => 0);
  }

  diskIsSlow(node: number, isSlow: boolean): void {
    this.#slowDiskUntilMs[node] = isSlow ? never : this.#scene.nowMs + slowWritesMsMax;
  }

  attaching(node: number, vr: string, owned: Term, boot: string): void {
    const key = `${node} ${vr}`;
    const last = this.#last.get(key);
    const goesBack = last !== undefined && (owned < last.term || (owned === last.term && boot !== last.boot));
    if (goesBack && !last.isExcused) {
      this.#scene.violated('terms', `n${node + 1} takes ${vr} with term ${owned} after term ${last.term}`);
    }
    // Beside `strict` a takeover does not wait for a disk that is slow: then a term may come twice after a crash.
    const isStrict = this.#scene.settings(vr).arbitration === 'strict';
    const isExcused = !isStrict && this.#scene.nowMs <= (this.#slowDiskUntilMs[node] ?? 0);
    this.#last.set(key, { term: owned, boot, isExcused });
  }

  /** One more event in the log; `state` is everything up to it. */
  stored(state: LogState, event: KoiEvent | undefined): void {
    const before = this.#log;
    this.#log = state;
    if (event === undefined) return;
    const isChainBroken = before !== undefined && state.regressions > before.regressions;
    if (isChainBroken && state.lastRegression?.kind === 'chain_broken' && !this.#isLogReset) {
      this.#scene.violated('terms', `an event of ${event.node} does not carry the hash of the one before it`);
    }
    // An append meant for a log that has lost its end since: the chain shows it, and what it says of terms is no promise.
    if (!(isChainBroken && this.#isLogReset)) this.#given(event);
  }

  /** The log lost events, or is another: what it says now is judged by itself. */
  logReset(state: LogState): void {
    this.#log = state;
    this.#owned.clear();
    this.#isLogReset = true;
  }

  #given({ id, node, payload, ...rest }: KoiEvent): void {
    if (payload.type !== 'claimed' && payload.type !== 'handoverStarted') return;
    const vr = 'vr' in rest ? rest.vr : undefined;
    if (vr === undefined) return;
    const given = 'term' in rest ? (rest.term ?? 0) : 0;
    const owned = this.#owned.get(vr) ?? new Map<number, string>();
    this.#owned.set(vr, owned);
    const other = owned.get(given);
    if (other !== undefined && other !== id) {
      this.#scene.violated('terms', `term ${given} of ${vr} is owned by ${other} and by ${id}`);
    }
    owned.set(given, id);
    const highest = Math.max(0, ...[...owned.keys()].filter((known) => known !== given));
    if (given < highest) {
      this.#scene.violated('terms', `${node} claims ${vr} with term ${given}, but the log has term ${highest}`);
    }
  }
}
