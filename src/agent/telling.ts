import type { LogTimers } from '../log/timers.js';

/** What concerns whole nodes is looked at no more often: each time it costs all virtual routers. */
export const wholeEveryMs = 100;

export interface TellingOptions {
  /** What the dataplane waits for: what the log says of its virtual routers. */
  readonly view: () => void;
  /** The rest: what this node announces of itself, and what is agreed with others. `view` is not told besides. */
  readonly whole: () => void;
  /** Runs `act` when all that is heard in this turn of the loop has been heard. */
  readonly later: (act: () => void) => void;
  readonly timers: LogTimers;
}

/** When to tell what was heard: once for all that comes in one turn of the loop, and what is costly not in each turn. */
export class Telling {
  readonly #options: TellingOptions;
  #isScheduled = false;
  #wholeAtMs = Number.NEGATIVE_INFINITY;
  #callOff: (() => void) | undefined;

  constructor(options: TellingOptions) {
    this.#options = options;
  }

  /** @param wholeToo what was heard may concern whole nodes */
  soon(wholeToo: boolean): void {
    if (wholeToo) this.#wholeSoon();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.later(() => {
      if (!this.#isScheduled) return;
      this.#isScheduled = false;
      this.#options.view();
    });
  }

  /** Everything, at once. */
  now(): void {
    this.#isScheduled = false;
    this.#callOff?.();
    this.#callOff = undefined;
    this.#wholeAtMs = this.#options.timers.nowMs();
    this.#options.whole();
    this.#options.view();
  }

  stop(): void {
    this.#callOff?.();
    this.#isScheduled = false;
  }

  #wholeSoon(): void {
    const { timers } = this.#options;
    const waitMs = Math.max(0, this.#wholeAtMs + wholeEveryMs - timers.nowMs());
    this.#callOff ??= timers.after(waitMs, () => {
      this.#callOff = undefined;
      this.#wholeAtMs = timers.nowMs();
      this.#options.whole();
    });
  }
}
