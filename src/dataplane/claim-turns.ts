import type { Vr } from '../core/vr-state.js';

/** As many as the log answers well within the time that a claim gives it. */
const atOnceMost = 16;
const atOnceLeast = 2;
/** Nothing was answered for so many times what one claim may wait: the log is not slow, it is away. */
const awayAfterTimeouts = 2;
/** What was found out before so long a pause says nothing of the log now. */
const quietMs = 500;
/** Whoever waits looks again after so long, and the later the more wait with it. */
const lookAgainMs = 5;
const perWaitingMs = 0.25;

/**
 * Two hundred virtual routers whose master falls silent, or says that it is gone, would all ask the log at the same moment;
 * it answers one after the other, and most would give up before their answer came, to try again without the log's word. So
 * they claim a number at a time: half as many where one was not answered in time, one more with each that was. A log that
 * answers none of those is not waited for by the others.
 */
export class ClaimTurns {
  readonly #now: () => number;
  readonly #underWay = new Set<string>();
  readonly #waiting = new Set<string>();
  #atOnce = atOnceMost;
  /** When the log answered last, or when it was first asked after a while. */
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #endedAtMs = Number.NEGATIVE_INFINITY;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Before when a virtual router may not claim; undefined where it may, or asks nobody. */
  turnAtMs(name: string, vr: Vr): number | undefined {
    const isAsking = vr.phase.name === 'backup' && vr.parameters.arbitration !== 'wire' && !vr.phase.withoutLog;
    const hasRoom = this.#underWay.size < this.#atOnce || this.#underWay.has(name);
    const patienceMs = awayAfterTimeouts * vr.parameters.arbitrationTimeoutMs;
    const isAway = this.#now() - this.#answeredAtMs >= patienceMs;
    if (!isAsking || !vr.log.reachable || hasRoom || isAway) {
      this.#waiting.delete(name);
      return undefined;
    }
    this.#waiting.add(name);
    return this.#now() + lookAgainMs + perWaitingMs * this.#waiting.size;
  }

  /** To be told of a virtual router after each step of its machine. */
  moved(name: string, { phase }: Vr): void {
    if (phase.name === 'claiming' || (phase.name === 'backup' && phase.challenge !== undefined)) {
      if (this.#underWay.size === 0 && this.#now() - this.#endedAtMs > quietMs) this.#beginAnew();
      this.#underWay.add(name);
      return;
    }
    if (this.#underWay.delete(name)) this.#ended(phase.name === 'backup' && phase.withoutLog);
    if (phase.name !== 'backup') this.#waiting.delete(name);
  }

  #beginAnew(): void {
    this.#atOnce = atOnceMost;
    this.#answeredAtMs = this.#now();
  }

  #ended(isUnanswered: boolean): void {
    this.#endedAtMs = this.#now();
    if (isUnanswered) {
      this.#atOnce = Math.max(atOnceLeast, this.#atOnce >> 1);
      return;
    }
    this.#atOnce = Math.min(atOnceMost, this.#atOnce + 1);
    this.#answeredAtMs = this.#now();
  }

  forget(name: string): void {
    this.#underWay.delete(name);
    this.#waiting.delete(name);
  }
}
