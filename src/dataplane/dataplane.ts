import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { renewEveryMs } from '../attach/attachment.js';
import { guardsStay } from '../attach/guards.js';
import { runLock, runLockDeadlineMs, underGuardsLock } from '../attach/interface-locks.js';
import { removeLeftovers } from '../attach/leftovers.js';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { bootId, type NodeId, nodeId } from '../core/identity.js';
import type { TransitionReason } from '../core/reasons.js';
import type { Absence } from '../core/vr-machine.js';
import { readDrained } from '../ipc/drain-file.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { machineInput } from '../ipc/machine-input.js';
import { readLogView } from '../ipc/ownership-message.js';
import { protocolVersion, type ToDataplane } from '../ipc/protocol.js';
import { claimSocketPath } from '../ipc/socket-path.js';
import { AddressRenewals } from '../kernel/addresses.js';
import { AdvertPump } from '../kernel/advert-pump.js';
import { LockSequence } from '../kernel/lock.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { linkGroup, nftTableName } from '../kernel/names.js';
import type { Netns } from '../kernel/netns.js';
import { silenceNeighbours } from '../kernel/nft-hush.js';
import { demandNamespaceCapability } from '../kernel/privileges.js';
import { lockMemory, prioritizeLoop } from '../kernel/realtime.js';
import { readSysctlIfPresent } from '../kernel/sysctl.js';
import { KoiError } from '../koi-error.js';
import { advertLatenessBoundsSeconds } from '../observe/snapshot.js';
import { AgentServer } from './agent-server.js';
import { ClaimTurns } from './claim-turns.js';
import { ConfigurationStage } from './configuration-stage.js';
import { DataplaneReport } from './dataplane-report.js';
import { Detection } from './detection.js';
import { GuardAudit } from './guard-audit.js';
import { GuardKeeper } from './guard-keeper.js';
import type { GuardReport } from './guard-protocol.js';
import { HandoverTurns } from './handover-turns.js';
import { HomePlace } from './home-place.js';
import { HostPlaces } from './host-places.js';
import { keepWarm } from './keep-warm.js';
import { LanCounter } from './lan-counter.js';
import { LanKey } from './lan-key.js';
import { vacateLostLan } from './lan-loss.js';
import { LeaseWatch } from './lease-watch.js';
import { leaveAll } from './leaving.js';
import { LinkOwners } from './link-owners.js';
import { LoopWatch } from './loop-watch.js';
import { PacketFilters } from './packet-filters.js';
import { createAdapter, type ProtocolAdapter } from './protocol-adapter.js';
import { demandRawSockets } from './raw-socket.js';
import { putInForce } from './realtime.js';
import type { ReloadTarget } from './reload.js';
import { type ConfigSource, Reloads } from './reloads.js';
import { routerParameters } from './router-parameters.js';
import { monotonicMs, Scheduler } from './scheduler.js';
import { SyncGroups } from './sync-groups.js';
import { TermStore } from './term-store.js';
import { RunnerLink } from './track/runner-link.js';
import { Trackers } from './track/trackers.js';
import { Turns } from './turns.js';
import { VirtualRouter } from './virtual-router.js';

const heartbeatMsMax = 50;
/** The guard hears so often within its patience that this process lives, and no oftener than that. */
const heartbeatsInPatience = 6;
/** Adverts go on without the event loop for this part of the guard's patience: they have ended when it comes. */
const unattendedPart = 0.8;
/**
 * A sysctl that somebody changed is set back within 2 s, the audit itself and a busy loop included. What it reads grows with
 * the virtual routers: of more than 200 it looks less often, but every 5 s.
 */
const auditEveryMs = { few: 1500, most: 5000 };
const fewRouters = 200;
const settleEpisodesEveryMs = 1000;
/** A stop waits this long for the agent to take what it was told, `Released` above all. */
const agentDeadlineMs = 1500;
const unreachableLogDeadlineMs = 200;

/** A stop waits so long for the hooks before it, and for those after it. */
const hooksAtStopMs = 1500;

const adapterOf = (config: VirtualRouterConfig): ProtocolAdapter =>
  createAdapter(config, { now: monotonicMs, wallNow: Date.now });

/** Everything that touches the network, in one process and one loop. */
export class Dataplane {
  #config: KoiConfig;
  readonly #log: Logger;
  readonly #boot = bootId(randomBytes(6).toString('hex'));
  /** One dataplane of a cluster works in a network namespace, and nobody removes what it has made. */
  readonly #running = new LockSequence();
  readonly #home: HomePlace;
  readonly #places: HostPlaces;
  readonly #scheduler: Scheduler;
  readonly #watch: LoopWatch;
  readonly #filters: PacketFilters;
  readonly #routers = new Map<string, VirtualRouter>();
  readonly #linkOwners = new LinkOwners(() => this.#routers.values());
  readonly #nodeByAddress = new Map<string, NodeId>();
  readonly #guard: GuardKeeper;
  readonly #pump = new AdvertPump(advertLatenessBoundsSeconds);
  readonly #renewals = new AddressRenewals();
  readonly #lease: LeaseWatch;
  readonly #groups = new SyncGroups();
  readonly #handovers = new HandoverTurns(monotonicMs);
  readonly #claims = new ClaimTurns(monotonicMs, (vr) => this.#routers.get(vr)?.lookAgain());
  readonly #detection: Detection;
  readonly #sysctls: GuardAudit;
  readonly #report: DataplaneReport<VirtualRouter>;
  readonly #reloads: Reloads;
  readonly #turns = new Turns({ now: monotonicMs, later: (act) => void setImmediate(act) });
  readonly #runner: RunnerLink;
  readonly #trackers: Trackers;
  readonly #nftTable: string;
  readonly #source: ConfigSource;
  #agent: AgentServer | undefined;
  #terms: TermStore | undefined;
  #lanKey: LanKey | undefined;
  #patienceMs = Number.POSITIVE_INFINITY;
  #guardHearsAtMs = Number.NEGATIVE_INFINITY;
  #logReachable = false;
  /** The operator has taken this node out of service: it takes nothing over. */
  #drained = false;

  private constructor(config: KoiConfig, log: Logger, source: ConfigSource) {
    this.#config = config;
    this.#source = source;
    this.#log = log;
    this.#nftTable = nftTableName(config.cluster, config.node);
    this.#filters = new PacketFilters({
      tableName: this.#nftTable,
      linkGroup: this.#group,
      log,
      onDropped: (vr, frames) => this.#routers.get(vr)?.wrongMacSuppressed(frames),
    });
    const { stateDir, cluster } = config;
    const boot = this.#boot;
    const nftTable = this.#nftTable;
    this.#home = new HomePlace({ boot, stateDir, nftTable });
    // Before the interfaces' own listeners.
    this.#home.monitor.on((event) =>
      vacateLostLan(event, this.#home.monitor.links, this.#places.ports, this.#routers.values()),
    );
    this.#scheduler = new Scheduler(monotonicMs, () => this.#drain(), {
      begin: () => this.#checkLoop(),
      end: () => {
        for (const port of this.#places.ports) port.flush();
      },
    });
    this.#places = new HostPlaces({
      home: this.#home,
      cluster,
      boot,
      stateDir,
      nftTable,
      linkGroup: this.#group,
      scheduler: this.#scheduler,
      now: monotonicMs,
      log,
      checkLoop: () => this.#checkLoop(),
      routers: () => this.#routers.values(),
      onEvent: (event, namespace) => this.#kernelChanged(event, namespace),
      onFilter: (there) => this.#filters.install(this.#config.virtualRouters, there),
    });
    this.#places.noteAddresses(config.virtualRouters);
    this.#watch = new LoopWatch({
      now: monotonicMs,
      wallNow: Date.now,
      cpuMs,
      onGap: (absence, atMs) => this.#overslept(absence, atMs),
    });
    this.#guard = new GuardKeeper({
      group: this.#group,
      timeoutMs: config.guard.timeoutMs,
      log,
      onReport: (report) => this.#guardReports(report),
    });
    this.#detection = new Detection({
      keep: (news) => this.#agent?.keep(news),
      now: monotonicMs,
      wallNow: Date.now,
      log,
    });
    this.#sysctls = new GuardAudit({ detection: this.#detection, log, routers: () => this.#routers.values() });
    this.#report = new DataplaneReport({
      instance: this.#boot,
      routers: () => this.#routers.values(),
      ports: () => this.#places.ports,
      isPresent: (router, address) => this.#isPresent(router, address),
      guard: this.#guard,
      pump: this.#pump,
      audit: this.#sysctls,
      isDrained: () => this.#drained,
      send: (snapshot) => this.#agent?.send({ type: 'snapshot', snapshot }),
      service: source.service,
      scheduler: this.#scheduler,
      now: monotonicMs,
    });
    this.#reloads = new Reloads({
      source,
      stage: new ConfigurationStage(config.cluster, adapterOf),
      config: () => this.#config,
      routers: this.#routers,
      target: this.#reloadTarget(),
      demandMeans,
      agent: () => this.#agent,
      log,
    });
    this.#lease = new LeaseWatch({ guard: this.#guard, routers: () => this.#routers.values(), now: monotonicMs });
    this.#runner = new RunnerLink({ log, onReading: (track, reading) => this.#trackers.read(track, reading) });
    this.#trackers = new Trackers({
      monitor: this.#home.monitor,
      watch: (tracks) => this.#runner.watch(tracks),
      log,
      onChange: () => {
        for (const router of this.#routers.values()) router.tracksChanged();
      },
    });
  }

  /**
   * Cleans up after an earlier run, starts the guard, binds the interfaces and begins to listen.
   * @throws KoiError: `privilege`, `config` (another dataplane runs), `kernel`
   */
  static async start(config: KoiConfig, log: Logger, source: ConfigSource): Promise<Dataplane> {
    // First of all: it is said in the configuration's words where that cannot be.
    await TermStore.makeDirectory(config.stateDir);
    await claimSocketPath('dataplane', dataplaneSocketPath(config.control));
    const dataplane = new Dataplane(config, log, source);
    // Whoever runs yet may use a higher term than the state directory has now.
    await dataplane.#running.acquire(runLock(config.cluster), runLockDeadlineMs);
    dataplane.#terms = await TermStore.open(config.stateDir);
    dataplane.#lanKey = LanKey.open(config, await LanCounter.open(config.stateDir, Date.now(), log));
    await dataplane.#reloads.prepareFirst();
    dataplane.#drained = readDrained(config.stateDir, Date.now()) !== undefined;
    await dataplane.#open();
    return dataplane;
  }

  /** Of this boot alone: a guard of an earlier one must never delete what this one makes. */
  get #group(): number {
    return linkGroup(this.#config.cluster, `${this.#config.node} ${this.#boot}`);
  }

  async #open(): Promise<void> {
    const config = this.#config;
    config.virtualRouters.forEach(demandMeans);
    this.#agent = await AgentServer.listen({
      path: dataplaneSocketPath(config.control),
      hello: () => ({
        type: 'hello',
        protocol: protocolVersion,
        node: config.node,
        boot: this.#boot,
        pid: process.pid,
        digest: this.#reloads.digest,
        vrs: [...this.#routers.values()].map((router) => router.describe()),
        episodes: [...this.#detection.open],
      }),
      onMessage: (message) => this.#fromAgent(message),
      onUp: () => this.#log.info('the agent is connected'),
      onDown: (cause) => this.#agentGone(cause),
      onRefused: (error) => this.#log.warn({ err: error }, 'an agent was refused'),
    });
    // Before anything is awaited: an agent that comes now must find them, since it says everything only once.
    for (const router of config.virtualRouters) this.#addRouter(router);
    keepWarm(config.virtualRouters.map((router) => routerParameters(config, this.#boot, router, 0)));
    const leftovers = await removeLeftovers(this.#home.netlink, config.cluster);
    if (leftovers.links.length + leftovers.addresses.length > 0) {
      this.#log.warn(leftovers, 'removed what an earlier run had left in the kernel');
    }
    await this.#guard.start();
    await this.#guard.rehearse();
    putInForce(config.realtime, {
      prioritizeAdverts: (priority) => this.#pump.prioritize(priority),
      prioritizeLoop,
      lockMemory,
      warn: (reason, message) => this.#log.warn({ reason }, message),
    });
    // An earlier run may have ended in the middle of a handover.
    silenceNeighbours(this.#nftTable, []);
    this.#filters.install(config.virtualRouters);
    this.#trackers.configure(config.track);
    if (config.virtualRouters.some(({ hooks }) => hooks !== undefined)) this.#runner.start();
    await Promise.all([...this.#places.namespaces].map((place) => place.look()));
    this.#home.monitor.on((event) => this.#kernelChanged(event));
    this.#home.monitor.start();
    this.#settle();
    // Before the links are made: who has waited out its master attaches while others still wait for their turn.
    this.#scheduler.every('renew', renewEveryMs, () => this.#renew());
    for (const port of [...this.#places.ports]) await port.begin(() => this.#turns.take());
    for (const { state } of this.#places.ports) {
      if (state.fault !== undefined)
        this.#log.warn({ interface: state.name, fault: state.fault }, 'waiting for the interface');
    }
    this.#rehearse();
    this.#auditLater();
    this.#scheduler.every('episodes', settleEpisodesEveryMs, () => this.#detection.settle());
    this.#report.tell();
  }

  /** One of each protocol: with all of two hundred it would take seconds. */
  #rehearse(): void {
    const routers = [...this.#routers.values()].filter(({ links }) => links.length > 0);
    const kinds = new Map(routers.map((router) => [router.machine.parameters.election.protocol, router]));
    for (const router of kinds.values()) router.rehearse();
  }

  /** Releases everything, tells the peers and the agent, and leaves the kernel as it was found. */
  async stop(): Promise<void> {
    await this.#beforeRelease('shutdown');
    this.#watch.check(Number.POSITIVE_INFINITY);
    await this.#leave([...this.#routers.values()]);
    // Where the log cannot be reached the agent only keeps what it is told, and nobody waits for that.
    const told = this.#agent?.drained(this.#logReachable ? agentDeadlineMs : unreachableLogDeadlineMs);
    this.#scheduler.stop();
    const heartbeat = setInterval(() => this.#heartbeat(), heartbeatMsMax);
    const destroyed = await Promise.allSettled([...this.#routers.values()].map((router) => router.destroy()));
    for (const result of destroyed) {
      if (result.status === 'rejected') this.#log.error({ err: result.reason }, 'a link could not be deleted');
    }
    await this.#hooksSettled();
    this.#runner.close();
    this.#trackers.close();
    this.#home.neighbourHush.close();
    this.#filters.remove();
    const problem = await underGuardsLock(undefined, () => this.#home.guards.restore());
    if (problem !== undefined) this.#log.warn({ problem }, guardsStay);
    for (const place of this.#places.namespaces) {
      this.#filters.remove(place);
      await place.close();
    }
    if ((await told) === false) this.#log.warn('the agent has not taken everything it was told');
    clearInterval(heartbeat);
    await this.#guard.stop();
    for (const port of this.#places.ports) port.close();
    this.#home.close();
    this.#running.end();
    this.#agent?.send({ type: 'bye' });
    this.#agent?.close();
  }

  /** The hooks of planned releases, all at once, while everything is still served. */
  async #beforeRelease(reason: TransitionReason): Promise<void> {
    await this.#hooksEnd([...this.#routers.values()].map((router) => router.beforeRelease(reason)));
  }

  async #hooksEnd(hooks: readonly Promise<void>[]): Promise<void> {
    if (await withinMs(Promise.all(hooks), hooksAtStopMs)) return;
    this.#log.warn({ waitedMs: hooksAtStopMs }, 'a hook preRelease goes on; the addresses are released all the same');
  }

  /** What follows a release is not cut off in the middle, within reason. */
  async #hooksSettled(): Promise<void> {
    const hooks = [...this.#routers.values()].map((router) => router.hooksSettled());
    await withinMs(Promise.all(hooks), hooksAtStopMs);
  }

  #leave(routers: readonly VirtualRouter[]): Promise<void> {
    const groups = new Map(this.#config.virtualRouters.map(({ name, syncGroup }) => [name, syncGroup]));
    return leaveAll(routers, {
      now: monotonicMs,
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      groupOf: (name) => groups.get(name),
      turns: this.#handovers,
    });
  }

  // ── building ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #addRouter(config: VirtualRouterConfig): void {
    const terms = this.#terms;
    if (this.#agent === undefined || terms === undefined) throw new KoiError('internal', 'no socket for the agent yet');
    const prepared = this.#reloads.preparedOf(config);
    const router = new VirtualRouter({
      prepared,
      parts: this.#places.partsOf(config, prepared.adapter),
      namespace: config.namespace === undefined ? undefined : this.#places.namespace(config.namespace),
      isRouter: () => forwardsIpv6(this.#places.hostOf(config)?.netns),
      services: {
        parent: this.#places.port(config.interface),
        scheduler: this.#scheduler,
        agent: this.#agent,
        guard: this.#guard,
        pump: this.#pump,
        terms,
        lanKey: this.#lanKey,
        log: this.#log,
        now: monotonicMs,
        wallNow: Date.now,
        checkLoop: () => this.#checkLoop(),
        nodeAt: (address) => this.#nodeByAddress.get(address),
        onLateness: this.#report.advertLate,
        trackers: this.#trackers,
        groups: this.#groups,
        handovers: this.#handovers,
        claims: this.#claims,
        detection: this.#detection,
        turns: this.#turns,
        runHook: (order) => this.#runner.run(order),
        parametersOf: (asked, loss) => routerParameters(this.#config, this.#boot, asked, loss),
      },
    });
    this.#routers.set(config.name, router);
    this.#lease.tell(router);
    if (this.#logReachable) router.logSays(true, undefined, monotonicMs());
    if (this.#drained) router.give({ type: 'drain', drained: true, force: false, atMs: monotonicMs() });
  }

  // ── reloading ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** As {@link Reloads.reload}. */
  reload(): Promise<void> {
    return this.#reloads.reload();
  }

  #reloadTarget(): ReloadTarget {
    return {
      check: (router) => {
        this.#reloads.preparedOf(router);
        demandMeans(router);
      },
      retire: (names) => this.#retire(names),
      adopt: (config) => {
        this.#config = config;
        this.#places.noteAddresses(config.virtualRouters);
        this.#filters.install(config.virtualRouters);
        for (const place of this.#places.namespaces) this.#filters.install(config.virtualRouters, place);
        this.#trackers.configure(config.track);
        if (config.virtualRouters.some(({ hooks }) => hooks !== undefined)) this.#runner.start();
      },
      reconfigure: async (router) =>
        this.#routers.get(router.name)?.reconfigure(router, this.#reloads.preparedOf(router)),
      add: (config) => {
        this.#addRouter(config);
        for (const port of this.#places.ports) port.update();
        this.#routers.get(config.name)?.parentChanged();
      },
      settle: () => {
        for (const router of this.#routers.values()) router.parametersChanged();
        this.#settle();
      },
    };
  }

  async #retire(names: readonly string[]): Promise<void> {
    const leaving = names.flatMap((name) => this.#routers.get(name) ?? []);
    if (leaving.length === 0) return;
    await this.#hooksEnd(leaving.map((router) => router.beforeRelease('shutdown')));
    await this.#leave(leaving);
    for (const router of leaving) this.#routers.delete(router.name);
    await Promise.all(leaving.map((router) => router.destroy()));
    await this.#places.giveUpUnused((place) => this.#filters.remove(place));
  }

  /** What depends on the shortest interval of all. */
  #settle(): void {
    this.#patienceMs = Math.min(...[...this.#routers.values()].map((router) => router.patienceMs));
    this.#scheduler.every('heartbeat', Math.min(heartbeatMsMax, this.#patienceMs / 3), () => this.#heartbeat());
  }

  #auditLater(): void {
    const { few, most } = auditEveryMs;
    const everyMs = Math.min(most, few * Math.max(1, this.#routers.size / fewRouters));
    this.#scheduler.set('audit', monotonicMs() + everyMs, () => {
      this.#audit();
      this.#auditLater();
    });
  }

  #heartbeat(): void {
    const nowMs = monotonicMs();
    if (nowMs >= this.#guardHearsAtMs) {
      this.#guardHearsAtMs = nowMs + Math.min(heartbeatMsMax, this.#config.guard.timeoutMs / heartbeatsInPatience) - 1;
      this.#guard.heartbeat();
    }
    if (this.#pump.alive(nowMs + this.#config.guard.timeoutMs * unattendedPart) > 0) {
      for (const router of this.#routers.values()) router.attend(nowMs);
    }
    this.#source.service?.tick();
  }

  // ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  #fromAgent(message: Exclude<ToDataplane, { type: 'hello' | 'taken' }>): void {
    this.#checkLoop();
    const atMs = monotonicMs();
    switch (message.type) {
      case 'log':
        this.#logSays(message, atMs);
        return;
      case 'reload':
        void this.#reloads.reload(message);
        return;
      case 'switchConfiguration':
        this.#reloads.switch(message.vr, message.digest);
        return;
      case 'configuration':
        this.#routers.get(message.vr)?.faults.setDiffering(message.differs);
        return;
      case 'lease':
        this.#lease.said(message.endsAtMs);
        return;
      case 'proof':
        for (const router of this.#routers.values()) {
          router.give({ type: 'proof', fromMs: message.fromMs ?? undefined, atMs });
        }
        return;
      case 'challenged':
        void this.#challenged(message);
        return;
      case 'drain':
        this.#drained = message.drained;
        for (const router of this.#routers.values()) {
          router.give({ type: 'drain', drained: message.drained, force: message.force, atMs });
        }
        return;
      case 'handOver':
        this.#handOver(message);
        return;
      default:
        this.#routers.get(message.vr)?.give(machineInput(message, atMs));
    }
  }

  #handOver({ vr, to }: Extract<ToDataplane, { type: 'handOver' }>): void {
    const router = this.#routers.get(vr);
    if (router === undefined) return;
    this.#handovers.ask([router], { to: to === null ? undefined : nodeId(to), stops: false });
  }

  async #challenged({ id, vr, from, ...rest }: Extract<ToDataplane, { type: 'challenged' }>): Promise<void> {
    const { lanAddresses, timeoutMs } = rest;
    // The carrier as it is now.
    this.#places.drainMonitors();
    const router = this.#routers.get(vr);
    const isOwnQuestion = from === this.#config.node;
    const report = await (isOwnQuestion
      ? router?.lan.isHeard(lanAddresses)
      : router?.lan.challenged(lanAddresses, timeoutMs));
    this.#agent?.send({ type: 'challenged', id, report: report ?? 'not_serving' });
  }

  #guardReports(report: GuardReport): void {
    this.#log[report.event === 'ready' ? 'info' : 'warn']({ report }, 'the guard reports');
    if (report.event !== 'lease_ended') return;
    this.#report.fenced(report.event);
    const router = [...this.#routers.values()].find((each) => each.isGuardedAs(report.vr));
    const happened = { wallMs: Date.now(), monotonicMs: monotonicMs() };
    this.#agent?.keep({ type: 'fenced', vr: router?.name ?? null, reason: report.event, ...happened });
    // It reads back what the guard has done, and lets go.
    this.#places.drainMonitors();
    router?.give({ type: 'tick', atMs: monotonicMs() });
  }

  #logSays(message: Extract<ToDataplane, { type: 'log' }>, atMs: number): void {
    this.#nodeByAddress.clear();
    for (const { node, lanAddresses } of message.nodes) {
      for (const address of lanAddresses) this.#nodeByAddress.set(address, nodeId(node));
    }
    // Of those that it says nothing of only whether it can be reached is new.
    if (message.reachable !== this.#logReachable) {
      const told = new Set(message.vrs.map(({ name }) => name));
      for (const router of this.#routers.values()) {
        if (!told.has(router.name)) router.logSays(message.reachable, undefined, atMs);
      }
    }
    this.#logReachable = message.reachable;
    for (const view of message.vrs) this.#routers.get(view.name)?.logSays(message.reachable, readLogView(view), atMs);
  }

  #agentGone(cause: KoiError | undefined): void {
    this.#log.warn({ cause: cause?.message }, 'the agent is gone; the log cannot be reached until it is back');
    this.#logReachable = false;
    const atMs = monotonicMs();
    for (const router of this.#routers.values()) router.logSays(false, undefined, atMs);
  }

  #kernelChanged(event: KernelEvent, namespace?: string): void {
    this.#checkLoop();
    if (event.type === 'resynced') return;
    const { ifindex } = 'link' in event ? event.link : event.address;
    this.#linkOwners.ownerOf(ifindex, namespace)?.upkeep.kernelChanged(event);
  }

  /** What waits in the kernel counts as heard, before anybody's time has come. */
  #drain(): void {
    this.#checkLoop();
    for (const port of this.#places.ports) port.drain();
    this.#places.drainMonitors();
  }

  #checkLoop(): void {
    this.#watch.check(this.#patienceMs);
  }

  #overslept(absence: Absence, atMs: number): void {
    const { awayMs, stoodStillMs } = absence;
    const isStill = stoodStillMs > this.#patienceMs;
    this.#log[isStill ? 'warn' : 'info'](
      { gapMs: Math.round(awayMs), stoodStillMs: Math.round(stoodStillMs) },
      isStill ? 'this process was not running for a while' : 'this process was busy for a while',
    );
    for (const router of this.#routers.values()) router.overslept(absence, atMs);
  }

  // ── what recurs ───────────────────────────────────────────────────────────────────────────────────────────────────

  #renew(): void {
    this.#places.drainMonitors();
    // Who is past its lease lets go, and others with it, before anything is collected: what is off must not be put on again.
    const routers = [...this.#routers.values()].filter((router) => router.upkeep.mayRenew());
    const missing: { readonly router: VirtualRouter; readonly addresses: readonly string[] }[] = [];
    for (const router of routers) {
      const addresses = router.upkeep.renew(this.#renewals);
      if (addresses.length > 0) missing.push({ router, addresses });
    }
    this.#renewals.send();
    for (const { router, addresses } of missing) router.upkeep.addressesGone(addresses);
  }

  #audit(): void {
    this.#sysctls.begin();
    this.#sysctls.look(this.#home.guards);
    this.#filters.look();
    for (const port of this.#places.ports) port.retry();
    for (const place of this.#places.namespaces) {
      if (place.guards !== undefined) this.#sysctls.look(place.guards, place.name);
      this.#filters.look(place);
    }
  }

  #isPresent({ namespace, links }: VirtualRouter, address: string): boolean {
    const monitor = this.#places.monitorOf(namespace);
    return monitor !== undefined && links.some((ifindex) => monitor.has(ifindex, address));
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** All interfaces forward or none, as far as the kernel's decision goes; the setting of a single one is only its manners. */
const forwardsIpv6 = (netns?: Netns): boolean => readSysctlIfPresent('net/ipv6/conf/all/forwarding', netns) === '1';

/** What a virtual router cannot do without on this host. @throws KoiError `privilege`, `kernel` */
function demandMeans({ name, namespace, unicast }: VirtualRouterConfig): void {
  if (namespace !== undefined) demandNamespaceCapability(name);
  if (unicast !== undefined) demandRawSockets();
}

/** Resolves when the work is done, or when so much time has passed. @returns whether it is done */
async function withinMs(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, false);
  });
  const isDone = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return isDone;
}
