import { LogViewer } from '../agent/log-view.js';
import { OwnershipDesk, type ReleaseOrder } from '../agent/ownership-desk.js';
import { type BootId, bootId, nodeId, term } from '../core/identity.js';
import type { KeptMessage, ToAgent, VrStateMessage } from '../ipc/protocol.js';
import type { ObservationPayload } from '../log/event.js';
import type { Follower, LogStatus } from '../log/port.js';
import { emptyLogState, fold, type LogState, rewind } from '../log/projection.js';
import { IpcPair } from './ipc-pair.js';
import type { PeerAnswer, PeerMessage } from './peer-messages.js';
import { ReleaseQueue } from './release-queue.js';
import type { SimulatedNode } from './simulated-node.js';
import { clusterName, type Desk, type World } from './world.js';

const connectRetryMs = 100;
const recordAfterMs = 100;
const announceEveryMs = 1000;
const readyTimeoutMs = 80;
const goneDeadlineMs = 10_000;
const goneLookMs = 5;

/** Everything but a release: recorded, and then nobody's concern. */
type Observed = Exclude<KeptMessage, { type: 'released' }>;

/** One life of an agent: the real desk, viewer and fold, between a simulated log and a simulated dataplane. */
export class AgentProcess {
  readonly #world: World;
  readonly #node: SimulatedNode;
  readonly #desk: Desk;
  readonly #releases: ReleaseQueue;
  readonly #vrStates = new Map<string, VrStateMessage>();
  readonly #waiting: (() => void)[] = [];
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
    this.#desk = world.rules.desk(
      new OwnershipDesk({
        log: node.log,
        cluster: clusterName,
        node: nodeId(node.id),
        priorityOf: (vr) => this.#place(vr),
        state: () => this.#state,
        newEventId: () => node.newEventId(),
        clock: () => ({ wallMs: node.clock.wallMs(), monotonicMs: node.clock.monotonicMs() }),
        onAppend: () => undefined,
      }),
    );
    this.#releases = new ReleaseQueue({
      time: world.time,
      desk: this.#desk,
      reachable: () => this.isReachable && !this.#isDead,
      onWritten: () => this.#tellNow(),
      inProcess: (action) => this.run(action),
    });
  }

  start(): void {
    const { log, outbox } = this.#node;
    log.process = (action) => this.run(action);
    log.watch((status) => this.#logChanged(status));
    this.#follower = log.follow({
      from: 1,
      onEvent: (stored) => {
        this.#state = fold(this.#state, this.#world.names, stored);
        this.#tellSoon();
      },
      onCaughtUp: () => {
        this.#caughtUp = true;
        outbox.wake();
        this.#tellNow();
        void this.#releases.flush();
      },
      onGap: (gap) => {
        if (gap.kind === 'missing') return;
        this.#state = rewind(this.#state);
        this.#desk.forget();
        this.#caughtUp = false;
        this.#announced = undefined;
      },
    });
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
    this.#follower?.stop();
    this.#node.outbox.attach(undefined, () => false);
    this.#node.log.abandon();
    this.#node.log.process = undefined;
    this.#ipc?.close();
    this.#ipc = undefined;
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
  }

  /** The node's entry in the log, from which others see its place; renewed at most once a second. */
  #announceNode(): void {
    if (!this.isReachable) return;
    const said =
      this.#world.routers.map(({ name }) => `${this.#place(name)}`).join(' ') + this.#boot + this.#vrStates.size;
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
    const virtualRouters = this.#world.routers.map(({ name }, index) => ({
      name,
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
        this.#tellNow();
        return;
      case 'state':
        this.#vrStates.set(message.state.vr, message.state);
        this.#tellNow();
        return;
      case 'snapshot':
      case 'reloaded':
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
        this.#askReady(message, ipc);
        return;
      case 'startHandover':
        void this.#startHandover(message, ipc);
        return;
      case 'tellServing':
        this.#node.peers.tell(this.#node, message.to, {
          type: 'iServe',
          from: this.#node.id,
          vr: message.vr,
          term: message.term,
        });
        return;
      case 'askHandover':
        this.#node.peers.tell(this.#node, message.of, { type: 'handOverToMe', from: this.#node.id, vr: message.vr });
        return;
      case 'challenge':
      case 'challenged':
        return;
      default:
        this.#record(message, ipc);
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
  }

  #askReady({ vr, to, term: asked }: Extract<ToAgent, { type: 'askReady' }>, ipc: IpcPair): void {
    const question = { type: 'areYouReady', from: this.#node.id, vr, term: asked } as const;
    let isAnswered = false;
    const answered = (answer: PeerAnswer | undefined): void => {
      if (isAnswered) return;
      isAnswered = true;
      ipc.tellDataplane({
        type: 'peerReady',
        vr,
        from: to,
        ready: answer?.ready === true,
        highestTerm: answer?.highestTerm ?? 0,
      });
    };
    this.#node.peers.ask(this.#node, to, question, (answer) => this.run(() => answered(answer)));
    this.#world.time.after(readyTimeoutMs, () => this.run(() => answered(undefined)));
  }

  /** Another node asks or tells. */
  answerPeer(message: PeerMessage): PeerAnswer {
    const { vr, from } = message;
    switch (message.type) {
      case 'areYouReady':
        return this.#readiness(vr);
      case 'iServe':
        this.#ipc?.tellDataplane({ type: 'peerServes', vr, from, term: message.term });
        break;
      case 'handOverToMe':
        this.#ipc?.tellDataplane({ type: 'handOver', vr, to: from });
        break;
    }
    return { ready: true };
  }

  #readiness(vr: string): PeerAnswer {
    const told = this.#vrStates.get(vr);
    if (this.#ipc === undefined || told === undefined) return { ready: false };
    return { ready: told.state === 'backup', highestTerm: told.term };
  }

  #dataplaneGone(ipc: IpcPair): void {
    if (ipc !== this.#ipc) return;
    this.#ipc = undefined;
    this.#announced = undefined;
    this.#world.time.after(connectRetryMs, () => this.connect());
    this.#vrStates.clear();
    if (this.#dataplaneEnded) return;
    const boot = this.#boot;
    this.#observe({ type: 'dataplaneLost', reason: 'the connection ended' });
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

  #record(message: Observed, ipc: IpcPair): void {
    this.#world.time.after(recordAfterMs, () =>
      this.run(() => {
        this.#write(message);
        ipc.tellDataplane({ type: 'taken', number: message.number });
      }),
    );
  }

  #write(message: Observed): void {
    if (message.type !== 'transition') return;
    const { vr, from, to, reason, term: ended } = message;
    this.#observe({ type: 'transition', from, to, reason }, { vr, term: ended });
    if (to === 'master' && message.standing === 'provisional') {
      this.#observe({ type: 'provisionalTakeover', reason }, { vr, term: ended });
    }
  }

  #observe(payload: ObservationPayload, about: { readonly vr?: string; readonly term?: number } = {}): void {
    const { clock, id, outbox } = this.#node;
    if (this.#boot === '') return;
    outbox.add({
      id: this.#node.newEventId(),
      cluster: clusterName,
      node: nodeId(id),
      boot: this.#boot,
      wallTimeMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
      ...(about.vr === undefined ? {} : { vr: about.vr }),
      ...(about.term === undefined ? {} : { term: term(about.term) }),
      payload,
    });
  }

  /** Where this node stands among the candidates, as the dataplane says; last of all where it cannot serve. */
  #place(vr: string): number {
    const told = this.#vrStates.get(vr);
    if (told === undefined) return this.#node.priorityOf(vr);
    return told.state === 'fault' ? 0 : told.priority;
  }

  #newViewer(): LogViewer {
    return new LogViewer(this.#node.id, () =>
      this.#world.routers.map(({ name }) => ({ name, priority: this.#place(name) })),
    );
  }
}
