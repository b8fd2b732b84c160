import { KoiError } from '../koi-error.js';
import type { KoiEvent } from './event.js';
import { JetStreamAppends } from './jetstream-appends.js';
import { JetStreamFollower } from './jetstream-follower.js';
import { readStream } from './jetstream-reader.js';
import type { SteeredStream } from './leader-steering.js';
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
} from './port.js';
import { rehearseEvents } from './rehearsal.js';
import { ServerSurvey } from './server-survey.js';
import { steeredStream } from './steered-stream.js';
import { type StreamAccess, StreamKeeper } from './stream-keeper.js';
import { eventStream, leaseStream, type StreamSettings } from './stream-settings.js';
import { type LogNames, logNames } from './subjects.js';

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

/** One stream as an event log: what is kept, appended, read and followed of it, and how all that stands. */
class JetStreamLog implements EventLog {
  readonly steered: SteeredStream;
  readonly #link: NatsLink;
  readonly #names: LogNames;
  readonly #settings: StreamSettings;
  readonly #keeper: StreamKeeper;
  readonly #appends: JetStreamAppends;
  readonly #followers = new Set<JetStreamFollower>();
  readonly #listeners = new Set<(status: LogStatus) => void>();
  readonly #stopListening: () => void;
  #status: LogStatus;

  constructor(link: NatsLink, survey: ServerSurvey, names: LogNames, settings: StreamSettings, readOnly: boolean) {
    this.#link = link;
    this.#names = names;
    this.#settings = settings;
    this.#keeper = new StreamKeeper({
      names,
      settings,
      readOnly,
      othersVerdict: () => survey.verdict,
      isUnanswered: () => this.#appends.isUnanswered,
      onChange: () => this.#publishStatus(),
      onFit: () => this.#attachFollowers(),
    });
    const keeper = this.#keeper;
    this.#appends = new JetStreamAppends({ names, settings, keeper, onChange: () => this.#publishStatus() });
    this.steered = steeredStream(settings.name, () => this.#access());
    this.#status = this.#currentStatus();
    this.#stopListening = link.listen({
      onUp: (connection) => keeper.up(connection),
      onDown: () => this.#down(),
    });
  }

  append(event: KoiEvent, options: AppendOptions): Promise<AppendResult> {
    const known = [...this.#followers].map((follower) => [follower, follower.known] as const);
    return this.#appends.append(event, options, (sequence) => {
      for (const [follower, knownBefore] of known) follower.acknowledge(sequence, knownBefore);
    });
  }

  async *read(options: ReadOptions): AsyncIterable<StoredEvent> {
    const { manager } = this.#access();
    yield* readStream({ names: this.#names, settings: this.#settings, manager }, options);
  }

  follow(options: FollowOptions): Follower {
    const follower: JetStreamFollower = new JetStreamFollower(
      {
        names: this.#names,
        settings: this.#settings,
        access: () => this.#keeper.access,
        onTrouble: () => void this.#keeper.look(),
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

  /** Another of the servers was found unfit, in doubt, or well again. */
  judgeAgain(): void {
    this.#keeper.lookAgain();
  }

  close(): void {
    this.#keeper.close();
    this.#stopListening();
    for (const follower of [...this.#followers]) follower.stop();
    this.#down();
  }

  #down(): void {
    this.#keeper.down();
    this.#appends.cutOff();
    this.#publishStatus();
  }

  #attachFollowers(): void {
    for (const follower of this.#followers) void follower.attach();
  }

  #access(): StreamAccess {
    const { access } = this.#keeper;
    if (access !== undefined) return access;
    const { problem = 'not connected yet', state } = this.#status;
    const options = { remedy: 'check log.servers and that nats-server runs with JetStream' };
    throw new KoiError('unreachable', `the event log cannot be read (${state}): ${problem}`, options);
  }

  #currentStatus(): LogStatus {
    const { connection, unfit, trouble, warnings, state } = this.#keeper;
    const { mute } = this.#appends;
    const info = connection?.info;
    const problem = unfit ?? trouble ?? this.#link.problem;
    let pending = 0;
    let lagging = false;
    for (const follower of this.#followers) {
      pending = Math.max(pending, follower.pending);
      lagging ||= follower.lagging;
    }
    return {
      state,
      ...(problem === undefined ? {} : { problem }),
      warnings: mute === undefined ? warnings : [...warnings, mute],
      ...(info === undefined
        ? {}
        : {
            server: {
              version: info.version,
              name: info.server_name,
              url: connection?.getServer() ?? '',
              clustered: info.cluster !== undefined,
            },
          }),
      lagEvents: pending,
      lagging,
      reconnects: this.#link.reconnects,
    };
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
