import type { SharedConfiguration } from '../core/config-version.js';
import { bootId } from '../core/identity.js';
import { AgentProcess } from './agent-process.js';
import { DataplaneProcess } from './dataplane-process.js';
import { GuardProcess } from './guard-process.js';
import { KernelAddresses } from './kernel-addresses.js';
import type { LanFrame, NeighbourFrame } from './lan.js';
import type { NodeClock } from './node-clock.js';
import type { NodeLink } from './node-link.js';
import type { NodeLog } from './node-log.js';
import { ObservationBox } from './observation-box.js';
import { configurationOf } from './operator.js';
import type { PeerMessages } from './peer-messages.js';
import { TermDisk } from './term-disk.js';
import type { World } from './world.js';

const rereadEveryMs = 500;
/** The supervisor's delay and the dataplane's own start. */
const restartMs = [120, 1500] as const;
const agentStopMs = 50;
const carrierSeenMs = [0.1, 3] as const;

const lanPrefix = '10.0.0.';
const addressAt = (index: number): string => `${lanPrefix}${index + 1}`;
const indexAt = (address: string): number => Number(address.slice(lanPrefix.length)) - 1;

export interface NodeOptions {
  readonly index: number;
  readonly clock: NodeClock;
  readonly link: NodeLink;
  readonly log: NodeLog;
  readonly leaseLog: NodeLog;
  readonly peers: PeerMessages;
  readonly priorities: ReadonlyMap<string, number>;
  readonly attachFailureRate: number;
  readonly detachFailureRate: number;
}

/** One machine: its clocks, its disk, its kernel's addresses, and the processes that come and go on it. */
export class SimulatedNode {
  readonly index: number;
  readonly id: string;
  readonly lanAddress: string;
  readonly clock: NodeClock;
  readonly link: NodeLink;
  readonly log: NodeLog;
  readonly leaseLog: NodeLog;
  readonly peers: PeerMessages;
  readonly terms: TermDisk;
  readonly outbox: ObservationBox;
  readonly addresses: KernelAddresses;
  readonly attachFailureRate: number;
  readonly detachFailureRate: number;
  readonly #world: World;
  readonly #priorities: Map<string, number>;
  readonly #losses = new Map<string, number>();
  /** What the operator wrote last of each virtual router, and in which configuration the guard would say farewell. */
  readonly #files = new Map<string, SharedConfiguration>();
  readonly #guardFrames = new Map<string, string>();
  #dataplane: DataplaneProcess | undefined;
  #guard: GuardProcess | undefined;
  #agent: AgentProcess | undefined;
  /** Of the dataplane that died last. */
  #leaseEndedAtMs: number | undefined;
  #boots = 0;
  #events = 0;
  #notices = 0;
  #isPaused = false;
  /** As the operator left it; it outlives every process. */
  isDrained = false;
  /** Its supervisor starts the dataplane again whenever it died. */
  #isSupervised = false;

  constructor(world: World, options: NodeOptions) {
    this.#world = world;
    this.index = options.index;
    this.id = `n${options.index + 1}`;
    this.lanAddress = addressAt(options.index);
    this.clock = options.clock;
    this.link = options.link;
    this.log = options.log;
    this.leaseLog = options.leaseLog;
    this.peers = options.peers;
    this.#priorities = new Map(options.priorities);
    this.attachFailureRate = options.attachFailureRate;
    this.detachFailureRate = options.detachFailureRate;
    this.terms = new TermDisk(world.time, world.random);
    this.outbox = new ObservationBox(world.time);
    this.addresses = new KernelAddresses(world.time, world.random, options.clock);
  }

  get dataplane(): DataplaneProcess | undefined {
    return this.#dataplane;
  }

  get guard(): GuardProcess | undefined {
    return this.#guard;
  }

  get agent(): AgentProcess | undefined {
    return this.#agent;
  }

  get machineIsPaused(): boolean {
    return this.#isPaused;
  }

  /** When its monotonic clock last went on after it had stood still, and when the machine last did. */
  clockStoodStillUntilMs = Number.NEGATIVE_INFINITY;
  wokeAtMs = Number.NEGATIVE_INFINITY;
  /** Its clock stood still, and on waking its dataplane could tell. */
  wokeKnowing = false;

  /** It answers for the virtual IP on the LAN. */
  isHolding(vr: string): boolean {
    return this.addresses.has(vr) && !this.machineIsPaused;
  }

  /** Its dataplane reacts to what it hears. */
  get isAwake(): boolean {
    return this.#dataplane?.isRunning === true && !this.machineIsPaused;
  }

  /** What the log has to say reaches the dataplane, and the other way round. */
  get hearsLog(): boolean {
    return (
      this.log.isWell &&
      this.#agent?.isRunning === true &&
      this.#agent.isReachable &&
      this.#dataplane?.agentIsUp === true
    );
  }

  /** Its agent runs and has read the log to its end, as far as it knows. */
  get followsLog(): boolean {
    return this.#agent?.isRunning === true && this.#agent.isReachable;
  }

  /** Nothing waits on it for the log. */
  get hasToldAll(): boolean {
    return this.outbox.pending === 0 && this.#dataplane?.hasNews !== true;
  }

  /** The dataplane has been told that the log is away, or has no agent that could say. */
  get knowsLogAway(): boolean {
    if (this.#dataplane?.agentIsUp !== true) return true;
    return this.#agent?.isRunning === true && !this.#agent.isReachable;
  }

  priorityOf(vr: string): number {
    return this.#priorities.get(vr) ?? 100;
  }

  /** What the configuration file on this node says. */
  fileOf(vr: string): SharedConfiguration {
    return this.#files.get(vr) ?? configurationOf(vr, 0);
  }

  guardSays(vr: string, digest: string): void {
    this.#guardFrames.set(vr, digest);
  }

  lossOf(vr: string): number {
    return this.#losses.get(vr) ?? 0;
  }

  /** Grows with each notice, across restarts. */
  nextNotice(): number {
    this.#notices += 1;
    return this.#notices;
  }

  /** One frame to one node alone. */
  probe(vr: string, address: string): void {
    this.#world.lan.send({ kind: 'probe', from: this.index, source: this.lanAddress, vr, to: indexAt(address) });
  }

  newEventId(): string {
    this.#events += 1;
    return `${this.id}.e${this.#events}`;
  }

  received(frame: LanFrame): void {
    if (this.#dataplane !== undefined && !this.#dataplane.isDead) this.#dataplane.received(frame);
  }

  /** Its kernel answers for its own address, whatever its processes do; the dataplane only hears of it. */
  heardNeighbour(frame: NeighbourFrame): void {
    if (this.machineIsPaused) return;
    if (frame.kind === 'whoHas' && frame.target === this.lanAddress) {
      this.#world.lan.resolve({ kind: 'isAt', from: this.index, source: this.lanAddress, to: frame.from });
    }
    if (this.#dataplane?.isDead === false) this.#dataplane.heardNeighbour(frame);
  }

  // ── processes come and go ─────────────────────────────────────────────────────────────────────────────────────────

  startDataplane(): void {
    this.#isSupervised = true;
    if (this.#dataplane !== undefined) return;
    if (this.machineIsPaused) {
      this.#startAgain();
      return;
    }
    this.#boots += 1;
    // What an earlier run left behind is removed first; its guard touches nothing of this one.
    this.#guard?.end();
    this.addresses.clear();
    const boot = bootId(`${this.id}b${this.#boots}`);
    this.note('dataplane starts', () => boot);
    const dataplane = new DataplaneProcess(this.#world, this, boot);
    this.#dataplane = dataplane;
    this.#guard = this.#newGuard();
    dataplane.start();
  }

  #newGuard(): GuardProcess {
    return new GuardProcess(this.#world, {
      clock: this.clock,
      fence: (vrs) => this.#fence(vrs),
      leaseEnded: (vrs) => this.#leaseEnded(vrs),
      kill: () => this.killDataplane('guard'),
    });
  }

  #startAgain(): void {
    this.#world.time.after(this.#world.random.between(...restartMs), () => {
      if (this.#isSupervised) this.startDataplane();
    });
  }

  /** Nobody starts the dataplane again by himself. */
  forsake(): void {
    this.#isSupervised = false;
  }

  /** `guard`: the guard did it, and fences by itself. `all`: the guard dies as well. */
  killDataplane(by: 'signal' | 'guard' | 'all'): void {
    const dataplane = this.#dataplane;
    if (dataplane === undefined) return;
    this.note('dataplane dies', () => by);
    this.#leaseEndedAtMs = dataplane.leaseEndsAtMs;
    this.#forgetDataplane();
    dataplane.die();
    if (this.#isSupervised) this.#startAgain();
    if (by === 'signal') this.#guard?.dataplaneDied();
    if (by === 'all' || this.#guard?.isAlive !== true) {
      if (by !== 'guard') {
        this.#guard?.end();
        this.#letExpire(dataplane.leaseEndsAtMs);
      }
    }
  }

  /** Nobody is left who would renew the addresses, or take them off. */
  #letExpire(leaseEndsAtMs: number | undefined): void {
    const { addressesExpire, addressesEndWithLease } = this.#world.rules;
    if (addressesExpire) this.addresses.expire(addressesEndWithLease ? leaseEndsAtMs : undefined);
  }

  /** The dataplane has ended in order. */
  stopDataplane(done: () => void): void {
    this.#isSupervised = false;
    const dataplane = this.#dataplane;
    if (dataplane === undefined) {
      done();
      return;
    }
    this.note('dataplane is told to stop');
    dataplane.stop(() => {
      this.note('dataplane has stopped');
      this.#guard?.end();
      this.addresses.clear();
      this.#forgetDataplane();
      done();
    });
  }

  startAgent(): void {
    if (this.#agent !== undefined) return;
    if (this.machineIsPaused) {
      this.#world.time.after(100, () => this.startAgent());
      return;
    }
    this.note('agent starts');
    this.#agent = new AgentProcess(this.#world, this);
    this.#agent.start();
  }

  killAgent(): void {
    if (this.#agent === undefined) return;
    this.note('agent dies');
    this.#world.witness.agentEnded(this.index);
    this.#agent.die();
    this.#agent = undefined;
  }

  killGuard(): void {
    this.note('guard dies');
    const wasAlive = this.#guard?.isAlive === true;
    this.#guard?.end();
    const dataplane = this.#dataplane;
    if (dataplane === undefined) {
      if (wasAlive) this.#letExpire(this.#leaseEndedAtMs);
      return;
    }
    // The keeper starts another one, which is told everything again.
    const restart = (): void => {
      if (this.#dataplane !== dataplane || this.#guard?.isAlive === true) return;
      this.#guard = this.#newGuard();
      for (const { name } of this.#world.routers) if (this.addresses.has(name)) this.#guard.put(name);
      this.#guard.lease(dataplane.guardedUntilMs);
    };
    this.#world.time.after(this.#world.random.between(50, 200), () => dataplane.inLoop('kernel', restart));
  }

  /** The service is stopped: the dataplane in order, and then the agent, unless it has been started again meanwhile. */
  stop(): void {
    this.stopDataplane(() =>
      this.#world.time.after(agentStopMs, () => {
        if (!this.#isSupervised) this.killAgent();
      }),
    );
  }

  /** The machine loses its power: what is not on disk is gone. */
  losePower(): void {
    this.note('power lost');
    this.#isSupervised = false;
    this.killAgent();
    this.killDataplane('all');
    this.addresses.clear();
  }

  // ── pauses ────────────────────────────────────────────────────────────────────────────────────────────────────────

  pauseDataplane(): () => void {
    const dataplane = this.#dataplane;
    this.note('dataplane is paused');
    dataplane?.pause();
    return () => {
      if (dataplane === undefined || dataplane.isDead) return;
      this.note('dataplane goes on');
      dataplane.resume();
    };
  }

  pauseAgent(): () => void {
    const agent = this.#agent;
    this.note('agent is paused');
    agent?.pause();
    return () => {
      this.note('agent goes on');
      agent?.resume();
    };
  }

  /** `stopsClock`: the monotonic clock stands still with the machine; `wallKnows`: the wall clock catches up afterwards. */
  pauseMachine(stopsClock: boolean, wallKnows: boolean): () => void {
    if (this.machineIsPaused) return () => undefined;
    const sinceMs = this.#world.time.nowMs();
    this.#isPaused = true;
    this.note('machine is paused', () => (stopsClock ? 'with its clocks' : 'its clocks go on'));
    const guard = this.#guard;
    guard?.paused();
    const dataplane = this.#dataplane;
    dataplane?.pause();
    guard?.heartbeatAgain();
    const agent = this.#agent;
    agent?.pause();
    this.link.cut();
    if (stopsClock) {
      this.clock.stop();
      this.#world.witness.clockStopped(this.index);
    }
    return () => {
      const pausedMs = this.#world.time.nowMs() - sinceMs;
      this.#isPaused = false;
      this.wokeAtMs = this.#world.time.nowMs();
      // Whoever can tell lets go of what came from before, and of what is left of an earlier time too.
      this.wokeKnowing = stopsClock && wallKnows && dataplane?.noticesAbsence(pausedMs) === true;
      if (this.wokeKnowing) this.clockStoodStillUntilMs = Number.NEGATIVE_INFINITY;
      else if (stopsClock) this.clockStoodStillUntilMs = this.wokeAtMs;
      this.note('machine goes on');
      if (stopsClock) {
        this.clock.start();
        if (wallKnows) this.jumpWall(pausedMs);
      }
      this.link.heal();
      agent?.resume();
      if (guard?.resumed(stopsClock ? 0 : pausedMs) === true) return;
      if (dataplane === undefined || dataplane.isDead) return;
      dataplane.resume();
      // It may be hung besides.
      if (!dataplane.isRunning) guard?.heartbeatStopped();
    };
  }

  // ── the rest of the world ─────────────────────────────────────────────────────────────────────────────────────────

  carrierChanged(): void {
    this.#world.time.after(this.#world.random.between(...carrierSeenMs), () => this.#dataplane?.parentChanged());
  }

  jumpWall(byMs: number): void {
    this.clock.jumpWall(byMs);
    this.#dataplane?.wallJumped(byMs);
  }

  reload(vr: string, priority: number): void {
    this.#priorities.set(vr, priority);
    this.note('reloads', () => `${vr} with priority ${priority}`);
    const dataplane = this.#dataplane;
    dataplane?.inLoop('timer', () => dataplane.routers.get(vr)?.reconsider(priority, this.lossOf(vr)));
    this.#agent?.reconfigured();
  }

  /** The operator changes the file, and has it read again until that has worked. */
  edit(vr: string, configuration: SharedConfiguration): void {
    this.#files.set(vr, configuration);
    this.#world.witness.edited(vr);
    this.note('is edited', () => `${vr}: ${configuration.digest}`);
    this.#reread(vr);
  }

  #reread(vr: string): void {
    const told = this.#dataplane?.routers.get(vr)?.describe().configuration;
    const { digest } = this.fileOf(vr);
    if (told?.running.digest === digest || told?.prepared?.digest === digest) return;
    this.#agent?.reload();
    this.#world.time.after(rereadEveryMs, () => this.#reread(vr));
  }

  /** The operator takes the node out of service, or back. */
  drain(drained: boolean, force: boolean): void {
    this.isDrained = drained;
    this.note(drained ? 'is drained' : 'is undrained', () => (force ? 'by force' : ''));
    this.#agent?.drain(force);
  }

  track(vr: string, loss: number): void {
    this.#losses.set(vr, loss);
    this.note('tracks', () => `${vr}: ${loss} lost`);
    const dataplane = this.#dataplane;
    dataplane?.inLoop('timer', () => dataplane.routers.get(vr)?.reconsider(this.priorityOf(vr), loss));
  }

  #forgetDataplane(): void {
    this.#dataplane = undefined;
    if (this.#world.rules.keepsTerms) this.terms.crash();
    else this.terms.forget();
  }

  #fence(vrs: readonly string[]): void {
    this.note('guard fences', () => vrs.join(', '));
    for (const { name } of this.#world.routers) this.addresses.remove(name);
    this.#sayFarewell(vrs);
  }

  #leaseEnded(vrs: readonly string[]): void {
    this.note('guard ends the lease', () => vrs.join(', '));
    for (const vr of vrs) this.addresses.remove(vr);
    this.#sayFarewell(vrs);
    this.#dataplane?.guardEndedLease();
  }

  #sayFarewell(vrs: readonly string[]): void {
    for (const vr of vrs) {
      const intervalMs = this.#world.routers.find(({ name }) => name === vr)?.advertIntervalMs ?? 1000;
      const candidacy = { kind: 'vrrp' as const, priority: 0, intervalMs };
      this.#world.witness.sentAdvert(this.index, vr, candidacy, this.addresses.has(vr));
      const configuration = this.#guardFrames.get(vr) ?? '';
      this.#world.lan.send({ kind: 'advert', from: this.index, source: this.lanAddress, vr, candidacy, configuration });
    }
  }

  note(what: string, detail?: () => string): void {
    this.#world.trace.note(this.id, what, detail);
  }
}
