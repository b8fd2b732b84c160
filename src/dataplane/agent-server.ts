import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { type LineChannel, openLineChannel } from '../ipc/line-channel.js';
import { type KeptMessage, protocolVersion, type ToAgent, type ToDataplane, toDataplane } from '../ipc/protocol.js';
import { claimSocketPath } from '../ipc/socket-path.js';
import { KoiError } from '../koi-error.js';

/** Messages kept while the agent is away. Beyond that the oldest observations go, and their number is reported. */
const keptMax = 10_000;

type Hello = Extract<ToAgent, { type: 'hello' }>;
type WithoutNumber<T> = T extends unknown ? Omit<T, 'number'> : never;
export type KeptNews = WithoutNumber<KeptMessage>;

export interface AgentServerOptions {
  readonly path: string;
  readonly hello: () => Hello;
  readonly onMessage: (message: Exclude<ToDataplane, { type: 'hello' | 'taken' }>) => void;
  readonly onUp: () => void;
  readonly onDown: (cause: KoiError | undefined) => void;
  readonly onRefused: (cause: KoiError) => void;
}

/**
 * The dataplane's end of the connection to the agent. One agent at a time: a new one replaces the old, which is dead or
 * about to be. Nothing here can make the dataplane wait.
 */
export class AgentServer {
  readonly #options: AgentServerOptions;
  readonly #server: Server;
  readonly #kept = new Map<number, KeptMessage>();
  #channel: LineChannel<ToAgent> | undefined;
  #number = 0;
  #dropped = 0;
  #onEmpty: (() => void)[] = [];

  private constructor(options: AgentServerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on('connection', (socket) => this.#accept(socket));
  }

  static async listen(options: AgentServerOptions): Promise<AgentServer> {
    await claimSocketPath('dataplane', options.path);
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(new KoiError('config', `cannot listen on ${options.path}: ${cause.message}`, { cause }));
      });
      server.listen(options.path, resolve);
    });
    chmodSync(options.path, 0o660);
    return new AgentServer(options, server);
  }

  get up(): boolean {
    return this.#channel !== undefined;
  }

  /** Messages given up because the agent stayed away for too long. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Sends a message that is of no use later; false without an agent. */
  send(message: Exclude<ToAgent, KeptMessage | Hello>): boolean {
    return this.#channel?.send(message) ?? false;
  }

  /** Sends a message that must arrive: now, or when the next agent comes. */
  keep(news: KeptNews): void {
    this.#number += 1;
    const message = { ...news, number: this.#number } as KeptMessage;
    if (this.#kept.size >= keptMax) this.#dropOldest();
    this.#kept.set(message.number, message);
    this.#channel?.send(message);
  }

  /** Resolves true once the agent has taken everything, false after the deadline or without an agent. */
  drained(deadlineMs: number): Promise<boolean> {
    if (this.#kept.size === 0) return Promise.resolve(true);
    if (!this.up) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), deadlineMs);
      this.#onEmpty.push(() => {
        clearTimeout(timer);
        resolve(this.#kept.size === 0);
      });
    });
  }

  close(): void {
    this.#server.close();
    this.#channel?.close();
    this.#channel = undefined;
    rmSync(this.#options.path, { force: true });
  }

  #accept(socket: Socket): void {
    const channel: LineChannel<ToAgent> = openLineChannel<ToDataplane, ToAgent>({
      socket,
      schema: toDataplane,
      onMessage: (message) => this.#receive(message, channel),
      onClose: (cause) => this.#closed(channel, cause),
    });
  }

  #receive(message: ToDataplane, channel: LineChannel<ToAgent>): void {
    if (message.type === 'hello') {
      this.#greet(message, channel);
      return;
    }
    if (channel !== this.#channel) return;
    if (message.type === 'taken') this.#taken(message.number);
    else this.#options.onMessage(message);
  }

  #greet(hello: Extract<ToDataplane, { type: 'hello' }>, channel: LineChannel<ToAgent>): void {
    const mine = this.#options.hello();
    channel.send(mine);
    if (hello.protocol !== protocolVersion || hello.node !== mine.node) {
      channel.close();
      this.#options.onRefused(
        new KoiError('protocol', `an agent of node ${hello.node}, protocol ${hello.protocol}, was refused`, {
          remedy: `run the agent of this release, with the configuration of node ${mine.node}`,
        }),
      );
      return;
    }
    this.#channel?.close();
    this.#channel = channel;
    for (const message of this.#kept.values()) channel.send(message);
    this.#options.onUp();
  }

  #closed(channel: LineChannel<ToAgent>, cause: KoiError | undefined): void {
    if (channel !== this.#channel) return;
    this.#channel = undefined;
    this.#tellEmpty();
    this.#options.onDown(cause);
  }

  #taken(number: number): void {
    this.#kept.delete(number);
    if (this.#kept.size === 0) this.#tellEmpty();
  }

  #tellEmpty(): void {
    const told = this.#onEmpty;
    this.#onEmpty = [];
    for (const tell of told) tell();
  }

  #dropOldest(): void {
    for (const [number, message] of this.#kept) {
      if (message.type === 'released') continue;
      this.#kept.delete(number);
      this.#dropped += 1;
      return;
    }
  }
}
