import { AckPolicy, DeliverPolicy, type JetStreamManager } from '@nats-io/jetstream';
import { createInbox, type Msg, type NatsConnection, nanos, type Subscription } from '@nats-io/transport-node';
import { eventHash } from './codec.js';
import { findGap, type Place } from './continuity.js';
import type { Follower, FollowOptions, LogGap, StoredEvent } from './port.js';
import { storedEvent } from './stored.js';
import type { StreamSettings } from './stream-settings.js';
import type { LogNames } from './subjects.js';

const heartbeatMs = 1000;
/** Two heartbeats and a half: one may be lost, and the server's timer is not ours. */
const silenceMs = 2500;
const checkMs = 500;
/** Where nothing is heard, the stream itself has so long to say that there is nothing to hear. */
const lookMs = 250;
const retryFirstMs = 100;
const retryMostMs = 2000;
/** The server removes a consumer whose reader is gone for so long. */
const abandonedMs = 10_000;

export interface FollowerHost {
  readonly names: LogNames;
  readonly settings: StreamSettings;
  /** The connection and its stream API while both can be used. */
  readonly access: () => { readonly connection: NatsConnection; readonly manager: JetStreamManager } | undefined;
  /** The stream is missing or silent: look after it. */
  readonly onTrouble: () => void;
  readonly onLag: () => void;
  readonly onStop: () => void;
}

/**
 * Reads a stream in order, for ever, through an ephemeral consumer on the server that is made anew whenever there is
 * doubt: after a reconnect, a hole in the deliveries, a missed heartbeat. Each time it first makes sure that the stream is
 * the one read before. (The client's own ordered consumer resumes at the old position without asking, and so stays
 * silent on a stream that was re-created and is shorter.)
 */
export class JetStreamFollower implements Follower {
  readonly #host: FollowerHost;
  readonly #options: FollowOptions;
  #position: number;
  /** By which the place would be known again. */
  #last: StoredEvent | undefined;
  #streamId: string | undefined;
  /** What the last look at the stream made of it, until another look confirms or clears it. */
  #suspected: LogGap['kind'] | undefined;
  #acknowledged = 0;
  #subscription: Subscription | undefined;
  #consumer: string | undefined;
  #deliveries = 0;
  #heardAtMs = 0;
  #pending = 0;
  #lagging = false;
  /** Nothing is heard, and whether there is anything to hear is not known yet. */
  #doubt: NodeJS.Timeout | undefined;
  #caughtUp = false;
  #attempt = 0;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(host: FollowerHost, options: FollowOptions) {
    this.#host = host;
    this.#options = options;
    this.#position = options.from - 1;
    this.#watch = setInterval(() => this.#checkSilence(), checkMs);
    void this.attach();
  }

  get position(): number {
    return this.#position;
  }

  /** The highest sequence that the log is known to have had. */
  get known(): number {
    return Math.max(this.#position, this.#acknowledged);
  }

  /**
   * The log has acknowledged a new event; `knownBefore` is `known` as it was when the event was sent. A sequence that had
   * been given out before means that the log has lost its tail.
   */
  acknowledge(sequence: number, knownBefore: number): void {
    if (sequence <= knownBefore) void this.attach();
    else this.#acknowledged = Math.max(this.#acknowledged, sequence);
  }

  get pending(): number {
    return this.#pending;
  }

  get lagging(): boolean {
    return this.#lagging;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    clearTimeout(this.#doubt);
    this.#detach();
    this.#host.onStop();
  }

  /**
   * (Re)makes the consumer, if the log can be reached; otherwise waits to be called again. Supersedes an attempt that is
   * still under way: its answers may never come, since the connection it was made on is gone.
   */
  async attach(): Promise<void> {
    clearTimeout(this.#retry);
    this.#detach();
    const access = this.#host.access();
    if (access === undefined || this.#stopped) return;
    this.#attempt += 1;
    const attempt = this.#attempt;
    try {
      await this.#makeConsumer(access.connection, access.manager, attempt);
    } catch {
      if (attempt === this.#attempt) this.#retryLater();
    }
  }

  async #makeConsumer(connection: NatsConnection, manager: JetStreamManager, attempt: number): Promise<void> {
    const { settings } = this.#host;
    // As it is now: an append that is acknowledged after the stream was looked at is no loss of the stream's.
    const acknowledged = this.#acknowledged;
    const info = await manager.streams.info(settings.name);
    const known = this.#last === undefined ? undefined : await this.#placeAt(manager, this.#position);
    const head = {
      streamId: info.created,
      firstSequence: info.state.first_seq,
      lastSequence: info.state.last_seq,
      atPosition: known,
    };
    if (this.#stopped || attempt !== this.#attempt) return;
    const bookmark = {
      streamId: this.#streamId,
      position: this.#position,
      last: this.#last,
      acknowledged,
    };
    const gap = findGap(bookmark, head, { compacted: settings.compacted });
    if (gap !== undefined && gap.kind !== this.#suspected) {
      // To read everything again for one answer would be rash: a leader that is being deposed may have given it.
      this.#suspected = gap.kind;
      this.#retryLater();
      return;
    }
    if (gap === undefined) this.#looked(head.lastSequence);
    this.#suspected = undefined;
    this.#streamId = head.streamId;
    if (gap !== undefined) {
      this.#position = gap.kind === 'missing' ? gap.foundSequence - 1 : 0;
      this.#last = undefined;
      this.#acknowledged = 0;
      this.#options.onGap?.(gap);
    }

    const inbox = createInbox();
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (this.#subscription !== subscription) return;
        if (error === null) this.#receive(message);
        else void this.attach();
      },
    });
    this.#subscription = subscription;
    this.#deliveries = 0;
    this.#caughtUp = false;
    this.#heardAtMs = performance.now();
    const consumer = await manager.consumers.add(settings.name, {
      deliver_subject: inbox,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#position + 1,
      ack_policy: AckPolicy.None,
      max_deliver: 1,
      flow_control: true,
      idle_heartbeat: nanos(heartbeatMs),
      inactive_threshold: nanos(abandonedMs),
      mem_storage: true,
      num_replicas: 1,
    });
    if (attempt !== this.#attempt) {
      this.#abandon(manager, consumer.name);
      return;
    }
    this.#failures = 0;
    this.#consumer = consumer.name;
    if (consumer.num_pending === 0 && this.#deliveries === 0) this.#nothingPending();
  }

  async #placeAt(manager: JetStreamManager, sequence: number): Promise<Place | undefined> {
    const message = await manager.streams.getMessage(this.#host.settings.name, { seq: sequence });
    return message === null ? undefined : { hash: eventHash(message.data), storedAtMs: message.time.getTime() };
  }

  #receive(message: Msg): void {
    this.#heardAtMs = performance.now();
    this.#endDoubt();
    const status = message.headers?.code ?? 0;
    if (status !== 0) {
      this.#receiveStatus(message, status);
      return;
    }
    const delivery = parseDelivery(message.reply);
    if (delivery === undefined || delivery.deliverySequence !== this.#deliveries + 1) {
      void this.attach();
      return;
    }
    this.#deliveries = delivery.deliverySequence;
    const { streamSequence, storedAtMs, pending } = delivery;
    const { names } = this.#host;
    const stored = storedEvent(names, {
      sequence: streamSequence,
      subject: message.subject,
      storedAtMs,
      encoded: message.data,
    });
    this.#position = stored.sequence;
    this.#last = stored;
    this.#setLag(pending, false);
    this.#options.onEvent(stored);
    if (pending === 0) this.#nothingPending();
  }

  #receiveStatus(message: Msg, status: number): void {
    if (status !== 100) {
      void this.attach();
      return;
    }
    const stalled = message.headers?.get('Nats-Consumer-Stalled');
    if (message.reply !== undefined && message.reply !== '') message.respond();
    else if (stalled !== undefined && stalled !== '') this.#host.access()?.connection.publish(stalled);
    const delivered = Number(message.headers?.get('Nats-Last-Consumer') ?? '');
    if (delivered > this.#deliveries) void this.attach();
    else if (this.#lagging) this.#setLag(this.#pending, false);
  }

  #nothingPending(): void {
    this.#setLag(0, false);
    if (this.#caughtUp) return;
    this.#caughtUp = true;
    this.#options.onCaughtUp?.();
  }

  /**
   * The consumer stands on one server, and that may be the one that died with the very master whose place is to be taken:
   * the log is none the worse for it. So the silence counts only where the stream does not say, at once, that all is read.
   */
  #checkSilence(): void {
    if (this.#subscription === undefined) return;
    if (performance.now() - this.#heardAtMs < silenceMs) return;
    this.#doubt ??= setTimeout(() => this.#setLag(this.#pending, true), lookMs);
    this.#host.onTrouble();
    void this.attach();
  }

  /** The stream is the one that was read, and its last event has this sequence. */
  #looked(lastSequence: number): void {
    if (this.#doubt === undefined && !this.#lagging) return;
    this.#endDoubt();
    const unread = Math.max(0, lastSequence - this.#position);
    this.#setLag(unread, unread > 0);
  }

  #endDoubt(): void {
    clearTimeout(this.#doubt);
    this.#doubt = undefined;
  }

  #setLag(pending: number, lagging: boolean): void {
    if (this.#pending === pending && this.#lagging === lagging) return;
    this.#pending = pending;
    this.#lagging = lagging;
    this.#host.onLag();
  }

  #retryLater(): void {
    this.#detach();
    this.#host.onTrouble();
    const waitMs = Math.min(retryMostMs, retryFirstMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#retry = setTimeout(() => void this.attach(), waitMs);
  }

  #detach(): void {
    const consumer = this.#consumer;
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#consumer = undefined;
    const manager = this.#host.access()?.manager;
    if (consumer !== undefined && manager !== undefined) this.#abandon(manager, consumer);
  }

  /** The server would remove it by itself, later: no answer is needed. */
  #abandon(manager: JetStreamManager, consumer: string): void {
    manager.consumers.delete(this.#host.settings.name, consumer).catch(() => undefined);
  }
}

/** The reply subject of a delivery: `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<n>.<sseq>.<dseq>.<ns>.<pending>`. */
function parseDelivery(
  reply: string | undefined,
): { streamSequence: number; deliverySequence: number; storedAtMs: number; pending: number } | undefined {
  const tokens = reply?.split('.') ?? [];
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK' || tokens.length < 9) return undefined;
  const [streamSequence, deliverySequence, nanosecond, pending] = tokens.slice(tokens.length === 9 ? 5 : 7).map(Number);
  if (streamSequence === undefined || deliverySequence === undefined) return undefined;
  return { streamSequence, deliverySequence, storedAtMs: (nanosecond ?? 0) / 1e6, pending: pending ?? 0 };
}
