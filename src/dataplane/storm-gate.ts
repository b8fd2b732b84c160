/** A LAN of thousands of hosts asks less than this; a loop or an attacker more. */
const framesMost = 1000;
const withinMs = 1000;
/** Then it is looked again whether it has ended. */
const closedMs = 10_000;

/**
 * Notices a storm of ARP or neighbour discovery on a parent's tap. While it lasts the kernel is to keep those frames out,
 * so that they take neither the place of adverts in the buffer nor the time of whoever reads them.
 *
 *   open ──(more than 1,000 in a second)──► closed ──(10 s)──► open
 */
export class StormGate {
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  #closedUntilMs: number | undefined;
  #storms = 0;

  /** One such frame. @returns whether the gate is to be closed now */
  noted(atMs: number): boolean {
    if (atMs - this.#sinceMs > withinMs) {
      this.#sinceMs = atMs;
      this.#count = 0;
    }
    this.#count += 1;
    if (this.#count <= framesMost || this.#closedUntilMs !== undefined) return false;
    this.#closedUntilMs = atMs + closedMs;
    this.#storms += 1;
    return true;
  }

  /** When it is to be opened; undefined while it is open. */
  get closedUntilMs(): number | undefined {
    return this.#closedUntilMs;
  }

  /** Opened again. */
  opened(): void {
    this.#closedUntilMs = undefined;
    this.#count = 0;
    this.#sinceMs = Number.NEGATIVE_INFINITY;
  }

  get storms(): number {
    return this.#storms;
  }
}
