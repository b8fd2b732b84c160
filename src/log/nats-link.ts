import { readFileSync } from 'node:fs';
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
} from '@nats-io/transport-node';
import { describeConnectFailure } from './connect-failure.js';
import { type NatsTls, tlsOptions } from './nats-tls.js';
import { StraySockets } from './stray-sockets.js';

/** Where the log is and who we are there. The same shape as the configuration's `log` section. */
export interface NatsOptions {
  /** `nats://host:port` or `tls://host:port`. */
  readonly servers: readonly string[];
  /** They are tried in this order, rather than in a random one. */
  readonly inOrder?: boolean;
  /** Shown by the server beside the connection: the node's name. */
  readonly name: string;
  readonly authentication: NatsAuthentication;
  readonly tls?: NatsTls | undefined;
}

/** Files are read anew at each connection, so that a renewed secret needs no restart. */
export type NatsAuthentication =
  | { readonly kind: 'none' }
  | { readonly kind: 'credentials'; readonly file: string }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'passwordFile'; readonly user: string; readonly file: string }
  | { readonly kind: 'token'; readonly token: string }
  /** File with the seed of a user nkey. */
  | { readonly kind: 'nkey'; readonly file: string };

export interface LinkListener {
  /** Called on every (re)connection. */
  onUp(connection: NatsConnection): void;
  onDown(reason: string): void;
}

const reconnectWaitMs = 250;
const reconnectJitterMs = 100;
const dialTimeoutMs = 1000;
/** TLS has a handshake after the dial. */
const strayAfterMs = 3 * dialTimeoutMs;

/**
 * A connection to NATS that is always there or being restored. `start` returns at once. The client's own defaults give
 * up after 10 attempts and notice a half-open link after 4 minutes; here it is never and 3 seconds.
 */
export class NatsLink {
  readonly #options: NatsOptions;
  readonly #listeners = new Set<LinkListener>();
  #connection: NatsConnection | undefined;
  #up = false;
  #closed = false;
  #problem: string | undefined;
  #reconnects = 0;
  #cancelWait: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #strays: StraySockets | undefined;

  constructor(options: NatsOptions) {
    this.#options = options;
  }

  /** The connection while it stands. */
  get connection(): NatsConnection | undefined {
    return this.#up ? this.#connection : undefined;
  }

  /** Why there is none, in words. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The servers that could be connected to, the one that is among them; none while there is no connection. */
  get servers(): readonly string[] {
    const { connection } = this;
    return connection === undefined ? [] : this.#known(connection);
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  get closed(): boolean {
    return this.#closed;
  }

  listen(listener: LinkListener): () => void {
    this.#listeners.add(listener);
    if (this.#up && this.#connection !== undefined) listener.onUp(this.#connection);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#strays ??= new StraySockets(strayAfterMs);
    this.#running ??= this.#run();
  }

  /** Ends the connection and the attempts to make one; returns when both are over. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelWait?.();
    await this.#connection?.close();
    await this.#running;
    this.#strays?.close();
  }

  /**
   * The first connection is made by this loop rather than by the client's `waitOnFirstConnect`, which cannot be called
   * off; the later ones by the client, which also knows the servers that the cluster has told it of.
   */
  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#live(await connect(this.#connectOptions()));
      } catch (error) {
        this.#down(describeConnectFailure(error));
      }
      if (!this.#closed) await this.#pause(reconnectWaitMs + Math.random() * reconnectJitterMs);
    }
  }

  async #live(connection: NatsConnection): Promise<void> {
    this.#connection = connection;
    if (this.#closed) {
      await connection.close();
      return;
    }
    // Until its first connection stands, the client forgets each server that it cannot reach.
    connection.setServers(this.#known(connection));
    this.#rise(connection);
    let lastError: Error | undefined;
    for await (const status of connection.status()) {
      switch (status.type) {
        case 'disconnect':
          this.#down(lastError === undefined ? 'the connection was lost' : describeConnectFailure(lastError));
          break;
        case 'staleConnection':
          lastError = new Error('the server no longer answers pings');
          break;
        case 'reconnect':
          lastError = undefined;
          this.#reconnects += 1;
          this.#rise(connection);
          break;
        case 'error':
          lastError = status.error;
          if (!this.#up) this.#problem = describeConnectFailure(status.error);
          break;
        default:
      }
    }
    const reason = await connection.closed();
    this.#down(reason instanceof Error ? describeConnectFailure(reason) : 'the connection was closed');
  }

  /** The configured servers, and those that the cluster has told of. */
  #known(connection: NatsConnection): string[] {
    const { servers } = this.#options;
    const told = connection.getServers().filter(({ gossiped }) => gossiped);
    return [
      ...servers,
      ...told.map(({ listen }) => listen).filter((listen) => !servers.some((url) => url.endsWith(`//${listen}`))),
    ];
  }

  #rise(connection: NatsConnection): void {
    this.#up = true;
    this.#problem = undefined;
    for (const listener of this.#listeners) listener.onUp(connection);
  }

  #down(reason: string): void {
    const changed = this.#up || this.#problem !== reason;
    this.#up = false;
    this.#problem = reason;
    if (!changed) return;
    for (const listener of this.#listeners) listener.onDown(reason);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#cancelWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #connectOptions(): Parameters<typeof connect>[0] {
    const { servers, name } = this.#options;
    const tls = tlsOptions(servers, this.#options.tls);
    return {
      servers: [...servers],
      noRandomize: this.#options.inOrder === true,
      name,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: reconnectWaitMs,
      reconnectJitter: reconnectJitterMs,
      reconnectJitterTLS: reconnectJitterMs,
      // Without it the client closes for good when authentication fails twice, e.g. while an account is being changed.
      ignoreAuthErrorAbort: true,
      pingInterval: 1000,
      maxPingOut: 2,
      timeout: dialTimeoutMs,
      noAsyncTraces: true,
      ...(tls === undefined ? {} : { tls }),
      ...authenticationOptions(this.#options.authentication),
    };
  }
}

function authenticationOptions(authentication: NatsAuthentication): {
  authenticator?: Authenticator;
  user?: string;
  pass?: string;
  token?: string;
} {
  switch (authentication.kind) {
    case 'none':
      return {};
    case 'token':
      return { token: authentication.token };
    case 'password':
      return { user: authentication.user, pass: authentication.password };
    case 'passwordFile': {
      const { user, file } = authentication;
      return { authenticator: () => ({ user, pass: readFileSync(file, 'utf8').trimEnd() }) };
    }
    case 'credentials':
      return { authenticator: credsAuthenticator(() => readFileSync(authentication.file)) };
    case 'nkey':
      return { authenticator: nkeyAuthenticator(() => Buffer.from(readFileSync(authentication.file, 'utf8').trim())) };
  }
}
