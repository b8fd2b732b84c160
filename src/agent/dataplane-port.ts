import { connect } from 'node:net';
import { isAwaited } from '../ipc/awaited.js';
import { type LineChannel, openLineChannel, type UnreadLine } from '../ipc/line-channel.js';
import { protocolVersion, type ToAgent, type ToDataplane, toAgent } from '../ipc/protocol.js';
import { KoiError } from '../koi-error.js';

const retryMs = 100;
const connectTimeoutMs = 1000;

export interface DataplanePortOptions {
  readonly path: string;
  readonly node: string;
  readonly onMessage: (message: ToAgent) => void;
  /** One of the snapshots, which come all the time: it is checked when somebody reads it. */
  readonly onSnapshot: (line: UnreadLine<ToAgent>) => void;
  readonly onUp: () => void;
  /** The connection was up and is gone. */
  readonly onDown: (cause: KoiError | undefined) => void;
  /** The dataplane cannot be talked to, and why; told once for each cause. */
  readonly onTrouble: (error: KoiError) => void;
}

/** The agent's end of the connection to the dataplane: restored for as long as the agent lives. */
export class DataplanePort {
  readonly #options: DataplanePortOptions;
  #channel: LineChannel<ToDataplane> | undefined;
  #greeted = false;
  #stopped = false;
  #retry: NodeJS.Timeout | undefined;
  #lastTrouble = '';

  constructor(options: DataplanePortOptions) {
    this.#options = options;
  }

  /** Connects now, and again whenever that fails or ends. */
  start(): void {
    this.#connect();
  }

  /** Both ends have said hello. */
  get up(): boolean {
    return this.#greeted;
  }

  send(message: ToDataplane): boolean {
    return this.#greeted && (this.#channel?.send(message) ?? false);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#channel?.close();
    this.#channel = undefined;
    this.#greeted = false;
  }

  #connect(): void {
    const socket = connect(this.#options.path);
    socket.setTimeout(connectTimeoutMs, () => socket.destroy(new Error('no answer')));
    const channel = openLineChannel<ToAgent, ToDataplane>({
      socket,
      schema: toAgent,
      isAwaited,
      onMessage: (message) => this.#receive(message, channel),
      onClose: (cause) => this.#closed(cause),
      unread: {
        start: '{"type":"snapshot",',
        onLine: (line) => {
          if (this.#greeted) this.#options.onSnapshot(line);
        },
      },
    });
    this.#channel = channel;
    socket.once('connect', () => {
      socket.setTimeout(0);
      channel.send({ type: 'hello', protocol: protocolVersion, node: this.#options.node, pid: process.pid });
    });
  }

  #receive(message: ToAgent, channel: LineChannel<ToDataplane>): void {
    if (message.type !== 'hello') {
      if (this.#greeted) this.#options.onMessage(message);
      return;
    }
    const refusal = this.#refusal(message);
    if (refusal !== undefined) {
      channel.close();
      this.#channel = undefined;
      this.#tellTrouble(refusal);
      this.#connectLater();
      return;
    }
    this.#greeted = true;
    this.#lastTrouble = '';
    this.#options.onUp();
    this.#options.onMessage(message);
  }

  #refusal(hello: Extract<ToAgent, { type: 'hello' }>): KoiError | undefined {
    if (hello.protocol !== protocolVersion) {
      return new KoiError(
        'protocol',
        `the dataplane speaks protocol ${hello.protocol}, this agent ${protocolVersion}`,
        {
          remedy: 'install the same release for both and restart the dataplane at a quiet moment',
        },
      );
    }
    if (hello.node !== this.#options.node) {
      return new KoiError(
        'protocol',
        `the dataplane at ${this.#options.path} is node ${hello.node}, this agent ${this.#options.node}`,
        {
          remedy: 'give each node its own control socket',
        },
      );
    }
    return undefined;
  }

  #closed(cause: KoiError | undefined): void {
    const wasUp = this.#greeted;
    this.#greeted = false;
    this.#channel = undefined;
    if (this.#stopped) return;
    if (wasUp) this.#options.onDown(cause);
    else if (cause !== undefined) this.#tellTrouble(cause);
    this.#connectLater();
  }

  #connectLater(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), retryMs);
  }

  #tellTrouble(error: KoiError): void {
    if (error.message === this.#lastTrouble) return;
    this.#lastTrouble = error.message;
    this.#options.onTrouble(error);
  }
}
