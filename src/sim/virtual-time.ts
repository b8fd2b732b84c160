import type { LogTimers } from '../log/timers.js';

interface Planned {
  readonly atMs: number;
  readonly order: number;
  action: (() => void) | undefined;
}

/**
 * The simulation's time, and what is planned for it. Nothing takes any time unless it says so; two things planned for the
 * same moment happen in the order in which they were planned.
 */
export class VirtualTime implements LogTimers {
  #nowMs = 0;
  #order = 0;
  #stirred = false;
  /** A binary heap: the children of `i` are at `2i + 1` and `2i + 2`, the earliest at 0. */
  readonly #heap: Planned[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    return this.at(this.#nowMs + Math.max(0, delayMs), action);
  }

  /** Plans `action`; the returned function calls it off. */
  at(atMs: number, action: () => void): () => void {
    const planned: Planned = { atMs: Math.max(atMs, this.#nowMs), order: this.#order, action };
    this.#order += 1;
    this.#push(planned);
    return () => {
      planned.action = undefined;
    };
  }

  /** Somebody has started or settled a promise: what waits for it runs before time goes on. */
  stir(): void {
    this.#stirred = true;
  }

  /** Lets everything happen that is planned up to `untilMs`; `observe` looks at the world after each of it. */
  async run(untilMs: number, observe: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#pop();
      if (next.action === undefined) continue;
      this.#nowMs = next.atMs;
      next.action();
      if (this.#stirred) {
        this.#stirred = false;
        await everythingSettled();
      }
      if (!observe()) return;
    }
    this.#nowMs = untilMs;
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(planned);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, planned)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = planned;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      if (left === undefined) break;
      const right = heap[2 * at + 2];
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
  }
}

const isBefore = (a: Planned, b: Planned): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** More than any chain of promises in a node is long; a turn of Node's own loop would cost ten times as much. */
const hops = 24;

/** Lets promises run their course, however many wait for one another. */
async function everythingSettled(): Promise<void> {
  for (let hop = 0; hop < hops; hop++) await undefined;
}
