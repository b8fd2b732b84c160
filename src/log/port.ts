import type { DecodeRefusal } from './codec.js';
import type { KoiEvent } from './event.js';

/**
 * The event log as Koi sees it: an ordered, append-only list of events with compare-and-set per subject. JetStream in
 * production, memory in tests and in the simulator.
 */
export interface EventLog {
  /**
   * Stores one event on the subject it belongs on. Never throws for what a log or a network can do; answers within
   * `deadlineMs`. The event's id makes repeating safe: the log stores it once (for 2 minutes after the first time).
   */
  append(event: KoiEvent, options: AppendOptions): Promise<AppendResult>;

  /**
   * The stored events in order, up to what stood in the log when reading began. Throws KoiError `unreachable` or
   * `timeout` where the log cannot be read.
   */
  read(options: ReadOptions): AsyncIterable<StoredEvent>;

  /** Delivers stored events in order, for ever, through reconnects, restarts and leader changes, until stopped. */
  follow(options: FollowOptions): Follower;

  /** Calls `listener` at once with the present status and again whenever it changes, until the returned function is called. */
  watch(listener: (status: LogStatus) => void): () => void;
}

export interface AppendOptions {
  /**
   * Store only if the newest event on this event's subject has this sequence; 0 means that the subject is still empty.
   */
  readonly expect?: { readonly lastSubjectSequence: number };
  readonly deadlineMs: number;
}

export type AppendResult =
  /** `duplicate`: an event of this id was stored before, at `sequence`. */
  | { readonly kind: 'stored'; readonly sequence: number; readonly duplicate: boolean }
  /**
   * The subject's newest event is neither the one expected nor this one. (This one, if appended before, may stand in the
   * log all the same, overtaken: reading tells.)
   */
  | { readonly kind: 'conflict' }
  /** No answer. `maybeStored`: it may be in the log all the same, or still arrive there. */
  | { readonly kind: 'unavailable'; readonly reason: UnavailableReason; readonly maybeStored: boolean };

/** Why the log did not store an event. The same words serve logs and metrics. */
export const unavailableReasons = [
  /** There is no connection; nothing was sent. */
  'not_connected',
  /** The connection broke before the answer came. */
  'disconnected',
  /** No answer within the deadline. */
  'timeout',
  /** Nobody listens: the stream has no leader at present, or JetStream is off. */
  'no_responders',
  /** The server's version or the stream's settings cannot keep the promises; see the status for which. */
  'unfit',
  /** The server said no: out of space, a limit, no permission. */
  'rejected',
  /** The event exceeds what the server takes; repeating is in vain. */
  'too_large',
] as const;
export type UnavailableReason = (typeof unavailableReasons)[number];

export interface ReadOptions {
  /** First sequence, inclusive; default the first one stored. */
  readonly from?: number;
  /** Last sequence, inclusive; default the last one stored. */
  readonly to?: number;
  /** Only the last so many sequences: the end of a log costs the same however long it is. Not beside `sinceMs`. */
  readonly newest?: number;
  /** Begin with the first event stored at or after this time (the log's clock), milliseconds since 1970. */
  readonly sinceMs?: number;
  /** Only these subjects, NATS wildcards allowed. */
  readonly subjectFilter?: string;
  /** The longest silence to bear, milliseconds, before giving up with a `timeout`. */
  readonly deadlineMs: number;
}

export interface FollowOptions {
  /** First sequence to deliver, inclusive; 1 for everything. */
  readonly from: number;
  readonly onEvent: (stored: StoredEvent) => void;
  /** Everything that was in the log when the (re)connection was made has been delivered. */
  readonly onCaughtUp?: () => void;
  /** The log is not the one read before. See `LogGap` for what is delivered afterwards. */
  readonly onGap?: (gap: LogGap) => void;
}

/**
 * - `recreated`: another stream stands in place of the one followed; all of its events follow, from the first.
 * - `rewound`: the log ends before the last event delivered or acknowledged: it lost a tail; all its events follow, from the first.
 * - `diverged`: another event stands where the last one delivered stood; all its events follow, from the first.
 * - `missing`: events were removed at the front; delivery goes on with the first that is left.
 */
export interface LogGap {
  readonly kind: 'recreated' | 'rewound' | 'diverged' | 'missing';
  /** The highest sequence delivered or acknowledged before. */
  readonly expectedSequence: number;
  /** The log's last sequence now; for `missing` its first. */
  readonly foundSequence: number;
}

export interface Follower {
  /** Sequence of the last event delivered; one less than `from` before the first. */
  readonly position: number;
  stop(): void;
}

export interface StoredEvent {
  readonly sequence: number;
  readonly subject: string;
  /** When the log stored it, by the log's clock; milliseconds since 1970. */
  readonly storedAtMs: number;
  /** Length of the stored bytes. */
  readonly bytes: number;
  /** SHA-256 of the stored bytes, hexadecimal. */
  readonly hash: string;
  /** Undefined where the bytes are no event; they take up a sequence all the same. */
  readonly event: KoiEvent | undefined;
  readonly refusal?: DecodeRefusal;
}

export interface LogStatus {
  /**
   * - `connecting`: never connected yet.
   * - `connected`: appends and reads work.
   * - `disconnected`: the connection is lost, or the log behind it has no leader; being restored.
   * - `unfit`: connected, but the server or the stream cannot keep the promises.
   * - `stopped`: closed.
   */
  readonly state: 'connecting' | 'connected' | 'disconnected' | 'unfit' | 'stopped';
  /** What is wrong, with the remedy, for a human; absent while all is well. */
  readonly problem?: string;
  /** What works but should be otherwise, for a human. */
  readonly warnings: readonly string[];
  readonly server?: {
    readonly version: string;
    readonly name: string;
    readonly url: string;
    readonly clustered: boolean;
  };
  /** Events stored but not yet delivered to the slowest follower, as of the last one heard; 0 when caught up. */
  readonly lagEvents: number;
  /** No sign of life from the log for longer than two heartbeats, although the connection stands. */
  readonly lagging: boolean;
  /** How often the connection has been restored. */
  readonly reconnects: number;
}
