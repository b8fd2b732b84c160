import {
  type ClusterInfo,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  jetstreamManager,
  PubHeaders,
} from '@nats-io/jetstream';
import { type NatsConnection, TimeoutError } from '@nats-io/transport-node';
import { z } from 'zod';
import { KoiError } from '../koi-error.js';
import { encodeEvent } from './codec.js';
import type { KoiEvent } from './event.js';
import { JetStreamFollower } from './jetstream-follower.js';
import type { SteeredStream, StreamLeadership } from './leader-steering.js';
import { NatsLink, type NatsOptions } from './nats-link.js';
import { openPeerChannel, type PeerAnswer, type PeerChannel, type PeerMessage } from './peer-channel.js';
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  Follower,
  FollowOptions,
  LogStatus,
  ReadOptions,
  StoredEvent,
  UnavailableReason,
} from './port.js';
import { rehearseEvents } from './rehearsal.js';
import { ServerSurvey, type SurveyVerdict } from './server-survey.js';
import { judgeServer } from './server-version.js';
import { storedEvent } from './stored.js';
import { desiredConfig, eventStream, judgeStream, leaseStream, type StreamSettings } from './stream-settings.js';
import { isEventStream, type LogNames, logNames, subjectOf } from './subjects.js';

export interface JetStreamOptions extends NatsOptions {
  readonly cluster: string;
  readonly replicas: number;
  /** Only reads: streams that are not there are a fault, and those that are stay as they are. */
  readonly readOnly?: boolean;
  /** Answers what another node says to this one directly. */
  readonly answerPeer?: (message: PeerMessage) => PeerAnswer | Promise<PeerAnswer>;
}

export interface JetStreamLogs {
  readonly names: LogNames;
  readonly events: EventLog;
  /** The nodes' leases: one message per node is kept. */
  readonly leases: EventLog;
  readonly peers: PeerChannel;
  /** The streams behind them, whose leaders can be moved. */
  readonly streams: readonly SteeredStream[];
  close(): Promise<void>;
}

/**
 * Opens the cluster's logs over one connection to NATS. Returns at once: connecting, creating the streams and restoring
 * what breaks happen in the background, for ever; `watch` tells how it stands.
 */
export function openJetStreamLogs(options: JetStreamOptions): JetStreamLogs {
  const names = logNames(options.cluster);
  const link = new NatsLink(options);
  const survey = new ServerSurvey({ link, onChange: () => judgeAgain() });
  const open = (settings: StreamSettings) => new JetStreamLog(link, survey, names, settings, options.readOnly ?? false);
  const events = open(eventStream(names, options.replicas));
  const leases = open(leaseStream(names, options.replicas));
  const judgeAgain = (): void => {
    for (const log of [events, leases]) log.judgeAgain();
  };
  const isNode = options.readOnly !== true;
  const peers = openPeerChannel(link, names, options.name, options.answerPeer ?? nobodyAnswers, isNode);
  link.start();
  if (isNode) rehearseEvents(names);
  return {
    names,
    events,
    leases,
    peers,
    streams: [events.steered, leases.steered],
    close: async () => {
      survey.close();
      events.close();
      leases.close();
      await link.close();
    },
  };
}

const nobodyAnswers = (): PeerAnswer => ({ ready: false, reason: 'this node does not take part' });

const managementTimeoutMs = 2000;
const prepareRetryMs = 500;
/** Longer than an election among the servers may take. */
const muteAfterMs = 10_000;
/** Appends that ran out of time for so long are a reason to ask the servers how they stand. */
const suspiciousAfterMs = 1_500;
/** A leader hears from its followers every second. */
const unheardAfterMs = 5_000;

/** `StreamWrongLastSequence`, and its twin for an expectation on a subject with another append under way. */
const conflictCodes: readonly number[] = [10071, 10164];
const streamNotFoundCode = 10059;
const tooLargeCode = 10054;
const replicasNeedClusterCode = 10074;

const stepDownAnswer = z.object({
  success: z.boolean().optional(),
  error: z.object({ description: z.string().optional() }).optional(),
});

type Verdict =
  | { readonly kind: 'fit'; readonly warnings: readonly string[] }
  | { readonly kind: 'unfit'; readonly problem: string; readonly warnings: readonly string[] }
  /** No verdict: something did not answer. */
  | { readonly kind: 'trouble'; readonly problem: string };

/** With what is wrong with servers that this node is not connected to. */
function withOthers(verdict: Verdict, others: SurveyVerdict): Verdict {
  if (verdict.kind === 'trouble') return verdict;
  const warnings = [...verdict.warnings, ...others.warnings];
  const problem = verdict.kind === 'unfit' ? verdict.problem : others.unfit;
  return problem === undefined ? { kind: 'fit', warnings } : { kind: 'unfit', problem, warnings };
}

class JetStreamLog implements EventLog {
  readonly #link: NatsLink;
  readonly #survey: ServerSurvey;
  readonly #names: LogNames;
  readonly #settings: StreamSettings;
  readonly #readOnly: boolean;
  readonly #followers = new Set<JetStreamFollower>();
  readonly #listeners = new Set<(status: LogStatus) => void>();
  readonly #inFlight = new Set<() => void>();
  readonly #stopListening: () => void;
  #connection: NatsConnection | undefined;
  #manager: JetStreamManager | undefined;
  /** The manager's own: making one costs as much as a publication. */
  #publisher: JetStreamClient | undefined;
  /** The stream was found fit on some connection; appends need not wait for it to be looked at again. */
  #prepared = false;
  #unfit: string | undefined;
  #trouble: string | undefined;
  #warnings: readonly string[] = [];
  /** Since when every append has run out of time. */
  #unansweredSinceMs: number | undefined;
  #mute: string | undefined;
  #lookedAtMs: number | undefined;
  /** Counts the connections' comings and goings: the client keeps one object across its reconnects. */
  #epoch = 0;
  /** The epoch in which the stream is being looked at. */
  #preparing: number | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #status: LogStatus;

  constructor(link: NatsLink, survey: ServerSurvey, names: LogNames, settings: StreamSettings, readOnly: boolean) {
    this.#readOnly = readOnly;
    this.#link = link;
    this.#survey = survey;
    this.#names = names;
    this.#settings = settings;
    this.#status = this.#currentStatus();
    this.#stopListening = link.listen({
      onUp: (connection) => this.#up(connection),
      onDown: () => this.#down(),
    });
  }

  get steered(): SteeredStream {
    return {
      name: this.#settings.name,
      leadership: () => this.#leadership(),
      stepDown: (server) => this.#stepDown(server),
    };
  }

  async append(event: KoiEvent, options: AppendOptions): Promise<AppendResult> {
    const connection = this.#connection;
    // The client would keep the message and send it after a reconnect, long past the deadline.
    if (connection === undefined) return unavailable('not_connected', false);
    if (this.#unfit !== undefined) return unavailable('unfit', false);
    if (!this.#prepared) return unavailable('no_responders', false);
    const encoded = encodeEvent(event);
    const limit = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (encoded.length > limit) return unavailable('too_large', false);

    const known = [...this.#followers].map((follower) => [follower, follower.known] as const);
    let broken = (): void => undefined;
    const cut = new Promise<AppendResult>((resolve) => {
      broken = () => resolve(unavailable('disconnected', true));
    });
    this.#inFlight.add(broken);
    const result = await Promise.race([this.#publish(connection, event, encoded, options), cut]);
    this.#inFlight.delete(broken);
    if (result.kind === 'stored' && !result.duplicate) {
      for (const [follower, knownBefore] of known) follower.acknowledge(result.sequence, knownBefore);
    }
    this.#noteAnswer(result);
    if (result.kind === 'stored' && this.#trouble !== undefined) this.#recovered();
    if (result.kind === 'unavailable' && result.reason === 'no_responders') void this.#prepare();
    return result;
  }

  async *read(options: ReadOptions): AsyncIterable<StoredEvent> {
    const access = this.#access();
    if (access === undefined) throw this.#unreachable();
    // A consumer may fall silent for good where the stream's leader moves: half of the time is for another one.
    const patienceMs = options.deadlineMs / 2;
    let position = (options.from ?? 1) - 1;
    let last = options.to ?? Number.POSITIVE_INFINITY;
    for (let isLastAttempt = false; ; isLastAttempt = true) {
      const { sinceMs: _, newest: __, ...rest } = options;
      const where = position < (options.from ?? 1) ? options : { ...rest, from: position + 1 };
      const { lastSequence, reader } = await this.#openReader(access.manager, where);
      last = Math.min(last, lastSequence);
      if (reader === undefined) return;
      try {
        const iterator = reader.messages[Symbol.asyncIterator]();
        while (true) {
          const next = await withDeadline(iterator.next(), patienceMs, this.#settings.name);
          if (next.done === true || next.value.seq > last) return;
          position = next.value.seq;
          if (position >= (options.from ?? 1)) yield this.#stored(next.value);
          if (position === last || next.value.info.pending === 0) return;
        }
      } catch (error) {
        if (isLastAttempt || !(error instanceof KoiError) || error.code !== 'timeout') throw error;
      } finally {
        reader.close();
      }
    }
  }

  follow(options: FollowOptions): Follower {
    const follower: JetStreamFollower = new JetStreamFollower(
      {
        names: this.#names,
        settings: this.#settings,
        access: () => this.#access(),
        onTrouble: () => void this.#prepare(),
        onLag: () => this.#publishStatus(),
        onStop: () => this.#followers.delete(follower),
      },
      options,
    );
    this.#followers.add(follower);
    return follower;
  }

  watch(listener: (status: LogStatus) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#status);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#stopListening();
    for (const follower of [...this.#followers]) follower.stop();
    this.#down();
  }

  async #leadership(): Promise<StreamLeadership> {
    const { name } = this.#settings;
    const access = this.#access();
    if (access === undefined) throw this.#unreachable();
    const { cluster } = await access.manager.streams.info(name);
    const followers = (cluster?.replicas ?? []).map((peer) => ({
      name: peer.name,
      current: peer.current,
      offline: peer.offline === true,
    }));
    return { stream: name, leader: cluster?.leader === '' ? undefined : cluster?.leader, followers };
  }

  /** Asks as the server has it since 2.11: `placement.preferred` names who shall lead instead. */
  async #stepDown(server: string): Promise<void> {
    const { name } = this.#settings;
    const access = this.#access();
    if (access === undefined) throw this.#unreachable();
    const answer = await access.connection.request(
      `$JS.API.STREAM.LEADER.STEPDOWN.${name}`,
      JSON.stringify({ placement: { preferred: server } }),
      { timeout: managementTimeoutMs },
    );
    const { success, error } = stepDownAnswer.parse(answer.json());
    if (success === true) return;
    const why = error?.description ?? 'it gives no reason';
    throw new KoiError('log', `stream ${name}: its leader does not hand over to ${server}: ${why}`);
  }

  async #publish(
    connection: NatsConnection,
    event: KoiEvent,
    encoded: Uint8Array,
    options: AppendOptions,
  ): Promise<AppendResult> {
    const manager = this.#manager;
    const publisher = this.#publisher;
    if (manager === undefined || publisher === undefined || connection.isClosed())
      return unavailable('not_connected', false);
    const subject = subjectOf(this.#names, event);
    const endMs = performance.now() + options.deadlineMs;
    try {
      const expected = options.expect?.lastSubjectSequence;
      const ack = await publisher.publish(subject, encoded, {
        msgID: event.id,
        timeout: options.deadlineMs,
        expect: {
          streamName: this.#settings.name,
          ...(expected === undefined ? {} : { lastSubjectSequence: expected }),
        },
      });
      return { kind: 'stored', sequence: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      const result = judgeFailure(error);
      return result.kind === 'conflict' ? this.#judgeConflict(manager, subject, event.id, endMs) : result;
    }
  }

  /** The server looks at the expectation before the id: a repeated append meets the very event it repeats. */
  async #judgeConflict(manager: JetStreamManager, subject: string, id: string, endMs: number): Promise<AppendResult> {
    const lookup = manager.streams.getMessage(this.#settings.name, { last_by_subj: subject });
    const newest = await withDeadline(lookup, endMs - performance.now(), this.#settings.name).catch(() => null);
    if (newest === null || newest.header.get(PubHeaders.MsgIdHdr) !== id) return { kind: 'conflict' };
    return { kind: 'stored', sequence: newest.seq, duplicate: true };
  }

  /** A stream can be looked at and lead, and still confirm nothing: its server once could not write. */
  #noteAnswer(result: AppendResult): void {
    const nowMs = performance.now();
    if (result.kind === 'unavailable') {
      if (result.reason !== 'timeout') return;
      this.#unansweredSinceMs ??= nowMs;
    } else {
      this.#unansweredSinceMs = undefined;
    }
    const since = this.#unansweredSinceMs;
    if (since !== undefined && nowMs - since >= suspiciousAfterMs && this.#trouble === undefined)
      this.#lookAgain(nowMs);
    const isMute = since !== undefined && nowMs - since >= muteAfterMs;
    if (isMute === (this.#mute !== undefined)) return;
    this.#mute = isMute
      ? `stream ${this.#settings.name} answers nothing that is appended: is the disk of its servers full? A nats-server that once failed to write has to be restarted`
      : undefined;
    this.#publishStatus();
  }

  /** A leader without followers answers what it is asked for a while, and confirms nothing. */
  #lookAgain(nowMs: number): void {
    if (this.#lookedAtMs !== undefined && nowMs - this.#lookedAtMs < suspiciousAfterMs) return;
    this.#lookedAtMs = nowMs;
    void this.#prepare();
  }

  #up(connection: NatsConnection): void {
    this.#connection = connection;
    this.#epoch += 1;
    void this.#prepareAndReattach();
  }

  #down(): void {
    this.#connection = undefined;
    this.#manager = undefined;
    this.#publisher = undefined;
    this.#epoch += 1;
    clearTimeout(this.#retry);
    for (const broken of [...this.#inFlight]) broken();
    this.#publishStatus();
  }

  /** An acknowledged append proves more than any look at the stream, which may still wait for a leader that is gone. */
  #recovered(): void {
    this.#trouble = undefined;
    for (const follower of this.#followers) void follower.attach();
    this.#publishStatus();
  }

  /** Another of the servers was found unfit, in doubt, or well again. */
  judgeAgain(): void {
    void this.#prepareAndReattach();
  }

  async #prepareAndReattach(): Promise<void> {
    const fit = await this.#prepare();
    if (fit) for (const follower of this.#followers) void follower.attach();
  }

  /**
   * Looks at server and stream, makes or mends the stream; repeats by itself until both are fit or the link is gone.
   * True where they have been found fit by this call. An answer that belongs to a former connection counts for nothing.
   */
  async #prepare(): Promise<boolean> {
    const connection = this.#connection;
    const epoch = this.#epoch;
    if (connection === undefined || this.#preparing === epoch || this.#closed) return false;
    this.#preparing = epoch;
    clearTimeout(this.#retry);
    const found = await this.#inspect(connection, epoch);
    if (epoch !== this.#epoch) return false;
    this.#preparing = undefined;
    // Looked at last: what is found out while the stream is looked at finds nobody to judge again.
    const verdict = withOthers(found, this.#survey.verdict);
    this.#unfit = verdict.kind === 'unfit' ? verdict.problem : undefined;
    this.#trouble = verdict.kind === 'trouble' ? verdict.problem : undefined;
    if (verdict.kind === 'fit') this.#prepared = true;
    else this.#retry = setTimeout(() => void this.#prepareAndReattach(), prepareRetryMs);
    if (verdict.kind !== 'trouble') this.#warnings = verdict.warnings;
    this.#publishStatus();
    return verdict.kind === 'fit';
  }

  async #inspect(connection: NatsConnection, epoch: number): Promise<Verdict> {
    try {
      const { info } = connection;
      const server = judgeServer({ version: info?.version ?? '', clustered: info?.cluster !== undefined });
      const warnings = server.warning === undefined ? [] : [server.warning];
      if (server.unfit !== undefined) return { kind: 'unfit', problem: server.unfit, warnings };
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: managementTimeoutMs });
      if (epoch === this.#epoch) {
        this.#manager = manager;
        this.#publisher = manager.jetstream();
      }
      const stream = await this.#obtainStream(manager);
      if (stream.kind === 'unfit') return { ...stream, warnings };
      return { kind: 'fit', warnings: [...warnings, ...stream.warnings] };
    } catch (error) {
      return { kind: 'trouble', problem: describeTrouble(error, this.#settings) };
    }
  }

  async #obtainStream(
    manager: JetStreamManager,
  ): Promise<{ kind: 'fit'; warnings: readonly string[] } | { kind: 'unfit'; problem: string }> {
    const existing = await manager.streams.info(this.#settings.name).catch((error: unknown) => {
      if (isStreamNotFound(error)) return undefined;
      throw error;
    });
    if (existing === undefined && this.#readOnly) return { kind: 'unfit', problem: await this.#absent(manager) };
    if (existing === undefined) {
      await manager.streams.add(desiredConfig(this.#settings));
      return { kind: 'fit', warnings: [] };
    }
    if (this.#unansweredSinceMs !== undefined && !hasMajority(existing.cluster, this.#settings.replicas)) {
      throw new KoiError('unreachable', tooFewServers(this.#settings.replicas));
    }
    const verdict = judgeStream(existing.config, this.#settings);
    if (verdict.kind !== 'mend') return verdict;
    if (this.#readOnly) return { kind: 'fit', warnings: [] };
    await manager.streams.update(this.#settings.name, verdict.update);
    return { kind: 'fit', warnings: [`stream ${this.#settings.name}: corrected ${verdict.fields.join(', ')}`] };
  }

  async #absent(manager: JetStreamManager): Promise<string> {
    const { name } = this.#settings;
    const others: string[] = [];
    // Whose user may not list them is told without.
    const listed = (async () => {
      for await (const stream of manager.streams.names('koi.>')) if (isEventStream(stream)) others.push(stream);
    })();
    await listed.catch(() => undefined);
    const there =
      others.length === 0 ? 'there is no stream of Koi' : `there is ${others.slice(0, 10).sort().join(', ')}`;
    return (
      `it has no stream ${name} for cluster '${this.#names.cluster}', ${there}; ` +
      'compare cluster and log.servers with those of the nodes'
    );
  }

  #access(): { readonly connection: NatsConnection; readonly manager: JetStreamManager } | undefined {
    const connection = this.#connection;
    const manager = this.#manager;
    if (connection === undefined || manager === undefined || !this.#prepared || this.#unfit !== undefined)
      return undefined;
    return { connection, manager };
  }

  async #openReader(
    manager: JetStreamManager,
    options: ReadOptions,
  ): Promise<{ lastSequence: number; reader: { messages: AsyncIterable<JsMsg>; close(): void } | undefined }> {
    try {
      const info = await manager.streams.info(this.#settings.name);
      const lastSequence = info.state.last_seq;
      const oldest = options.newest === undefined ? 1 : lastSequence - options.newest + 1;
      const from = Math.max(options.from ?? 1, oldest);
      if (info.state.messages === 0 || from > lastSequence) return { lastSequence, reader: undefined };
      const start =
        options.sinceMs === undefined
          ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, from) }
          : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(options.sinceMs).toISOString() };
      const filter = options.subjectFilter === undefined ? {} : { filter_subjects: options.subjectFilter };
      const consumer = await manager.jetstream().consumers.get(this.#settings.name, { ...start, ...filter });
      const { num_pending: pending } = await consumer.info(true);
      const messages = pending === 0 ? undefined : await consumer.consume({ max_messages: 500 });
      const close = (): void => {
        messages?.stop();
        // The server would keep it for minutes, and tell it of every event.
        consumer.delete().catch(() => undefined);
      };
      if (messages === undefined) close();
      return { lastSequence, reader: messages === undefined ? undefined : { messages, close } };
    } catch (error) {
      throw new KoiError(
        'unreachable',
        `cannot read stream ${this.#settings.name}: ${describeTrouble(error, this.#settings)}`,
        {
          cause: error,
        },
      );
    }
  }

  #stored(message: JsMsg): StoredEvent {
    return storedEvent(this.#names, {
      sequence: message.seq,
      subject: message.subject,
      storedAtMs: message.info.timestampNanos / 1e6,
      encoded: message.data,
    });
  }

  #unreachable(): KoiError {
    const { problem = 'not connected yet', state } = this.#status;
    const options = { remedy: 'check log.servers and that nats-server runs with JetStream' };
    return new KoiError('unreachable', `the event log cannot be read (${state}): ${problem}`, options);
  }

  #currentStatus(): LogStatus {
    const info = this.#connection?.info;
    const problem = this.#unfit ?? this.#trouble ?? this.#link.problem;
    let pending = 0;
    let lagging = false;
    for (const follower of this.#followers) {
      pending = Math.max(pending, follower.pending);
      lagging ||= follower.lagging;
    }
    return {
      state: this.#state(),
      ...(problem === undefined ? {} : { problem }),
      warnings: this.#mute === undefined ? this.#warnings : [...this.#warnings, this.#mute],
      ...(info === undefined
        ? {}
        : {
            server: {
              version: info.version,
              name: info.server_name,
              url: this.#connection?.getServer() ?? '',
              clustered: info.cluster !== undefined,
            },
          }),
      lagEvents: pending,
      lagging,
      reconnects: this.#link.reconnects,
    };
  }

  #state(): LogStatus['state'] {
    if (this.#closed) return 'stopped';
    if (this.#connection === undefined) return this.#prepared ? 'disconnected' : 'connecting';
    if (this.#unfit !== undefined) return 'unfit';
    if (this.#trouble === undefined && this.#prepared) return 'connected';
    return this.#prepared ? 'disconnected' : 'connecting';
  }

  #publishStatus(): void {
    const status = this.#currentStatus();
    // How far a reader is behind changes with each event: it is no time to write everything down.
    if (isSameStatus(status, this.#status)) return;
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }
}

function isSameStatus({ warnings, server, ...rest }: LogStatus, before: LogStatus): boolean {
  const keys = Object.keys({ problem: '', ...rest }) as (keyof typeof rest)[];
  return (
    keys.every((key) => rest[key] === before[key]) &&
    warnings.join('\n') === before.warnings.join('\n') &&
    (server === before.server || JSON.stringify(server) === JSON.stringify(before.server))
  );
}

const unavailable = (reason: UnavailableReason, maybeStored: boolean): AppendResult => ({
  kind: 'unavailable',
  reason,
  maybeStored,
});

/** The class is not exported; the name is. */
const isNotEnabled = (error: unknown): boolean => error instanceof Error && error.name === 'JetStreamNotEnabled';

const isStreamNotFound = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === streamNotFoundCode;

function judgeFailure(error: unknown): AppendResult {
  if (error instanceof TimeoutError) return unavailable('timeout', true);
  // The client's word for "no responders": nobody leads the stream just now, or there is none.
  if (isNotEnabled(error)) return unavailable('no_responders', false);
  if (error instanceof JetStreamApiError) {
    if (conflictCodes.includes(error.code)) return { kind: 'conflict' };
    if (error.code === tooLargeCode) return unavailable('too_large', false);
    // A server that fails within itself does not say how far the event has come.
    return unavailable('rejected', error.status >= 500);
  }
  const refused = error instanceof Error && /permissions violation/i.test(`${error.message} ${String(error.cause)}`);
  return refused ? unavailable('rejected', false) : unavailable('disconnected', true);
}

const tooFewServers = (replicas: number): string =>
  `fewer than ${Math.floor(replicas / 2) + 1} of the log's ${replicas} servers can be reached, or they are electing; start those that are down`;

/** As the leader sees its followers. */
function hasMajority(cluster: ClusterInfo | undefined, replicas: number): boolean {
  const followers = cluster?.replicas ?? [];
  const heard = followers.filter(({ offline, active }) => !offline && active / 1e6 < unheardAfterMs);
  return heard.length + 1 > replicas / 2;
}

function describeTrouble(error: unknown, settings: StreamSettings): string {
  if (isNotEnabled(error)) {
    return 'JetStream does not answer: it is off (start nats-server with -js) or has no leader at present';
  }
  if (error instanceof TimeoutError) {
    const silence = `JetStream does not answer within ${managementTimeoutMs} ms`;
    if (settings.replicas < 2) return silence;
    return `${silence}: ${tooFewServers(settings.replicas)}`;
  }
  if (error instanceof JetStreamApiError && error.code === replicasNeedClusterCode) {
    return `log.replicas is ${settings.replicas}, but this nats-server is not in a cluster; set log.replicas: 1 or cluster it`;
  }
  return `stream ${settings.name}: ${error instanceof Error ? error.message : String(error)}`;
}

async function withDeadline<T>(promise: Promise<T>, deadlineMs: number, stream: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new KoiError('timeout', `stream ${stream} was silent for ${deadlineMs} ms while being read`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
