import type { VirtualTime } from './virtual-time.js';

/** 2026-01-01, where the simulation's calendar begins. */
const wallStartMs = 1_767_225_600_000;

/** One machine's clocks: they drift, the wall clock jumps, and both may stand still with the machine. */
export class NodeClock {
  readonly #time: VirtualTime;
  readonly #rate: number;
  #monotonicMs: number;
  #wallMs: number;
  #readAtMs = 0;
  #stopped = false;

  /** @param rate of both clocks: 1 is right, 1.001 gains a millisecond a second */
  constructor(time: VirtualTime, rate: number, bootedBeforeMs: number, wallOffsetMs: number) {
    this.#time = time;
    this.#rate = rate;
    this.#monotonicMs = bootedBeforeMs;
    this.#wallMs = wallStartMs + wallOffsetMs;
  }

  monotonicMs(): number {
    this.#advance();
    return this.#monotonicMs;
  }

  wallMs(): number {
    this.#advance();
    return this.#wallMs;
  }

  /** How long, in true time, until the monotonic clock shows this. */
  untilMs(monotonicMs: number): number {
    return Math.max(0, (monotonicMs - this.monotonicMs()) / this.#rate);
  }

  jumpWall(byMs: number): void {
    this.#advance();
    this.#wallMs += byMs;
  }

  stop(): void {
    this.#advance();
    this.#stopped = true;
  }

  start(): void {
    this.#advance();
    this.#stopped = false;
  }

  #advance(): void {
    const nowMs = this.#time.nowMs();
    if (!this.#stopped) {
      this.#monotonicMs += (nowMs - this.#readAtMs) * this.#rate;
      this.#wallMs += (nowMs - this.#readAtMs) * this.#rate;
    }
    this.#readAtMs = nowMs;
  }
}
