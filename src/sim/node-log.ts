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
import { Lane } from './lane.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

/** What the client and its server need to notice that the connection is dead: pings each second, two unanswered. */
const deadAfterMs = [2000, 3000] as const;
const reconnectAfterMs = [50, 1250] as const;
/** Silence of the log's stream after which nothing it says counts as fresh, looked at twice a second. */
const laggingAfterMs = [2500, 3000] as const;
const speaksAfterMs = [1, 500] as const;

/** Longer than anybody waits: the answer in the inner log never times out by itself. */
const patientMs = 600_000;

/**
 * One node's connection to the log: in order both ways, with delays of its own, and cut on its own. A connection that is
 * cut looks alive until somebody notices, and what was sent into the cut arrives when it heals before that.
 */
export class NodeLog implements EventLog {
  readonly #inner: MemoryLog;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #requests: Lane;
  readonly #answers: Lane;
  readonly #listeners = new Set<(status: LogStatus) => void>();
  readonly #pending = new Set<(result: AppendResult) => void>();
  readonly #caughtUp = new Set<() => void>();
  #status: LogStatus = { state: 'connected', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };
  /** Faults that overlap. */
  #cuts = 0;
  #isSilent = false;
  #owesCaughtUp = false;
  readonly #callOff = { dead: () => {}, reconnect: () => {}, lag: () => {} };
  /** The stream has no leader, and the server says so at once. */
  refusing = false;
  /** One way, milliseconds: drawn anew for each message. */
  delayMs: readonly [number, number] = [0.1, 1];
  /** The process that uses the connection; while it stands still, what arrives waits. */
  process: ((action: () => void) => void) | undefined;

  constructor(inner: MemoryLog, time: VirtualTime, random: Random) {
    this.#inner = inner;
    this.#time = time;
    this.#random = random;
    const delay = (): number => random.between(...this.delayMs);
    this.#requests = new Lane(time, delay);
    this.#answers = new Lane(time, delay);
  }

  /** Appends are answered and events arrive, in good time. */
  get isWell(): boolean {
    return this.#cuts === 0 && !this.refusing && this.isUp && !this.#isSlow;
  }

  get #isSlow(): boolean {
    return this.delayMs[1] > 5 || this.#requests.isBehind || this.#answers.isBehind;
  }

  get isUp(): boolean {
    return this.#status.state === 'connected' && !this.#status.lagging;
  }

  /** Direct messages need the connection, but not the stream. */
  get carriesMessages(): boolean {
    return this.#cuts === 0 && this.#status.state === 'connected';
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
        this.#inProcess(() => finish({ kind: 'unavailable', reason: 'timeout', maybeStored: true })),
      );
      this.#requests.send(() => {
        if (this.refusing) {
          this.#answer(() => finish({ kind: 'unavailable', reason: 'no_responders', maybeStored: false }));
          return;
        }
        this.#time.stir();
        const stored = this.#inner.append(event, { ...options, deadlineMs: patientMs });
        void stored.then((result) => this.#answer(() => finish(result)));
      });
    });
  }

  read(options: ReadOptions): AsyncIterable<StoredEvent> {
    return this.#inner.read(options);
  }

  follow(options: FollowOptions): Follower {
    let isStopped = false;
    const deliver = (action: () => void): void =>
      this.#answer(() => {
        if (!isStopped) action();
      });
    const caughtUp = (): void => options.onCaughtUp?.();
    const follower = this.#inner.follow({
      from: options.from,
      onEvent: (stored) => deliver(() => options.onEvent(stored)),
      onCaughtUp: () => deliver(caughtUp),
      onGap: (gap) => deliver(() => options.onGap?.(gap)),
    });
    this.#caughtUp.add(caughtUp);
    return {
      get position() {
        return follower.position;
      },
      stop: () => {
        isStopped = true;
        this.#caughtUp.delete(caughtUp);
        follower.stop();
      },
    };
  }

  watch(listener: (status: LogStatus) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#status);
    return () => this.#listeners.delete(listener);
  }

  /** The network between this node and the log is gone, once more. */
  cut(): void {
    this.#cuts += 1;
    if (this.#cuts > 1) return;
    this.#requests.block();
    this.#answers.block();
    this.#callOff.reconnect();
    this.#plan('dead', deadAfterMs, () => this.#disconnected());
  }

  heal(): void {
    this.#cuts = Math.max(0, this.#cuts - 1);
    if (this.#cuts > 0) return;
    this.#callOff.dead();
    this.#requests.unblock();
    this.#answers.unblock();
    if (this.#status.state !== 'connected') this.#plan('reconnect', reconnectAfterMs, () => this.#reconnected());
  }

  /** The process that used the connection is gone: nobody waits for anything any more, and the next one dials anew. */
  abandon(): void {
    this.#pending.clear();
    this.#listeners.clear();
    this.#caughtUp.clear();
    this.#callOff.dead();
    this.#requests.drop();
    this.#status = { ...this.#status, state: this.#cuts > 0 ? 'disconnected' : 'connected', lagging: false };
  }

  /** The stream has fallen silent, or speaks again. */
  silence(isSilent: boolean): void {
    this.#isSilent = isSilent;
    if (isSilent) {
      this.#plan('lag', laggingAfterMs, () => this.#setLagging(this.#isSilent));
      return;
    }
    this.#plan('lag', speaksAfterMs, () => {
      this.#setLagging(this.#isSilent);
      if (!this.#isSilent && this.#owesCaughtUp) this.#tellCaughtUp();
    });
  }

  #setLagging(lagging: boolean): void {
    if (this.#status.state === 'connected' && this.#status.lagging !== lagging) {
      this.#setStatus({ ...this.#status, lagging });
    }
  }

  #plan(what: 'dead' | 'reconnect' | 'lag', range: readonly [number, number], action: () => void): void {
    this.#callOff[what]();
    this.#callOff[what] = this.#time.after(this.#random.between(...range), () => this.#inProcess(action));
  }

  #disconnected(): void {
    if (this.#cuts === 0 || this.#status.state !== 'connected') return;
    this.#requests.drop();
    this.#setStatus({ ...this.#status, state: 'disconnected', lagging: false, problem: 'no answer to two pings' });
    for (const finish of [...this.#pending]) {
      finish({ kind: 'unavailable', reason: 'disconnected', maybeStored: true });
    }
  }

  #reconnected(): void {
    if (this.#cuts > 0 || this.#status.state === 'connected') return;
    const { problem: _, ...rest } = this.#status;
    this.#setStatus({ ...rest, state: 'connected', reconnects: rest.reconnects + 1 });
    // A stream without a leader lets nobody read on.
    if (this.#isSilent) this.#owesCaughtUp = true;
    else this.#tellCaughtUp();
  }

  #tellCaughtUp(): void {
    this.#owesCaughtUp = false;
    for (const caughtUp of this.#caughtUp) this.#answer(caughtUp);
  }

  #answer(action: () => void): void {
    this.#answers.send(() => this.#inProcess(action));
  }

  #inProcess(action: () => void): void {
    if (this.process === undefined) action();
    else this.process(action);
  }

  #setStatus(status: LogStatus): void {
    this.#status = status;
    for (const listener of [...this.#listeners]) listener(status);
  }
}
