import { KoiError } from '../koi-error.js';
import { encodeEvent, eventHash } from './codec.js';
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
  readonly sequence: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly encoded: Uint8Array;
  readonly id: string;
}

const duplicateWindowMs = 120_000;

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
    this.#records.splice(Math.max(0, this.#records.length - count));
    this.#lastSequence = Math.max(0, this.#lastSequence - count);
    this.#tellFollowers();
  }

  /** Stands in an empty stream for this one. */
  recreate(): void {
    this.#records = [];
    this.#lastSequence = 0;
    this.#incarnation += 1;
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
    const newest = this.#records.findLast((record) => record.subject === subject);
    const conflicts = lastSubjectSequence !== undefined && lastSubjectSequence !== (newest?.sequence ?? 0);
    if (conflicts && newest?.id !== id) return { kind: 'conflict' };
    const twin = this.#records.findLast((record) => record.id === id && record.storedAtMs > nowMs - duplicateWindowMs);
    if (twin !== undefined) return { kind: 'stored', sequence: twin.sequence, duplicate: true };

    if (this.#compacted) this.#records = this.#records.filter((record) => record.subject !== subject);
    this.#lastSequence += 1;
    this.#records.push({ sequence: this.#lastSequence, subject, storedAtMs: nowMs, encoded, id });
    this.#tellFollowers();
    return { kind: 'stored', sequence: this.#lastSequence, duplicate: false };
  }

  /** The first record at or after `sequence`. */
  next(sequence: number): StoredRecord | undefined {
    return this.#records.find((record) => record.sequence >= sequence);
  }

  head(position: number): {
    streamId: string;
    firstSequence: number;
    lastSequence: number;
    hashAtPosition: string | undefined;
  } {
    const at = this.#records.find((record) => record.sequence === position);
    return {
      streamId: String(this.#incarnation),
      firstSequence: this.#records[0]?.sequence ?? this.#lastSequence + 1,
      lastSequence: this.#lastSequence,
      hashAtPosition: at === undefined ? undefined : eventHash(at.encoded),
    };
  }

  #tellFollowers(): void {
    for (const client of this.#clients) this.#timers.after(this.faults.latencyMs, () => client.pump());
  }
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
    for (let next = options.from ?? 1; next <= last; next++) {
      const record = this.#server.next(next);
      if (record === undefined || record.sequence > last) return;
      next = record.sequence;
      if (options.sinceMs !== undefined && record.storedAtMs < options.sinceMs) continue;
      if (options.subjectFilter !== undefined && !subjectMatches(options.subjectFilter, record.subject)) continue;
      yield storedEvent(this.#names, record);
    }
  }

  follow(options: FollowOptions): Follower {
    const follower = new MemoryFollower(this.#server, this.#names, options, () => this.#followers.delete(follower));
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
  readonly #names: LogNames;
  readonly #options: FollowOptions;
  readonly #onStop: () => void;
  #position: number;
  #hash: string | undefined;
  #streamId: string | undefined;
  #acknowledged = 0;
  #caughtUp = false;
  #stopped = false;

  constructor(server: MemoryLogServer, names: LogNames, options: FollowOptions, onStop: () => void) {
    this.#server = server;
    this.#names = names;
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

  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
  }

  pump(): void {
    if (this.#stopped) return;
    const head = this.#server.head(this.#position);
    const bookmark = {
      streamId: this.#streamId,
      position: this.#position,
      hash: this.#hash,
      acknowledged: this.#acknowledged,
    };
    const gap = findGap(bookmark, head, { compacted: this.#server.compacted });
    this.#streamId = head.streamId;
    if (gap !== undefined) {
      this.#position = gap.kind === 'missing' ? gap.foundSequence - 1 : 0;
      this.#hash = undefined;
      this.#acknowledged = 0;
      this.#caughtUp = false;
      this.#options.onGap?.(gap);
    }
    for (let record = this.#following(); record !== undefined; record = this.#following()) {
      const stored = storedEvent(this.#names, record);
      this.#position = stored.sequence;
      this.#hash = stored.hash;
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
