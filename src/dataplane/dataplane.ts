import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { type AttachHost, renewEveryMs } from '../attach/attachment.js';
import { monitorEcho } from '../attach/echo.js';
import { type Drift, guardsStay, SegmentGuards } from '../attach/guards.js';
import { runLock, runLockDeadlineMs, underGuardsLock } from '../attach/interface-locks.js';
import { removeLeftovers } from '../attach/leftovers.js';
import { LinkBin } from '../attach/link-bin.js';
import { NeighbourHush } from '../attach/neighbour-hush.js';
import { onceATurn } from '../attach/once-a-turn.js';
import type { InterfaceSelector, KoiConfig, VirtualRouterConfig } from '../config/config.js';
import { diffConfig } from '../config/diff.js';
import { electionOf } from '../config/election.js';
import type { Reread } from '../config/reread.js';
import { demoted } from '../core/election-rules.js';
import { bootId, type NodeId, nodeId } from '../core/identity.js';
import type { TransitionReason } from '../core/reasons.js';
import type { Absence } from '../core/vr-machine.js';
import { stateName, type VrParameters } from '../core/vr-state.js';
import { readDrained } from '../ipc/drain-file.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';
import { machineInput } from '../ipc/machine-input.js';
import { readLogView } from '../ipc/ownership-message.js';
import { protocolVersion, type ToDataplane } from '../ipc/protocol.js';
import { claimSocketPath } from '../ipc/socket-path.js';
import { AddressRenewals } from '../kernel/addresses.js';
import { AdvertPump } from '../kernel/advert-pump.js';
import { getLink } from '../kernel/links.js';
import { LockSequence } from '../kernel/lock.js';
import { type KernelEvent, KernelMonitor } from '../kernel/monitor.js';
import { aliasOf, linkGroup, nftTableName, virtualMacLinkName } from '../kernel/names.js';
import { Netlink } from '../kernel/netlink.js';
import { type Netns, type NetnsSelector, netnsLabel } from '../kernel/netns.js';
import { refuseService } from '../kernel/nft-accept.js';
import { silenceNeighbours } from '../kernel/nft-hush.js';
import { demandNamespaceCapability } from '../kernel/privileges.js';
import { lockMemory, prioritizeLoop } from '../kernel/realtime.js';
import { readSysctlIfPresent } from '../kernel/sysctl.js';
import { SysctlRecord, sysctlRecordPath } from '../kernel/sysctl-record.js';
import { KoiError } from '../koi-error.js';
import type { ServiceManager } from '../observe/service-manager.js';
import { advertLatenessBoundsSeconds, BucketCounter, type DataplaneSnapshot } from '../observe/snapshot.js';
import type { AddressFamily } from '../wire/address.js';
import { AdvertMemory } from './advert-memory.js';
import { AgentServer } from './agent-server.js';
import { ClaimTurns } from './claim-turns.js';
import { ConfigurationStage, type Guarded, type PreparedRouter, type ReloadPlan } from './configuration-stage.js';
import { Detection } from './detection.js';
import { GuardKeeper } from './guard-keeper.js';
import type { GuardReport } from './guard-protocol.js';
import { HandoverTurns } from './handover-turns.js';
import { keepWarm } from './keep-warm.js';
import { LanCounter } from './lan-counter.js';
import { LanKey } from './lan-key.js';
import { vacateLostLan } from './lan-loss.js';
import { LanWatch } from './lan-watch.js';
import { LeaseWatch } from './lease-watch.js';
import { leaveAll } from './leaving.js';
import { LinkOwners } from './link-owners.js';
import { LoopWatch } from './loop-watch.js';
import type { NetBinding } from './mac-net.js';
import { MacNets } from './mac-nets.js';
import { NamespacePlace } from './namespace-place.js';
import { ParentPort } from './parent-port.js';
import { placementsOf } from './placement.js';
import { createAdapter, type ProtocolAdapter, virtualMacOf } from './protocol-adapter.js';
import { RefusalLog } from './protocol-refusals.js';
import { demandRawSockets } from './raw-socket.js';
import { putInForce } from './realtime.js';
import { applyReload, type ReloadTarget } from './reload.js';
import type { RouterPart } from './router-places.js';
import { monotonicMs, Scheduler } from './scheduler.js';
import { dataplaneStatus } from './service-status.js';
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
/** A sysctl that somebody changed is set back within 2 s, the audit itself and a busy loop included. */
const auditEveryMs = 1500;
/** Each virtual router is told of so often, of more than two hundred as many a second. */
const snapshotEveryMs = 1000;
const toldAtOnce = 20;
const toldPartMsLeast = 100;
/** A stop waits this long for the agent to take what it was told, `Released` above all. */
const agentDeadlineMs = 1500;
const unreachableLogDeadlineMs = 200;

/** A stop waits so long for the hooks before it, and for those after it. */
const hooksAtStopMs = 1500;

/** Where the configuration comes from, and can be read again. */
export interface ConfigSource {
  /** Of the configuration that was read first. */
  readonly digest: string;
  /** @throws KoiError naming every problem of the file */
  readonly reread: (current: KoiConfig) => Promise<Reread>;
  /** Whoever started this process and wants to hear how it is. */
  readonly service?: ServiceManager | undefined;
}

interface ReloadOrder {
  readonly id: number;
  readonly digest: string;
  readonly guarded: readonly Guarded[];
}

function bindingsOf(config: VirtualRouterConfig, family: AddressFamily): NetBinding[] {
  const mac = virtualMacOf(config, family);
  return config.addresses
    .filter((vip) => vip.family === family)
    .map(({ address }) => ({ vr: config.name, address, mac }));
}

const adapterOf = (config: VirtualRouterConfig): ProtocolAdapter =>
  createAdapter(config, { now: monotonicMs, wallNow: Date.now });

/** Everything that touches the network, in one process and one loop. */
export class Dataplane {
  #config: KoiConfig;
  readonly #log: Logger;
  readonly #boot = bootId(randomBytes(6).toString('hex'));
  readonly #netlink = Netlink.open();
  readonly #monitor = KernelMonitor.open();
  /** One dataplane of a cluster works in a network namespace, and nobody removes what it has made. */
  readonly #running = new LockSequence();
  readonly #bin = new LinkBin(this.#netlink, linkGroup('discarded links', this.#boot));
  readonly #guards: SegmentGuards;
  readonly #demandGuards = onceATurn((parentIfindex: number) => this.#guards.demand(parentIfindex));
  readonly #readParent = onceATurn((ifindex: number) => getLink(this.#netlink, ifindex));
  readonly #neighbourHush: NeighbourHush;
  readonly #scheduler: Scheduler;
  readonly #watch: LoopWatch;
  readonly #ports = new Map<string, ParentPort>();
  readonly #namespaces = new Map<string, NamespacePlace>();
  readonly #macNets: MacNets;
  /** Those of other namespaces, by the socket there. */
  readonly #macNetsThere = new WeakMap<Netlink, MacNets>();
  readonly #routers = new Map<string, VirtualRouter>();
  readonly #linkOwners = new LinkOwners(() => this.#routers.values());
  readonly #nodeByAddress = new Map<string, NodeId>();
  readonly #lateness = new BucketCounter(advertLatenessBoundsSeconds);
  readonly #fenced = new Map<string, number>();
  readonly #drifts = new Map<string, { interface: string; key: string; drifted: boolean }>();
  readonly #guard: GuardKeeper;
  readonly #pump = new AdvertPump(advertLatenessBoundsSeconds);
  readonly #renewals = new AddressRenewals();
  readonly #lease: LeaseWatch;
  readonly #groups = new SyncGroups();
  readonly #handovers = new HandoverTurns(monotonicMs);
  readonly #claims = new ClaimTurns(monotonicMs, (vr) => this.#routers.get(vr)?.lookAgain());
  readonly #detection: Detection;
  readonly #turns = new Turns({ now: monotonicMs, later: (act) => void setImmediate(act) });
  readonly #runner: RunnerLink;
  readonly #trackers: Trackers;
  readonly #refusals: RefusalLog;
  readonly #nftTable: string;
  readonly #source: ConfigSource;
  readonly #virtualAddresses = new Set<string>();
  #agent: AgentServer | undefined;
  #terms: TermStore | undefined;
  #lanKey: LanKey | undefined;
  #patienceMs = Number.POSITIVE_INFINITY;
  #guardHearsAtMs = Number.NEGATIVE_INFINITY;
  #logReachable = false;
  #digest: string;
  #toldPart = 0;
  /** What is put into force, one after the other. */
  #applying: Promise<void> = Promise.resolve();
  readonly #stage: ConfigurationStage;
  /** Of the configuration that is being put into force. */
  #prepared: ReadonlyMap<string, PreparedRouter> = new Map();
  /** The operator has taken this node out of service: it takes nothing over. */
  #drained = false;

  private constructor(config: KoiConfig, log: Logger, source: ConfigSource) {
    this.#config = config;
    this.#stage = new ConfigurationStage(config.cluster, adapterOf);
    this.#source = source;
    this.#digest = source.digest;
    this.#noteAddresses();
    this.#log = log;
    this.#refusals = new RefusalLog(log, monotonicMs);
    this.#nftTable = nftTableName(config.cluster, config.node);
    this.#macNets = this.#newMacNets();
    this.#guards = new SegmentGuards(this.#monitor, SysctlRecord.open(sysctlRecordPath(config.stateDir)));
    this.#neighbourHush = new NeighbourHush({
      silence: (addresses) => silenceNeighbours(this.#nftTable, addresses),
      listen: (listener) => this.#monitor.on(listener),
    });
    this.#monitor.on((event) =>
      vacateLostLan(event, this.#monitor.links, this.#ports.values(), this.#routers.values()),
    );
    this.#scheduler = new Scheduler(monotonicMs, () => this.#drain(), {
      begin: () => this.#checkLoop(),
      end: () => {
        for (const port of this.#ports.values()) port.flush();
      },
    });
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
    this.#lease = new LeaseWatch({ guard: this.#guard, routers: () => this.#routers.values(), now: monotonicMs });
    this.#runner = new RunnerLink({ log, onReading: (track, reading) => this.#trackers.read(track, reading) });
    this.#trackers = new Trackers({
      monitor: this.#monitor,
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
    dataplane.#prepared = await dataplane.#stage.prepareAll(config.virtualRouters);
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
        digest: this.#digest,
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
    keepWarm(config.virtualRouters.map((router) => this.#parameters(router, 0)));
    const leftovers = await removeLeftovers(this.#netlink, config.cluster);
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
    this.#installFilters();
    this.#trackers.configure(config.track);
    if (config.virtualRouters.some(({ hooks }) => hooks !== undefined)) this.#runner.start();
    await Promise.all([...this.#namespaces.values()].map((place) => place.look()));
    this.#monitor.on((event) => this.#kernelChanged(event));
    this.#monitor.start();
    this.#settle();
    // Before the links are made: who has waited out its master attaches while others still wait for their turn.
    this.#every('renew', renewEveryMs, () => this.#renew());
    for (const port of [...this.#ports.values()]) await port.begin(() => this.#turns.take());
    for (const { state } of this.#ports.values()) {
      if (state.fault !== undefined)
        this.#log.warn({ interface: state.name, fault: state.fault }, 'waiting for the interface');
    }
    this.#rehearse();
    this.#every('audit', auditEveryMs, () => this.#audit());
    this.#every('episodes', snapshotEveryMs, () => this.#detection.settle());
    this.#tellState();
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
    this.#neighbourHush.close();
    this.#removeFilters();
    const problem = await underGuardsLock(undefined, () => this.#guards.restore());
    if (problem !== undefined) this.#log.warn({ problem }, guardsStay);
    for (const place of this.#namespaces.values()) {
      if (place.filter !== undefined) this.#removeFilters(place.filter);
      await place.close();
    }
    if ((await told) === false) this.#log.warn('the agent has not taken everything it was told');
    clearInterval(heartbeat);
    await this.#guard.stop();
    for (const port of this.#ports.values()) port.close();
    this.#monitor.close();
    this.#netlink.close();
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
    const prepared = this.#preparedOf(config);
    const router = new VirtualRouter({
      prepared,
      parts: this.#parts(config, prepared.adapter),
      namespace: config.namespace === undefined ? undefined : this.#namespace(config.namespace),
      isRouter: () => forwardsIpv6(this.#hostOf(config)?.netns),
      services: {
        parent: this.#port(config.interface),
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
        onLateness: (lateMs) => this.#lateness.observe(lateMs / 1000),
        trackers: this.#trackers,
        groups: this.#groups,
        handovers: this.#handovers,
        claims: this.#claims,
        detection: this.#detection,
        turns: this.#turns,
        runHook: (order) => this.#runner.run(order),
        parametersOf: (asked, loss) => this.#parameters(asked, loss),
      },
    });
    this.#routers.set(config.name, router);
    this.#lease.tell(router);
    if (this.#drained) router.give({ type: 'drain', drained: true, force: false, atMs: monotonicMs() });
  }

  #preparedOf({ name }: VirtualRouterConfig): PreparedRouter {
    const prepared = this.#prepared.get(name);
    if (prepared === undefined) throw new KoiError('internal', `${name} is put into force without being prepared`);
    return prepared;
  }

  /** One for each virtual MAC on each interface, with the addresses that go there. */
  #parts(config: VirtualRouterConfig, adapter: ProtocolAdapter): RouterPart[] {
    const { cluster } = this.#config;
    // A namespace that is not there yet is moved to when it comes; until then nothing is attached.
    const host = this.#hostOf(config) ?? this.#home;
    return placementsOf(config, (family) => adapter.virtualMac(family)).map((placement) => {
      const { key, virtualMac, addresses, routes } = placement;
      const name = key === '' ? config.name : `${config.name} ${key}`;
      return {
        port: this.#port(placement.interface),
        guardName: name,
        attachment: {
          ...host,
          spec: {
            vr: config.name,
            linkName: virtualMacLinkName(cluster, name, config.id),
            alias: aliasOf({ cluster, vr: config.name, bootId: this.#boot }),
            group: this.#group,
            virtualMac,
            addresses,
            routes,
          },
          now: monotonicMs,
          pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        },
      };
    });
  }

  /** Our own namespace. */
  get #home(): AttachHost {
    return {
      netlink: this.#netlink,
      echo: monitorEcho(this.#monitor),
      bin: this.#bin,
      guards: this.#demandGuards,
      parentLink: this.#readParent,
      hush: (link, hushed) => {
        this.#guards.hush(link, hushed);
        this.#neighbourHush.set(link.ifindex, link.ipv6, hushed);
      },
    };
  }

  /** Where the addresses of a virtual router go; undefined while that is not there. */
  #hostOf({ namespace }: VirtualRouterConfig): AttachHost | undefined {
    return namespace === undefined ? this.#home : this.#namespaces.get(netnsLabel(namespace))?.host;
  }

  #namespace(selector: NetnsSelector): NamespacePlace {
    const name = netnsLabel(selector);
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    const inside = (): VirtualRouter[] => [...this.#routers.values()].filter(({ namespace }) => namespace === name);
    const place = new NamespacePlace({
      selector,
      cluster: this.#config.cluster,
      boot: this.#boot,
      stateDir: this.#config.stateDir,
      nftTable: this.#nftTable,
      parentNetlink: this.#netlink,
      log: this.#log,
      onChange: () => {
        for (const router of inside()) router.namespaceChanged();
      },
      onEvent: (event) => this.#kernelChanged(event, name),
      onFilter: (filter) => this.#installFilters(name, filter),
      settled: () => Promise.all(inside().map((router) => router.settled())),
    });
    this.#namespaces.set(name, place);
    const lookEveryMs = Math.min(...[...this.#namespaces.values()].map((each) => each.lookEveryMs));
    this.#every('namespaces', lookEveryMs, () => {
      for (const each of this.#namespaces.values()) void each.look();
    });
    return place;
  }

  #parameters(config: VirtualRouterConfig, loss: number): VrParameters {
    const { preempt, startDelayMs, arbitration, onLogLoss, onPathSplit } = config;
    const { node, arbitrationTimeoutMs, challengeTimeoutMs, lease } = this.#config;
    return {
      node: nodeId(node),
      boot: this.#boot,
      election: demoted(electionOf(config), loss),
      preempt,
      startDelayMs,
      arbitration,
      onLogLoss,
      onPathSplit,
      arbitrationTimeoutMs,
      challengeTimeoutMs,
      leaseMs: lease.ttlMs,
    };
  }

  #port(selector: InterfaceSelector): ParentPort {
    const key = `${selector.by} ${selector.value}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const port = new ParentPort({
      selector,
      monitor: this.#monitor,
      netlink: this.#netlink,
      virtualAddresses: this.#virtualAddresses,
      beforeFrames: () => this.#checkLoop(),
      refusals: this.#refusals,
      onWarning: (name, message) => this.#log.warn({ interface: name }, message),
      memory: new AdvertMemory(key, this.#scheduler),
      watch: new LanWatch({
        key,
        scheduler: this.#scheduler,
        now: monotonicMs,
        beforeFrames: () => this.#checkLoop(),
      }),
    });
    this.#ports.set(key, port);
    return port;
  }

  /**
   * The fail-closed net below the guards, which Koi runs without where the kernel has no nf_tables; and the addresses that
   * own no service, which own one there.
   */
  #installFilters(namespace?: string, within?: Netlink): void {
    const routers = this.#config.virtualRouters.filter((router) => namespaceOf(router) === namespace);
    const bare = this.#macNetsOf(within).hold((family) => routers.flatMap((router) => bindingsOf(router, family)));
    for (const { family, reason } of bare) {
      this.#log.warn({ reason, namespace }, `no nftables net under the IPv${family} addresses`);
    }
    const refusing = routers.filter(({ accept }) => !accept);
    const addresses = refusing.flatMap((router) => router.addresses.map(({ address }) => address));
    const refused = refuseService(this.#nftTable, addresses, within);
    if (refused.ok || addresses.length === 0) return;
    const vrs = refusing.map(({ name }) => name);
    this.#log.error(
      { vrs, reason: refused.reason },
      'accept: false is not in force: the addresses take what is sent to them',
    );
  }

  #installAllFilters(): void {
    this.#installFilters();
    for (const { name, filter } of this.#namespaces.values()) {
      if (filter !== undefined) this.#installFilters(name, filter);
    }
  }

  #macNetsOf(within: Netlink | undefined): MacNets {
    if (within === undefined) return this.#macNets;
    const known = this.#macNetsThere.get(within) ?? this.#newMacNets(within);
    this.#macNetsThere.set(within, known);
    return known;
  }

  #newMacNets(within?: Netlink): MacNets {
    return new MacNets({
      tableName: this.#nftTable,
      linkGroup: this.#group,
      onDropped: (vr, frames) => this.#routers.get(vr)?.wrongMacSuppressed(frames),
      within,
    });
  }

  #removeFilters(within?: Netlink): void {
    const nets = this.#macNetsOf(within);
    nets.close();
    const removals = [
      ...nets.removals,
      () => refuseService(this.#nftTable, [], within),
      () => silenceNeighbours(this.#nftTable, [], within),
    ];
    // Nobody comes back for a table that stays: what the kernel had no memory for is asked for once more.
    for (const remove of removals) if (!remove().ok) remove();
  }

  // ── reloading ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Reads the configuration again, aside, and applies what changed; the agent is told how it went. Never rejects.
   * @param asked by whom; undefined for a signal, which is the agent's matter where there is one
   */
  async reload(asked?: ReloadOrder): Promise<void> {
    if (asked === undefined && this.#agent?.send({ type: 'reloadAsked' }) === true) return;
    await this.#putIntoForce(asked?.id ?? null, async () => {
      const read = await this.#source.reread(this.#config);
      if (asked !== undefined && read.digest !== asked.digest) {
        throw new KoiError('config', 'the file has changed since the agent read it; try again');
      }
      const plan = await this.#stage.plan(read, this.#config, (vr) => this.#routers.get(vr)?.shared, asked?.guarded);
      for (const { config } of plan.waiting) demandMeans(config);
      return plan;
    });
  }

  /** All nodes of a virtual router have prepared the same, and it is in force from now on. */
  #switchConfiguration(vr: string, digest: string): void {
    void this.#putIntoForce(null, async () => {
      const plan = this.#stage.release(vr, digest, this.#config, diffConfig);
      if (plan === undefined) throw new KoiError('config', `${vr}: what is in force now is not what waits here`);
      this.#log.info({ vr, configuration: digest }, 'switching to the configuration that is in force on all nodes now');
      return plan;
    });
  }

  async #putIntoForce(id: number | null, plan: () => Promise<ReloadPlan>): Promise<void> {
    const turn = this.#applying.then(() => this.#apply(id, plan));
    this.#applying = turn;
    await turn;
  }

  /** Tells the agent how it went; never rejects. */
  async #apply(id: number | null, plan: () => Promise<ReloadPlan>): Promise<void> {
    this.#source.service?.reloading();
    const outcome = await this.#tryApply(plan).catch((error: unknown) => ({
      problem: error instanceof Error ? error.message : String(error),
      changes: [],
      warnings: [],
    }));
    this.#source.service?.ready();
    const { problem, changes, warnings } = outcome;
    if (problem === null)
      this.#log.info({ changes, warnings }, 'the configuration has been read again and is in force');
    else this.#log.error({ problem }, 'the configuration was not applied; the one before stays in force');
    const vrs = [...this.#routers.values()].map((router) => router.describe());
    const digest = this.#digest;
    this.#agent?.send({ type: 'reloaded', id, digest, problem, changes: [...changes], warnings: [...warnings], vrs });
  }

  async #tryApply(plan: () => Promise<ReloadPlan>) {
    const { read, routers, waiting } = await plan();
    this.#prepared = routers;
    const warnings = await applyReload(read, this.#config, this.#reloadTarget());
    this.#stage.keep(waiting);
    for (const router of this.#routers.values()) router.setWaiting(this.#stage.waiting(router.name));
    this.#digest = read.digest;
    return { problem: null, changes: read.changes, warnings };
  }

  #reloadTarget(): ReloadTarget {
    return {
      check: (router) => {
        this.#preparedOf(router);
        demandMeans(router);
      },
      retire: (names) => this.#retire(names),
      adopt: (config) => {
        this.#config = config;
        this.#noteAddresses();
        this.#installAllFilters();
        this.#trackers.configure(config.track);
        if (config.virtualRouters.some(({ hooks }) => hooks !== undefined)) this.#runner.start();
      },
      reconfigure: async (router) => this.#routers.get(router.name)?.reconfigure(router, this.#preparedOf(router)),
      add: (config) => {
        this.#addRouter(config);
        for (const port of this.#ports.values()) port.update();
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
    for (const [key, port] of this.#ports) {
      if (port.isUsed) continue;
      port.retire();
      this.#ports.delete(key);
    }
    for (const [name, place] of this.#namespaces) {
      if ([...this.#routers.values()].some(({ namespace }) => namespace === name)) continue;
      if (place.filter !== undefined) this.#removeFilters(place.filter);
      await place.close();
      this.#namespaces.delete(name);
    }
  }

  /** The addresses that are nobody's own, whoever put them on an interface. */
  #noteAddresses(): void {
    this.#virtualAddresses.clear();
    for (const { addresses } of this.#config.virtualRouters) {
      for (const { address } of addresses) this.#virtualAddresses.add(address);
    }
  }

  /** What depends on the shortest interval of all. */
  #settle(): void {
    this.#patienceMs = Math.min(...[...this.#routers.values()].map((router) => router.patienceMs));
    this.#every('heartbeat', Math.min(heartbeatMsMax, this.#patienceMs / 3), () => this.#heartbeat());
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
        void this.reload(message);
        return;
      case 'switchConfiguration':
        this.#switchConfiguration(message.vr, message.digest);
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
    this.#drainMonitors();
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
    this.#fenced.set(report.event, (this.#fenced.get(report.event) ?? 0) + 1);
    const router = [...this.#routers.values()].find((each) => each.isGuardedAs(report.vr));
    const happened = { wallMs: Date.now(), monotonicMs: monotonicMs() };
    this.#agent?.keep({ type: 'fenced', vr: router?.name ?? null, reason: report.event, ...happened });
    // It reads back what the guard has done, and lets go.
    this.#drainMonitors();
    router?.give({ type: 'tick', atMs: monotonicMs() });
  }

  #logSays(message: Extract<ToDataplane, { type: 'log' }>, atMs: number): void {
    this.#nodeByAddress.clear();
    for (const { node, lanAddresses } of message.nodes) {
      for (const address of lanAddresses) this.#nodeByAddress.set(address, nodeId(node));
    }
    this.#logReachable = message.reachable;
    const told = new Map(message.vrs.map((view) => [view.name, view]));
    for (const router of this.#routers.values()) {
      const view = told.get(router.name);
      router.logSays(message.reachable, view && readLogView(view), atMs);
    }
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
    for (const port of this.#ports.values()) port.drain();
    this.#drainMonitors();
  }

  #drainMonitors(): void {
    this.#monitor.drain();
    for (const { monitor } of this.#namespaces.values()) monitor?.drain();
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

  #every(name: string, intervalMs: number, act: () => void): void {
    const run = (atMs: number): void => {
      this.#scheduler.set(name, atMs + intervalMs, run);
      act();
    };
    run(monotonicMs());
  }

  #renew(): void {
    this.#drainMonitors();
    // Who is past its lease lets go, and others with it, before anything is collected: what is off must not be put on again.
    const routers = [...this.#routers.values()].filter((router) => router.upkeep.mayRenew());
    const missing = routers.map((router) => [router, router.upkeep.renew(this.#renewals)] as const);
    this.#renewals.send();
    for (const [router, addresses] of missing) router.upkeep.addressesGone(addresses);
  }

  #audit(): void {
    for (const drift of this.#drifts.values()) drift.drifted = false;
    this.#noteDrifts(this.#guards.audit());
    this.#lookAtNet();
    for (const port of this.#ports.values()) port.retry();
    for (const { name, guards, filter } of this.#namespaces.values()) {
      if (guards !== undefined) this.#noteDrifts(guards.audit(), name);
      if (filter !== undefined) this.#lookAtNet(name, filter);
    }
  }

  #lookAtNet(namespace?: string, within?: Netlink): void {
    const addresses = this.#macNetsOf(within).look();
    if (addresses.length === 0) return;
    this.#log.warn(
      { namespace, addresses },
      'another program changed rules of the nftables net under the virtual IPs; putting them back',
    );
  }

  #noteDrifts(drifts: readonly Drift[], namespace?: string): void {
    for (const drift of drifts) {
      const { interface: name, key, found, repaired } = drift;
      const label = namespace === undefined ? name : `${namespace}/${name}`;
      this.#drifts.set(`${label} ${key}`, { interface: label, key, drifted: true });
      this.#log.warn({ interface: label, key, found, repaired }, 'a sysctl that virtual IPs rely on was changed');
      this.#detection.drifted(label, key, found, repaired);
      if (repaired) continue;
      for (const router of this.#routers.values()) if (router.namespace === namespace) router.guardsFailed(drift);
    }
  }

  /** A few virtual routers at a time, so that no advert waits while many are told of. */
  #tellState(): void {
    const routers = [...this.#routers.values()];
    const parts = Math.max(1, Math.ceil(routers.length / toldAtOnce));
    const part = this.#toldPart % parts;
    this.#toldPart = part + 1;
    const told = routers.slice(part * toldAtOnce, (part + 1) * toldAtOnce);
    this.#agent?.send({ type: 'snapshot', snapshot: this.#snapshot(told) });
    if (part === 0) {
      const states = routers.map(({ name, machine }) => ({ name, state: stateName(machine.phase) }));
      this.#source.service?.status(dataplaneStatus(states, this.#drained));
    }
    this.#scheduler.set('snapshot', monotonicMs() + Math.max(snapshotEveryMs / parts, toldPartMsLeast), () =>
      this.#tellState(),
    );
  }

  #snapshot(routers: readonly VirtualRouter[]): DataplaneSnapshot {
    const advertsRejected = [...this.#ports.values()].flatMap((port) =>
      [...port.refused].map(([reason, count]) => ({ interface: port.state.name, reason, count })),
    );
    this.#lateness.add(this.#pump.lateness());
    return {
      instance: this.#boot,
      guardUp: this.#guard.up,
      vrs: routers.map((router) => router.snapshot((address) => this.#isPresent(router, address))),
      advertsRejected,
      advertLateness: this.#lateness.read(),
      fenced: [...this.#fenced].map(([reason, count]) => ({ reason, count })),
      sysctlDrift: [...this.#drifts.values()],
      detectors: [...this.#ports.values()].map(({ state, watch: { counts }, arpDropped }) => ({
        interface: state.name,
        frames: counts.frames,
        dropped: counts.dropped + arpDropped,
      })),
    };
  }

  #isPresent({ namespace, links }: VirtualRouter, address: string): boolean {
    const monitor = namespace === undefined ? this.#monitor : this.#namespaces.get(namespace)?.monitor;
    return monitor !== undefined && links.some((ifindex) => monitor.has(ifindex, address));
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const namespaceOf = ({ namespace }: VirtualRouterConfig): string | undefined => namespace && netnsLabel(namespace);

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
