import { type BootId, nodeId } from '../core/identity.js';
import { neighboursWaitMs } from '../core/lan-reach.js';
import { guardAfterMs } from '../core/lease.js';
import type { Fault } from '../core/reasons.js';
import type { ServingReport } from '../core/serving.js';
import { machineInput } from '../ipc/machine-input.js';
import { readLogView } from '../ipc/ownership-message.js';
import { type KeptMessage, protocolVersion, type ToAgent, type ToDataplane } from '../ipc/protocol.js';
import type { IpcPair } from './ipc-pair.js';
import type { LanFrame, NeighbourFrame } from './lan.js';
import { Neighbours } from './neighbours.js';
import { type RouterHost, RouterProcess } from './router-process.js';
import type { SimulatedNode } from './simulated-node.js';
import type { World } from './world.js';

type WithoutStamps<T> = T extends unknown ? Omit<T, 'number' | 'wallMs' | 'monotonicMs'> : never;
export type KeptNews = WithoutStamps<KeptMessage>;

type Source = 'socket' | 'ipc' | 'kernel' | 'timer';

/** The loop looks at the clock at least this often. */
const heartbeatMs = 50;
/** A stop that hands over, and the stop after it. */
const handoverDeadlineMs = 1000;
const stopDeadlineMs = 2000;
const agentDeadlineMs = 1500;
const stopLookMs = 5;
/** A socket's receive buffer, in frames. */
const socketFramesMax = 2000;

/** One life of a dataplane: its loop, which may stand still, and its virtual routers. */
export class DataplaneProcess implements RouterHost {
  readonly boot: BootId;
  readonly node: SimulatedNode;
  readonly routers = new Map<string, RouterProcess>();
  readonly #world: World;
  #logReachable = false;
  readonly #nodeByAddress = new Map<string, ReturnType<typeof nodeId>>();
  readonly #kept = new Map<number, KeptMessage>();
  readonly #neighbours: Neighbours;
  readonly #waiting: Record<Source, (() => void)[]> = { socket: [], ipc: [], kernel: [], timer: [] };
  #number = 0;
  #ipc: IpcPair | undefined;
  #isDead = false;
  #isStopping = false;
  #pauses = 0;
  #lookedAtMs = 0;
  #wallAheadMs = 0;
  #fault: Fault | undefined;
  /** What the guard has to know. */
  guardedUntilMs: number | undefined;
  leaseEndsAtMs: number | undefined;
  #callOffExpiry: () => void = () => undefined;

  constructor(world: World, node: SimulatedNode, boot: BootId) {
    this.#world = world;
    this.node = node;
    this.boot = boot;
    this.#neighbours = new Neighbours(world, node, (action) => this.inLoop('timer', action));
    for (const settings of world.routers) {
      const router = new RouterProcess(world, this, settings, node.priorityOf(settings.name));
      this.routers.set(settings.name, router);
    }
  }

  /** Begins to listen. */
  start(): void {
    for (const router of this.routers.values()) {
      const loss = this.node.lossOf(router.name);
      if (loss !== 0) router.reconsider(this.node.priorityOf(router.name), loss);
    }
    this.parentChanged();
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isRunning(): boolean {
    return !this.#isDead && this.#pauses === 0;
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  get agentIsUp(): boolean {
    return this.#ipc !== undefined;
  }

  // ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────────

  inLoop(kind: Source, action: () => void): void {
    if (this.#isDead) return;
    if (this.#pauses === 0) action();
    else if (kind !== 'socket' || this.#waiting.socket.length < socketFramesMax) this.#waiting[kind].push(action);
  }

  pause(): void {
    this.#pauses += 1;
    if (this.#pauses > 1) return;
    // The last look at the clock was up to one heartbeat ago.
    this.#lookedAtMs = this.node.clock.monotonicMs() - this.#world.random.between(0, heartbeatMs);
    this.node.guard?.heartbeatStopped();
  }

  /** The loop first notices how long it was away; then the sockets are drained before anybody's time has come. */
  resume(): void {
    this.#pauses = Math.max(0, this.#pauses - 1);
    if (this.#pauses > 0 || this.#isDead) return;
    this.node.guard?.heartbeatAgain();
    const gapMs = this.node.clock.monotonicMs() - this.#lookedAtMs + Math.max(0, this.#wallAheadMs);
    this.#wallAheadMs = 0;
    this.#overslept(gapMs);
    const { socket, timer, ipc, kernel } = this.#waiting;
    const orders: readonly [Source, Source, Source, Source][] = [
      ['socket', 'timer', 'ipc', 'kernel'],
      ['ipc', 'socket', 'timer', 'kernel'],
      ['socket', 'kernel', 'ipc', 'timer'],
      ['kernel', 'socket', 'timer', 'ipc'],
    ];
    const batches = { socket: socket.splice(0), timer: timer.splice(0), ipc: ipc.splice(0), kernel: kernel.splice(0) };
    for (const source of this.#world.random.pickAny(orders) ?? []) {
      for (const action of batches[source]) this.inLoop(source, action);
    }
  }

  /** Whether it takes note of having been away for so long, once its loop goes on at once. */
  noticesAbsence(gapMs: number): boolean {
    return (
      !this.#isDead && this.#pauses <= 1 && [...this.routers.values()].every(({ patienceMs }) => gapMs > patienceMs)
    );
  }

  /** The wall clock was set forward: the loop cannot tell that from having stood still with its monotonic clock. */
  wallJumped(byMs: number): void {
    if (byMs <= 0) return;
    if (this.#pauses > 0) {
      this.#wallAheadMs += byMs;
      return;
    }
    this.#world.time.after(this.#world.random.between(0, heartbeatMs), () =>
      this.inLoop('timer', () => this.#overslept(byMs)),
    );
  }

  #overslept(gapMs: number): void {
    for (const router of this.routers.values()) {
      if (gapMs > router.patienceMs) router.give({ type: 'overslept', atMs: this.node.clock.monotonicMs() });
    }
  }

  // ── the network ───────────────────────────────────────────────────────────────────────────────────────────────────

  received(frame: LanFrame): void {
    this.#neighbours.frameCame();
    this.inLoop('socket', () => {
      // A probe says whose LAN works, whichever virtual router it was that somebody asked about.
      if (frame.kind === 'probe') for (const router of this.routers.values()) router.received(frame);
      else this.routers.get(frame.vr)?.received(frame);
    });
  }

  heardNeighbour(frame: NeighbourFrame): void {
    this.#neighbours.frameCame();
    this.inLoop('socket', () => this.#neighbours.heard(frame));
  }

  /** The client has spoken with this node's kernel. */
  served(): void {
    this.#neighbours.served();
  }

  /** Whether the LAN carries what this node says. */
  carries(waitMs: number, freshMs?: number): Promise<boolean> {
    return this.#neighbours.carries(waitMs, freshMs);
  }

  isAnswered(waitMs: number, freshMs: number): Promise<boolean> {
    return this.#neighbours.isAnswered(waitMs, freshMs);
  }

  parentChanged(): void {
    this.inLoop('kernel', () => {
      this.#fault = this.#world.lan.hasCarrier(this.node.index) ? undefined : 'carrier_lost';
      for (const router of this.routers.values()) router.parentIs(this.#fault);
    });
  }

  // ── the agent ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An agent has connected. */
  greet(ipc: IpcPair): void {
    this.#ipc = ipc;
    ipc.tellAgent({
      type: 'hello',
      protocol: protocolVersion,
      node: this.node.id,
      boot: this.boot,
      pid: 1,
      digest: '',
      vrs: [...this.routers.values()].map((router) => router.describe()),
    });
    for (const message of this.#kept.values()) ipc.tellAgent(message);
  }

  agentGone(ipc: IpcPair): void {
    this.inLoop('ipc', () => {
      if (this.#ipc !== ipc) return;
      this.#ipc = undefined;
      this.#logReachable = false;
      for (const router of this.routers.values()) router.logSays(false, undefined);
    });
  }

  tellAgent(message: ToAgent): boolean {
    return this.#ipc?.tellAgent(message) ?? false;
  }

  keep(news: KeptNews): void {
    this.#number += 1;
    const { clock } = this.node;
    const stamps = { number: this.#number, wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
    const message = { ...news, ...stamps } as KeptMessage;
    this.#kept.set(message.number, message);
    this.#ipc?.tellAgent(message);
  }

  /** It keeps news that nobody has taken. */
  get hasNews(): boolean {
    return this.#kept.size > 0;
  }

  nodeAt(source: string): ReturnType<typeof nodeId> | undefined {
    return this.#nodeByAddress.get(source);
  }

  fromAgent(message: ToDataplane): void {
    this.inLoop('ipc', () => this.#fromAgent(message));
  }

  #fromAgent(message: ToDataplane): void {
    const atMs = this.node.clock.monotonicMs();
    switch (message.type) {
      case 'hello':
        return;
      case 'taken':
        this.#kept.delete(message.number);
        return;
      case 'log':
        this.#logSays(message);
        return;
      case 'reload':
        this.#reload(message);
        return;
      case 'switchConfiguration':
        this.routers.get(message.vr)?.switchTo(message.digest);
        return;
      case 'configuration':
        this.routers.get(message.vr)?.setDiffering(message.differs);
        return;
      case 'lease':
        this.#leased(message.endsAtMs ?? undefined);
        return;
      case 'proof':
        for (const router of this.routers.values()) {
          router.give({ type: 'proof', fromMs: message.fromMs ?? undefined, atMs });
        }
        return;
      case 'challenged':
        void this.#challenged(message);
        return;
      case 'drain':
        for (const router of this.routers.values()) {
          router.give({ type: 'drain', drained: message.drained, force: message.force, atMs });
        }
        return;
      default:
        this.routers.get(message.vr)?.give(machineInput(message, atMs));
    }
  }

  #reload({ id, guarded }: Extract<ToDataplane, { type: 'reload' }>): void {
    for (const router of this.routers.values()) router.reread(guarded.find(({ vr }) => vr === router.name)?.digests);
    const vrs = [...this.routers.values()].map((router) => router.describe());
    this.tellAgent({ type: 'reloaded', id, digest: '', problem: null, changes: [], warnings: [], vrs });
  }

  /** Until when this node may hold what is `strict`: the guard sees to it whatever happens here. */
  #leased(endsAtMs: number | undefined): void {
    // The guard keeps the last end: one that is taken back has nothing to guard.
    const isStrict = this.#world.routers.some(({ arbitration }) => arbitration === 'strict');
    if (isStrict && endsAtMs !== undefined) {
      this.leaseEndsAtMs = endsAtMs;
      this.guardedUntilMs = endsAtMs + guardAfterMs;
      this.node.guard?.lease(this.guardedUntilMs);
      this.#planExpiry(endsAtMs);
    }
    for (const router of this.routers.values()) {
      router.give({ type: 'ownLease', endsAtMs, atMs: this.node.clock.monotonicMs() });
    }
  }

  /** Near the end of a lease the kernel's lifetimes are renewed no more, and it may take the addresses off ahead of it. */
  #planExpiry(endsAtMs: number): void {
    const { clock, addresses } = this.node;
    this.#callOffExpiry();
    if (!this.#world.rules.addressesEndWithLease) return;
    this.#callOffExpiry = this.#world.time.after(clock.untilMs(addresses.lastExpiryMs(endsAtMs)), () => {
      if (this.#isDead || this.node.machineIsPaused) return;
      for (const { name } of this.#world.routers) if (addresses.has(name)) addresses.remove(name);
      this.inLoop('kernel', () => {
        for (const router of this.routers.values())
          router.give({ type: 'ownLease', endsAtMs: undefined, atMs: clock.monotonicMs() });
      });
    });
  }

  guardEndedLease(): void {
    this.inLoop('kernel', () => {
      for (const router of this.routers.values()) router.give({ type: 'tick', atMs: this.node.clock.monotonicMs() });
    });
  }

  /** Another node wants to know whether this one serves: it is told, and shown over the LAN. */
  async #challenged(message: Extract<ToDataplane, { type: 'challenged' }>): Promise<void> {
    const { id, vr, lanAddresses, timeoutMs } = message;
    const { lan } = this.#world;
    const report = (carries: boolean) =>
      this.routers.get(vr)?.servingReport(carries && lan.hasCarrier(this.node.index)) ?? 'not_serving';
    const answer = (said: ServingReport) => void this.tellAgent({ type: 'challenged', id, report: said });
    const now = report(true);
    if (now !== 'serves') {
      answer(now);
      return;
    }
    for (const address of lanAddresses) this.node.probe(vr, address);
    const carries = await this.carries(neighboursWaitMs(timeoutMs), this.routers.get(vr)?.freshAnswerMs);
    this.inLoop('timer', () => answer(report(carries)));
  }

  #logSays(message: Extract<ToDataplane, { type: 'log' }>): void {
    this.#nodeByAddress.clear();
    for (const { node, lanAddresses } of message.nodes) {
      for (const address of lanAddresses) this.#nodeByAddress.set(address, nodeId(node));
    }
    if (message.reachable !== this.#logReachable) {
      const told = new Set(message.vrs.map(({ name }) => name));
      for (const router of this.routers.values()) {
        if (!told.has(router.name)) router.logSays(message.reachable, undefined);
      }
    }
    this.#logReachable = message.reachable;
    for (const view of message.vrs) this.routers.get(view.name)?.logSays(message.reachable, readLogView(view));
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** SIGTERM: hand over or release, tell the agent, leave the kernel as it was found. */
  stop(done: () => void): void {
    if (this.#isStopping || this.#isDead) return;
    this.#isStopping = true;
    const { clock } = this.node;
    this.inLoop('timer', () => {
      for (const router of this.routers.values()) {
        router.give({ type: 'handOver', to: undefined, stops: true, atMs: clock.monotonicMs() });
      }
      this.#whenStopped(handoverDeadlineMs, (isStopped) => {
        if (isStopped) this.#end(done);
        else {
          for (const router of this.routers.values()) router.give({ type: 'shutdown', atMs: clock.monotonicMs() });
          this.#whenStopped(stopDeadlineMs, () => this.#end(done));
        }
      });
    });
  }

  #whenStopped(withinMs: number, then: (isStopped: boolean) => void): void {
    const isStopped = [...this.routers.values()].every((router) => router.isStopped);
    if (isStopped || withinMs <= 0) then(isStopped);
    else this.#inLoopAfter(stopLookMs, () => this.#whenStopped(withinMs - stopLookMs, then));
  }

  #end(done: () => void, withinMs = agentDeadlineMs): void {
    if (this.#kept.size > 0 && this.#ipc !== undefined && withinMs > 0) {
      this.#inLoopAfter(stopLookMs, () => this.#end(done, withinMs - stopLookMs));
      return;
    }
    this.tellAgent({ type: 'bye' });
    this.die();
    done();
  }

  #inLoopAfter(ms: number, action: () => void): void {
    this.#world.time.after(ms, () => this.inLoop('timer', action));
  }

  die(): void {
    const isWitnessed = this.node.agent?.isRunning === true && this.#ipc !== undefined;
    if (this.#kept.size > 0 || !isWitnessed) this.#world.witness.lostNews(this.node.index);
    this.#isDead = true;
    this.#ipc?.close();
    this.#ipc = undefined;
  }
}
