import { KoiError } from '../koi-error.js';
import { encodeEvent } from './codec.js';
import { findGap } from './continuity.js';
import type { KoiEvent } from './event.js';
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  Follower,
  FollowOptions,
  LogStatus,
  ReadOptions,
  StoredEvent,
} from './port.js';
import { storedEvent } from './stored.js';
import { type LogNames, subjectOf } from './subjects.js';
import type { LogTimers } from './timers.js';

/** What goes wrong with the log, switched by the test. */
export interface LogFaults {
  /** The server takes requests but does nothing until it wakes; then it works off what has piled up. */
  stalled: boolean;
  /** Requests are stored, their answers lost. */
  losesAnswers: boolean;
  /** Requests never arrive. */
  losesRequests: boolean;
  /** One way, milliseconds. */
  latencyMs: number;
}

interface StoredRecord {
  readonly stored: StoredEvent;
  readonly id: string;
}

const duplicateWindowMs = 120_000;
const historyMax = 500;

/**
 * A log in memory with JetStream's semantics: sequences, compare-and-set per subject, message ids. It loses, stalls and
 * rewinds on command. Deterministic: it has no clock and no randomness of its own.
 */
export class MemoryLogServer {
  readonly faults: LogFaults = { stalled: false, losesAnswers: false, losesRequests: false, latencyMs: 0 };
  readonly #names: LogNames;
  readonly #timers: LogTimers;
  readonly #compacted: boolean;
  #records: StoredRecord[] = [];
  /** Of a compacted log the last ones ever stored: what comes to light again when it loses its tail. */
  #history: StoredRecord[] = [];
  /** The newest of each subject among `#records`. */
  readonly #newest = new Map<string, StoredRecord>();
  /** The newest of each message id among what duplicates are told by. */
  readonly #byId = new Map<string, StoredRecord>();
  #lastSequence = 0;
  #incarnation = 1;
  #waiting: (() => void)[] = [];
  readonly #clients = new Set<MemoryLog>();

  constructor(names: LogNames, timers: LogTimers, options: { compacted?: boolean } = {}) {
    this.#names = names;
    this.#timers = timers;
    this.#compacted = options.compacted ?? false;
  }

  /** A connection of its own, which can be cut and restored on its own. */
  connect(): MemoryLog {
    const client = new MemoryLog(this, this.#names, this.#timers);
    this.#clients.add(client);
    return client;
  }

  wake(): void {
    this.faults.stalled = false;
    for (const request of this.#waiting.splice(0)) request();
    this.#tellFollowers();
  }

  /** Forgets the newest events although they were acknowledged, as a power cut with lazy fsync does. */
  loseTail(count: number): void {
    const lastSequence = Math.max(0, this.#lastSequence - count);
    const isLeft = ({ stored }: StoredRecord): boolean => stored.sequence <= lastSequence;
    this.#history = this.#history.filter(isLeft);
    this.#records = this.#compacted ? newestOfEach(this.#history) : this.#records.filter(isLeft);
    this.#lastSequence = lastSequence;
    this.#index();
    this.#tellFollowers();
  }

  /** Stands in a copy made `count` events ago for this one: the same stream by name, another by identity. */
  restore(count: number): void {
    this.#incarnation += 1;
    this.loseTail(count);
  }

  /** Stands in an empty stream for this one. */
  recreate(): void {
    this.#records = [];
    this.#history = [];
    this.#lastSequence = 0;
    this.#incarnation += 1;
    this.#index();
    this.#tellFollowers();
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  get compacted(): boolean {
    return this.#compacted;
  }

  /** A client's request arrives. */
  receive(request: () => void): void {
    if (this.faults.losesRequests) return;
    if (this.faults.stalled) this.#waiting.push(request);
    else request();
  }

  store(subject: string, id: string, encoded: Uint8Array, lastSubjectSequence: number | undefined): AppendResult {
    const nowMs = this.#timers.nowMs();
    const newest = this.#newest.get(subject);
    const conflicts = lastSubjectSequence !== undefined && lastSubjectSequence !== (newest?.stored.sequence ?? 0);
    if (conflicts && newest?.id !== id) return { kind: 'conflict' };
    const twin = this.#byId.get(id);
    if (twin !== undefined && twin.stored.storedAtMs > nowMs - duplicateWindowMs) {
      return { kind: 'stored', sequence: twin.stored.sequence, duplicate: true };
    }

    if (this.#compacted && newest !== undefined) this.#records = this.#records.filter((each) => each !== newest);
    this.#lastSequence += 1;
    const record = { sequence: this.#lastSequence, subject, storedAtMs: nowMs, encoded };
    this.#put({ stored: storedEvent(this.#names, record), id });
    this.#tellFollowers();
    return { kind: 'stored', sequence: this.#lastSequence, duplicate: false };
  }

  #put(record: StoredRecord): void {
    this.#records.push(record);
    this.#newest.set(record.stored.subject, record);
    this.#byId.set(record.id, record);
    if (!this.#compacted) return;
    this.#history.push(record);
    const forgotten = this.#history.length > historyMax ? this.#history.shift() : undefined;
    if (forgotten !== undefined && this.#byId.get(forgotten.id) === forgotten) this.#byId.delete(forgotten.id);
  }

  /** Anew, after records were taken away. */
  #index(): void {
    this.#newest.clear();
    this.#byId.clear();
    for (const record of this.#records) this.#newest.set(record.stored.subject, record);
    for (const record of this.#compacted ? this.#history : this.#records) this.#byId.set(record.id, record);
  }

  /** The first event at or after `sequence`. */
  next(sequence: number): StoredEvent | undefined {
    return this.#records[this.#indexOf(sequence)]?.stored;
  }

  /** Of the first record at or after `sequence`. */
  #indexOf(sequence: number): number {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#records[middle]?.stored.sequence ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  head(position: number): {
    streamId: string;
    firstSequence: number;
    lastSequence: number;
    atPosition: StoredEvent | undefined;
  } {
    const at = this.next(position);
    return {
      streamId: String(this.#incarnation),
      firstSequence: this.#records[0]?.stored.sequence ?? this.#lastSequence + 1,
      lastSequence: this.#lastSequence,
      atPosition: at?.sequence === position ? at : undefined,
    };
  }

  #tellFollowers(): void {
    for (const client of this.#clients) this.#timers.after(this.faults.latencyMs, () => client.pump());
  }
}

function newestOfEach(records: readonly StoredRecord[]): StoredRecord[] {
  const newest = new Map(records.map((record) => [record.stored.subject, record]));
  return records.filter((record) => newest.get(record.stored.subject) === record);
}

/** One node's view of a `MemoryLogServer`. */
export class MemoryLog implements EventLog {
  readonly #server: MemoryLogServer;
  readonly #names: LogNames;
  readonly #timers: LogTimers;
  readonly #followers = new Set<MemoryFollower>();
  readonly #listeners = new Set<(status: LogStatus) => void>();
  readonly #cut = new Set<() => void>();
  #status: LogStatus = { state: 'connected', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };

  constructor(server: MemoryLogServer, names: LogNames, timers: LogTimers) {
    this.#server = server;
    this.#names = names;
    this.#timers = timers;
  }

  /** Cuts this node off. Requests under way are answered `disconnected`; they may have been stored. */
  disconnect(): void {
    this.#setStatus({ ...this.#status, state: 'disconnected', problem: 'the test cut the connection' });
    for (const cut of [...this.#cut]) cut();
  }

  reconnect(): void {
    const { problem: _, ...rest } = this.#status;
    this.#setStatus({ ...rest, state: 'connected', reconnects: rest.reconnects + 1 });
    for (const follower of this.#followers) follower.reconnected();
    this.pump();
  }

  append(event: KoiEvent, options: AppendOptions): Promise<AppendResult> {
    if (this.#status.state !== 'connected') {
      return Promise.resolve({ kind: 'unavailable', reason: 'not_connected', maybeStored: false });
    }
    const subject = subjectOf(this.#names, event);
    const encoded = encodeEvent(event);
    const { latencyMs } = this.#server.faults;
    return new Promise((resolve) => {
      const finish = (result: AppendResult): void => {
        callOff();
        this.#cut.delete(cut);
        resolve(result);
      };
      const cut = (): void => finish({ kind: 'unavailable', reason: 'disconnected', maybeStored: true });
      const callOff = this.#timers.after(options.deadlineMs, () =>
        finish({ kind: 'unavailable', reason: 'timeout', maybeStored: true }),
      );
      this.#cut.add(cut);
      this.#timers.after(latencyMs, () =>
        this.#server.receive(() => {
          const result = this.#server.store(subject, event.id, encoded, options.expect?.lastSubjectSequence);
          if (this.#server.faults.losesAnswers) return;
          this.#timers.after(latencyMs, () => {
            if (result.kind === 'stored') for (const follower of this.#followers) follower.acknowledge(result.sequence);
            finish(result);
          });
        }),
      );
    });
  }

  async *read(options: ReadOptions): AsyncIterable<StoredEvent> {
    if (this.#status.state !== 'connected') throw new KoiError('unreachable', 'the event log is not connected');
    const last = Math.min(options.to ?? Number.POSITIVE_INFINITY, this.#server.lastSequence);
    const oldest = options.newest === undefined ? 1 : this.#server.lastSequence - options.newest + 1;
    for (let next = Math.max(options.from ?? 1, oldest); next <= last; next++) {
      const record = this.#server.next(next);
      if (record === undefined || record.sequence > last) return;
      next = record.sequence;
      if (options.sinceMs !== undefined && record.storedAtMs < options.sinceMs) continue;
      if (options.subjectFilter !== undefined && !subjectMatches(options.subjectFilter, record.subject)) continue;
      yield record;
    }
  }

  follow(options: FollowOptions): Follower {
    const follower = new MemoryFollower(this.#server, options, () => this.#followers.delete(follower));
    this.#followers.add(follower);
    this.#timers.after(this.#server.faults.latencyMs, () => this.pump());
    return follower;
  }

  watch(listener: (status: LogStatus) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#status);
    return () => this.#listeners.delete(listener);
  }

  /** Hands followers what they have not had; the server calls it when something was stored. */
  pump(): void {
    if (this.#status.state !== 'connected' || this.#server.faults.stalled) return;
    for (const follower of [...this.#followers]) follower.pump();
  }

  #setStatus(status: LogStatus): void {
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }
}

class MemoryFollower implements Follower {
  readonly #server: MemoryLogServer;
  readonly #options: FollowOptions;
  readonly #onStop: () => void;
  #position: number;
  #last: StoredEvent | undefined;
  #streamId: string | undefined;
  #acknowledged = 0;
  #caughtUp = false;
  #stopped = false;

  constructor(server: MemoryLogServer, options: FollowOptions, onStop: () => void) {
    this.#server = server;
    this.#options = options;
    this.#onStop = onStop;
    this.#position = options.from - 1;
  }

  get position(): number {
    return this.#position;
  }

  stop(): void {
    this.#stopped = true;
    this.#onStop();
  }

  /** What is in the log now has to be delivered before it has caught up again. */
  reconnected(): void {
    this.#caughtUp = false;
  }

  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
  }

  pump(): void {
    if (this.#stopped) return;
    const head = this.#server.head(this.#position);
    const bookmark = {
      streamId: this.#streamId,
      position: this.#position,
      last: this.#last,
      acknowledged: this.#acknowledged,
    };
    const gap = findGap(bookmark, head, { compacted: this.#server.compacted });
    this.#streamId = head.streamId;
    if (gap !== undefined) {
      this.#position = gap.kind === 'missing' ? gap.foundSequence - 1 : 0;
      this.#last = undefined;
      this.#acknowledged = 0;
      this.#caughtUp = false;
      this.#options.onGap?.(gap);
    }
    for (let stored = this.#following(); stored !== undefined; stored = this.#following()) {
      this.#position = stored.sequence;
      this.#last = stored;
      this.#options.onEvent(stored);
    }
    if (this.#caughtUp || this.#stopped) return;
    this.#caughtUp = true;
    this.#options.onCaughtUp?.();
  }

  #following(): ReturnType<MemoryLogServer['next']> {
    return this.#stopped ? undefined : this.#server.next(this.#position + 1);
  }
}

/** NATS wildcards: `*` is one token, a final `>` is one or more. */
function subjectMatches(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  const open = wanted.at(-1) === '>';
  if (open ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
  return wanted.every((token, i) => token === '*' || (token === '>' && open) || token === tokens[i]);
}
