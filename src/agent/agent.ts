import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { KoiConfig } from '../config/config.js';
import { type BootId, bootId, nodeId, term } from '../core/identity.js';
import { explainReason } from '../core/reasons.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import type { KeptMessage, ToAgent, VrStateMessage } from '../ipc/protocol.js';
import type { ObservationPayload } from '../log/event.js';
import { eventId } from '../log/event-id.js';
import { type JetStreamLogs, openJetStreamLogs } from '../log/jetstream.js';
import { Outbox } from '../log/outbox.js';
import type { PeerAnswer, PeerMessage } from '../log/peer-channel.js';
import type { Follower, LogStatus } from '../log/port.js';
import { emptyLogState, fold, type LogState, rewind } from '../log/projection.js';
import { buildInfo } from '../observe/build-info.js';
import { type Listening, serveControl, serveHttp } from '../observe/http.js';
import type { HttpSources } from '../observe/http-sources.js';
import { createMetrics, type KoiMetrics } from '../observe/metrics.js';
import type { DataplaneSnapshot } from '../observe/snapshot.js';
import type { Verdict } from '../observe/status.js';
import { DataplanePort } from './dataplane-port.js';
import { presentAddresses } from './gone-addresses.js';
import { LogViewer } from './log-view.js';
import { metricWords } from './metric-words.js';
import { OwnershipDesk, type ReleaseOrder } from './ownership-desk.js';
import { composeStatus } from './status-report.js';
import { readTimeline } from './timeline.js';

/** The machine's own deadline for the answer is a little longer. */
const readyTimeoutMs = 80;
const releaseRetryMs = 250;
/** Releases that wait for the log: one for each virtual router and boot would be enough. */
const releasesMax = 4096;
/** After the dataplane died, how long to wait for its addresses to go, and how often to look. */
const goneDeadlineMs = 10_000;
const goneLookMs = 5;
const stopDeadlineMs = 2000;
/** How long observations wait before they go to the log. */
const recordAfterMs = 100;
/** How long those who heard a resignation get to claim before the log is told of it as well. */
const claimGraceMs = 30;
/** The agent's loop counts as ticking while it is at most this late. */
const tickEveryMs = 1000;
const tickLateMs = 5000;

/** A release that the log has not taken yet; `done` tells whoever keeps it. */
interface PendingRelease {
  readonly order: ReleaseOrder;
  readonly done: () => void;
}

type Observed = Exclude<KeptMessage, { type: 'released' }>;

/** Joins event log, configuration, HTTP and dataplane. Holds no capability, and nothing it does can delay an advert. */
export class Agent {
  readonly #config: KoiConfig;
  readonly #log: Logger;
  readonly #logs: JetStreamLogs;
  readonly #metrics: KoiMetrics;
  readonly #desk: OwnershipDesk;
  readonly #vrStates = new Map<string, VrStateMessage>();
  readonly #pendingReleases: PendingRelease[] = [];
  readonly #listening: Listening[] = [];
  readonly #observed: Observed[] = [];
  #recordTimer: NodeJS.Timeout | undefined;
  #outbox: Outbox | undefined;
  #dataplane: DataplanePort | undefined;
  #viewer: LogViewer;
  #boot: BootId = bootId('');
  #state: LogState = emptyLogState;
  #status: LogStatus = { state: 'connecting', warnings: [], lagEvents: 0, lagging: false, reconnects: 0 };
  #caughtUp = false;
  #viewScheduled = false;
  #releasing = false;
  #logLostAtMs: number | undefined;
  #snapshot: DataplaneSnapshot | undefined;
  #follower: Follower | undefined;
  #tickAtMs = performance.now();
  #timers: NodeJS.Timeout[] = [];
  #announcedBoot: string | undefined;
  #dataplaneEnded = false;
  #stopped = false;

  private constructor(config: KoiConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
    const { servers, authentication, tls, replicas } = config.log;
    this.#logs = openJetStreamLogs({
      servers,
      name: config.node,
      authentication,
      tls,
      cluster: config.cluster,
      replicas,
      answerPeer: (message) => this.#answerPeer(message),
    });
    this.#metrics = createMetrics(buildInfo(), metricWords());
    this.#viewer = this.#newViewer();
    this.#desk = new OwnershipDesk({
      log: this.#logs.events,
      cluster: config.cluster,
      node: nodeId(config.node),
      priorityOf: (vr) => this.#priorities().find(({ name }) => name === vr)?.priority ?? 0,
      state: () => this.#state,
      newEventId,
      clock,
      onAppend: (result, durationMs) => {
        this.#metrics.logAppended(durationMs);
        if (result.kind === 'conflict') this.#metrics.logConflicted();
      },
    });
  }

  /** @throws KoiError `config` where a port or the control socket is taken, `privilege`. */
  static async start(config: KoiConfig, log: Logger): Promise<Agent> {
    const agent = new Agent(config, log);
    try {
      await agent.#open();
    } catch (error) {
      await agent.stop();
      throw error;
    }
    return agent;
  }

  async #open(): Promise<void> {
    const config = this.#config;
    for (const vr of config.virtualRouters) {
      this.#metrics.declareVr({
        name: vr.name,
        id: vr.id,
        protocol: vr.protocol,
        interface: vr.interface.value,
        virtualMac: '',
        priority: 'priority' in vr ? vr.priority : 0,
        vips: vr.addresses.map(({ address }) => address),
      });
    }
    this.#outbox = await Outbox.open({
      path: join(config.stateDir, 'outbox'),
      node: config.node,
      names: this.#logs.names,
      log: this.#logs.events,
      summarize: ({ count, firstMs, lastMs }) =>
        this.#observation({ type: 'eventsDropped', count, firstMs, lastMs }, clock()),
      onTrouble: (error) => this.#log.error({ err: error }, 'the outbox has a problem'),
      onChange: () => this.#showLog(),
    });
    const sources = this.#sources();
    this.#listening.push(await serveControl({ path: config.control, sources, actions: {} }));
    this.#listening.push(await serveHttp({ listen: config.http.listen, sources }));
    this.#logs.events.watch((status) => this.#logChanged(status));
    this.#follower = this.#logs.events.follow({
      from: 1,
      onEvent: (stored) => {
        this.#state = fold(this.#state, this.#logs.names, stored);
        this.#tellSoon();
      },
      onCaughtUp: () => {
        this.#caughtUp = true;
        this.#tellNow();
        void this.#writeReleases();
      },
      onGap: (gap) => {
        this.#log.error({ gap }, 'the log is not the one that was read before; terms are kept');
        this.#metrics.logRegressed();
        if (gap.kind === 'missing') return;
        this.#state = rewind(this.#state);
        this.#desk.forget();
        this.#caughtUp = false;
        this.#announcedBoot = undefined;
      },
    });
    this.#dataplane = new DataplanePort({
      path: dataplaneSocketPath(config.control),
      node: config.node,
      onMessage: (message) => this.#fromDataplane(message),
      onUp: () => this.#log.info('connected to the dataplane'),
      onDown: (cause) => this.#dataplaneGone(cause?.message),
      onTrouble: (error) => this.#log.warn({ reason: error.message }, 'the dataplane cannot be reached; trying on'),
    });
    this.#timers.push(
      setInterval(() => {
        this.#tickAtMs = performance.now();
      }, tickEveryMs),
      setInterval(() => void this.#writeReleases(), releaseRetryMs),
    );
    this.#log.info({ addresses: this.#listening.map(({ address }) => address) }, 'listening');
  }

  /** Gives what is left to the log, within a deadline, and ends. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#recordAll();
    this.#dataplane?.stop();
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, stopDeadlineMs).unref());
    await Promise.race([this.#settle(), deadline]);
    this.#follower?.stop();
    await Promise.allSettled(this.#listening.map((listening) => listening.close()));
    await Promise.race([this.#outbox?.close() ?? Promise.resolve(), deadline]);
    await Promise.race([this.#logs.close(), deadline]);
  }

  async #settle(): Promise<void> {
    if (!this.#reachable) return;
    await this.#writeReleases();
    while ((this.#outbox?.pending ?? 0) > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────

  get #reachable(): boolean {
    return this.#status.state === 'connected' && this.#caughtUp && !this.#status.lagging;
  }

  #logChanged(status: LogStatus): void {
    const before = this.#status;
    this.#status = status;
    if (status.reconnects > before.reconnects) this.#metrics.logReconnected();
    if (status.state !== before.state) this.#logMoved(before.state, status);
    this.#showLog();
    this.#tellNow();
  }

  #logMoved(from: LogStatus['state'], status: LogStatus): void {
    const { state: to, problem } = status;
    if (to === 'connected') {
      this.#log.info({ server: status.server }, 'the event log can be reached');
      if (this.#logLostAtMs !== undefined) {
        this.#observe({ type: 'logRejoined', outageMs: performance.now() - this.#logLostAtMs });
        this.#logLostAtMs = undefined;
      }
    } else {
      this.#caughtUp = false;
      const report = { from, to, problem };
      if (to === 'unfit') this.#log.error(report, 'the event log cannot keep the promises');
      else this.#log.warn(report, 'the event log cannot be reached');
      if (from === 'connected' && !this.#stopped) {
        this.#logLostAtMs = performance.now();
        this.#observe({ type: 'logLost', reason: problem ?? to });
      }
    }
  }

  #showLog(): void {
    this.#metrics.setLog({
      connected: this.#reachable,
      outboxEvents: this.#outbox?.pending ?? 0,
      lagEvents: this.#status.lagEvents,
    });
  }

  /** One message for all the events of one turn of the loop. */
  #tellSoon(): void {
    if (this.#viewScheduled || !this.#caughtUp) return;
    this.#viewScheduled = true;
    setImmediate(() => {
      this.#viewScheduled = false;
      this.#tellNow();
    });
  }

  #tellNow(): void {
    this.#showLog();
    if (this.#dataplane?.up !== true) return;
    this.#announceNode();
    const message = this.#viewer.next(this.#state, this.#reachable, (vr) => this.#desk.newest(vr));
    if (message !== undefined) this.#dataplane.send(message);
  }

  /** The node's entry in the log: its virtual routers, priorities and LAN addresses, from which others see its place. */
  #announceNode(): void {
    const routers = this.#config.virtualRouters.map((vr) => ({
      name: vr.name,
      protocol: vr.protocol,
      id: vr.id,
      priority: 'priority' in vr ? vr.priority : 0,
      interface: vr.interface.value,
      addresses: vr.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      lanAddress: this.#vrStates.get(vr.name)?.lanAddress ?? '',
    }));
    const said = JSON.stringify([this.#boot, routers]);
    if (!this.#reachable || said === this.#announcedBoot) return;
    this.#announcedBoot = said;
    this.#observe({ type: 'nodeStarted', version: buildInfo().version, virtualRouters: routers });
  }

  // ── the dataplane ─────────────────────────────────────────────────────────────────────────────────────────────────

  #fromDataplane(message: ToAgent): void {
    switch (message.type) {
      case 'hello':
        this.#dataplaneEnded = false;
        this.#boot = bootId(message.boot);
        this.#viewer = this.#newViewer();
        for (const state of message.vrs) this.#vrStates.set(state.vr, state);
        this.#declare();
        this.#tellNow();
        return;
      case 'state':
        this.#vrStates.set(message.state.vr, message.state);
        this.#metrics.setVrState(message.state.vr, message.state.state);
        this.#tellNow();
        return;
      case 'snapshot':
        this.#snapshot = message.snapshot;
        this.#metrics.apply(message.snapshot);
        return;
      case 'bye':
        this.#recordAll();
        this.#dataplaneEnded = true;
        this.#observe({ type: 'nodeStopped', reason: 'shutdown' });
        return;
      case 'claim':
        void this.#claim(message);
        return;
      case 'released':
        this.#release(message);
        return;
      case 'askReady':
        void this.#askReady(message);
        return;
      case 'startHandover':
        void this.#startHandover(message);
        return;
      case 'tellServing':
        this.#logs.peers.tell(message.to, {
          type: 'iServe',
          from: this.#config.node,
          vr: message.vr,
          term: message.term,
        });
        return;
      case 'askHandover':
        this.#logs.peers.tell(message.of, { type: 'handOverToMe', from: this.#config.node, vr: message.vr });
        return;
      default:
        this.#recordLater(message);
    }
  }

  async #claim(message: Extract<ToAgent, { type: 'claim' }>): Promise<void> {
    const answer = this.#reachable
      ? await this.#desk.claim(message, this.#boot)
      : ({ kind: 'unavailable', maybeStored: false } as const);
    const { vr, claim, term: claimed } = message;
    this.#dataplane?.send({ type: 'claimAnswer', vr, claim, term: claimed, answer });
    if (answer.kind === 'stored') this.#tellNow();
  }

  // ── handover ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #askReady({ vr, to, term: asked }: Extract<ToAgent, { type: 'askReady' }>): Promise<void> {
    const question = { type: 'areYouReady', from: this.#config.node, vr, term: asked } as const;
    const answer = await this.#logs.peers.ask(to, question, readyTimeoutMs);
    if (answer?.ready !== true) this.#log.warn({ vr, to, reason: answer?.reason ?? 'no answer' }, 'cannot hand over');
    this.#dataplane?.send({ type: 'peerReady', vr, from: to, ready: answer?.ready === true });
  }

  async #startHandover(message: Extract<ToAgent, { type: 'startHandover' }>): Promise<void> {
    const answer = this.#reachable
      ? await this.#desk.startHandover(message, this.#boot)
      : ({ kind: 'unavailable', maybeStored: false } as const);
    const { vr, claim, term: handed } = message;
    this.#dataplane?.send({ type: 'claimAnswer', vr, claim, term: handed, answer });
  }

  /** Another node asks or tells. What it may do here is bounded: a handover needs the log's word as well. */
  #answerPeer(message: PeerMessage): PeerAnswer {
    const { vr, from } = message;
    switch (message.type) {
      case 'areYouReady':
        return this.#readiness(vr);
      case 'iServe':
        this.#dataplane?.send({ type: 'peerServes', vr, from, term: message.term });
        break;
      case 'handOverToMe':
        this.#dataplane?.send({ type: 'handOver', vr, to: from });
        break;
    }
    return { ready: true, reason: '' };
  }

  #readiness(vr: string): PeerAnswer {
    const told = this.#vrStates.get(vr);
    if (this.#dataplane?.up !== true) return { ready: false, reason: 'the dataplane is not running' };
    if (told === undefined) return { ready: false, reason: `no virtual router ${vr} here` };
    if (told.state !== 'backup')
      return { ready: false, reason: `${vr} is ${told.state}: ${explainReason(told.reason)}` };
    return { ready: told.warnings.length === 0, reason: told.warnings.join('; ') };
  }

  #release(message: Extract<ToAgent, { type: 'released' }>): void {
    const { vr, term: ended, reason, number } = message;
    const order: ReleaseOrder = { vr, term: ended, reason, boot: this.#boot };
    const write = (): void => this.#queueRelease(order, () => this.#dataplane?.send({ type: 'taken', number }));
    if (message.resigned) this.#afterClaims(write);
    else write();
  }

  /**
   * The LAN has been told that the master is gone, and whoever heard it claims over the ownership that stands. A release
   * written at that very moment would only make that claim start again.
   */
  #afterClaims(write: () => void): void {
    setTimeout(write, claimGraceMs);
  }

  #queueRelease(order: ReleaseOrder, done: () => void): void {
    if (this.#pendingReleases.length >= releasesMax) this.#pendingReleases.shift();
    this.#pendingReleases.push({ order, done });
    void this.#writeReleases();
  }

  /** In order; one that the log does not answer stays, and is tried again. */
  async #writeReleases(): Promise<void> {
    if (this.#releasing) return;
    this.#releasing = true;
    try {
      while (this.#reachable) {
        const batch = [...this.#pendingReleases];
        if (batch.length === 0) return;
        const taken = await Promise.all(batch.map(({ order }) => this.#desk.release(order)));
        batch.forEach((release, index) => {
          if (taken[index] !== true) return;
          this.#pendingReleases.splice(this.#pendingReleases.indexOf(release), 1);
          release.done();
        });
        this.#tellNow();
        if (!taken.every((each) => each)) return;
      }
    } finally {
      this.#releasing = false;
    }
  }

  /**
   * Observations wait a moment: at a takeover the log's disk belongs to the claim. Until they are taken the dataplane
   * keeps them, and each carries the time at which it happened.
   */
  #recordLater(message: Observed): void {
    this.#observed.push(message);
    this.#recordTimer ??= setTimeout(() => this.#recordAll(), recordAfterMs);
  }

  #recordAll(): void {
    clearTimeout(this.#recordTimer);
    this.#recordTimer = undefined;
    for (const message of this.#observed.splice(0)) this.#record(message);
  }

  #record(message: Observed): void {
    const at = { wallMs: message.wallMs, monotonicMs: message.monotonicMs };
    switch (message.type) {
      case 'transition': {
        const { vr, from, to, reason } = message;
        this.#observe({ type: 'transition', from, to, reason }, at, { vr, term: message.term });
        if (to === 'master' && message.standing === 'provisional') {
          this.#observe({ type: 'provisionalTakeover', reason }, at, { vr, term: message.term });
        }
        break;
      }
      case 'masterActive': {
        const { vr, steps, phases } = message;
        this.#observe({ type: 'masterActive', steps, ...phases }, at, { vr, term: message.term });
        break;
      }
      case 'repaired':
        this.#observe({ type: 'linkRepaired', kind: message.kind, object: message.object }, at, { vr: message.vr });
        break;
      case 'fenced':
        this.#observe({ type: 'fenced', reason: message.reason }, at, message.vr === null ? {} : { vr: message.vr });
        break;
    }
    this.#dataplane?.send({ type: 'taken', number: message.number });
  }

  /** The dataplane died: its guard takes the addresses off. What it owned is released once that has been read. */
  #dataplaneGone(cause: string | undefined): void {
    if (this.#stopped) return;
    this.#metrics.dataplaneLost();
    this.#snapshot = undefined;
    this.#announcedBoot = undefined;
    if (this.#dataplaneEnded) {
      this.#log.info('the dataplane has ended');
      this.#vrStates.clear();
      return;
    }
    this.#log.error({ cause }, 'the dataplane is gone');
    const boot = this.#boot;
    this.#observe({ type: 'dataplaneLost', reason: cause ?? 'the connection ended' });
    for (const vr of this.#config.virtualRouters) {
      const held = this.#desk.newest(vr.name);
      if (held === undefined || held.released || held.owner !== this.#config.node || held.boot !== boot) continue;
      const order: ReleaseOrder = { vr: vr.name, term: held.term, reason: 'dataplane_lost', boot };
      this.#releaseWhenGone(
        order,
        vr.addresses.map(({ address }) => address),
        performance.now() + goneDeadlineMs,
      );
    }
    this.#vrStates.clear();
  }

  #releaseWhenGone(order: ReleaseOrder, addresses: readonly string[], deadlineMs: number): void {
    if (this.#stopped || this.#dataplane?.up === true) return;
    const left = presentAddresses(addresses);
    if (left.length === 0) {
      const done = (): void => this.#log.info({ vr: order.vr }, 'released on behalf of the dead dataplane');
      this.#afterClaims(() => this.#queueRelease(order, done));
      return;
    }
    if (performance.now() >= deadlineMs) {
      this.#log.error({ vr: order.vr, left }, 'the addresses of the dead dataplane would not go');
      return;
    }
    setTimeout(() => this.#releaseWhenGone(order, addresses, deadlineMs), goneLookMs);
  }

  // ── observations ──────────────────────────────────────────────────────────────────────────────────────────────────

  #observe(
    payload: ObservationPayload,
    at: { readonly wallMs: number; readonly monotonicMs: number } = clock(),
    about: { readonly vr?: string; readonly term?: number } = {},
  ): void {
    this.#outbox?.add(this.#observation(payload, at, about));
  }

  #observation(
    payload: ObservationPayload,
    at: { readonly wallMs: number; readonly monotonicMs: number },
    about: { readonly vr?: string; readonly term?: number } = {},
  ) {
    const ownership = about.vr === undefined ? undefined : this.#desk.newest(about.vr);
    const isCause = ownership !== undefined && ownership.term === about.term;
    return {
      id: newEventId(),
      cluster: this.#config.cluster,
      node: nodeId(this.#config.node),
      boot: this.#boot,
      wallTimeMs: at.wallMs,
      monotonicMs: at.monotonicMs,
      ...(isCause ? { causeId: ownership.claim } : {}),
      ...(about.vr === undefined ? {} : { vr: about.vr }),
      ...(about.term === undefined ? {} : { term: term(about.term) }),
      payload,
    };
  }

  // ── what others see ───────────────────────────────────────────────────────────────────────────────────────────────

  #sources(): HttpSources {
    return {
      metricsText: () => this.#metrics.text(),
      health: () => this.#health(),
      ready: () => this.#ready(),
      status: () =>
        composeStatus({
          config: this.#config,
          version: buildInfo().version,
          nowMs: Date.now(),
          log: this.#status,
          logReachable: this.#reachable,
          state: this.#state,
          outboxEvents: this.#outbox?.pending ?? 0,
          dataplaneUp: this.#dataplane?.up === true,
          snapshot: this.#snapshot,
          vrs: this.#vrStates,
        }),
      timeline: (query) => readTimeline(this.#logs.events, query),
    };
  }

  #health(): Verdict {
    const lateMs = performance.now() - this.#tickAtMs;
    const ticks = lateMs < tickLateMs;
    const up = this.#dataplane?.up === true;
    return {
      ok: ticks && up,
      checks: [
        { name: 'agent', ok: ticks, detail: `its loop ticked ${Math.round(lateMs)} ms ago` },
        { name: 'dataplane', ok: up, detail: up ? 'connected' : 'not connected' },
      ],
    };
  }

  #ready(): Verdict {
    const up = this.#dataplane?.up === true;
    const unbound = [...this.#vrStates.values()].filter(({ state }) => state === 'fault').map(({ vr }) => vr);
    const mayWithout = this.#config.virtualRouters.every((vr) => vr.arbitration === 'wire' || vr.onLogLoss === 'wire');
    return {
      ok: up && unbound.length === 0 && (this.#reachable || mayWithout),
      checks: [
        { name: 'configuration', ok: up, detail: up ? 'applied' : 'the dataplane is not connected' },
        {
          name: 'interfaces',
          ok: unbound.length === 0,
          detail: unbound.length === 0 ? 'bound' : `${unbound.join(', ')} cannot use their interface`,
        },
        {
          name: 'log',
          ok: this.#reachable || mayWithout,
          detail: this.#reachable ? 'joined' : `${this.#status.problem ?? this.#status.state}`,
        },
      ],
    };
  }

  #declare(): void {
    for (const vr of this.#config.virtualRouters) {
      const told = this.#vrStates.get(vr.name);
      if (told === undefined) continue;
      this.#metrics.declareVr({
        name: vr.name,
        id: vr.id,
        protocol: vr.protocol,
        interface: told.interface,
        virtualMac: told.virtualMac,
        priority: 'priority' in vr ? vr.priority : 0,
        vips: vr.addresses.map(({ address }) => address),
      });
      this.#metrics.setVrState(vr.name, told.state);
    }
  }

  #priorities(): readonly { readonly name: string; readonly priority: number }[] {
    return this.#config.virtualRouters.map((vr) => ({ name: vr.name, priority: 'priority' in vr ? vr.priority : 0 }));
  }

  #newViewer(): LogViewer {
    return new LogViewer(this.#config.node, this.#priorities());
  }
}

const newEventId = (): string => eventId(Date.now(), randomBytes(10));

const clock = (): { readonly wallMs: number; readonly monotonicMs: number } => ({
  wallMs: Date.now(),
  monotonicMs: Number(process.hrtime.bigint()) / 1e6,
});
