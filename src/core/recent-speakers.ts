/**
 * The hosts that were heard last, with a bound: whoever forges sources pushes others out, and fills no memory.
 */
export class RecentSpeakers {
  readonly #most: number;
  /** When each was heard last, the latest at the end. */
  readonly #heard = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  heard(address: string, atMs: number): void {
    this.#heard.delete(address);
    this.#heard.set(address, atMs);
    const [oldest] = this.#heard.keys();
    if (this.#heard.size > this.#most && oldest !== undefined) this.#heard.delete(oldest);
  }

  /** Those heard at or after `sinceMs`, the latest first. */
  since(sinceMs: number): string[] {
    return [...this.#heard]
      .filter(([, atMs]) => atMs >= sinceMs)
      .map(([address]) => address)
      .reverse();
  }

  get size(): number {
    return this.#heard.size;
  }
}

/**
 * Whom to ask, at most `most`: half of the places are for those that the kernel has spoken with, so that forged sources
 * cannot take them all.
 */
export function worthAsking(heard: readonly string[], met: readonly string[], most: number): string[] {
  const half = Math.floor(most / 2);
  return [...new Set([...heard.slice(0, half), ...met, ...heard.slice(half)])].slice(0, most);
}
