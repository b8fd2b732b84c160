import { connect } from 'node:net';
import { openLineChannel } from '../ipc/line-channel.js';
import { type LogServerMessage, logServerMessage } from '../ipc/log-server-message.js';
import type { Check } from '../observe/status.js';

const retryMs = 500;
/** A server that is being started, with everything else on the node, is no alarm yet. */
const patienceMs = 5_000;

export interface LogServerWatchOptions {
  /** The socket of `koi log-server`. */
  readonly path: string;
  /** It does not serve, and why; told once until it serves again. */
  readonly onDown: (why: string) => void;
  readonly onUp: (outageMs: number) => void;
  readonly onChange: (server: { readonly up: boolean; readonly restarts: number }) => void;
}

/** How the nats-server of this node is, as its keeper tells; the keeper's own absence is found too. */
export class LogServerWatch {
  readonly #options: LogServerWatchOptions;
  #last: LogServerMessage | undefined;
  #close: () => void = () => undefined;
  #retry: NodeJS.Timeout | undefined;
  #alarm: NodeJS.Timeout | undefined;
  #downSinceMs: number | undefined;
  #told = false;
  #stopped = false;

  constructor(options: LogServerWatchOptions) {
    this.#options = options;
    this.#judge();
    this.#connect();
  }

  get serving(): boolean {
    return this.#last?.state === 'serving';
  }

  /** One line for `koi status`, where there is something to say. */
  get notice(): string | undefined {
    return this.#told ? `this node's nats-server does not serve: ${this.#why()}` : undefined;
  }

  /** Its part of `/readyz`. A node serves virtual IPs without it as long as the log can be reached, or is not needed. */
  check(mayWithout: boolean): Check {
    const { version = null, pid = null, restarts = 0 } = this.#last ?? {};
    const detail = this.serving ? `serves: ${version}, process ${pid}, restarted ${restarts} times` : this.#why();
    return { name: 'log server', ok: this.serving || mayWithout, detail };
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#alarm);
    this.#close();
  }

  #connect(): void {
    const channel = openLineChannel<LogServerMessage, never>({
      socket: connect(this.#options.path),
      schema: logServerMessage,
      onMessage: (message) => {
        this.#last = message;
        this.#judge();
      },
      onClose: () => {
        this.#last = undefined;
        if (this.#stopped) return;
        this.#judge();
        this.#retry = setTimeout(() => this.#connect(), retryMs);
      },
    });
    this.#close = () => channel.close();
  }

  #judge(): void {
    this.#options.onChange({ up: this.serving, restarts: this.#last?.restarts ?? 0 });
    if (this.serving) {
      clearTimeout(this.#alarm);
      this.#alarm = undefined;
      if (this.#told) this.#options.onUp(performance.now() - (this.#downSinceMs ?? 0));
      this.#told = false;
      this.#downSinceMs = undefined;
      return;
    }
    this.#downSinceMs ??= performance.now();
    if (this.#told) return;
    // What has ended or fallen silent is told at once; a beginning, or a keeper that is being restarted, is given time.
    const isDead = ['down', 'silent', 'failing'].includes(this.#last?.state ?? '');
    if (isDead) this.#tell();
    else this.#alarm ??= setTimeout(() => this.#tell(), patienceMs);
  }

  #tell(): void {
    clearTimeout(this.#alarm);
    this.#alarm = undefined;
    this.#told = true;
    this.#options.onDown(this.#why());
  }

  #why(): string {
    if (this.#last === undefined) return 'nobody runs it: start `koi log-server`, which koi run does by itself';
    return this.#last.problem ?? `it is ${this.#last.state}`;
  }
}
