import { describe } from '../log/describe.js';
import type { KoiEvent } from '../log/event.js';
import type { EventLog, StoredEvent } from '../log/port.js';
import type { TimelineQuery } from '../observe/http-sources.js';
import type { TimelineEntry } from '../observe/status.js';
import { byTime, TimelineOrder, type TimelinePlace } from './timeline-order.js';

const readDeadlineMs = 3000;
/** Events remembered for naming causes. */
const causesMax = 10_000;
/** Events that a slow reader of a followed timeline may leave waiting. */
const waitingMax = 10_000;

/**
 * The log's events as entries of a timeline: the newest `limit` of what is there, in the order in which they happened,
 * then what follows, as it arrives.
 */
export async function* readTimeline(log: EventLog, query: TimelineQuery): AsyncGenerator<TimelineEntry> {
  const causes = new Map<string, KoiEvent>();
  const order = new TimelineOrder();
  let recent: { readonly entry: TimelineEntry; readonly place: TimelinePlace }[] = [];
  let last = 0;
  const options = query.sinceMs === undefined ? {} : { sinceMs: query.sinceMs };
  for await (const stored of log.read({ ...options, deadlineMs: readDeadlineMs })) {
    last = stored.sequence;
    const entry = toEntry(stored, causes);
    if (entry === undefined || stored.event === undefined) continue;
    const place = order.place(stored.sequence, stored.event);
    if (!matches(entry, query)) continue;
    recent.push({ entry, place });
    if (recent.length > 2 * query.limit) recent = recent.slice(-query.limit);
  }
  const newest = recent.slice(-query.limit).sort((a, b) => byTime(a.place, b.place));
  for (const { entry } of newest) yield entry;
  if (query.follow) yield* followTimeline(log, query, last + 1, causes);
}

async function* followTimeline(
  log: EventLog,
  query: TimelineQuery,
  from: number,
  causes: Map<string, KoiEvent>,
): AsyncGenerator<TimelineEntry> {
  const waiting: TimelineEntry[] = [];
  let wake: () => void = () => undefined;
  const follower = log.follow({
    from,
    onEvent: (stored) => {
      const entry = toEntry(stored, causes);
      // Where nothing was stored since then, the log is followed from its beginning.
      const isOlder = query.sinceMs !== undefined && stored.storedAtMs < query.sinceMs;
      if (entry === undefined || isOlder || !matches(entry, query)) return;
      waiting.push(entry);
      if (waiting.length > waitingMax) waiting.shift();
      wake();
    },
  });
  const onAbort = (): void => wake();
  query.signal.addEventListener('abort', onAbort);
  try {
    while (!query.signal.aborted) {
      const entry = waiting.shift();
      if (entry !== undefined) {
        yield entry;
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (waiting.length > 0 || query.signal.aborted) resolve();
      });
    }
  } finally {
    query.signal.removeEventListener('abort', onAbort);
    follower.stop();
  }
}

const matches = (entry: TimelineEntry, { vr }: TimelineQuery): boolean => vr === undefined || entry.vr === vr;

function toEntry(stored: StoredEvent, causes: Map<string, KoiEvent>): TimelineEntry | undefined {
  const { event } = stored;
  if (event === undefined) return undefined;
  causes.set(event.id, event);
  if (causes.size > causesMax) {
    const [oldest] = causes.keys();
    if (oldest !== undefined) causes.delete(oldest);
  }
  const cause = event.causeId === undefined ? undefined : causes.get(event.causeId);
  return {
    sequence: stored.sequence,
    at: new Date(event.wallTimeMs).toISOString(),
    node: event.node,
    vr: 'vr' in event && event.vr !== undefined ? event.vr : null,
    term: 'term' in event && event.term !== undefined ? event.term : null,
    type: event.payload.type,
    text: describe(event, (id) => causes.get(id)),
    cause: cause === undefined ? (event.causeId ?? null) : describe(cause),
  };
}
