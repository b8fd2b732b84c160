import type { KoiEvent } from '../log/event.js';
import type { MemoryLog } from '../log/memory.js';
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  Follower,
  FollowOptions,
  LogStatus,
  ReadOptions,
  StoredEvent,
} from '../log/port.js';
import type { Lane } from './lane.js';
import type { NodeLink } from './node-link.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

/** Silence of a stream after which nothing it says counts as fresh, looked at twice a second. */
const laggingAfterMs = [2500, 3000] as const;
const speaksAfterMs = [1, 500] as const;

/** Longer than anybody waits: the answer in the inner log never times out by itself. */
const patientMs = 600_000;

const connected: LogStatus = { state: 'connected', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };

/** One stream of the log as one node has it, over its connection. */
export class NodeLog implements EventLog {
  readonly #inner: MemoryLog;
  readonly #link: NodeLink;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #listeners = new Set<(status: LogStatus) => void>();
  readonly #pending = new Set<(result: AppendResult) => void>();
  #status: LogStatus = connected;
  #isSilent = false;
  /** What the stream delivers comes over a replica of its own, which may be behind the one that acknowledges. */
  readonly #deliveries: Lane;
  #isOpen = true;
  #callOffLag: () => void = () => undefined;
  /** The stream has no leader, and the server says so at once. */
  refusing = false;
  /** How far what is delivered lies behind what is acknowledged. */
  behindMs = 0;

  constructor(inner: MemoryLog, link: NodeLink, time: VirtualTime, random: Random) {
    this.#inner = inner;
    this.#link = link;
    this.#time = time;
    this.#random = random;
    this.#deliveries = link.newLane(() => this.behindMs);
    link.watch(() => this.#linkChanged());
  }

  /** Appends are answered and events arrive, in good time. */
  get isWell(): boolean {
    return this.#link.isWell && !this.refusing && !this.#status.lagging;
  }

  append(event: KoiEvent, options: AppendOptions): Promise<AppendResult> {
    this.#time.stir();
    if (this.#status.state !== 'connected') {
      return Promise.resolve({ kind: 'unavailable', reason: 'not_connected', maybeStored: false });
    }
    return new Promise((resolve) => {
      const finish = (result: AppendResult): void => {
        if (!this.#pending.delete(finish)) return;
        callOff();
        this.#time.stir();
        resolve(result);
      };
      this.#pending.add(finish);
      const callOff = this.#time.after(options.deadlineMs, () =>
        this.#link.inProcess(() => finish({ kind: 'unavailable', reason: 'timeout', maybeStored: true })),
      );
      this.#link.requests.send(() => {
        if (this.refusing) {
          this.#link.answer(() => finish({ kind: 'unavailable', reason: 'no_responders', maybeStored: false }));
          return;
        }
        this.#time.stir();
        const stored = this.#inner.append(event, { ...options, deadlineMs: patientMs });
        void stored.then((result) => this.#link.answer(() => finish(result)));
      });
    });
  }

  read(options: ReadOptions): AsyncIterable<StoredEvent> {
    return this.#inner.read(options);
  }

  follow(options: FollowOptions): Follower {
    let isStopped = false;
    const deliver = (action: () => void): void =>
      this.#deliveries.send(() =>
        this.#link.inProcess(() => {
          if (!isStopped) action();
        }),
      );
    const follower = this.#inner.follow({
      from: options.from,
      onEvent: (stored) => deliver(() => options.onEvent(stored)),
      onCaughtUp: () => deliver(() => options.onCaughtUp?.()),
      onGap: (gap) => deliver(() => options.onGap?.(gap)),
    });
    return {
      get position() {
        return follower.position;
      },
      stop: () => {
        isStopped = true;
        follower.stop();
      },
    };
  }

  watch(listener: (status: LogStatus) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#status);
    return () => this.#listeners.delete(listener);
  }

  /** The process that used the connection is gone: nobody waits for anything any more. */
  abandon(): void {
    this.#pending.clear();
    this.#listeners.clear();
    this.#status = { ...connected, state: this.#link.isConnected ? 'connected' : 'disconnected' };
  }

  /** The stream has fallen silent, or speaks again. */
  silence(isSilent: boolean): void {
    this.#isSilent = isSilent;
    this.#callOffLag();
    const [low, high] = isSilent ? laggingAfterMs : speaksAfterMs;
    const afterMs = this.#random.between(low, high);
    this.#callOffLag = this.#time.after(afterMs, () => this.#link.inProcess(() => this.#setLagging(this.#isSilent)));
  }

  #setLagging(lagging: boolean): void {
    if (this.#status.state === 'connected' && this.#status.lagging !== lagging) {
      this.#setStatus({ ...this.#status, lagging });
    }
  }

  /** Whoever reads on does so from where they were, and is told again when all has been read. */
  #linkChanged(): void {
    const { isConnected, isOpen, reconnects } = this.#link;
    if (isConnected !== (this.#status.state === 'connected')) {
      if (isConnected) this.#setStatus({ ...connected, reconnects });
      else this.#disconnected();
    }
    if (isOpen === this.#isOpen) return;
    this.#isOpen = isOpen;
    if (isOpen) this.#inner.reconnect();
    else this.#inner.disconnect();
  }

  #disconnected(): void {
    this.#setStatus({ ...this.#status, state: 'disconnected', lagging: false, problem: 'no answer to two pings' });
    for (const finish of [...this.#pending]) {
      finish({ kind: 'unavailable', reason: 'disconnected', maybeStored: true });
    }
  }

  #setStatus(status: LogStatus): void {
    this.#status = status;
    for (const listener of [...this.#listeners]) listener(status);
  }
}
