import type { Absence } from '../core/vr-machine.js';
import type { MonotonicClock } from './scheduler.js';

/** So old may be what is known of the processor's time: a look at it costs more than the rest of a check. */
const cpuLookEveryMs = 1;

/**
 * Notices that this process did not run for a while: a pause, a freeze, a starved loop, or a machine that was stopped
 * together with its monotonic clock, which only the wall clock then shows.
 *
 * `check` is called first in whatever the loop does, before anything is decided or sent.
 */
export class LoopWatch {
  readonly #now: MonotonicClock;
  readonly #wallNow: () => number;
  readonly #cpuMs: () => number;
  readonly #onGap: (absence: Absence, atMs: number) => void;
  #lastMs: number;
  #lastWallMs: number;
  #cpuLookMs: number;
  #cpuUsedMs: number;

  constructor(options: {
    readonly now: MonotonicClock;
    readonly wallNow: () => number;
    /** Processor time that this process has used so far, in all its threads. */
    readonly cpuMs: () => number;
    readonly onGap: (absence: Absence, atMs: number) => void;
  }) {
    this.#now = options.now;
    this.#wallNow = options.wallNow;
    this.#cpuMs = options.cpuMs;
    this.#onGap = options.onGap;
    this.#lastMs = options.now();
    this.#lastWallMs = options.wallNow();
    this.#cpuLookMs = this.#lastMs;
    this.#cpuUsedMs = options.cpuMs();
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
    const isAway = gapMs > expectedMs;
    const busyMs = isAway || nowMs - this.#cpuLookMs >= cpuLookEveryMs ? this.#lookAtCpu(nowMs) : 0;
    if (isAway) this.#onGap({ awayMs: gapMs, stoodStillMs: Math.max(0, gapMs - busyMs) }, nowMs);
    return nowMs;
  }

  /** @returns what was used since the last look */
  #lookAtCpu(atMs: number): number {
    const usedMs = this.#cpuMs();
    const sinceMs = usedMs - this.#cpuUsedMs;
    this.#cpuLookMs = atMs;
    this.#cpuUsedMs = usedMs;
    return sinceMs;
  }
}
