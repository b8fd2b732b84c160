import { type JetStreamClient, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { KoiError } from '../koi-error.js';
import {
  describeTrouble,
  hasMajority,
  isStreamNotFound,
  managementTimeoutMs,
  tooFewServers,
} from './jetstream-trouble.js';
import type { LogStatus } from './port.js';
import type { SurveyVerdict } from './server-survey.js';
import { judgeServer } from './server-version.js';
import { desiredConfig, judgeStream, type StreamSettings } from './stream-settings.js';
import { isEventStream, type LogNames } from './subjects.js';

const prepareRetryMs = 500;

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

/** A connection with the client's interfaces to it, while there is one. */
export interface StreamAccess {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** The manager's own: making one costs as much as a publication. */
  readonly publisher: JetStreamClient;
}

export interface StreamKeeperOptions {
  readonly names: LogNames;
  readonly settings: StreamSettings;
  /** A stream that is not there is a fault, and one that is stays as it is. */
  readonly readOnly: boolean;
  /** Of all the servers that are known of. */
  readonly othersVerdict: () => SurveyVerdict;
  /** Nothing that is appended is confirmed: a leader that answers may have lost its followers. */
  readonly isUnanswered: () => boolean;
  readonly onChange: () => void;
  /** The stream has been found fit, or fit again. */
  readonly onFit: () => void;
}

/** Sees that the stream is there, and fit for what is promised with it, on the connection that there is. */
export class StreamKeeper {
  readonly #options: StreamKeeperOptions;
  #connection: NatsConnection | undefined;
  #client: Omit<StreamAccess, 'connection'> | undefined;
  /** The stream was found fit on some connection; appends need not wait for it to be looked at again. */
  #isPrepared = false;
  #unfit: string | undefined;
  #trouble: string | undefined;
  #warnings: readonly string[] = [];
  /** Counts the connections' comings and goings: the client keeps one object across its reconnects. */
  #epoch = 0;
  /** The epoch in which the stream is being looked at. */
  #preparing: number | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: StreamKeeperOptions) {
    this.#options = options;
  }

  get connection(): NatsConnection | undefined {
    return this.#connection;
  }

  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** Why the server or the stream cannot keep the promises. */
  get unfit(): string | undefined {
    return this.#unfit;
  }

  /** Why it is not known how they are. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  get state(): LogStatus['state'] {
    if (this.#isClosed) return 'stopped';
    if (this.#connection === undefined) return this.#isPrepared ? 'disconnected' : 'connecting';
    if (this.#unfit !== undefined) return 'unfit';
    if (this.#trouble === undefined && this.#isPrepared) return 'connected';
    return this.#isPrepared ? 'disconnected' : 'connecting';
  }

  /** For reading and managing: while the stream is fit. */
  get access(): StreamAccess | undefined {
    return this.#isPrepared && this.#unfit === undefined ? this.client : undefined;
  }

  /** The client on the connection, whatever the stream is like. */
  get client(): StreamAccess | undefined {
    const connection = this.#connection;
    return connection === undefined || this.#client === undefined ? undefined : { connection, ...this.#client };
  }

  up(connection: NatsConnection): void {
    this.#connection = connection;
    this.#epoch += 1;
    this.lookAgain();
  }

  down(): void {
    this.#connection = undefined;
    this.#client = undefined;
    this.#epoch += 1;
    clearTimeout(this.#retry);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
  }

  /** An acknowledged append proves more than any look at the stream, which may still wait for a leader that is gone. */
  recovered(): void {
    this.#trouble = undefined;
    this.#options.onFit();
    this.#options.onChange();
  }

  /** Looks at server and stream, and says so if they are fit. */
  lookAgain(): void {
    void this.look().then((isFit) => {
      if (isFit) this.#options.onFit();
    });
  }

  /**
   * Looks at server and stream, makes or mends the stream; repeats by itself until both are fit or the link is gone.
   * True where they have been found fit by this call. An answer that belongs to a former connection counts for nothing.
   */
  async look(): Promise<boolean> {
    const connection = this.#connection;
    const epoch = this.#epoch;
    if (connection === undefined || this.#preparing === epoch || this.#isClosed) return false;
    this.#preparing = epoch;
    clearTimeout(this.#retry);
    const found = await this.#inspect(connection, epoch);
    if (epoch !== this.#epoch) return false;
    this.#preparing = undefined;
    // Looked at last: what is found out while the stream is looked at finds nobody to judge again.
    const verdict = withOthers(found, this.#options.othersVerdict());
    this.#unfit = verdict.kind === 'unfit' ? verdict.problem : undefined;
    this.#trouble = verdict.kind === 'trouble' ? verdict.problem : undefined;
    if (verdict.kind === 'fit') this.#isPrepared = true;
    else this.#retry = setTimeout(() => this.lookAgain(), prepareRetryMs);
    if (verdict.kind !== 'trouble') this.#warnings = verdict.warnings;
    this.#options.onChange();
    return verdict.kind === 'fit';
  }

  async #inspect(connection: NatsConnection, epoch: number): Promise<Verdict> {
    try {
      const { info } = connection;
      const server = judgeServer({ version: info?.version ?? '', clustered: info?.cluster !== undefined });
      const warnings = server.warning === undefined ? [] : [server.warning];
      if (server.unfit !== undefined) return { kind: 'unfit', problem: server.unfit, warnings };
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: managementTimeoutMs });
      if (epoch === this.#epoch) this.#client = { manager, publisher: manager.jetstream() };
      const stream = await this.#obtainStream(manager);
      if (stream.kind === 'unfit') return { ...stream, warnings };
      return { kind: 'fit', warnings: [...warnings, ...stream.warnings] };
    } catch (error) {
      return { kind: 'trouble', problem: describeTrouble(error, this.#options.settings) };
    }
  }

  async #obtainStream(
    manager: JetStreamManager,
  ): Promise<{ kind: 'fit'; warnings: readonly string[] } | { kind: 'unfit'; problem: string }> {
    const { settings, readOnly, isUnanswered } = this.#options;
    const existing = await manager.streams.info(settings.name).catch((error: unknown) => {
      if (isStreamNotFound(error)) return undefined;
      throw error;
    });
    if (existing === undefined && readOnly) return { kind: 'unfit', problem: await this.#absent(manager) };
    if (existing === undefined) {
      await manager.streams.add(desiredConfig(settings));
      return { kind: 'fit', warnings: [] };
    }
    if (isUnanswered() && !hasMajority(existing.cluster, settings.replicas)) {
      throw new KoiError('unreachable', tooFewServers(settings.replicas));
    }
    const verdict = judgeStream(existing.config, settings);
    if (verdict.kind !== 'mend') return verdict;
    if (readOnly) return { kind: 'fit', warnings: [] };
    await manager.streams.update(settings.name, verdict.update);
    return { kind: 'fit', warnings: [`stream ${settings.name}: corrected ${verdict.fields.join(', ')}`] };
  }

  async #absent(manager: JetStreamManager): Promise<string> {
    const { names, settings } = this.#options;
    const others: string[] = [];
    // Whose user may not list them is told without.
    const listed = (async () => {
      for await (const stream of manager.streams.names('koi.>')) if (isEventStream(stream)) others.push(stream);
    })();
    await listed.catch(() => undefined);
    const there =
      others.length === 0 ? 'there is no stream of Koi' : `there is ${others.slice(0, 10).sort().join(', ')}`;
    return (
      `it has no stream ${settings.name} for cluster '${names.cluster}', ${there}; ` +
      'compare cluster and log.servers with those of the nodes'
    );
  }
}
