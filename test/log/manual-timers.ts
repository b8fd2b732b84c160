import type { LogTimers } from '../../src/log/timers.js';

/** Time that stands still until it is moved; actions due at one instant run in the order in which they were planned. */
export class ManualTimers implements LogTimers {
  #nowMs: number;
  #planned: { dueMs: number; action: () => void }[] = [];

  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const entry = { dueMs: this.#nowMs + delayMs, action };
    this.#planned.push(entry);
    return () => {
      this.#planned = this.#planned.filter((other) => other !== entry);
    };
  }

  /** Lets `ms` pass; promises that settle on the way run before what is due later. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#planned.reduce<{ dueMs: number; action: () => void } | undefined>(
        (first, entry) => (first === undefined || entry.dueMs < first.dueMs ? entry : first),
        undefined,
      );
      if (next === undefined || next.dueMs > endMs) break;
      this.#planned = this.#planned.filter((entry) => entry !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.action();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#nowMs = endMs;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
