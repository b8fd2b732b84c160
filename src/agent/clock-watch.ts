/** What is more than slewing and a busy machine, between two looks. */
const jumpMs = 100;

/** Counts the jumps of the wall clock against the monotonic one. To be told both, again and again. */
export class ClockWatch {
  #offsetMs: number | undefined;
  #count = 0;
  #lastMs = 0;

  look(wallMs: number, monotonicMs: number): void {
    const offsetMs = wallMs - monotonicMs;
    const driftMs = offsetMs - (this.#offsetMs ?? offsetMs);
    this.#offsetMs = offsetMs;
    if (Math.abs(driftMs) < jumpMs) return;
    this.#count += 1;
    this.#lastMs = driftMs;
  }

  get jumps(): { readonly count: number; readonly lastMs: number } {
    return { count: this.#count, lastMs: this.#lastMs };
  }
}
