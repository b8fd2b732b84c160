/** Milliseconds of the monotonic clock, with a fraction: CLOCK_MONOTONIC, the clock of `process.hrtime`. */
export type MonotonicClock = () => number;

export const monotonicMs: MonotonicClock = () => Number(process.hrtime.bigint()) / 1e6;

/** What a sleeper is told when its time has come; `lateMs` is how much later than asked. */
export type Wake = (atMs: number, lateMs: number) => void;

interface Sleeper {
  dueAtMs: number;
  readonly wake: Wake;
}

/**
 * One timer for everything that waits in the dataplane: each sleeper has at most one deadline, and may move it.
 *
 * Before the sleepers that are due wake, `beforeWake` runs once: there the sockets are drained, since an advert that
 * waits in the kernel counts as heard.
 */
export class Scheduler {
  readonly #now: MonotonicClock;
  readonly #beforeWake: () => void;
  readonly #sleepers = new Map<string, Sleeper>();
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #waking = false;

  constructor(now: MonotonicClock, beforeWake: () => void) {
    this.#now = now;
    this.#beforeWake = beforeWake;
  }

  /** Sets or moves the deadline of `name`; undefined lets it sleep for ever. */
  set(name: string, dueAtMs: number | undefined, wake: Wake): void {
    if (dueAtMs === undefined) {
      this.#sleepers.delete(name);
      return;
    }
    this.#sleepers.set(name, { dueAtMs, wake });
    if (!this.#waking && dueAtMs < this.#timerAtMs) this.#arm(dueAtMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#sleepers.clear();
  }

  #arm(dueAtMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = dueAtMs;
    if (dueAtMs === Number.POSITIVE_INFINITY) return;
    // Never early: a timer rounded down would find nothing due and cost another turn.
    const delayMs = Math.min(Math.max(0, Math.ceil(dueAtMs - this.#now())), 60_000);
    this.#timer = setTimeout(() => this.#wake(), delayMs);
  }

  #wake(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#waking = true;
    try {
      if (this.#anyDue()) this.#beforeWake();
      const nowMs = this.#now();
      for (const [name, sleeper] of [...this.#sleepers]) {
        if (sleeper.dueAtMs > nowMs || this.#sleepers.get(name) !== sleeper) continue;
        this.#sleepers.delete(name);
        sleeper.wake(nowMs, nowMs - sleeper.dueAtMs);
      }
    } finally {
      this.#waking = false;
      let earliestMs = Number.POSITIVE_INFINITY;
      for (const { dueAtMs } of this.#sleepers.values()) earliestMs = Math.min(earliestMs, dueAtMs);
      this.#arm(earliestMs);
    }
  }

  #anyDue(): boolean {
    const nowMs = this.#now();
    for (const { dueAtMs } of this.#sleepers.values()) if (dueAtMs <= nowMs) return true;
    return false;
  }
}
