import type { MonotonicClock } from './scheduler.js';

/**
 * Notices that this process did not run for a while: a pause, a freeze, a starved loop, or a machine that was stopped
 * together with its monotonic clock, which only the wall clock then shows.
 *
 * `check` is called first in whatever the loop does, before anything is decided or sent.
 */
export class LoopWatch {
  readonly #now: MonotonicClock;
  readonly #wallNow: () => number;
  readonly #onGap: (gapMs: number, atMs: number) => void;
  #lastMs: number;
  #lastWallMs: number;

  constructor(now: MonotonicClock, wallNow: () => number, onGap: (gapMs: number, atMs: number) => void) {
    this.#now = now;
    this.#wallNow = wallNow;
    this.#onGap = onGap;
    this.#lastMs = now();
    this.#lastWallMs = wallNow();
  }

  /** Tells how long the loop was away, if it was longer than a heartbeat; returns the time. */
  check(expectedMs: number): number {
    const nowMs = this.#now();
    const wallMs = this.#wallNow();
    const awayMs = nowMs - this.#lastMs;
    const jumpedMs = wallMs - this.#lastWallMs - awayMs;
    this.#lastMs = nowMs;
    this.#lastWallMs = wallMs;
    const gapMs = awayMs + Math.max(0, jumpedMs);
    if (gapMs > expectedMs) this.#onGap(gapMs, nowMs);
    return nowMs;
  }
}
