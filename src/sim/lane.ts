import type { VirtualTime } from './virtual-time.js';

const wellMs = 10;

interface Entry {
  readonly arrive: () => void;
  /** Undefined while the way is blocked and nobody knows. */
  atMs: number | undefined;
}

/** A way for messages, in order: a TCP connection's one direction, a unix socket, a process's queue. */
export class Lane {
  readonly #time: VirtualTime;
  readonly #delayMs: () => number;
  #lastAtMs = 0;
  #blocked = false;
  /** What is on the way, in order. */
  #queue: Entry[] = [];

  constructor(time: VirtualTime, delayMs: () => number) {
    this.#time = time;
    this.#delayMs = delayMs;
  }

  send(arrive: () => void): void {
    const entry: Entry = { arrive, atMs: undefined };
    this.#queue.push(entry);
    if (!this.#blocked) this.#plan(entry, this.#time.nowMs() + this.#delayMs());
  }

  /** Something that was sent in worse times is still on its way, and what comes after it waits. */
  get isBehind(): boolean {
    return this.#lastAtMs > this.#time.nowMs() + wellMs;
  }

  block(): void {
    this.#blocked = true;
  }

  /** What was blocked on the way arrives when the way is free, as TCP makes it, and before what was sent after it. */
  unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    const nowMs = this.#time.nowMs();
    this.#lastAtMs = nowMs;
    for (const entry of this.#queue) {
      const isUnderWay = entry.atMs !== undefined && entry.atMs > nowMs;
      this.#plan(entry, isUnderWay ? (entry.atMs ?? nowMs) : nowMs + this.#delayMs());
    }
  }

  /** Everything on the way is lost. */
  drop(): void {
    this.#queue = [];
  }

  #plan(entry: Entry, earliestMs: number): void {
    const atMs = Math.max(this.#lastAtMs, earliestMs);
    this.#lastAtMs = atMs;
    entry.atMs = atMs;
    this.#time.at(atMs, () => {
      if (this.#blocked || entry.atMs !== atMs || this.#queue[0] !== entry) return;
      this.#queue.shift();
      entry.arrive();
    });
  }
}
