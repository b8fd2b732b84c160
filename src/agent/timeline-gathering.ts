import { describe } from '../log/describe.js';
import type { KoiEvent } from '../log/event.js';
import type { StoredEvent } from '../log/port.js';
import type { TimelineQuery } from '../observe/http-sources.js';
import type { TimelineEntry } from '../observe/status.js';
import { byTime, TimelineOrder, type TimelinePlace } from './timeline-order.js';

/** Events remembered for naming causes. */
const causesMax = 10_000;

interface Found {
  readonly stored: StoredEvent;
  readonly event: KoiEvent;
  readonly cause: KoiEvent | undefined;
  readonly place: TimelinePlace;
}

/** Takes a part of the log, in its order, and keeps the newest that a query asks for. Puts into words only what is shown. */
export class TimelineGathering {
  readonly #query: TimelineQuery;
  readonly #causes = new Map<string, KoiEvent>();
  readonly #order = new TimelineOrder();
  #found: Found[] = [];
  #first: StoredEvent | undefined;
  #last: StoredEvent | undefined;

  constructor(query: TimelineQuery) {
    this.#query = query;
  }

  /** Of what was taken. */
  get first(): StoredEvent | undefined {
    return this.#first;
  }

  get last(): StoredEvent | undefined {
    return this.#last;
  }

  /** Whatever is older than what was taken, the answer is the same. */
  get isComplete(): boolean {
    const { limit, sinceMs } = this.#query;
    const isBefore = sinceMs !== undefined && this.#first !== undefined && this.#first.storedAtMs < sinceMs;
    return isBefore || this.#found.length >= limit;
  }

  take(stored: StoredEvent): void {
    const found = this.#look(stored);
    if (found === undefined) return;
    this.#found.push(found);
    const { limit } = this.#query;
    if (this.#found.length > 2 * limit) this.#found = this.#found.slice(-limit);
  }

  /** The newest of what was taken, as many as are asked for, in the order in which they happened. */
  entries(): TimelineEntry[] {
    return this.#found
      .slice(-this.#query.limit)
      .sort((a, b) => byTime(a.place, b.place))
      .map(entryOf);
  }

  /** One more event, which is not kept: its entry, where the query asks for it. */
  next(stored: StoredEvent): TimelineEntry | undefined {
    const found = this.#look(stored);
    return found === undefined ? undefined : entryOf(found);
  }

  #look(stored: StoredEvent): Found | undefined {
    this.#first ??= stored;
    this.#last = stored;
    const { event } = stored;
    if (event === undefined) return undefined;
    const cause = event.causeId === undefined ? undefined : this.#causes.get(event.causeId);
    this.#remember(event);
    const place = this.#order.place(stored.sequence, event);
    const { vr, sinceMs } = this.#query;
    if (sinceMs !== undefined && stored.storedAtMs < sinceMs) return undefined;
    if (vr !== undefined && vrOf(event) !== vr) return undefined;
    return { stored, event, cause, place };
  }

  #remember(event: KoiEvent): void {
    this.#causes.set(event.id, event);
    if (this.#causes.size <= causesMax) return;
    const [oldest] = this.#causes.keys();
    if (oldest !== undefined) this.#causes.delete(oldest);
  }
}

const vrOf = (event: KoiEvent): string | undefined => ('vr' in event ? event.vr : undefined);

const entryOf = ({ stored, event, cause }: Found): TimelineEntry => ({
  sequence: stored.sequence,
  at: new Date(event.wallTimeMs).toISOString(),
  node: event.node,
  vr: vrOf(event) ?? null,
  term: 'term' in event && event.term !== undefined ? event.term : null,
  type: event.payload.type,
  text: describe(event, () => cause),
  cause: cause === undefined ? (event.causeId ?? null) : describe(cause),
});
