import type { Vr } from '../core/vr-state.js';

/** As many as the log answers well within the time that a claim gives it. */
const atOnceMost = 16;
/** Whoever waits looks again after so long, and the later the more wait with it. */
const lookAgainMs = 5;
const perWaitingMs = 0.25;

/**
 * Two hundred virtual routers whose master falls silent would all ask the log at the same moment; it answers one after the
 * other, and most would give up before their answer came, to try again without the log's word. So they decide to claim a
 * number at a time. One that is told that its master has gone does not wait.
 */
export class ClaimTurns {
  readonly #now: () => number;
  readonly #underWay = new Set<string>();
  readonly #waiting = new Set<string>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Until when a virtual router may not decide to claim; undefined where it may, or asks nobody. */
  heldUntilMs(name: string, vr: Vr): number | undefined {
    const isAsking = vr.phase.name === 'backup' && vr.parameters.arbitration !== 'wire' && !vr.phase.withoutLog;
    const mayGo = !isAsking || !vr.log.reachable || this.#underWay.size < atOnceMost || this.#underWay.has(name);
    if (mayGo) {
      this.#waiting.delete(name);
      return undefined;
    }
    this.#waiting.add(name);
    return this.#now() + lookAgainMs + perWaitingMs * this.#waiting.size;
  }

  /** To be told of a virtual router after each step of its machine. */
  moved(name: string, { phase }: Vr): void {
    if (phase.name === 'claiming' || (phase.name === 'backup' && phase.challenge !== undefined)) {
      this.#underWay.add(name);
      return;
    }
    this.#underWay.delete(name);
    if (phase.name !== 'backup') this.#waiting.delete(name);
  }

  forget(name: string): void {
    this.#underWay.delete(name);
    this.#waiting.delete(name);
  }
}
