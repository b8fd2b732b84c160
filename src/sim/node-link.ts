import { Lane } from './lane.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

/** What the client and its server need to notice that the connection is dead: pings each second, two unanswered. */
const deadAfterMs = [2000, 3000] as const;
const reconnectAfterMs = [50, 1250] as const;

/**
 * One node's connection to the log's servers: in order both ways, with delays of its own, and cut on its own. A connection
 * that is cut looks alive until somebody notices, and what was sent into the cut arrives when it heals before that.
 */
export class NodeLink {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly requests: Lane;
  readonly #answers: Lane;
  readonly #lanes: Lane[] = [];
  readonly #listeners = new Set<() => void>();
  /** Faults that overlap. */
  #cuts = 0;
  #isConnected = true;
  #reconnects = 0;
  readonly #callOff = { dead: () => {}, reconnect: () => {} };
  /** One way, milliseconds: drawn anew for each message. */
  delayMs: readonly [number, number] = [0.1, 1];
  /** The process that uses the connection; while it stands still, what arrives waits. */
  process: ((action: () => void) => void) | undefined;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
    this.requests = this.newLane(() => 0);
    this.#answers = this.newLane(() => 0);
  }

  /** One more way over the connection: in order by itself, and cut with the others. `moreMs`: beyond what all take. */
  newLane(moreMs: () => number): Lane {
    const lane = new Lane(this.#time, () => this.#random.between(...this.delayMs) + moreMs());
    this.#lanes.push(lane);
    return lane;
  }

  /** What is sent arrives in good time. */
  get isWell(): boolean {
    return this.#cuts === 0 && this.#isConnected && !this.#isSlow;
  }

  get #isSlow(): boolean {
    return this.delayMs[1] > 5 || this.#lanes.some((lane) => lane.isBehind);
  }

  get isCut(): boolean {
    return this.#cuts > 0;
  }

  /** As the client sees it. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  /** Something gets through. */
  get isOpen(): boolean {
    return this.#cuts === 0 && this.#isConnected;
  }

  /** Calls `listener` whenever the path or what the client knows of it is another. */
  watch(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** The network between this node and the log is gone, once more. */
  cut(): void {
    this.#cuts += 1;
    if (this.#cuts > 1) return;
    for (const lane of this.#lanes) lane.block();
    this.#callOff.reconnect();
    this.#plan('dead', deadAfterMs, () => this.#disconnected());
    this.#tell();
  }

  heal(): void {
    this.#cuts = Math.max(0, this.#cuts - 1);
    if (this.#cuts > 0) return;
    this.#callOff.dead();
    for (const lane of this.#lanes) lane.unblock();
    if (!this.#isConnected) this.#plan('reconnect', reconnectAfterMs, () => this.#reconnected());
    this.#tell();
  }

  /** The process that used the connection is gone; the next one dials anew. */
  abandon(): void {
    this.#callOff.dead();
    this.requests.drop();
    this.#isConnected = this.#cuts === 0;
    this.#tell();
  }

  inProcess(action: () => void): void {
    if (this.process === undefined) action();
    else this.process(action);
  }

  answer(action: () => void): void {
    this.#answers.send(() => this.inProcess(action));
  }

  #plan(what: 'dead' | 'reconnect', range: readonly [number, number], action: () => void): void {
    this.#callOff[what]();
    this.#callOff[what] = this.#time.after(this.#random.between(...range), () => this.inProcess(action));
  }

  #disconnected(): void {
    if (this.#cuts === 0 || !this.#isConnected) return;
    this.requests.drop();
    this.#isConnected = false;
    this.#tell();
  }

  #reconnected(): void {
    if (this.#cuts > 0 || this.#isConnected) return;
    this.#isConnected = true;
    this.#reconnects += 1;
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
