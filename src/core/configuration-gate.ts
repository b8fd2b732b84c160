import type { AdvertRefusal } from '../wire/reasons.js';
import { configuredOtherwise } from './detect/stranger.js';

/** A refused advert says for so long that somebody serves with another configuration. */
const goodMs = 3000;
/** And nothing any more once the log has had so long to say which configuration is in force. */
const startMs = 20_000;

/**
 * Whether a virtual router may take over with the configuration it has. The log's word counts. A node that has just
 * started has not heard it yet, and may have come back with another file: while it hears adverts that it has to refuse
 * it does not take the master's silence for its absence.
 */
export class ConfigurationGate {
  readonly #startedAtMs: number;
  #differs: boolean | undefined;
  #refusedAtMs: number | undefined;

  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
  }

  /** The log has said whether what runs here is in force. */
  logSays(differs: boolean): void {
    this.#differs = differs;
  }

  /** An advert was refused; true where that bars, so that somebody has to look again at `openAtMs`. */
  refused(reason: AdvertRefusal, atMs: number): boolean {
    if (this.#differs !== undefined || !configuredOtherwise.has(reason) || atMs >= this.#startedAtMs + startMs)
      return false;
    const wasBarred = this.isBarred(atMs);
    this.#refusedAtMs = atMs;
    return !wasBarred;
  }

  isBarred(atMs: number): boolean {
    if (this.#differs !== undefined) return this.#differs;
    const openAtMs = this.openAtMs;
    return openAtMs !== undefined && atMs < openAtMs;
  }

  /** When it opens by itself; undefined where it does not, or is open. */
  get openAtMs(): number | undefined {
    if (this.#differs !== undefined || this.#refusedAtMs === undefined) return undefined;
    return Math.min(this.#refusedAtMs + goodMs, this.#startedAtMs + startMs);
  }
}
