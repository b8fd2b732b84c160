import { watchedUntilMs } from '../core/lease.js';
import type { ToDataplane } from '../ipc/protocol.js';

export interface LogProofOptions {
  readonly clock: () => { readonly monotonicMs: number };
  readonly ttlMs: () => number;
  /** Since when the lease stream has been read without a break; undefined while it is not. */
  readonly leasesSinceMs: () => number | undefined;
  readonly send: (message: ToDataplane) => boolean;
}

/**
 * From when on it proves something that the log says nothing of a holder. What this node has not read, the log may have
 * lost since (a restored copy, a wiped store, writes that were acknowledged and not kept), and a holder may go by it until
 * its lease ends. So both streams have to be read without a break for as long as a lease lasts.
 */
export class LogProof {
  readonly #options: LogProofOptions;
  #eventsSinceMs: number | undefined;
  #told: number | null | undefined;

  constructor(options: LogProofOptions) {
    this.#options = options;
  }

  /** The event stream can be read to its end, or not. */
  events(areCurrent: boolean): void {
    if (!areCurrent) this.#eventsSinceMs = undefined;
    else this.#eventsSinceMs ??= this.#options.clock().monotonicMs;
    this.tell();
  }

  /** A dataplane is there that knows nothing yet. */
  dataplaneUp(): void {
    this.#told = undefined;
    this.tell();
  }

  /** Tells the dataplane what is new. */
  tell(): void {
    const { ttlMs, leasesSinceMs, send } = this.#options;
    const leasesMs = leasesSinceMs();
    const isFollowed = this.#eventsSinceMs !== undefined && leasesMs !== undefined;
    const fromMs = isFollowed ? watchedUntilMs(Math.max(this.#eventsSinceMs ?? 0, leasesMs), ttlMs()) : null;
    if (fromMs !== this.#told && send({ type: 'proof', fromMs })) this.#told = fromMs;
  }
}
