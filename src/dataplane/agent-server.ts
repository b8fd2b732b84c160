import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { failpoints } from '../failpoint.js';
import { isAwaited } from '../ipc/awaited.js';
import { type LineChannel, openLineChannel } from '../ipc/line-channel.js';
import { type KeptMessage, protocolVersion, type ToAgent, type ToDataplane, toDataplane } from '../ipc/protocol.js';
import { claimSocketPath } from '../ipc/socket-path.js';
import { KoiError } from '../koi-error.js';

/** Messages kept while the agent is away. Beyond that the oldest observations go first. */
const keptMax = 10_000;
/**
 * Observations sent and not yet taken: more at once could be more than the connection holds. Releases do not count: they
 * are small, and the agent takes them only when the log has.
 */
const untakenMax = 256;
/** What is only observed waits so long: what happens at the same time, and others wait for, is told first. */
const observationsAfterMs = 20;
/** One agent, one on its way out, one that is refused, and a margin. */
const connectionsMax = 8;
/** Whoever has not said hello by then does not keep one of the connections. */
const helloDeadlineMs = 1000;

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
  /** The first number that the present agent has not been sent; but for the releases, which go before. */
  #next = 1;
  readonly #ahead = new Set<number>();
  #isEnding = false;
  #observationsDue: NodeJS.Timeout | undefined;
  #untaken = 0;
  #dropped = 0;
  #lastRefusal = '';
  #onEmpty: (() => void)[] = [];

  private constructor(options: AgentServerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on('connection', (socket) => this.#accept(socket));
  }

  static async listen(options: AgentServerOptions): Promise<AgentServer> {
    await claimSocketPath('dataplane', options.path);
    const server = createServer();
    server.maxConnections = connectionsMax;
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

  /**
   * Sends a message that must arrive, now or when the next agent comes: a release at once, since others wait for it to be in
   * the log; what is only observed a moment later, and behind the releases.
   */
  keep(news: KeptNews): void {
    this.#number += 1;
    const message = { ...news, number: this.#number } as KeptMessage;
    if (this.#kept.size >= keptMax) this.#dropOldest();
    this.#kept.set(message.number, message);
    if (message.type === 'released') this.#sendAhead(message);
    else this.#sendSoon();
  }

  /** From now on nothing waits. Resolves true once the agent has taken everything, false after the deadline or without an agent. */
  drained(deadlineMs: number): Promise<boolean> {
    this.#isEnding = true;
    if (this.#kept.size === 0) return Promise.resolve(true);
    if (!this.up) return Promise.resolve(false);
    this.#sendKept();
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), deadlineMs);
      this.#onEmpty.push(() => {
        clearTimeout(timer);
        resolve(this.#kept.size === 0);
      });
    });
  }

  close(): void {
    clearTimeout(this.#observationsDue);
    this.#server.close();
    this.#channel?.close();
    this.#channel = undefined;
    rmSync(this.#options.path, { force: true });
  }

  #accept(socket: Socket): void {
    const impatience = setTimeout(() => socket.destroy(), helloDeadlineMs);
    const channel: LineChannel<ToAgent> = openLineChannel<ToDataplane, ToAgent>({
      socket,
      schema: toDataplane,
      isAwaited,
      onMessage: (message) => {
        if (message.type === 'hello') clearTimeout(impatience);
        this.#receive(message, channel);
      },
      onClose: (cause) => {
        clearTimeout(impatience);
        this.#closed(channel, cause);
      },
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
      this.#refuse(`an agent of node ${hello.node}, protocol ${hello.protocol}, was refused`, mine.node);
      return;
    }
    this.#lastRefusal = '';
    this.#channel?.close();
    this.#channel = channel;
    const [oldest = this.#number + 1] = this.#kept.keys();
    this.#next = oldest;
    this.#untaken = 0;
    this.#ahead.clear();
    for (const message of this.#kept.values()) if (message.type === 'released') this.#sendAhead(message);
    this.#sendKept();
    this.#options.onUp();
  }

  /** Tells of it once: the one that was refused comes again and again. */
  #refuse(message: string, node: string): void {
    if (message === this.#lastRefusal) return;
    this.#lastRefusal = message;
    const remedy = `run the agent of this release, with the configuration of node ${node}`;
    this.#options.onRefused(new KoiError('protocol', message, { remedy }));
  }

  #closed(channel: LineChannel<ToAgent>, cause: KoiError | undefined): void {
    if (channel !== this.#channel) return;
    this.#channel = undefined;
    this.#tellEmpty();
    this.#options.onDown(cause);
  }

  #sendAhead(message: KeptMessage): void {
    if (this.#channel === undefined) return;
    this.#ahead.add(message.number);
    this.#channel.send(message);
  }

  #sendSoon(): void {
    // Whoever is stopped at a failpoint has told what it did.
    if (this.#isEnding || failpoints !== undefined) {
      this.#sendKept();
      return;
    }
    this.#observationsDue ??= setTimeout(() => {
      this.#observationsDue = undefined;
      this.#sendKept();
    }, observationsAfterMs);
  }

  #sendKept(): void {
    while (this.#channel !== undefined && this.#untaken < untakenMax && this.#next <= this.#number) {
      const message = this.#kept.get(this.#next);
      this.#next += 1;
      if (message === undefined || this.#ahead.delete(message.number)) continue;
      this.#untaken += 1;
      this.#channel.send(message);
    }
  }

  #taken(number: number): void {
    this.#remove(number);
    if (this.#kept.size === 0) this.#tellEmpty();
    else this.#sendSoon();
  }

  #remove(number: number): void {
    const message = this.#kept.get(number);
    this.#kept.delete(number);
    this.#ahead.delete(number);
    if (message !== undefined && message.type !== 'released' && number < this.#next) this.#untaken -= 1;
  }

  #tellEmpty(): void {
    const told = this.#onEmpty;
    this.#onEmpty = [];
    for (const tell of told) tell();
  }

  /** A release is worth more than anything else that is kept, so it goes only where there is nothing else. */
  #dropOldest(): void {
    let victim: number | undefined;
    for (const [number, { type }] of this.#kept) {
      victim ??= number;
      if (type === 'released') continue;
      victim = number;
      break;
    }
    if (victim === undefined) return;
    this.#remove(victim);
    this.#dropped += 1;
  }
}
