import { guardAfterMs } from '../core/lease.js';
import type { Input } from '../core/vr-state.js';

export interface LeaseWatchOptions {
  /** Who enforces the end, on the clock of `process.hrtime.bigint()`. */
  readonly guard: { leaseEndsAt(monotonicNs: bigint): void };
  readonly routers: () => Iterable<{ give(input: Input): void }>;
  readonly now: () => number;
}

/**
 * This node's lease, as the agent told of it last. An agent that is gone takes nothing back: what was granted stands
 * until its end.
 */
export class LeaseWatch {
  readonly #options: LeaseWatchOptions;
  #endsAtMs: number | undefined;
  #isTold = false;

  constructor(options: LeaseWatchOptions) {
    this.#options = options;
  }

  /** @param endsAtMs until when this node may hold, by the monotonic clock; null: it has no lease */
  said(endsAtMs: number | null): void {
    this.#endsAtMs = endsAtMs ?? undefined;
    this.#isTold = true;
    // First of all: whoever holds longer by it is enforced by it.
    if (endsAtMs !== null) this.#options.guard.leaseEndsAt(guardTimeNs(endsAtMs));
    for (const router of this.#options.routers()) this.tell(router);
  }

  /** A virtual router that is new learns what the others know. */
  tell(router: { give(input: Input): void }): void {
    if (this.#isTold) router.give({ type: 'ownLease', endsAtMs: this.#endsAtMs, atMs: this.#options.now() });
  }
}

const guardTimeNs = (endsAtMs: number): bigint => BigInt(Math.ceil((endsAtMs + guardAfterMs) * 1e6));
