import type { StoredEvent } from '../log/port.js';

const eventsMax = 5_000;
/** As stored. An event that lists a thousand virtual routers weighs as much as five hundred others. */
const bytesMax = 2 * 1_024 * 1_024;

/** The end of the log as this node has read it. */
export interface HeldEvents {
  /** In the log's order, without a hole. */
  readonly events: readonly StoredEvent[];
  /** The log has none before them. */
  readonly isWhole: boolean;
}

/**
 * The newest events that the agent's own reading of the log has brought, a bounded number: whoever asks what happened
 * lately needs no log for it, which may be busy or silent just then.
 */
export class RecentEvents {
  #events: StoredEvent[] = [];
  #bytes = 0;
  #isWhole = true;
  #isCurrent = false;

  /** Nothing before everything was read once: what has come so far is then some part of the log. */
  get held(): HeldEvents | undefined {
    if (!this.#isCurrent) return undefined;
    this.#letGo();
    return { events: this.#events, isWhole: this.#isWhole };
  }

  add(stored: StoredEvent): void {
    this.#events.push(stored);
    this.#bytes += stored.bytes;
    // Not one by one: each time the others are moved.
    if (this.#events.length > 2 * eventsMax || this.#bytes > 2 * bytesMax) this.#letGo();
  }

  /** Everything that the log had has been read. */
  caughtUp(): void {
    this.#isCurrent = true;
  }

  /** Another log stands in place of the one read, and is read from its beginning. */
  forget(): void {
    this.#events = [];
    this.#bytes = 0;
    this.#isWhole = true;
    this.#isCurrent = false;
  }

  #letGo(): void {
    let first = 0;
    for (; this.#events.length - first > eventsMax || this.#bytes > bytesMax; first++) {
      this.#bytes -= this.#events[first]?.bytes ?? 0;
    }
    if (first === 0) return;
    this.#events = this.#events.slice(first);
    this.#isWhole = false;
  }
}
