/** How much may be done in a time: so many at once, and so many a second on average (a token bucket). */
export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number | undefined;

  constructor(limit: { readonly perSecond: number; readonly burst: number }) {
    this.#perSecond = limit.perSecond;
    this.#burst = limit.burst;
    this.#tokens = limit.burst;
  }

  /** Whether one more may be done now; if so, it counts. */
  take(atMs: number): boolean {
    this.#refill(atMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Milliseconds until one more may be done; 0 for now. */
  waitMs(atMs: number): number {
    this.#refill(atMs);
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) * 1000) / this.#perSecond;
  }

  #refill(atMs: number): void {
    const passedMs = Math.max(0, atMs - (this.#atMs ?? atMs));
    this.#tokens = Math.min(this.#burst, this.#tokens + (passedMs * this.#perSecond) / 1000);
    this.#atMs = atMs;
  }
}
