import { type BootId, type NodeId, nodeId, sequence } from '../core/identity.js';
import { expiresAtMs } from '../core/lease.js';
import type { LeaseEvent } from '../log/event.js';
import type { AppendResult, EventLog } from '../log/port.js';
import type { LeaseDesk } from './lease-desk.js';

export type Revocation =
  /** The lease has ended: it had expired, and no renewal is stored that this node has not seen. */
  | { readonly kind: 'revoked' }
  /** It may still be held; asking again before then, by this node's monotonic clock, is in vain. */
  | { readonly kind: 'leased'; readonly untilMs: number }
  /** The log did not say. Nothing is known. */
  | { readonly kind: 'unavailable' };

export interface LeaseRevokerOptions {
  /** The lease stream. */
  readonly log: EventLog;
  readonly leases: Pick<LeaseDesk, 'watch' | 'noteRevocation' | 'readPast'>;
  readonly cluster: string;
  readonly node: NodeId;
  readonly boot: () => BootId;
  /** Of the configuration in force: by then a holder that lives has renewed. */
  readonly renewMs: () => number;
  readonly newEventId: () => string;
  readonly clock: () => { readonly wallMs: number; readonly monotonicMs: number };
  readonly onAppend: (result: AppendResult, durationMs: number) => void;
  /** This node has ended a lease that had not been renewed for so long. */
  readonly onRevoked: (holder: NodeId, silentMs: number, sequence: number) => void;
}

/** The revocation under way, and the one that stands for all who have asked since that was sent. */
interface Turn {
  readonly running: Promise<Revocation>;
  next: Promise<Revocation> | undefined;
}

/**
 * Ends the leases of others: an append to the holder's subject that expects the last message read there. That it is
 * stored proves that no renewal is which this node has not seen; without it a reader that lags would depose a live holder.
 *
 * A proof counts for whoever asked before it was sent, and for nobody who asked since: by then the holder may have renewed
 * on top of it and claimed anew, and the answer may be late. Those wait, all together, for another one, so that a
 * thousand virtual routers of one holder cost two appends.
 */
export class LeaseRevoker {
  readonly #options: LeaseRevokerOptions;
  readonly #turns = new Map<string, Turn>();

  constructor(options: LeaseRevokerOptions) {
    this.#options = options;
  }

  /** Takes `deadlineMs` at most for the turn that it is given, and as long again where it has to wait for it. */
  revoke(holder: string, deadlineMs: number): Promise<Revocation> {
    const turn = this.#turns.get(holder);
    if (turn === undefined) return this.#begin(holder, deadlineMs);
    turn.next ??= turn.running.then(() => this.#begin(holder, deadlineMs));
    return turn.next;
  }

  #begin(holder: string, deadlineMs: number): Promise<Revocation> {
    const running = this.#run(nodeId(holder), deadlineMs).finally(() => {
      if (turn.next === undefined) this.#turns.delete(holder);
    });
    const turn: Turn = { running, next: undefined };
    this.#turns.set(holder, turn);
    return running;
  }

  async #run(holder: NodeId, deadlineMs: number): Promise<Revocation> {
    const { log, leases, clock, renewMs, onAppend, onRevoked } = this.#options;
    const endMs = clock().monotonicMs + deadlineMs;
    while (true) {
      const nowMs = clock().monotonicMs;
      const watch = leases.watch(holder);
      if (watch === undefined || nowMs >= endMs) return { kind: 'unavailable' };
      const untilMs = expiresAtMs(watch);
      if (nowMs < untilMs) return { kind: 'leased', untilMs };
      const event = this.#event(holder);
      const options = { expect: { lastSubjectSequence: watch.sequence }, deadlineMs: endMs - nowMs };
      const result = await log.append(event, options);
      const answeredMs = clock().monotonicMs;
      onAppend(result, answeredMs - nowMs);
      if (result.kind === 'unavailable') return { kind: 'unavailable' };
      if (result.kind === 'stored') {
        leases.noteRevocation(holder, { kind: 'revoked', sequence: sequence(result.sequence), id: event.id });
        onRevoked(holder, nowMs - watch.seenAtMs, result.sequence);
        return { kind: 'revoked' };
      }
      // A renewal that is still on its way here, or another's revocation, on top of which this one may stand.
      const hasReadOn = await leases.readPast(holder, watch.sequence, Math.max(0, endMs - answeredMs));
      if (!hasReadOn) return { kind: 'leased', untilMs: clock().monotonicMs + renewMs() };
    }
  }

  #event(holder: NodeId): LeaseEvent {
    const { cluster, node, boot, newEventId, clock } = this.#options;
    const { wallMs, monotonicMs } = clock();
    const payload = { type: 'leaseRevoked', holder, reason: 'lease_expired' } as const;
    return { id: newEventId(), cluster, node, boot: boot(), wallTimeMs: wallMs, monotonicMs, payload };
  }
}
