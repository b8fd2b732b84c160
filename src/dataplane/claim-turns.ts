import type { Vr } from '../core/vr-state.js';

/** As many as the log answers well within the time that a claim gives it. */
const atOnceMost = 16;
/** Whoever waits and is not called looks again after so long, and the later the more wait with it. */
const lookAgainMs = 5;
const perWaitingMs = 0.25;

/** Whether the log, or the holder that it names, has been asked and has not answered yet. */
const isAsked = (phase: Vr['phase']): boolean =>
  (phase.name === 'claiming' && phase.claim !== undefined && phase.standing === undefined) ||
  (phase.name === 'backup' && phase.challenge !== undefined);

/**
 * Two hundred virtual routers whose master falls silent, or says that it is gone, would all ask the log at the same moment;
 * it answers one after the other, and most would give up before their answer came, to try again without the log's word. So
 * they claim a number at a time, and whenever one is answered the next is called. A log that answers none of those is not
 * waited for by the others.
 */
export class ClaimTurns {
  readonly #now: () => number;
  readonly #call: (name: string) => void;
  readonly #underWay = new Set<string>();
  /** In the order in which they came. */
  readonly #waiting = new Set<string>();
  /** Those of them that a place is kept for. */
  readonly #called = new Set<string>();
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #unansweredAtMs = Number.NEGATIVE_INFINITY;

  /** @param call has one that waits look again, later: its turn has come */
  constructor(now: () => number, call: (name: string) => void) {
    this.#now = now;
    this.#call = call;
  }

  /** Before when a virtual router may not claim; undefined where it may, or asks nobody. */
  turnAtMs(name: string, vr: Vr): number | undefined {
    const isAsking = vr.phase.name === 'backup' && vr.parameters.arbitration !== 'wire' && !vr.phase.withoutLog;
    const hasRoom = this.#underWay.size < atOnceMost || this.#underWay.has(name);
    this.#called.delete(name);
    if (!isAsking || !vr.log.reachable || hasRoom || this.#isUnanswered(vr.parameters.arbitrationTimeoutMs)) {
      return this.#waiting.delete(name) ? Number.NEGATIVE_INFINITY : undefined;
    }
    this.#waiting.add(name);
    return this.#now() + lookAgainMs + perWaitingMs * this.#waiting.size;
  }

  #isUnanswered(patienceMs: number): boolean {
    return this.#unansweredAtMs > this.#answeredAtMs && this.#now() - this.#answeredAtMs > patienceMs;
  }

  /** To be told of a virtual router after each step of its machine. */
  moved(name: string, { phase }: Vr): void {
    if (isAsked(phase)) {
      this.#underWay.add(name);
      return;
    }
    // Whoever goes on alone, or waits for its disk, has had its answer, or its want of one, before.
    if (this.#underWay.delete(name)) {
      if (phase.name === 'backup' && phase.withoutLog) this.#unansweredAtMs = this.#now();
      else this.#answeredAtMs = this.#now();
    }
    if (phase.name !== 'backup') this.#leave(name);
    this.#callNext();
  }

  forget(name: string): void {
    this.#underWay.delete(name);
    this.#leave(name);
    this.#callNext();
  }

  #leave(name: string): void {
    this.#waiting.delete(name);
    this.#called.delete(name);
  }

  #callNext(): void {
    if (this.#waiting.size === this.#called.size) return;
    for (const name of this.#waiting) {
      if (this.#underWay.size + this.#called.size >= atOnceMost) return;
      if (this.#called.has(name)) continue;
      this.#called.add(name);
      this.#call(name);
    }
  }
}
