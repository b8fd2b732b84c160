import { type BootId, type NodeId, type Sequence, sequence } from '../core/identity.js';
import {
  expiresAtMs,
  hasFallenSilent,
  type LeaseLedger,
  type LeaseMessage,
  type LeaseWatch,
  type LeaseWatches,
  nextRenewal,
  noLease,
  noWatches,
  ownLeaseCaughtUp,
  ownLeaseGap,
  ownLeaseRead,
  type Renewal,
  renewalAnswered,
  watchCaughtUp,
  watchedUntilMs,
  watchGap,
  watchOf,
  watchRead,
} from '../core/lease.js';
import type { LeaseEvent } from '../log/event.js';
import { isLease } from '../log/event.js';
import type { AppendResult, EventLog, Follower, LogStatus, StoredEvent } from '../log/port.js';
import { type LogNames, parseSubject } from '../log/subjects.js';
import type { LogTimers } from '../log/timers.js';
import type { StatusLease } from '../observe/status.js';

/** What of the renewal interval the log gets to answer: the next renewal must not meet one that is under way. */
const renewalDeadlineShare = 0.75;
/** After so many intervals without a tick this process was paused, and what it has read may be old. */
const pausedIntervals = 3;

export interface LeaseDeskOptions {
  /** The lease stream. */
  readonly log: EventLog;
  readonly names: LogNames;
  readonly node: NodeId;
  /** The dataplane's boot; undefined without a dataplane, for which there is nothing to renew. */
  readonly boot: () => BootId | undefined;
  /** Of the configuration in force; `renews`: some virtual router asks the log. */
  readonly settings: () => { readonly ttlMs: number; readonly renewMs: number; readonly renews: boolean };
  readonly newEventId: () => string;
  /** `monotonicMs` is CLOCK_MONOTONIC, which the dataplane reads as well. */
  readonly clock: () => { readonly wallMs: number; readonly monotonicMs: number };
  readonly timers: LogTimers;
  /** Tells the dataplane until when this node may hold; null where its lease is lost. */
  readonly tell: (endsAtMs: number | null) => void;
  /** `currentSinceMs` is another. */
  readonly onCurrent: () => void;
  readonly onAppend: (result: AppendResult, durationMs: number) => void;
  /** Something that an operator has to look after. */
  readonly onTrouble: (what: string) => void;
  /** Something was read. */
  readonly onRead?: (stored: StoredEvent) => void;
}

/** Renews this node's lease and watches the others'. */
export class LeaseDesk {
  readonly #options: LeaseDeskOptions;
  /** Told whenever something on the lease stream was read. */
  readonly #readers = new Set<() => void>();
  #ledger: LeaseLedger = noLease;
  #watches: LeaseWatches = noWatches;
  #status: LogStatus = { state: 'connecting', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };
  #caughtUp = false;
  /** Since when all that is stored has been read without a break. */
  #currentSinceMs: number | undefined;
  #tickAtMs: number;
  #told: number | null | undefined;
  /** The event of the pending renewal: it is repeated to the letter. */
  #event: LeaseEvent | undefined;
  #renewing = false;
  #lookingUp = false;
  #follower: Follower | undefined;
  #stopWatching: (() => void) | undefined;
  #callOff: (() => void) | undefined;
  #stopped = false;

  constructor(options: LeaseDeskOptions) {
    this.#options = options;
    this.#tickAtMs = options.clock().monotonicMs;
  }

  start(): void {
    const { log } = this.#options;
    this.#stopWatching = log.watch((status) => this.#logChanged(status));
    this.#follower = log.follow({
      from: 1,
      onEvent: (stored) => this.#read(stored),
      onCaughtUp: () => this.#allRead(),
      onGap: () => {
        this.#caughtUp = false;
        this.#noteCurrent();
        this.#watches = watchGap(this.#watches, this.#nowMs());
        this.#ledger = ownLeaseGap(this.#ledger);
        this.#event = undefined;
      },
    });
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#follower?.stop();
    this.#stopWatching?.();
    this.#callOff?.();
  }

  /** A dataplane is there: it is told what there is, and the lease is renewed for it. */
  dataplaneUp(): void {
    this.#told = undefined;
    this.#tellDataplane();
    void this.#renew();
  }

  /** Until when this node may hold, by its monotonic clock. */
  get endsAtMs(): number | undefined {
    return this.#ledger.endsAtMs;
  }

  /** What keeps the lease stream from being used, in words. */
  get problem(): string | undefined {
    return this.#status.problem;
  }

  /** The lease stream can be read to its end. */
  get isCurrent(): boolean {
    return this.#status.state === 'connected' && this.#caughtUp && !this.#status.lagging;
  }

  /**
   * Whether the lease of a node has expired and nothing speaks against it: this node has read the stream without a break
   * for as long as that lease lasts. Proves nothing (a revocation does), but suffices not to ask the holder.
   */
  hasExpired(node: string): boolean {
    const watch = this.watch(node);
    return watch !== undefined && this.#nowMs() >= expiresAtMs(watch);
  }

  /** Whether another node may run. `spokeAtMs`: when something else that it said in the log was read here. */
  mayRun(node: string, spokeAtMs: number): boolean {
    return !hasFallenSilent(this.watch(node), this.#ledger.endsAtMs, spokeAtMs, this.#nowMs());
  }

  /** Whether something that was read then is no older than a lease gets. */
  hasJustSpoken(spokeAtMs: number): boolean {
    return this.#nowMs() < watchedUntilMs(spokeAtMs, this.#options.settings().ttlMs);
  }

  /** For people. */
  report(node: string): StatusLease {
    const nowMs = this.#nowMs();
    if (node === this.#options.node) {
      const { endsAtMs, lost } = this.#ledger;
      if (endsAtMs === undefined) return { state: lost ? 'revoked' : 'none', remainingMs: 0 };
      return { state: endsAtMs > nowMs ? 'held' : 'expired', remainingMs: Math.max(0, endsAtMs - nowMs) };
    }
    const watch = this.#watches.nodes.get(node);
    if (watch === undefined || watch.sequence === 0) return { state: 'none', remainingMs: 0 };
    if (watch.revoked) return { state: 'revoked', remainingMs: 0 };
    const remainingMs = Math.max(0, expiresAtMs(watch) - nowMs);
    return { state: remainingMs > 0 ? 'held' : 'expired', remainingMs };
  }

  /**
   * The watch on another node's lease; undefined while the stream cannot be read to its end. It counts from when this node
   * has read the stream without a break: what it has not read may be lost again, and a holder may go by it.
   */
  watch(node: string): LeaseWatch | undefined {
    this.#notePause(this.#nowMs());
    const watch = watchOf(this.#watches, node, this.#options.settings().ttlMs);
    if (watch === undefined || !this.isCurrent || this.#currentSinceMs === undefined) return undefined;
    return { ...watch, seenAtMs: Math.max(watch.seenAtMs, this.#currentSinceMs) };
  }

  /** Since when all that is stored has been read without a break; undefined while it is not. */
  get currentSinceMs(): number | undefined {
    return this.#currentSinceMs;
  }

  /** A revocation of this node's is in the log, and perhaps not read back yet. */
  noteRevocation(node: string, message: LeaseMessage): void {
    this.#see(node, message);
  }

  /** Resolves with true once something newer than `sequence` has been read on a node's subject, with false at the deadline. */
  readPast(node: string, sequence: Sequence, deadlineMs: number): Promise<boolean> {
    const isRead = (): boolean => (this.#watches.nodes.get(node)?.sequence ?? 0) > sequence;
    if (isRead()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (): void => {
        callOff();
        this.#readers.delete(look);
        resolve(isRead());
      };
      const look = (): void => {
        if (isRead()) finish();
      };
      const callOff = this.#options.timers.after(deadlineMs, finish);
      this.#readers.add(look);
    });
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #read(stored: StoredEvent): void {
    this.#options.onRead?.(stored);
    const place = parseSubject(this.#options.names, stored.subject);
    if (place?.kind !== 'lease') return;
    const message = messageOf(stored);
    if (place.name === this.#options.node) this.#readOwn(message, stored);
    else this.#see(place.name, message);
  }

  #see(node: string, message: LeaseMessage): void {
    this.#watches = watchRead(this.#watches, node, message, this.#nowMs(), this.#options.settings().ttlMs);
    for (const look of [...this.#readers]) look();
  }

  #readOwn(message: LeaseMessage, stored: StoredEvent): void {
    const before = this.#ledger;
    this.#ledger = ownLeaseRead(before, message);
    const isNews = this.#ledger !== before;
    this.#tellDataplane();
    if (!isNews || !this.#ledger.lost) return;
    const by = stored.event?.node ?? 'an event that cannot be read';
    if (message.kind === 'revoked') {
      this.#options.onTrouble(`the lease of this node was revoked by ${by}: no renewal of it was seen for too long`);
      void this.#renew();
    } else if (before.endsAtMs !== undefined) {
      const boot = stored.event?.boot ?? 'unknown';
      this.#options.onTrouble(
        `someone else (boot ${boot}) renews the lease of this node: give each node of the cluster a name of its own`,
      );
    }
  }

  #allRead(): void {
    this.#caughtUp = true;
    this.#ledger = ownLeaseCaughtUp(this.#ledger);
    this.#watches = watchCaughtUp(this.#watches, this.#nowMs());
    this.#noteCurrent();
    if (this.#ledger.endsAtMs === undefined) void this.#renew();
  }

  #logChanged(status: LogStatus): void {
    this.#status = status;
    if (status.state !== 'connected') this.#caughtUp = false;
    this.#noteCurrent();
  }

  #noteCurrent(): void {
    if (!this.isCurrent) this.#setCurrent(undefined);
    else this.#setCurrent(this.#currentSinceMs ?? this.#nowMs());
  }

  #setCurrent(sinceMs: number | undefined): void {
    if (sinceMs === this.#currentSinceMs) return;
    this.#currentSinceMs = sinceMs;
    this.#options.onCurrent();
  }

  /** What arrived while this process stood still has not been read yet. */
  #notePause(nowMs: number): void {
    const wasPaused = nowMs - this.#tickAtMs > pausedIntervals * this.#options.settings().renewMs;
    this.#tickAtMs = nowMs;
    if (wasPaused && this.#currentSinceMs !== undefined) this.#setCurrent(nowMs);
  }

  // ── renewing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    if (this.#stopped) return;
    this.#notePause(this.#nowMs());
    this.#callOff = this.#options.timers.after(this.#options.settings().renewMs, () => this.#tick());
    void this.#renew();
  }

  async #renew(): Promise<void> {
    const { log, boot, settings, newEventId, onAppend } = this.#options;
    const ownBoot = boot();
    const { ttlMs, renewMs, renews } = settings();
    if (this.#stopped || this.#renewing || ownBoot === undefined || !renews) return;
    const fresh = { id: newEventId(), atMs: this.#nowMs(), ttlMs };
    const next = nextRenewal(this.#ledger, fresh);
    if (next === undefined) {
      if (this.isCurrent) void this.#lookUpOwn();
      return;
    }
    const { renewal } = next;
    this.#ledger = next.ledger;
    this.#tellDataplane();
    if (this.#event?.id !== renewal.id) this.#event = this.#renewalEvent(renewal, ownBoot);

    this.#renewing = true;
    const result = await log.append(this.#event, {
      expect: { lastSubjectSequence: renewal.expected },
      deadlineMs: renewMs * renewalDeadlineShare,
    });
    this.#renewing = false;
    onAppend(result, this.#nowMs() - fresh.atMs);
    this.#ledger = renewalAnswered(
      this.#ledger,
      renewal,
      result.kind === 'stored' ? { kind: 'stored', sequence: sequence(result.sequence) } : result,
    );
    this.#tellDataplane();
    const wasRepeated = renewal.id !== fresh.id;
    const canGoOn = this.#ledger.lost ? this.#ledger.newest !== undefined : wasRepeated;
    if (result.kind !== 'unavailable' && canGoOn) void this.#renew();
  }

  /**
   * A renewal was refused, and what refused it has not been read, although all is: the log has lost its end, and what came
   * since hides the loss from whoever follows a stream that keeps the newest of each subject alone. So it is asked.
   */
  async #lookUpOwn(): Promise<void> {
    if (this.#lookingUp) return;
    this.#lookingUp = true;
    const { log, names, node, settings } = this.#options;
    const where = { subjectFilter: names.leaseSubject(node), deadlineMs: settings().renewMs * renewalDeadlineShare };
    try {
      let found: StoredEvent | undefined;
      for await (const stored of log.read(where)) found = stored;
      // Another one may have been read meanwhile, or another log.
      if (this.#stopped || this.#ledger.newest !== undefined || !this.isCurrent) return;
      if (found === undefined) this.#ledger = ownLeaseCaughtUp(this.#ledger);
      else this.#readOwn(messageOf(found), found);
      void this.#renew();
    } catch {
      // The next tick asks again.
    } finally {
      this.#lookingUp = false;
    }
  }

  #tellDataplane(): void {
    const { endsAtMs, lost } = this.#ledger;
    const news = endsAtMs ?? (lost ? null : undefined);
    // An agent that has just started knows nothing of a lease: the dataplane counts on with what it was told before.
    if (news === undefined || news === this.#told) return;
    this.#told = news;
    this.#options.tell(news);
  }

  #renewalEvent({ id, number, ttlMs }: Renewal, boot: BootId): LeaseEvent {
    const { names, node, clock } = this.#options;
    const { wallMs, monotonicMs } = clock();
    const payload = { type: 'leaseRenewed', renewal: number, ttlMs } as const;
    return { id, cluster: names.cluster, node, boot, wallTimeMs: wallMs, monotonicMs, payload };
  }

  #nowMs(): number {
    return this.#options.clock().monotonicMs;
  }
}

/** What cannot be read counts as a sign of life: that is the safe side for whoever watches. */
function messageOf({ sequence: at, event }: StoredEvent): LeaseMessage {
  const where = { sequence: sequence(at), id: event?.id };
  if (event === undefined || !isLease(event)) return { kind: 'renewed', ...where, ttlMs: undefined };
  if (event.payload.type === 'leaseRevoked') return { kind: 'revoked', ...where };
  return { kind: 'renewed', ...where, ttlMs: event.payload.ttlMs };
}
