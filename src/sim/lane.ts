import type { VirtualTime } from './virtual-time.js';

const wellMs = 10;

/** A way for messages, in order: a TCP connection's one direction, a unix socket, a process's queue. */
export class Lane {
  readonly #time: VirtualTime;
  readonly #delayMs: () => number;
  #lastAtMs = 0;
  #life = 0;
  #blocked = false;
  #waiting: (() => void)[] = [];

  constructor(time: VirtualTime, delayMs: () => number) {
    this.#time = time;
    this.#delayMs = delayMs;
  }

  send(arrive: () => void): void {
    if (this.#blocked) {
      this.#waiting.push(arrive);
      return;
    }
    const life = this.#life;
    this.#lastAtMs = Math.max(this.#lastAtMs, this.#time.nowMs() + this.#delayMs());
    this.#time.at(this.#lastAtMs, () => {
      if (life !== this.#life) return;
      // Blocked on the way: it arrives when the way is free, as TCP makes it.
      if (this.#blocked) this.#waiting.push(arrive);
      else arrive();
    });
  }

  /** Something that was sent in worse times is still on its way, and what comes after it waits. */
  get isBehind(): boolean {
    return this.#lastAtMs > this.#time.nowMs() + wellMs;
  }

  block(): void {
    this.#blocked = true;
  }

  unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    for (const arrive of this.#waiting.splice(0)) this.send(arrive);
  }

  /** Everything on the way is lost. */
  drop(): void {
    this.#life += 1;
    this.#waiting = [];
  }
}
