import { ConfigDesk } from '../agent/config-desk.js';
import { evidenceOfTogether, HeldTogetherDesk } from '../agent/held-together-desk.js';
import { HolderVerdicts } from '../agent/holder-verdicts.js';
import { Journal, type Moment } from '../agent/journal.js';
import { LogViewer } from '../agent/log-view.js';
import { OwnershipDesk, type ReleaseOrder } from '../agent/ownership-desk.js';
import { peerReadiness } from '../agent/peer-readiness.js';
import { ReleaseDesk } from '../agent/release-desk.js';
import type { SharedConfiguration } from '../core/config-version.js';
import { readyAnswerTimeoutMs } from '../core/handover.js';
import { type BootId, bootId, nodeId } from '../core/identity.js';
import type { ToAgent, VrStateMessage } from '../ipc/protocol.js';
import { isConfiguration, type ObservationEvent, type ObservationPayload } from '../log/event.js';
import type { PeerAnswer, PeerChannel, PeerMessage } from '../log/peer-channel.js';
import type { Follower, LogStatus, StoredEvent } from '../log/port.js';
import { emptyLogState, fold, type LogState, rewind } from '../log/projection.js';
import type { LogTimers } from '../log/timers.js';
import { IpcPair } from './ipc-pair.js';
import { LeaseDuty } from './lease-duty.js';
import type { SimulatedNode } from './simulated-node.js';
import { clusterName, type Desk, type World } from './world.js';

const connectRetryMs = 100;
const announceEveryMs = 1000;
const goneDeadlineMs = 10_000;
const goneLookMs = 5;
const reloadDeadlineMs = 1000;
/** How often the agent looks by itself. */
const tickEveryMs = 1000;

const configured = (configuration: SharedConfiguration | undefined) =>
  configuration === undefined ? {} : { configuration };

/** One life of an agent: the real desk, viewer and fold, between a simulated log and a simulated dataplane. */
export class AgentProcess {
  readonly #world: World;
  readonly #node: SimulatedNode;
  readonly #desk: Desk;
  readonly #releases: ReleaseDesk;
  readonly #journal: Journal;
  readonly #peers: PeerChannel;
  readonly #leases: LeaseDuty;
  readonly #vrStates = new Map<string, VrStateMessage>();
  readonly #configurations: ConfigDesk;
  /** Reloads that the dataplane has not answered. */
  readonly #reloads = new Map<number, () => void>();
  #reloading = false;
  #reloadId = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #verdicts = new HolderVerdicts();
  readonly #together: HeldTogetherDesk;
  readonly #masters: Pick<HeldTogetherDesk, 'read' | 'look'>;
  #viewer: LogViewer;
  #boot: BootId = bootId('');
  #state: LogState = emptyLogState;
  #status: LogStatus = { state: 'connecting', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };
  #caughtUp = false;
  #viewScheduled = false;
  #announced: string | undefined;
  #announcedAtMs = Number.NEGATIVE_INFINITY;
  #announcing = false;
  #follower: Follower | undefined;
  #ipc: IpcPair | undefined;
  #dataplaneEnded = false;
  #isDead = false;
  #pauses = 0;

  constructor(world: World, node: SimulatedNode) {
    this.#world = world;
    this.#node = node;
    this.#viewer = this.#newViewer();
    this.#peers = node.peers.channelOf(node);
    const clock = (): Moment => ({ wallMs: node.clock.wallMs(), monotonicMs: node.clock.monotonicMs() });
    const timers: LogTimers = {
      nowMs: () => node.clock.monotonicMs(),
      after: (delayMs, action) => world.time.after(delayMs, () => this.run(action)),
    };
    const newEventId = (): string => node.newEventId();
    this.#together = new HeldTogetherDesk({
      node: node.id,
      now: () => node.clock.monotonicMs(),
      timers,
      isMaster: (vr) => this.#vrStates.get(vr)?.state === 'master',
      hasToldAll: () => !this.#journal.isWaiting && node.outbox.pending === 0,
      onFound: (found) => {
        world.trace.note(node.id, 'tells', () => `${found.vr} beside ${found.rival}: ${JSON.stringify(found)}`);
        const about = { kind: 'split_brain', subject: found.rival } as const;
        const evidence = evidenceOfTogether(found);
        this.#journal.observe({ type: 'episodeBegan', ...about, evidence }, undefined, { vr: found.vr });
        const reason = 'one has given way';
        const durationMs = Math.round(found.togetherMs);
        this.#journal.observe({ type: 'episodeEnded', ...about, durationMs, reason }, undefined, { vr: found.vr });
      },
    });
    this.#masters = world.rules.together(this.#together);
    this.#desk = world.rules.desk(
      new OwnershipDesk({
        log: node.log,
        cluster: clusterName,
        node: nodeId(node.id),
        priorityOf: (vr) => this.#place(vr),
        holderVerdict: (vr, claim, reason) => this.#verdicts.of(vr, claim, reason),
        state: () => this.#state,
        newEventId,
        clock,
        onAppend: () => undefined,
        onFailed: (what, vr, error) => {
          throw new Error(`${vr}: ${what}`, { cause: error });
        },
      }),
    );
    this.#releases = new ReleaseDesk({
      desk: this.#desk,
      reachable: () => this.isReachable && !this.#isDead,
      onWritten: () => this.#tellNow(),
      timers,
    });
    this.#journal = new Journal({
      cluster: clusterName,
      node: nodeId(node.id),
      boot: () => this.#boot,
      ownership: (vr) => this.#desk.newest(vr),
      newEventId,
      clock,
      logRead: () => this.#together.lastRead,
      add: (event) => this.#observed(event),
      onTaken: (number) => this.#ipc?.tellDataplane({ type: 'taken', number }),
      timers,
    });
    this.#configurations = new ConfigDesk({
      log: node.log,
      cluster: clusterName,
      node: nodeId(node.id),
      boot: () => this.#boot,
      state: () => this.#state,
      reachable: () => this.isReachable && !this.#isDead,
      vrs: () => this.#vrStates,
      hasJustSpoken: (spokeAtMs) => this.#leases.hasJustSpoken(spokeAtMs),
      mayRun: ({ node: other }, spokeAtMs) => this.#leases.mayRun(other, spokeAtMs),
      send: (message) => this.#ipc?.tellDataplane(message) ?? false,
      newEventId,
      clock,
      timers: {
        ...timers,
        after: (delayMs, action) =>
          timers.after(delayMs, () => {
            world.time.stir();
            action();
          }),
      },
      onDiffers: (vr, words) => world.trace.note(node.id, 'differs', () => `${vr}: ${words ?? 'no more'}`),
    });
    this.#leases = new LeaseDuty({
      world,
      node: node.id,
      log: node.leaseLog,
      peers: this.#peers,
      boot: () => (this.#ipc === undefined || this.#boot === '' ? undefined : this.#boot),
      reachable: () => this.isReachable,
      send: (message) => this.#ipc?.tellDataplane(message) ?? false,
      told: (vr) => this.#vrStates.get(vr),
      onRead: (stored) => this.#readMasters(stored),
      observe: (payload) => this.#observe(payload),
      newEventId,
      clock,
      timers,
    });
  }

  start(): void {
    const { link, log, outbox } = this.#node;
    this.#world.witness.readsAnew(this.#node.index);
    link.process = (action) => this.run(action);
    log.watch((status) => this.#logChanged(status));
    this.#follower = log.follow({
      from: 1,
      onEvent: (stored) => {
        this.#state = fold(this.#state, this.#world.names, stored);
        this.#readMasters(stored);
        if (stored.event !== undefined && isConfiguration(stored.event)) this.#configurations.touch(stored.event.vr);
        this.#tellSoon();
      },
      onCaughtUp: () => {
        this.#caughtUp = true;
        this.#together.caughtUp();
        this.#leases.followsEvents(this.isReachable);
        outbox.wake();
        this.#tellNow();
        void this.#releases.flush();
      },
      onGap: (gap) => {
        if (gap.kind === 'missing') return;
        this.#state = rewind(this.#state);
        this.#desk.forget();
        this.#together.readsAgain();
        this.#world.witness.readsAnew(this.#node.index);
        this.#configurations.forget();
        this.#caughtUp = false;
        this.#leases.followsEvents(false);
        this.#announced = undefined;
      },
    });
    this.#leases.start();
    this.#together.start();
    this.#tickLater();
    outbox.attach(log, () => this.#status.state === 'connected' && !this.#isDead);
    this.connect();
  }

  get isRunning(): boolean {
    return !this.#isDead && this.#pauses === 0;
  }

  /** The log answers, and all of it has been read. */
  get isReachable(): boolean {
    return this.#status.state === 'connected' && this.#caughtUp && !this.#status.lagging;
  }

  /** Runs at once, or when the process runs again. */
  run(action: () => void): void {
    if (this.#isDead) return;
    if (this.#pauses > 0) this.#waiting.push(action);
    else action();
  }

  pause(): void {
    this.#pauses += 1;
  }

  resume(): void {
    this.#pauses = Math.max(0, this.#pauses - 1);
    if (this.#pauses > 0) return;
    for (const action of this.#waiting.splice(0)) this.run(action);
  }

  die(): void {
    this.#isDead = true;
    this.#releases.stop();
    this.#together.stop();
    this.#configurations.stop();
    this.#leases.stop();
    this.#follower?.stop();
    this.#node.outbox.attach(undefined, () => false);
    const { link, log, leaseLog } = this.#node;
    link.process = undefined;
    link.abandon();
    log.abandon();
    leaseLog.abandon();
    this.#ipc?.close();
    this.#ipc = undefined;
  }

  #readMasters(stored: StoredEvent): void {
    this.#masters.read(stored);
    this.#world.witness.read(this.#node.index, stored);
  }

  #tickLater(): void {
    this.#world.time.after(tickEveryMs, () =>
      this.run(() => {
        this.#world.time.stir();
        this.#configurations.look();
        if (this.isReachable) this.#masters.look();
        this.#tickLater();
      }),
    );
  }

  /** Tries for as long as it lives. */
  connect(): void {
    if (this.#isDead) return;
    const { dataplane } = this.#node;
    if (this.#pauses > 0 || dataplane === undefined || !dataplane.isRunning) {
      this.#world.time.after(connectRetryMs, () => this.connect());
      return;
    }
    const ipc: IpcPair = new IpcPair(
      this.#world.time,
      this.#world.random,
      {
        receive: (message) => this.run(() => this.#fromDataplane(message, ipc)),
        closed: () => this.run(() => this.#dataplaneGone(ipc)),
      },
      {
        receive: (message) => dataplane.fromAgent(message),
        closed: () => dataplane.agentGone(ipc),
      },
    );
    this.#ipc = ipc;
    dataplane.greet(ipc);
  }

  /** The configuration was read again. */
  reconfigured(): void {
    this.run(() => this.#tellNow());
  }

  /** Reads the file again. Where the log is away nothing is applied that others have as well. */
  reload(): void {
    this.run(() => void this.#reload());
  }

  async #reload(): Promise<void> {
    if (this.#reloading || this.#ipc === undefined) return;
    this.#reloading = true;
    this.#world.time.stir();
    const asked = (): Promise<void> =>
      new Promise((resolve) => {
        const id = ++this.#reloadId;
        const finish = (): void => {
          callOff();
          this.#reloads.delete(id);
          this.#world.time.stir();
          resolve();
        };
        const callOff = this.#world.time.after(reloadDeadlineMs, () => this.run(finish));
        this.#reloads.set(id, finish);
        this.#ipc?.tellDataplane({
          type: 'reload',
          id,
          digest: '',
          guarded: this.#configurations.guarded(() => false),
        });
      });
    await this.#configurations.whileTakenBack(asked).catch(() => undefined);
    this.#reloading = false;
  }

  /** `force`: what is held goes at once; otherwise it is handed over. */
  drain(force: boolean): void {
    this.run(() => this.#tellDrain(force));
  }

  #tellDrain(force: boolean): void {
    const drained = this.#node.isDrained;
    this.#ipc?.tellDataplane({ type: 'drain', drained, force: drained && force });
    if (!drained || force) return;
    for (const { name } of this.#world.routers) this.#ipc?.tellDataplane({ type: 'handOver', vr: name, to: null });
  }

  handOver(vr: string, to: string | undefined): void {
    this.run(() => this.#ipc?.tellDataplane({ type: 'handOver', vr, to: to ?? null }));
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #logChanged(status: LogStatus): void {
    const before = this.#status;
    this.#status = status;
    if (status.state !== before.state) {
      if (status.state !== 'connected') this.#caughtUp = false;
      if (before.state === 'connected') this.#observe({ type: 'logLost', reason: status.problem ?? status.state });
      else if (before.state === 'disconnected') this.#observe({ type: 'logRejoined', outageMs: 0 });
      this.#node.outbox.wake();
    }
    this.#leases.followsEvents(this.isReachable);
    this.#tellNow();
  }

  #tellSoon(): void {
    if (this.#viewScheduled || !this.#caughtUp) return;
    this.#viewScheduled = true;
    this.#world.time.after(0, () =>
      this.run(() => {
        this.#viewScheduled = false;
        this.#tellNow();
      }),
    );
  }

  #tellNow(): void {
    if (this.#ipc === undefined || this.#isDead) return;
    this.#announceNode();
    const message = this.#viewer.next(this.#state, this.isReachable, (vr) => this.#desk.newest(vr));
    if (message !== undefined) this.#ipc.tellDataplane(message);
    this.#configurations.lookAtTouched();
  }

  /** The node's entry in the log, from which others see its place; renewed at most once a second. */
  #announceNode(): void {
    if (!this.isReachable) return;
    const said =
      this.#world.routers.map(({ name }) => `${this.#place(name)} ${this.#running(name)?.digest}`).join(' ') +
      this.#boot +
      this.#vrStates.size;
    if (said === this.#announced) return;
    const waitMs = this.#announcedAtMs + announceEveryMs - this.#world.time.nowMs();
    if (this.#announced !== undefined && waitMs > 0) {
      if (this.#announcing) return;
      this.#announcing = true;
      this.#world.time.after(waitMs, () =>
        this.run(() => {
          this.#announcing = false;
          this.#tellNow();
        }),
      );
      return;
    }
    this.#announced = said;
    this.#announcedAtMs = this.#world.time.nowMs();
    const virtualRouters = this.#world.routers.map(({ name, arbitration }, index) => ({
      name,
      ...configured(this.#running(name)),
      arbitration,
      protocol: 'vrrp3',
      id: index + 1,
      priority: this.#place(name),
      interface: 'lan',
      addresses: [`10.0.0.${200 + index}/24`],
      lanAddress: this.#vrStates.get(name)?.lanAddress ?? '',
    }));
    this.#observe({ type: 'nodeStarted', version: '0', virtualRouters });
  }

  // ── the dataplane ─────────────────────────────────────────────────────────────────────────────────────────────────

  #fromDataplane(message: ToAgent, ipc: IpcPair): void {
    if (ipc !== this.#ipc) return;
    switch (message.type) {
      case 'hello':
        this.#dataplaneEnded = false;
        this.#boot = bootId(message.boot);
        this.#viewer = this.#newViewer();
        for (const state of message.vrs) this.#vrStates.set(state.vr, state);
        this.#tellDrain(false);
        this.#configurations.dataplaneCame();
        this.#leases.dataplaneUp();
        this.#tellNow();
        return;
      case 'state':
        this.#vrStates.set(message.state.vr, message.state);
        this.#configurations.touch(message.state.vr);
        this.#tellNow();
        return;
      case 'snapshot':
      case 'reloadAsked':
        return;
      case 'reloaded':
        for (const state of message.vrs) {
          this.#vrStates.set(state.vr, state);
          this.#configurations.touch(state.vr);
        }
        this.#reloads.get(message.id ?? 0)?.();
        this.#tellNow();
        return;
      case 'bye':
        this.#dataplaneEnded = true;
        this.#observe({ type: 'nodeStopped', reason: 'shutdown' });
        return;
      case 'claim':
        void this.#claim(message, ipc);
        return;
      case 'released': {
        const { vr, term: ended, reason, number } = message;
        const order: ReleaseOrder = { vr, term: ended, reason, boot: this.#boot };
        this.#releases.add(order, message.resigned, () => ipc.tellDataplane({ type: 'taken', number }));
        return;
      }
      case 'askReady':
        void this.#askReady(message, ipc);
        return;
      case 'startHandover':
        void this.#startHandover(message, ipc);
        return;
      case 'tellServing':
        this.#peers.tell(message.to, { type: 'iServe', from: this.#node.id, vr: message.vr, term: message.term });
        return;
      case 'askHandover':
        this.#peers.tell(message.of, { type: 'handOverToMe', from: this.#node.id, vr: message.vr });
        return;
      case 'challenge':
        this.#verdicts.asked(message.vr, message.claim);
        void this.#leases.challenge(message, (answer) => {
          if (this.#isDead) return;
          this.#verdicts.note(answer.vr, answer.claim, answer.verdict);
          ipc.tellDataplane(answer);
        });
        return;
      case 'challenged':
        this.#leases.reported(message);
        return;
      default:
        this.#journal.record(message);
    }
  }

  async #claim(message: Extract<ToAgent, { type: 'claim' }>, ipc: IpcPair): Promise<void> {
    this.#world.time.stir();
    const answer = this.isReachable
      ? await this.#desk.claim(message, this.#boot)
      : ({ kind: 'unavailable', maybeStored: false } as const);
    if (this.#isDead) return;
    const { vr, claim, term: claimed } = message;
    ipc.tellDataplane({ type: 'claimAnswer', vr, claim, term: claimed, answer });
    if (answer.kind === 'stored') this.#tellNow();
  }

  async #startHandover(message: Extract<ToAgent, { type: 'startHandover' }>, ipc: IpcPair): Promise<void> {
    this.#world.time.stir();
    const answer = this.isReachable
      ? await this.#desk.startHandover(message, this.#boot)
      : ({ kind: 'unavailable', maybeStored: false } as const);
    if (this.#isDead) return;
    const { vr, claim, term: handed } = message;
    ipc.tellDataplane({ type: 'claimAnswer', vr, claim, term: handed, answer });
    if (answer.kind === 'stored') this.#tellNow();
  }

  async #askReady({ vr, to, term: asked }: Extract<ToAgent, { type: 'askReady' }>, ipc: IpcPair): Promise<void> {
    this.#world.time.stir();
    const question = { type: 'areYouReady', from: this.#node.id, vr, term: asked } as const;
    const answer = await this.#peers.ask(to, question, readyAnswerTimeoutMs);
    if (this.#isDead) return;
    const { ready = false, highestTerm = 0 } = answer ?? {};
    ipc.tellDataplane({ type: 'peerReady', vr, from: to, ready, highestTerm });
  }

  /** Another node asks or tells. */
  answerPeer(message: PeerMessage): PeerAnswer | Promise<PeerAnswer> {
    const { vr, from } = message;
    switch (message.type) {
      case 'areYouReady':
        return peerReadiness(
          vr,
          this.#ipc === undefined ? undefined : this.#vrStates.get(vr),
          this.#node.isDrained,
          this.#state.virtualRouters.get(vr)?.highestTerm ?? 0,
        );
      case 'iServe':
        this.#ipc?.tellDataplane({ type: 'peerServes', vr, from, term: message.term });
        break;
      case 'handOverToMe':
        this.#ipc?.tellDataplane({ type: 'handOver', vr, to: from });
        break;
      case 'doYouServe':
        return this.#leases.asked(message);
      case 'handOver':
        this.#ipc?.tellDataplane({ type: 'handOver', vr, to: message.to });
        break;
    }
    return { ready: true, reason: '' };
  }

  #dataplaneGone(ipc: IpcPair): void {
    if (ipc !== this.#ipc) return;
    this.#ipc = undefined;
    this.#leases.dataplaneGone();
    this.#announced = undefined;
    this.#world.time.after(connectRetryMs, () => this.connect());
    this.#vrStates.clear();
    if (this.#dataplaneEnded) return;
    const boot = this.#boot;
    this.#observe({ type: 'dataplaneLost', reason: 'the connection ended', seenMs: this.#together.awakeSinceMs });
    for (const { name } of this.#world.routers) {
      const held = this.#desk.newest(name);
      if (held === undefined || held.released || held.owner !== this.#node.id || held.boot !== boot) continue;
      this.#releaseWhenGone(
        { vr: name, term: held.term, reason: 'dataplane_lost', boot },
        this.#node.clock.monotonicMs() + goneDeadlineMs,
      );
    }
  }

  #releaseWhenGone(order: ReleaseOrder, deadlineMs: number): void {
    if (this.#ipc !== undefined) return;
    if (!this.#node.addresses.has(order.vr)) {
      this.#releases.add(order, true, () => undefined);
    } else if (this.#node.clock.monotonicMs() < deadlineMs) {
      this.#world.time.after(goneLookMs, () => this.run(() => this.#releaseWhenGone(order, deadlineMs)));
    }
  }

  // ── the journal ───────────────────────────────────────────────────────────────────────────────────────────────────

  #observe(payload: ObservationPayload): void {
    this.#journal.observe(payload);
  }

  #observed(event: ObservationEvent): void {
    if (this.#boot === '') return;
    this.#together.tells(event);
    this.#node.outbox.add(event);
  }

  /** Where this node stands among the candidates, as the dataplane says; last of all where it cannot serve. */
  #place(vr: string): number {
    const told = this.#vrStates.get(vr);
    if (told === undefined) return this.#node.priorityOf(vr);
    return told.state === 'fault' ? 0 : told.priority;
  }

  #running(vr: string): SharedConfiguration | undefined {
    return this.#vrStates.get(vr)?.configuration?.running;
  }

  #newViewer(): LogViewer {
    return new LogViewer(this.#node.id, () =>
      this.#world.routers.map(({ name }) => ({ name, priority: this.#place(name) })),
    );
  }
}
