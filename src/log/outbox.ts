import { KoiError } from '../koi-error.js';
import { decodeEvent, encodeEvent } from './codec.js';
import type { EventType, KoiEvent, ObservationEvent } from './event.js';
import { type Lost, OutboxFile, type OutboxFrame, readOutboxFile } from './outbox-file.js';
import type { AppendResult, EventLog } from './port.js';
import type { LogNames } from './subjects.js';
import { type LogTimers, realTimers } from './timers.js';

export interface OutboxOptions {
  /** The file, in the state directory. */
  readonly path: string;
  readonly node: string;
  readonly names: LogNames;
  readonly log: EventLog;
  /** Most events held; default 10,000. */
  readonly capacity?: number;
  /** Makes the event that tells of dropped ones. */
  readonly summarize: (lost: Lost) => ObservationEvent;
  /** Something an operator should know: a full outbox, a disk that fails, damage in the file. */
  readonly onTrouble: (error: KoiError) => void;
  readonly onChange?: (pending: number) => void;
  /** The log's disk is wanted by claims and releases now, which others wait for. Default: never. */
  readonly isWanted?: () => boolean;
  readonly timers?: LogTimers;
}

interface Entry {
  readonly index: number;
  readonly event: KoiEvent;
  readonly encoded: Uint8Array;
}

const appendDeadlineMs = 2000;
const readDeadlineMs = 5000;
const retryFirstMs = 100;
const retryMostMs = 2000;
/** How often it is looked whether the log's disk is free again, and for how long at most nothing is stored for that. */
const courtesyMs = 10;
const courtesyMostMs = 1000;
/** That an event is in the log is written down so much later, or with what comes first: a crash before is found out. */
const settledAfterMs = 100;

/** They tell what happened to virtual IPs while the log was away; others are dropped before them. */
const essential: ReadonlySet<EventType> = new Set([
  'nodeStarted',
  'nodeStopped',
  'transition',
  'fenced',
  'dataplaneLost',
  'provisionalTakeover',
  'logLost',
  'logRejoined',
  'eventsDropped',
  'logRegressed',
]);

const isMinor = ({ event }: Entry): boolean => !essential.has(event.payload.type);

/** Others count on a node by what it says of itself, so that goes before what else happened in the same boot. */
const ahead: ReadonlySet<EventType> = new Set(['nodeStarted']);

const nothingLost: Lost = { count: 0, firstMs: 0, lastMs: 0 };

/**
 * The way of every observation into the log: through a bounded queue on disk, in order, one at a time; only what a node says
 * of itself goes before what else waits of its boot. While the log is
 * away it fills; when it returns it empties. Nothing is lost or stored twice, across crashes of either side: each append
 * expects the last own event that is known to be stored. An earlier attempt that got there after all, however late, makes
 * it conflict, and the subject is read back. (The log knows an id again for two minutes only; an append that waited in a
 * server without a majority may be stored after more.) What does not fit is dropped, the least telling first, and
 * counted in an event of its own.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #capacity: number;
  readonly #timers: LogTimers;
  readonly #file: OutboxFile;
  #entries: Entry[] = [];
  /** How many of them are not essential: in a storm there are none for long, and nobody shall look for them. */
  #minor = 0;
  #nextIndex = 1;
  #lost: Lost = nothingLost;
  /** Sequence of the newest own event known to be in the log; 0 for none. */
  #lastStored = 0;
  /** The log has other own events than these: read them back before anything is sent. */
  #isBehind = false;
  /** Conflicts since the last event that was stored. */
  #conflicts = 0;
  /** Sent, and not known to have been refused: it is not dropped, since it may be stored. */
  #inFlight: Entry | undefined;
  #unwritten: OutboxFrame[] = [];
  #framesOnDisk = 0;
  #damaged = false;
  #fullTold = false;
  #writing: Promise<void> = Promise.resolve();
  #callOffWrite: (() => void) | undefined;
  #sending: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;
  #connected = false;
  #closed = false;
  /** Since when nothing is sent because others want the log's disk. */
  #givingWaySinceMs: number | undefined;
  #stopWatching: () => void = () => undefined;

  private constructor(options: OutboxOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? 10_000;
    this.#timers = options.timers ?? realTimers;
    this.#file = new OutboxFile(options.path);
  }

  /** Opens the file, takes over what an earlier run left, and starts sending. Throws KoiError where the disk refuses. */
  static async open(options: OutboxOptions): Promise<Outbox> {
    const outbox = new Outbox(options);
    await outbox.#load();
    outbox.#stopWatching = options.log.watch(({ state }) => {
      outbox.#connected = state === 'connected';
      outbox.#wake?.();
    });
    outbox.#sending = outbox.#send();
    return outbox;
  }

  /** Events waiting to be stored. */
  get pending(): number {
    return this.#entries.length;
  }

  /** Takes an event in; never throws, never waits. `durable` tells when it is on disk. */
  add(event: ObservationEvent): void {
    this.#push(event);
    while (this.#entries.length > this.#capacity) this.#drop(this.#mostExpendable());
    this.#changed();
  }

  /** Resolves when everything added so far is on disk, or has been reported as failing to get there. */
  async durable(): Promise<void> {
    while (this.#unwritten.length > 0) await this.#write();
    await this.#writing;
  }

  /** Stops sending, writes what is in memory, closes the file. What is pending is sent by the next run. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    this.#wake?.();
    await this.#sending;
    await this.durable();
    await this.#file.close();
  }

  async #load(): Promise<void> {
    const { path } = this.#options;
    try {
      const { frames, unreadableBytes } = await readOutboxFile(path);
      this.#replay(frames);
      await this.#compact();
      if (unreadableBytes > 0)
        this.#trouble(`${path}: ${unreadableBytes} bytes at the end were cut short and are gone`);
    } catch (error) {
      const remedy = 'check that stateDir exists, is writable and has space';
      throw new KoiError('log', `cannot open the outbox ${path}: ${messageOf(error)}`, { cause: error, remedy });
    }
  }

  #replay(frames: readonly OutboxFrame[]): void {
    const entries = new Map<number, Entry>();
    for (const frame of frames) {
      this.#nextIndex = Math.max(this.#nextIndex, frame.index + 1);
      switch (frame.kind) {
        case 'event': {
          const decoded = decodeEvent(frame.encoded);
          if (decoded.ok) entries.set(frame.index, { ...frame, event: decoded.event });
          break;
        }
        case 'stored':
          entries.delete(frame.index);
          // The newest counts, even where it is lower: then the log began anew in between.
          this.#lastStored = frame.sequence;
          break;
        case 'dropped':
          entries.delete(frame.index);
          this.#lost = frame.lost;
          break;
      }
    }
    this.#entries = [...entries.values()].sort((a, b) => a.index - b.index);
    this.#minor = this.#entries.filter(isMinor).length;
  }

  #push(event: KoiEvent): void {
    const entry = { index: this.#nextIndex, event, encoded: encodeEvent(event) };
    this.#nextIndex += 1;
    this.#entries.splice(this.#placeFor(event), 0, entry);
    if (isMinor(entry)) this.#minor += 1;
    this.#unwritten.push({ kind: 'event', index: entry.index, encoded: entry.encoded });
  }

  #placeFor(event: KoiEvent): number {
    if (!ahead.has(event.payload.type)) return this.#entries.length;
    const isBefore = (entry: Entry): boolean =>
      entry === this.#inFlight || entry.event.boot !== event.boot || ahead.has(entry.event.payload.type);
    return this.#entries.findLastIndex(isBefore) + 1;
  }

  #mostExpendable(): Entry | undefined {
    const idle = (entry: Entry): boolean => entry !== this.#inFlight;
    const minor = this.#minor > 0 ? this.#entries.find((entry) => idle(entry) && isMinor(entry)) : undefined;
    return minor ?? this.#entries.find(idle);
  }

  #drop(entry: Entry | undefined): void {
    if (entry === undefined) return;
    const atMs = entry.event.wallTimeMs;
    const { count, firstMs, lastMs } = this.#lost;
    this.#lost =
      count === 0
        ? { count: 1, firstMs: atMs, lastMs: atMs }
        : { count: count + 1, firstMs: Math.min(firstMs, atMs), lastMs: Math.max(lastMs, atMs) };
    this.#settle(entry, { kind: 'dropped', index: entry.index, lost: this.#lost });
    if (this.#fullTold) return;
    this.#fullTold = true;
    this.#trouble(`the outbox is full (${this.#capacity} events): the oldest are being dropped until the log returns`);
  }

  #settle(entry: Entry, frame: OutboxFrame): void {
    const place = this.#entries.indexOf(entry);
    if (place >= 0) this.#entries.splice(place, 1);
    if (place >= 0 && isMinor(entry)) this.#minor -= 1;
    this.#unwritten.push(frame);
    if (frame.kind === 'stored') this.#writeSoon();
    else void this.#write();
    this.#moved();
  }

  #changed(): void {
    void this.#write();
    this.#moved();
  }

  #moved(): void {
    this.#options.onChange?.(this.#entries.length);
    this.#wake?.();
  }

  /** One write and one sync for all that the log takes meanwhile: its own syncs need the same disk. */
  #writeSoon(): void {
    this.#callOffWrite ??= this.#timers.after(settledAfterMs, () => void this.#write());
  }

  async #send(): Promise<void> {
    let failures = 0;
    while (!this.#closed) {
      if (!this.#connected || (this.#entries.length === 0 && this.#lost.count === 0)) {
        await this.#sleep(undefined);
        continue;
      }
      if (this.#givesWay()) {
        await this.#sleep(courtesyMs);
        continue;
      }
      if (await this.#sendNext()) {
        failures = 0;
        continue;
      }
      await this.#sleep(Math.min(retryMostMs, retryFirstMs * 2 ** failures));
      failures += 1;
    }
  }

  /** What only tells lets go before what others wait for. */
  #givesWay(): boolean {
    const [head] = this.#entries;
    const isWanted = this.#options.isWanted?.() === true && !(head !== undefined && ahead.has(head.event.payload.type));
    const sinceMs = this.#givingWaySinceMs ?? this.#timers.nowMs();
    const givesWay = isWanted && this.#timers.nowMs() - sinceMs < courtesyMostMs;
    this.#givingWaySinceMs = givesWay ? sinceMs : undefined;
    return givesWay;
  }

  /** Stores the oldest event. False where the log did not take it and it has to be tried again later. */
  async #sendNext(): Promise<boolean> {
    if (this.#lost.count > 0) this.#reportLost();
    const [head] = this.#entries;
    if (head === undefined) return true;
    if (this.#isBehind && !(await this.#catchUp())) return false;
    if (this.#entries[0] !== head) return true;
    this.#inFlight = head;
    const expect = { lastSubjectSequence: this.#lastStored };
    const result = await this.#options.log.append(head.event, { expect, deadlineMs: appendDeadlineMs });
    if (result.kind !== 'unavailable') this.#inFlight = undefined;
    return this.#judge(head, result);
  }

  #judge(head: Entry, result: AppendResult): boolean {
    if (result.kind === 'stored') {
      this.#conflicts = 0;
      this.#lastStored = result.sequence;
      this.#settle(head, { kind: 'stored', index: head.index, sequence: result.sequence });
      return true;
    }
    if (result.kind === 'conflict') {
      this.#isBehind = true;
      this.#conflicts += 1;
      // The second in a row comes of a reader that is behind the log's leader: it needs time.
      return this.#conflicts < 2;
    }
    if (result.reason === 'too_large') {
      this.#inFlight = undefined;
      this.#trouble(`an event (${head.event.payload.type}) is larger than the log takes and was dropped`);
      this.#drop(head);
      return true;
    }
    return false;
  }

  /** Settles those pending events which the log turns out to have. False where it cannot be read. */
  async #catchUp(): Promise<boolean> {
    let newest = await this.#readBack(this.#lastStored + 1);
    // Nothing came after the last one, so that one is gone: the log is another, or has lost its end.
    if (newest === 0) newest = await this.#readBack(1);
    if (newest === undefined) return false;
    this.#lastStored = newest;
    this.#isBehind = false;
    return true;
  }

  /** The sequence of the newest own event at or after `from`, 0 where there is none, undefined where it cannot be read. */
  async #readBack(from: number): Promise<number | undefined> {
    const { log, names, node } = this.#options;
    const pending = new Map(this.#entries.map((entry) => [entry.event.id, entry]));
    const subjectFilter = names.nodeSubject(node);
    let newest = 0;
    try {
      for await (const { event, sequence } of log.read({ from, subjectFilter, deadlineMs: readDeadlineMs })) {
        newest = sequence;
        const entry = event === undefined ? undefined : pending.get(event.id);
        if (entry === undefined || !this.#entries.includes(entry)) continue;
        if (entry === this.#inFlight) this.#inFlight = undefined;
        this.#settle(entry, { kind: 'stored', index: entry.index, sequence });
      }
      return newest;
    } catch {
      return undefined;
    }
  }

  #reportLost(): void {
    const summary = this.#options.summarize(this.#lost);
    this.#lost = nothingLost;
    this.#fullTold = false;
    this.#push(summary);
    this.#unwritten.push({ kind: 'dropped', index: 0, lost: nothingLost });
    this.#changed();
  }

  /** Writes in turns: what gathers while the disk is busy goes in one piece, with one sync. */
  #write(): Promise<void> {
    this.#callOffWrite?.();
    this.#callOffWrite = undefined;
    this.#writing = this.#writing.then(async () => {
      if (this.#unwritten.length === 0) return;
      const frames = this.#unwritten;
      this.#unwritten = [];
      try {
        if (this.#damaged || this.#framesOnDisk > 2 * this.#capacity) await this.#compact();
        else await this.#file.append(frames);
        this.#framesOnDisk += frames.length;
        this.#damaged = false;
      } catch (error) {
        const { path } = this.#options;
        if (!this.#damaged) this.#trouble(`cannot write ${path}: ${messageOf(error)}; events are kept in memory only`);
        this.#damaged = true;
      }
    });
    return this.#writing;
  }

  /** Rewrites the file with what is still pending. */
  async #compact(): Promise<void> {
    const frames: OutboxFrame[] = [
      { kind: 'stored', index: 0, sequence: this.#lastStored },
      { kind: 'dropped', index: 0, lost: this.#lost },
      ...this.#entries.map(({ index, encoded }) => ({ kind: 'event' as const, index, encoded })),
    ];
    await this.#file.replace(frames);
    this.#framesOnDisk = frames.length;
  }

  /** Until something changes or, if given, `ms` have passed. */
  #sleep(ms: number | undefined): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      let callOff = (): void => undefined;
      const wake = (): void => {
        if (ms !== undefined && !this.#closed && this.#connected) return;
        finish();
      };
      const finish = (): void => {
        this.#wake = undefined;
        callOff();
        resolve();
      };
      this.#wake = wake;
      if (ms !== undefined) callOff = this.#timers.after(ms, finish);
    });
  }

  #trouble(message: string): void {
    this.#options.onTrouble(new KoiError('log', message));
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
