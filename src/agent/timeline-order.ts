import type { KoiEvent } from '../log/event.js';

/** Events remembered as causes of later ones. */
const rememberedMax = 10_000;

/** Where an event stands in a timeline. */
export interface TimelinePlace {
  readonly sequence: number;
  /** The node's own time, or later where it follows from something that another clock has seen later. */
  readonly atMs: number;
}

/**
 * Puts events of several nodes in the order in which they happened. The log has them as they arrived, and what a node
 * only observed may arrive later than what another did after it. A clock that is behind turns nothing round: an event
 * stands after its cause, and what changes an ownership after what changed it before.
 */
export class TimelineOrder {
  readonly #atMs = new Map<string, number>();
  readonly #ownershipAtMs = new Map<string, number>();

  /** To be asked for every event, in the log's order. */
  place(sequence: number, event: KoiEvent): TimelinePlace {
    const cause = event.causeId === undefined ? undefined : this.#atMs.get(event.causeId);
    const ownership = ownershipOf(event);
    const before = ownership === undefined ? undefined : this.#ownershipAtMs.get(ownership);
    const atMs = Math.max(event.wallTimeMs, cause ?? event.wallTimeMs, before ?? event.wallTimeMs);
    if (ownership !== undefined) this.#ownershipAtMs.set(ownership, atMs);
    this.#atMs.set(event.id, atMs);
    if (this.#atMs.size > rememberedMax) {
      const [oldest] = this.#atMs.keys();
      if (oldest !== undefined) this.#atMs.delete(oldest);
    }
    return { sequence, atMs };
  }
}

/** The virtual router whose ownership it changes. */
function ownershipOf(event: KoiEvent): string | undefined {
  const { type } = event.payload;
  if (type !== 'claimed' && type !== 'handoverStarted' && type !== 'released') return undefined;
  return 'vr' in event ? event.vr : undefined;
}

/** By time; what has the same time, as the log has it. */
export const byTime = (a: TimelinePlace, b: TimelinePlace): number => a.atMs - b.atMs || a.sequence - b.sequence;
