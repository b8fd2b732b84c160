import { KoiError } from '../koi-error.js';
import type { EventLog } from '../log/port.js';
import type { TimelineAnswer, TimelineQuery } from '../observe/http-sources.js';
import type { TimelineEntry } from '../observe/status.js';
import type { RecentEvents } from './recent-events.js';
import { TimelineGathering } from './timeline-gathering.js';

/** How long the log may be silent while it is read, and how long all of the reading may take. */
const silenceMaxMs = 10_000;
const readingMaxMs = 15_000;
/** Read before what is asked for, so that causes can be named and the order is the same. */
const contextEvents = 1_000;
/** The log knows no virtual router's events from another's: what is seldom is looked for in so many of the newest. */
const lookBackMax = 100_000;
/** Events that a slow reader of a followed timeline may leave waiting. */
const waitingMax = 10_000;

interface Gathered {
  readonly gathering: TimelineGathering;
  readonly notice?: string;
}

/**
 * The log's events as entries of a timeline: the newest of what is there, in the order in which they happened. Answers
 * from what the agent has read, without the log, wherever that goes back far enough; otherwise it reads the end of the
 * log, a bounded part however long it is.
 */
export class Timeline {
  readonly #log: EventLog;
  readonly #recent: RecentEvents;
  readonly #trouble: () => string | undefined;
  readonly #now: () => number;

  constructor(options: {
    readonly log: EventLog;
    readonly recent: RecentEvents;
    /** Why the agent may not have read everything; undefined where it has. */
    readonly trouble: () => string | undefined;
    /** Monotonic, milliseconds. */
    readonly now: () => number;
  }) {
    this.#log = options.log;
    this.#recent = options.recent;
    this.#trouble = options.trouble;
    this.#now = options.now;
  }

  /** @throws KoiError `unreachable`, `timeout` where the agent has read nothing yet and the log cannot be read either */
  async read(query: TimelineQuery): Promise<TimelineAnswer> {
    const { gathering, notice } = await this.#gather(query);
    return { entries: gathering.entries(), ...(notice === undefined ? {} : { notice }) };
  }

  /** What `read` answers, then what follows, as it arrives, until `signal`. */
  async *follow(query: TimelineQuery, signal: AbortSignal): AsyncGenerator<TimelineEntry> {
    const { gathering } = await this.#gather(query);
    yield* gathering.entries();
    const waiting: TimelineEntry[] = [];
    let wake: () => void = () => undefined;
    const follower = this.#log.follow({
      from: (gathering.last?.sequence ?? 0) + 1,
      onEvent: (stored) => {
        const entry = gathering.next(stored);
        if (entry === undefined) return;
        waiting.push(entry);
        if (waiting.length > waitingMax) waiting.shift();
        wake();
      },
    });
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        const entry = waiting.shift();
        if (entry !== undefined) {
          yield entry;
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (waiting.length > 0 || signal.aborted) resolve();
        });
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      follower.stop();
    }
  }

  async #gather(query: TimelineQuery): Promise<Gathered> {
    const { held } = this.#recent;
    if (held === undefined) return this.#gatherFromLog(query);
    const gathering = new TimelineGathering(query);
    for (const stored of held.events) gathering.take(stored);
    const trouble = this.#trouble();
    if (trouble !== undefined) {
      const since = gathering.last === undefined ? '' : ` after ${timeOf(gathering.last)}`;
      return {
        gathering,
        notice: `the event log cannot be read now: what happened${since} may be missing: ${trouble}`,
      };
    }
    if (held.isWhole || gathering.isComplete) return { gathering };
    try {
      return await this.#gatherFromLog(query);
    } catch (error) {
      if (!(error instanceof KoiError)) throw error;
      const before = gathering.first === undefined ? '' : ` before ${timeOf(gathering.first)}`;
      return { gathering, notice: `what happened${before} is not shown: ${error.message}` };
    }
  }

  async #gatherFromLog(query: TimelineQuery): Promise<Gathered> {
    const gathering = new TimelineGathering(query);
    const endMs = this.#now() + readingMaxMs;
    const newest = query.vr === undefined ? query.limit + contextEvents : lookBackMax;
    for await (const stored of this.#log.read({ newest, deadlineMs: silenceMaxMs })) {
      gathering.take(stored);
      if (this.#now() > endMs)
        throw new KoiError('timeout', `the event log takes longer than ${readingMaxMs} ms to read`);
    }
    const { first, isComplete } = gathering;
    if (query.vr === undefined || isComplete || first === undefined || first.sequence === 1) return { gathering };
    const notice = `only the newest ${lookBackMax} events of the log were looked through, those since ${timeOf(first)}`;
    return { gathering, notice };
  }
}

const timeOf = ({ storedAtMs }: { readonly storedAtMs: number }): string => new Date(storedAtMs).toISOString();
