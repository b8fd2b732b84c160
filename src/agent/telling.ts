import type { LogTimers } from '../log/timers.js';

/**
 * What concerns whole nodes is looked at no more often: each time it costs all virtual routers. Where these are many it is
 * looked at less often, so that it takes no more than this share of the time.
 */
export const wholeEveryMs = 100;
const wholeShare = 0.05;

export interface TellingOptions {
  /** What the dataplane waits for: what the log says of its virtual routers. `isAll`: whatever is known to have changed. */
  readonly view: (isAll: boolean) => void;
  /**
   * The rest: what this node announces of itself, and what is agreed with others. `view` is not told besides. `isAll`:
   * whatever is known to have changed.
   */
  readonly whole: (isAll: boolean) => void;
  /** Runs `act` when all that is heard in this turn of the loop has been heard. */
  readonly later: (act: () => void) => void;
  readonly timers: LogTimers;
}

/** When to tell what was heard: once for all that comes in one turn of the loop, and what is costly not in each turn. */
export class Telling {
  readonly #options: TellingOptions;
  #isScheduled = false;
  /** When it may be told again. */
  #wholeFromMs = Number.NEGATIVE_INFINITY;
  #wholeDueAtMs = Number.POSITIVE_INFINITY;
  #callOff: (() => void) | undefined;

  constructor(options: TellingOptions) {
    this.#options = options;
  }

  /**
   * @param wholeAfterMs what was heard may concern whole nodes, which are looked at after so long at the earliest; undefined:
   * it does not
   */
  soon(wholeAfterMs?: number): void {
    if (wholeAfterMs !== undefined) this.#wholeSoon(wholeAfterMs);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.later(() => {
      if (!this.#isScheduled) return;
      this.#isScheduled = false;
      this.#options.view(false);
    });
  }

  /** Everything, at once. */
  now(): void {
    this.#isScheduled = false;
    this.#callOff?.();
    this.#callOff = undefined;
    this.#whole(true);
    this.#options.view(true);
  }

  stop(): void {
    this.#callOff?.();
    this.#isScheduled = false;
  }

  #wholeSoon(afterMs: number): void {
    const { timers } = this.#options;
    const nowMs = timers.nowMs();
    const dueAtMs = Math.max(nowMs + afterMs, this.#wholeFromMs);
    if (this.#callOff !== undefined && this.#wholeDueAtMs <= dueAtMs) return;
    this.#callOff?.();
    this.#wholeDueAtMs = dueAtMs;
    this.#callOff = timers.after(dueAtMs - nowMs, () => {
      this.#callOff = undefined;
      this.#whole(false);
    });
  }

  #whole(isAll: boolean): void {
    const { timers, whole } = this.#options;
    const beganMs = timers.nowMs();
    this.#wholeFromMs = beganMs + wholeEveryMs;
    whole(isAll);
    this.#wholeFromMs = beganMs + Math.max(wholeEveryMs, (timers.nowMs() - beganMs) / wholeShare);
  }
}
