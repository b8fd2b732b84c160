import type { Logger } from 'pino';
import { Announcer, macRefreshMs } from '../attach/announcer.js';
import { Attachment, type AttachmentOptions, addressLifetimeSeconds } from '../attach/attachment.js';
import { type AttachedPart, AttachmentGroup } from '../attach/attachment-group.js';
import type { Drift } from '../attach/guards.js';
import type { VirtualRouterConfig } from '../config/config.js';
import { ConfigurationGate } from '../core/configuration-gate.js';
import { placeOf, rulesOf } from '../core/election-rules.js';
import type { ClaimId, NodeId, Term } from '../core/identity.js';
import { freshAnswerMs, handoverLookMs, neighboursWaitMs } from '../core/lan-reach.js';
import { addressLifetimeSeconds as leasedLifetimeSeconds } from '../core/lease.js';
import { emptyLogView, type LogView } from '../core/ownership.js';
import { explainReason, type Fault, type ParentFault, type TransitionReason } from '../core/reasons.js';
import { type ServingReport, servingReport } from '../core/serving.js';
import {
  advertsAgainAt,
  elseDueAtMs,
  hearSteadily,
  isHeardSteadily,
  isLeftToItself,
  isOnlyNoted,
  isSteadyTick,
  isUnmovedByLog,
  patienceSteadily,
  tickSteadily,
} from '../core/steady.js';
import { judgeTracks, type TrackVerdict } from '../core/tracking.js';
import { type Absence, createVr, dueAtMs, hasMissed, peerPatienceMs } from '../core/vr-machine.js';
import { isNews, standingOf } from '../core/vr-news.js';
import { type Effect, type HeardAdvert, type Input, stateName, type Vr, type VrParameters } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import { type AgentRequest, agentRequest, withoutAgent } from '../ipc/agent-request.js';
import type { ToAgent, VrStateMessage } from '../ipc/protocol.js';
import type { AddressRemovals, AddressRenewals } from '../kernel/addresses.js';
import type { AdvertPump } from '../kernel/advert-pump.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { KoiError } from '../koi-error.js';
import type { VrSnapshot } from '../observe/snapshot.js';
import { type AddressFamily, compareAddresses } from '../wire/address.js';
import type { DemuxedFrame } from '../wire/demux.js';
import { readHolderProbe } from '../wire/holder-probe.js';
import { type MacAddress, readMac, zeroMac } from '../wire/mac.js';
import { AdvertRoute } from './advert-route.js';
import { AdvertSender } from './advert-sender.js';
import type { AgentServer } from './agent-server.js';
import { Announcements } from './announcements.js';
import { probesTo, rehearseProbes } from './challenged.js';
import type { ClaimTurns } from './claim-turns.js';
import type { PreparedRouter } from './configuration-stage.js';
import type { Detection } from './detection.js';
import { type ForeignChange, ForeignChanges } from './foreign-changes.js';
import type { GuardKeeper } from './guard-keeper.js';
import { type GuardAdvert, guardLimits } from './guard-protocol.js';
import type { Handed, HandoverTurns } from './handover-turns.js';
import { type HookContext, Hooks, type HooksOptions } from './hooks.js';
import { Hush } from './hush.js';
import { KnownAdvert } from './known-advert.js';
import type { LanKey } from './lan-key.js';
import type { NamespacePlace } from './namespace-place.js';
import { NoticeExchange } from './notice-exchange.js';
import type { ParentListener, ParentPort } from './parent-port.js';
import type { AdvertPacket } from './protocol-adapter.js';
import { DuplicateProbe } from './protocol-duplicates.js';
import { FamilyWatch } from './protocol-families.js';
import { RouterCounters } from './router-counters.js';
import { RouterDetectors } from './router-detectors.js';
import { RouterMachine } from './router-machine.js';
import { RunningConfiguration } from './running-configuration.js';
import { isSameOnWire, sameAddresses } from './same-on-wire.js';
import type { Scheduler } from './scheduler.js';
import type { Grouped, SyncGroups } from './sync-groups.js';
import { TakeoverTiming } from './takeover-timing.js';
import type { TermStore } from './term-store.js';
import type { Trackers } from './track/trackers.js';
import type { Turns } from './turns.js';

const withdrawAgainMs = 10;
/** How often it is tried to make a link: on an interface that another program works on, and after any other failure. */
const prepareAgainMs = { busy: 100, failed: 1000 };

export interface RouterServices {
  readonly parent: ParentPort;
  readonly scheduler: Scheduler;
  readonly agent: AgentServer;
  readonly guard: GuardKeeper;
  readonly pump: AdvertPump;
  readonly terms: TermStore;
  readonly lanKey: LanKey | undefined;
  readonly log: Logger;
  readonly now: () => number;
  readonly wallNow: () => number;
  /** The first thing in everything that happens: notices that the loop was away. */
  readonly checkLoop: () => void;
  readonly nodeAt: (lanAddress: string) => VrParameters['node'] | undefined;
  readonly onLateness: (lateMs: number) => void;
  readonly trackers: Pick<Trackers, 'items' | 'describe'>;
  readonly groups: SyncGroups;
  readonly handovers: Pick<HandoverTurns, 'moved' | 'forget'>;
  readonly claims: ClaimTurns;
  readonly detection: Detection;
  readonly turns: Pick<Turns, 'take' | 'takeLater'>;
  readonly runHook: HooksOptions['run'];
  /** What a configuration asks of the machine, with `loss` taken off its standing by what is tracked. */
  readonly parametersOf: (config: VirtualRouterConfig, loss: number) => VrParameters;
}

/** One virtual MAC on one interface. */
export interface RouterPart {
  /** Where it is on the wire: the adverts' interface, or another one. */
  readonly port: ParentPort;
  /** By which the guard knows it. */
  readonly guardName: string;
  readonly attachment: Omit<AttachmentOptions, 'register' | 'duplicates' | 'turn'>;
}

export interface RouterOptions {
  readonly prepared: PreparedRouter;
  /** One for each virtual MAC on each interface. */
  readonly parts: readonly RouterPart[];
  /** The network namespace of the addresses; undefined: our own. */
  readonly namespace: Pick<NamespacePlace, 'name' | 'path' | 'host' | 'problem'> | undefined;
  /** Whether this host forwards IPv6 between its interfaces. */
  readonly isRouter: () => boolean;
  readonly services: RouterServices;
}

/**
 * One virtual router: feeds the pure machine with what happens and carries out what it asks for. No decision is taken
 * here that the machine could take.
 */
export class VirtualRouter implements ParentListener, Grouped, Handed {
  readonly name: string;
  readonly #timerName: string;
  readonly #running: RunningConfiguration;
  readonly #route: AdvertRoute;
  readonly #sender: AdvertSender;
  readonly #gate: ConfigurationGate;
  readonly #virtualMacs: ReadonlySet<MacAddress>;
  readonly #services: RouterServices;
  readonly #attachment: AttachmentGroup;
  readonly #families: FamilyWatch;
  readonly #parts: readonly RouterPart[];
  readonly #namespace: RouterOptions['namespace'];
  /** One for each interface: the adverts' and those of other addresses. */
  readonly #duplicates: ReadonlyMap<ParentPort, DuplicateProbe>;
  readonly #elsewhere: readonly { readonly port: ParentPort; readonly listener: ParentListener }[];
  #addresses: readonly string[];
  readonly #hooks: Hooks;
  readonly #counters = new RouterCounters();
  readonly #peersSeenMs = new Map<string, number>();
  readonly #machine: RouterMachine;
  #heardMaster: string | undefined;
  #sinceWallMs: number;
  #lastFrom: VrStateMessage['lastFrom'] = null;
  readonly #announcements: Announcements;
  readonly #detectors: RouterDetectors;
  readonly #hush: Hush;
  readonly #notices: NoticeExchange;
  /** What the agent said of the log last: it tells differences only. */
  #toldOfLog: Omit<LogView, 'reachable'> = emptyLogView;
  /** Changes with each attach and release: an attach that ends later than that is nobody's any more. */
  #attempt = 0;
  /** The agent is to be told how it is. */
  #isTelling = false;
  #isGone = false;
  /** What the agent knows the interface by: its name may change while nothing else does. */
  #toldInterface: string | undefined;
  #takeover: TakeoverTiming | undefined;
  #lastHeard: HeardAdvert | undefined;
  /** The advert that it hears again and again, counted where it comes in. */
  readonly #again: KnownAdvert;
  /** Whose it is. */
  #againFrom: NodeId | undefined;
  readonly #foreign: ForeignChanges;
  #warnings: readonly string[] = [];
  #tracked: TrackVerdict;
  #isGroupFaulty = false;
  /** The hook `preRelease` has run for the release that is about to come. */
  #preReleased = false;
  /** Attaching, putting back and making anew that are under way, of which one may begin before another has ended. */
  #works = 0;
  /** From the order to take the addresses off until the link is being made anew. */
  #withdrawing = false;

  constructor(options: RouterOptions) {
    const { services } = options;
    const { config, adapter } = options.prepared;
    this.name = config.name;
    this.#timerName = `vr ${config.name}`;
    this.#running = new RunningConfiguration(options.prepared);
    this.#route = new AdvertRoute(this.#running, services.parent);
    this.#gate = new ConfigurationGate(services.now());
    this.#families = new FamilyWatch(adapter.families);
    this.#parts = options.parts;
    this.#namespace = options.namespace;
    this.#virtualMacs = new Set(options.parts.map(({ attachment }) => attachment.spec.virtualMac));
    this.#services = services;
    this.#addresses = config.addresses.map(({ address }) => address);
    this.#sinceWallMs = services.wallNow();
    this.#tracked = judgeTracks(services.trackers.items(config.track));
    const parameters = services.parametersOf(config, -this.#tracked.adjustment);
    this.#machine = new RouterMachine(createVr(parameters, services.terms.get(config.name)));
    this.#hooks = new Hooks({
      vr: config.name,
      node: this.#machine.vr.parameters.node,
      config: config.hooks,
      run: services.runHook,
      log: services.log,
    });
    const ports = new Set([services.parent, ...options.parts.map(({ port }) => port)]);
    this.#duplicates = new Map([...ports].map((port) => [port, this.#makeProbe(port)]));
    this.#attachment = new AttachmentGroup(options.parts.map((part) => this.#part(part, options.isRouter)));
    this.#foreign = new ForeignChanges(this.#attachment, this.#virtualMacs);
    this.#announcements = this.#makeAnnouncements();
    this.#hush = new Hush({
      attachment: this.#attachment,
      ownMac: () => services.parent.state.mac,
      onFailed: (error) =>
        services.log.warn({ vr: this.name, err: error }, 'while it lingers it answers for the addresses'),
    });
    this.#sender = new AdvertSender({
      running: this.#running,
      route: this.#route,
      parent: services.parent,
      pump: services.pump,
      hush: this.#hush,
      counters: this.#counters,
      now: services.now,
    });
    this.#notices = new NoticeExchange({
      vr: this.name,
      node: this.#machine.vr.parameters.node,
      key: services.lanKey,
      parent: services.parent,
      route: this.#route,
      onHeard: (notice) => this.give({ type: 'notice', notice, atMs: services.now() }),
    });
    this.#again = this.#makeAgain();
    this.#detectors = this.#makeDetectors();
    this.#elsewhere = [...ports]
      .filter((port) => port !== services.parent)
      .map((port) => ({ port, listener: this.#placeListener() }));
    services.parent.add(this);
    for (const { port, listener } of this.#elsewhere) port.add(listener);
    services.groups.place(this, config.syncGroup);
  }

  #makeProbe(port: ParentPort): DuplicateProbe {
    return new DuplicateProbe({
      vr: this.name,
      virtualMacs: this.#virtualMacs,
      send: (frames) => port.send(frames),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      onLate: (address, mac) => this.#duplicate(address, mac),
    });
  }

  /** On an interface that only has addresses, no advert is for this virtual router. */
  #placeListener(): ParentListener {
    return {
      hearsAdverts: false,
      parentChanged: () => this.#placesChanged(),
      received: () => false,
      left: (frame) => this.left(frame),
    };
  }

  #makeAnnouncements(): Announcements {
    const { scheduler, now, checkLoop, log } = this.#services;
    return new Announcements({
      vr: this.name,
      attachment: this.#attachment,
      scheduler,
      now,
      checkLoop,
      serves: () => this.#machine.vr.phase.name === 'master',
      holds: () => this.#machine.vr.phase.name === 'master' || this.#machine.vr.phase.name === 'handing',
      advertsCarryMac: () =>
        !this.#route.isUnicast &&
        this.#elsewhere.length === 0 &&
        advertIntervalMs(this.#running.config) <= macRefreshMs,
      farewellGoodMs: () => this.#running.adapter.farewellGoodMs,
      onSeen: () => this.#announcementSeen(),
      onNotSeen: () => {
        this.#counters.announceFailed.add('not_seen');
        log.error({ vr: this.name }, 'the announcement was not seen leaving on the parent interface');
      },
      onStaleFarewell: (error) => log.error({ vr: this.name, err: error }, 'the guard has no fresh farewells'),
    });
  }

  #makeDetectors(): RouterDetectors {
    const { scheduler, detection, now, nodeAt } = this.#services;
    return new RouterDetectors({
      vr: this.name,
      id: this.#running.config.id,
      parts: this.#parts.map(({ port, attachment: { spec } }) => ({ ...spec, port })),
      scheduler,
      detection,
      counters: this.#counters,
      now,
      random: Math.random,
      nodeAt,
      standing: () => ({ phase: this.#machine.vr.phase.name, rival: this.#machine.vr.rival?.name }),
      arbitration: () => this.#running.config.arbitration,
      logReachable: () => this.#machine.vr.log.reachable,
      announceAgain: () => this.#announcements.again(now()),
      onAdvertisement: (port, frame) => this.#duplicates.get(port)?.heard(frame),
    });
  }

  /** How long it may go unattended before its peers count it as gone. */
  get patienceMs(): number {
    return peerPatienceMs(this.#machine.vr);
  }

  /** Its virtual-MAC links. */
  get links(): readonly number[] {
    return this.#attachment.links;
  }

  /** This process did not run for so long: whoever was silent meanwhile may have been taken for gone. */
  overslept(absence: Absence, atMs: number): void {
    if (this.#sender.isLeftToPump) this.attend(atMs);
    else if (hasMissed(this.#machine.vr, absence)) this.give({ type: 'overslept', atMs });
  }

  /** Adverts that go out by themselves do not any more, or may have stopped. */
  attend(atMs: number): void {
    const lapsed = this.#sender.countPumped();
    if (lapsed === undefined) return;
    this.#sleep();
    if (lapsed === 'silent') this.give({ type: 'overslept', atMs });
  }

  get stopped(): boolean {
    return this.#machine.vr.phase.name === 'init' && this.#machine.vr.phase.stopped;
  }

  get machine(): Vr {
    this.#again.ask();
    return this.#machine.vr;
  }

  get phase(): Vr['phase']['name'] {
    return this.#machine.vr.phase.name;
  }

  /** It cannot serve, whatever its sync group does. */
  get isFaulty(): boolean {
    return this.#ownFault !== undefined;
  }

  get #ownFault(): Fault | undefined {
    if (this.#parentFault !== undefined) return this.#parentFault;
    return this.#tracked.failed.length > 0 ? 'tracking_failed' : this.#configurationFault;
  }

  /** Whoever serves goes on; nobody takes over with another configuration than the one in force. */
  get #configurationFault(): Fault | undefined {
    if (this.#running.config.arbitration === 'wire' || holdsAddresses(this.#machine.vr)) return undefined;
    return this.#gate.isBarred(this.#services.now()) ? 'configuration_differs' : undefined;
  }

  /** The log says whether what this node runs is in force. */
  setDiffering(differs: boolean): void {
    this.#gate.logSays(differs);
    this.#tellFault();
  }

  /** After a refused advert that said so: it is barred until some time, or longer. */
  #barred(): void {
    const { scheduler, now } = this.#services;
    this.#tellFault();
    const openAtMs = this.#gate.isBarred(now()) ? this.#gate.openAtMs : undefined;
    scheduler.set(`gate ${this.name}`, openAtMs, () => this.#barred());
  }

  /** Another configuration is ready and waits for the other nodes, whose adverts may come in it already. */
  setWaiting(waiting: PreparedRouter | undefined): void {
    if (this.#running.prepare(waiting)) this.#tellState();
  }

  get shared(): PreparedRouter['shared'] {
    return this.#running.shared;
  }

  /** Something happened. Everything that changes this virtual router comes through here. */
  give(input: Input): void {
    if (isOnlyNoted(this.#machine.vr, input)) {
      this.#machine.take(input);
      return;
    }
    this.#unsteady();
    const before = this.#machine.vr;
    const effects = this.#machine.take(input);
    const { vr } = this.#machine;
    if (isNews(before, vr) || isAnotherReason(before, vr)) this.#tellState();
    if (vr.highestTerm > before.highestTerm) this.#rememberTerm(vr.highestTerm);
    for (const effect of effects) this.#tryTo(effect, input.atMs, before);
    this.#sleep();
    this.#services.groups.changed(this, input.atMs);
    this.#services.handovers.moved(this);
    this.#services.claims.moved(this.name, this.#machine.vr);
  }

  // ── the steady state: what would only repeat itself ───────────────────────────────────────────────────────────────

  #sleep(): void {
    this.#takeFromPump();
    this.#services.scheduler.set(this.#timerName, this.#wakesAtMs(), this.#onTick, this.#onQuickTick);
  }

  #wakesAtMs(): number | undefined {
    const { vr } = this.#machine;
    if (isLeftToItself(vr) && this.#sender.leaveToPump(vr, vr.phase.advertAtMs)) return elseDueAtMs(vr.phase);
    return this.#again.isKnown ? undefined : dueAtMs(vr);
  }

  readonly #onTick = (atMs: number, lateMs: number): void => this.#tick(atMs, lateMs);

  /** Before anything is read: the same advert once more. */
  readonly #onQuickTick = (atMs: number, lateMs: number): boolean => {
    const { vr } = this.#machine;
    if (!isSteadyTick(vr, atMs) || !this.#sender.repeat(vr, atMs)) return false;
    this.#services.onLateness(lateMs);
    tickSteadily(this.#machine.own(), atMs);
    this.#sleep();
    return true;
  };

  /** What it waited for has come: it ticks as soon as the loop goes round. */
  lookAgain(): void {
    const { scheduler, now } = this.#services;
    scheduler.set(this.#timerName, now(), this.#onTick, this.#onQuickTick);
  }

  #takeFromPump(): void {
    const dueAtMs = this.#sender.takeFromPump();
    if (dueAtMs !== undefined && this.phase === 'master') advertsAgainAt(this.#machine.own(), dueAtMs);
  }

  #unsteady(): void {
    this.#takeFromPump();
    this.#again.forget();
    this.#sender.forgetFrames();
  }

  /** An advert was judged, and heard, or is the twin of one that was: the same once more need not be. */
  #remember(packet: AdvertPacket, octets: Uint8Array, advert: HeardAdvert, isTwin: boolean): void {
    const { now, nodeAt, scheduler } = this.#services;
    const node = nodeAt(packet.source);
    const isCertain =
      this.#running.adapter.hearsTheSame &&
      this.#running.adapter.families.length === 1 &&
      this.#running.isAlone(now()) &&
      !this.#detectors.isStranger(node);
    if (!isCertain || !isHeardSteadily(this.#machine.vr, advert)) return;
    this.#againFrom = node;
    const isKnown = this.#again.remember(packet, octets, patienceSteadily(this.#machine.vr), isTwin);
    if (isKnown) scheduler.set(this.#timerName, undefined, nothing);
    else this.#sleep();
  }

  #makeAgain(): KnownAdvert {
    return new KnownAdvert({
      memory: this.#services.parent.memory,
      adapter: () => this.#running.adapter,
      onHeard: ({ adverts, heardAtMs, lastAtMs }) => {
        const { now, wallNow } = this.#services;
        if (this.#againFrom !== undefined) this.#peersSeenMs.set(this.#againFrom, wallNow() - (now() - lastAtMs));
        this.#counters.advertsReceived += adverts;
        if (adverts > 0 && this.#machine.vr.phase.name === 'backup') hearSteadily(this.#machine.own(), heardAtMs);
      },
      onSilent: (atMs) => this.#tick(atMs, 0),
      onUnknown: () => this.#sleep(),
    });
  }

  // ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  parentChanged(): void {
    this.#placesChanged();
  }

  /** An interface, or the namespace of the addresses, is another, or can or cannot be used. */
  #placesChanged(): void {
    if (this.#parts.some(({ port }) => port.state.ifindex === undefined)) this.#attachment.forgetLinks('orphaned');
    if (this.#parentFault === undefined) this.#prepare();
    this.#tellFault();
    const { name } = this.#services.parent.state;
    if (name !== this.#toldInterface) this.#tellState();
  }

  /** The namespace of the addresses has come, or is gone. */
  namespaceChanged(): void {
    const host = this.#namespace?.host;
    if (host === undefined) {
      // The machine takes the addresses off, as long as they can be reached; then there is nothing left to work in.
      this.#tellFault();
      this.#attachment.forgetLinks();
      return;
    }
    this.#attachment.moveTo(host);
    this.#placesChanged();
  }

  /** The network namespace of its addresses; undefined: our own. */
  get namespace(): string | undefined {
    return this.#namespace?.name;
  }

  /** Resolves when nothing of it is being deleted any more. */
  settled(): Promise<void> {
    return this.#attachment.settled();
  }

  setGroupFault(isFaulty: boolean): void {
    if (isFaulty === this.#isGroupFaulty) return;
    this.#isGroupFaulty = isFaulty;
    this.#tellFault();
  }

  /** Something that is tracked is another, or is weighted otherwise. */
  tracksChanged(): void {
    const before = this.#tracked;
    this.#tracked = judgeTracks(this.#services.trackers.items(this.#running.config.track));
    const { adjustment, failed } = this.#tracked;
    if (adjustment !== before.adjustment) this.#tellParameters();
    if (failed.length > 0 !== before.failed.length > 0) this.#tellFault();
    if (this.#running.config.track.length > 0) this.#tellState();
  }

  #tellFault(): void {
    const fault: Fault | undefined = this.#ownFault ?? (this.#isGroupFaulty ? 'group_failed' : undefined);
    this.give({ type: 'parent', fault, atMs: this.#services.now() });
  }

  /** The node's own settings are others. */
  parametersChanged(): void {
    this.#tellParameters();
  }

  #tellParameters(): void {
    const parameters = this.#services.parametersOf(this.#running.config, -this.#tracked.adjustment);
    this.give({ type: 'parameters', parameters, atMs: this.#services.now() });
  }

  /**
   * Another configuration, without leaving the state: what could not be brought about is returned, for people. Another
   * id, protocol or interface needs another virtual router.
   */
  async reconfigure(config: VirtualRouterConfig, prepared: PreparedRouter): Promise<string | undefined> {
    const before = this.#running.config;
    const { groups, now } = this.#services;
    this.#running.adopt(config);
    this.#hooks.configure(config.hooks);
    groups.place(this, config.syncGroup);
    const warning = await this.#changeWire(before, config, prepared);
    this.#tracked = judgeTracks(this.#services.trackers.items(config.track));
    this.#tellParameters();
    this.#tellFault();
    if (warning === undefined && !sameAddresses(before, config) && this.#machine.vr.phase.name === 'master') {
      this.#announcements.start(now());
    }
    this.#tellState();
    return warning;
  }

  /** What adverts say, the addresses themselves, and what the guard would send, and when. */
  async #changeWire(
    before: VirtualRouterConfig,
    config: VirtualRouterConfig,
    prepared: PreparedRouter,
  ): Promise<string | undefined> {
    const isSameInCommon = prepared.shared.digest === this.#running.shared.digest;
    if (isSameOnWire(before, config) && isLeased(before) === isLeased(config) && isSameInCommon) return undefined;
    const spokenBefore = this.#running.speak(prepared, this.#services.now());
    this.#works += 1;
    try {
      if (sameAddresses(before, config)) {
        await this.#attachment.registerAgain();
        return undefined;
      }
      const addressesOf = (virtualMac: MacAddress): string[] =>
        config.addresses
          .filter(({ family }) => this.#running.adapter.virtualMac(family) === virtualMac)
          .map(({ address }) => address);
      await this.#attachment.changeAddresses(addressesOf);
      this.#addresses = config.addresses.map(({ address }) => address);
      this.#detectors.setAddresses(addressesOf);
      return undefined;
    } catch (error) {
      this.#running.takeBack(spokenBefore, before.addresses);
      const why = error instanceof Error ? error.message : String(error);
      this.#services.log.error({ vr: this.name, err: error }, 'it keeps the addresses it had');
      return `${why}; it keeps the addresses it had`;
    } finally {
      this.#works -= 1;
    }
  }

  /** Before a release that is planned: the hook runs while this node still serves. Resolves when it may go. */
  async beforeRelease(reason: TransitionReason): Promise<void> {
    const { name } = this.#machine.vr.phase;
    if ((name !== 'master' && name !== 'handing') || !this.#hooks.has('preRelease')) return;
    this.#preReleased = true;
    await this.#hooks.preRelease({ ...this.#hookContext(), reason });
  }

  /** Resolves when no hook runs any more. */
  hooksSettled(): Promise<void> {
    return this.#hooks.settled();
  }

  #hookContext(): HookContext {
    const { phase, lastReason, highestTerm } = this.#machine.vr;
    return { state: stateName(phase), reason: lastReason, term: 'term' in phase ? phase.term : highestTerm };
  }

  /** Whether its adverts go over this interface, or some of its addresses are on it. */
  uses(port: ParentPort): boolean {
    return port === this.#services.parent || this.#parts.some((part) => part.port === port);
  }

  /** Its interface is lost: its addresses go together with those of others, before it is told, which is in the same turn. */
  vacate(removals: AddressRemovals): void {
    if (!holdsAddresses(this.#machine.vr)) return;
    this.#attachment.vacate(removals);
    queueMicrotask(() => {
      // It has not been told: the interface had come back by then.
      if (holdsAddresses(this.#machine.vr) && !this.#isWorking && !this.#attachment.attached) void this.#reattach();
    });
  }

  /** Adverts go out in each family, so the parent needs an address of its own in each. */
  get #parentFault(): ParentFault | undefined {
    const { fault } = this.#services.parent.state;
    if (fault !== undefined) return fault;
    if (this.#route.lacksSource) return 'no_primary_address';
    if (this.#namespace !== undefined && this.#namespace.host === undefined) return 'namespace_absent';
    return this.#elsewhere.map(({ port }) => port.state.fault).find((each) => each !== undefined);
  }

  received(frame: DemuxedFrame, octets: Uint8Array, isFirst: boolean): boolean {
    this.#heardProbe(frame, octets);
    if (frame.kind === 'notice' && frame.id === this.#running.config.id) {
      this.#notices.heard(frame, octets);
      return true;
    }
    if ((frame.kind !== 'vrrp' && frame.kind !== 'carp') || frame.id !== this.#running.config.id) return false;
    if (!this.#running.adapter.families.includes(frame.family)) return false;
    this.#heard(frame, octets, isFirst);
    return true;
  }

  /** It counts while this node challenges the one that sent it. */
  #heardProbe(frame: DemuxedFrame, octets: Uint8Array): void {
    const probe = readHolderProbe(frame, octets);
    if (probe === undefined || probe.id !== this.#running.config.id || probe.protocol !== this.#running.config.protocol)
      return;
    if (!Object.values(this.#route.sources).includes(probe.target)) return;
    const from = this.#services.nodeAt(probe.source);
    if (from !== undefined) this.give({ type: 'holderProbe', from, atMs: this.#services.now() });
  }

  /** Another node asks whether this one serves; it can be reached at these addresses, and waits so long. */
  async challenged(lanAddresses: readonly string[], timeoutMs: number): Promise<ServingReport> {
    const { parent } = this.#services;
    const report = (carries: boolean): ServingReport =>
      servingReport(this.#machine.vr, this.#attachment.attached, carries && this.#parentFault === undefined);
    const now = report(true);
    if (now !== 'serves') return now;
    parent.send(probesTo(lanAddresses, this.#route.sources, this.#running.config, parent.state.mac ?? zeroMac));
    const { intervalMs } = rulesOf(this.#machine.vr.parameters.election);
    return report(await parent.carries(neighboursWaitMs(timeoutMs), freshAnswerMs(intervalMs)));
  }

  /** This node is to take over: whether the LAN would carry what it says. At these addresses is a node that is there. */
  async isHeardOnLan(lanAddresses: readonly string[]): Promise<ServingReport> {
    const isHeard =
      this.#parentFault === undefined && (await this.#services.parent.isHeard(handoverLookMs, lanAddresses));
    return isHeard ? 'not_serving' : 'lan_down';
  }

  /** Whether the guard knows one of its virtual MACs by this name. */
  isGuardedAs(name: string): boolean {
    return this.#parts.some(({ guardName }) => guardName === name);
  }

  left(frame: DemuxedFrame): void {
    if (this.#announcements.awaited && this.#isAnnouncement(frame)) this.#announcements.sawLeave();
  }

  #isAnnouncement(frame: DemuxedFrame): boolean {
    if (frame.kind === 'arp') {
      return this.#virtualMacs.has(frame.packet.senderMac) && this.#addresses.includes(frame.packet.senderAddress);
    }
    if (frame.kind !== 'ndp' || frame.message.type !== 'advertisement') return false;
    return this.#virtualMacs.has(frame.etherSource) && this.#addresses.includes(frame.message.target);
  }

  /** Changes of the attachment's own making are under way: nothing is taken for somebody else's. */
  get #isWorking(): boolean {
    return this.#withdrawing || this.#works > 0;
  }

  /** Whether a link is one of its virtual-MAC links. */
  owns(ifindex: number): boolean {
    return this.#attachment.owns(ifindex);
  }

  /** One of its own links, or an address on it, is another. */
  kernelChanged(event: KernelEvent): void {
    if (this.#isWorking) return;
    const change = this.#foreign.judge(event);
    switch (change?.kind) {
      case 'link_deleted':
        this.#linkGone();
        return;
      case 'link_changed':
        this.#disturbed(change.kind, change.object);
        return;
      case 'address_deleted':
        this.#addressGone(change.object);
        return;
      case 'address_changed':
        // It serves as before; the next renewal, within half a second, says again whose it is.
        this.#tellChange(change.kind, change.object);
        return;
      default:
        return;
    }
  }

  /** The kernel deletes the link together with its parent; otherwise somebody did. */
  #linkGone(): void {
    this.#attachment.forgetLinks();
    if (this.#parentFault === undefined) this.#disturbed('link_deleted', this.name);
  }

  #addressGone(address: string): void {
    const isOurs = this.#attachment.attached && this.#addresses.includes(address);
    if (!isOurs || !this.#holdsStill()) return;
    // The kernel has taken it off ahead of the lease, whose end is too near to put it back.
    if (this.#lifetimeSeconds < 1) this.give({ type: 'ownLease', endsAtMs: undefined, atMs: this.#services.now() });
    else this.#disturbed('address_deleted', address);
  }

  /** For how long the kernel keeps an address by itself: what is leased is gone with the lease, whoever is left to see to it. */
  get #lifetimeSeconds(): number {
    if (!isLeased(this.#running.config)) return addressLifetimeSeconds;
    const { leaseEndsAtMs = Number.NEGATIVE_INFINITY } = this.#machine.vr;
    return Math.min(addressLifetimeSeconds, leasedLifetimeSeconds(leaseEndsAtMs, this.#services.now()));
  }

  /** Past the end of its lease nobody puts an address back: the guard took it off, and it is right. */
  #holdsStill(): boolean {
    if (!isLeased(this.#running.config)) return true;
    this.give({ type: 'tick', atMs: this.#services.now() });
    return holdsAddresses(this.#machine.vr);
  }

  /** What the log says, as far as the agent knows it; `view` only where something of this virtual router changed. */
  logSays(reachable: boolean, view: Omit<LogView, 'reachable'> | undefined, atMs: number): void {
    if (view === undefined && reachable && isUnmovedByLog(this.#machine.vr)) return;
    if (view !== undefined) this.#toldOfLog = view;
    const turn = view?.ownership?.released === true ? this.#turn : {};
    this.give({ type: 'log', view: { ...this.#toldOfLog, reachable }, atMs, ...turn });
    if (view !== undefined && view.ownership?.handedBy === undefined) this.#announcements.lingeringEnded();
  }

  /** The kernel has dropped so many more frames that would have bound one of its addresses to another MAC. */
  wrongMacSuppressed(frames: number): void {
    this.#counters.wrongMacSuppressed += frames;
  }

  /**
   * The addresses go: the interface, a parent, cannot be kept from answering with its own MAC; or, a virtual-MAC link, from
   * that or from dropping what is sent to it, which concerns its own virtual router alone.
   */
  guardsFailed({ interface: name, key }: Pick<Drift, 'interface' | 'key'>): void {
    const isLink = this.#parts.some(({ attachment }) => attachment.spec.linkName === name);
    const isBeside = this.#namespace !== undefined || this.#parts.some(({ port }) => port.state.name === name);
    if (!isLink && (key === 'rp_filter' || !isBeside)) return;
    this.give({ type: 'interference', atMs: this.#services.now() });
  }

  /** Whether it has addresses that the kernel is to keep: the kernel forgets those that are not renewed. */
  mayRenew(): boolean {
    return !this.#isWorking && this.#holdsStill();
  }

  /** @returns the addresses that the kernel no longer has, for {@link addressesGone} */
  renewAddresses(renewals: AddressRenewals): readonly string[] {
    return this.#isWorking ? [] : this.#attachment.renew(renewals);
  }

  addressesGone(addresses: readonly string[]): void {
    for (const address of addresses) this.#addressGone(address);
  }

  #tick(atMs: number, lateMs: number): void {
    this.#services.checkLoop();
    if (this.#machine.vr.phase.name === 'master' && !this.#sender.isLeftToPump) this.#services.onLateness(lateMs);
    const heldUntilMs = this.#services.groups.heldUntilMs(this.name);
    this.give({ type: 'tick', atMs, ...(heldUntilMs === undefined ? {} : { heldUntilMs }), ...this.#turn });
  }

  /** For what may make it claim: when it is its turn, where the log has others' claims to answer first. */
  get #turn(): { readonly turnAtMs?: number } {
    const turnAtMs = this.#services.claims.turnAtMs(this.name, this.#machine.vr);
    return turnAtMs === undefined ? {} : { turnAtMs };
  }

  #heard(packet: AdvertPacket, octets: Uint8Array, isFirst: boolean): void {
    if (!isFirst) this.#services.parent.memory.clear();
    const { parent, now, nodeAt, wallNow } = this.#services;
    // What is a repetition is judged by what came before it.
    this.#again.ask();
    const judgement = this.#running.judge(packet, octets, this.#route.sources, now());
    // It may have taught which form of checksum is understood.
    this.#sender.forgetFrames();
    if (this.#sender.isLeftToPump) this.#sleep();
    if (judgement.kind === 'refused') {
      const { reason, detail } = judgement;
      parent.refuse(packet, reason, { vr: this.name, ...(detail === undefined ? {} : { detail }) });
      this.#detectors.refused(packet, reason);
      if (this.#gate.refused(reason, now())) this.#barred();
      return;
    }
    const node = nodeAt(packet.source);
    if (node !== undefined) this.#peersSeenMs.set(node, wallNow());
    if (judgement.kind === 'twin') {
      if (isFirst && saysTheSame(packet, this.#lastHeard)) this.#remember(packet, octets, this.#lastHeard, true);
      return;
    }
    this.#counters.advertsReceived += 1;
    const { source, family } = packet;
    const { candidacy } = judgement;
    const atMs = now();
    const rules = rulesOf(this.#machine.vr.parameters.election);
    const resigns = rules.compare(candidacy) === 'resigned';
    if (!resigns) {
      this.#heardMaster = node ?? source;
      this.#detectors.heardMaster(packet, node);
    }
    const own = this.#route.sources[family] ?? source;
    const patienceMs = rules.masterDownMs(rules.masterIntervalMs(candidacy));
    const familyOrder = compareAddresses(source, own);
    const sourceOrder = this.#families.orderOf(family, familyOrder, atMs, patienceMs);
    if (!resigns) this.#watchFamilies(family, familyOrder, atMs, patienceMs);
    const advert = { source, sourceOrder, candidacy, node };
    this.give({ type: 'advert', advert, atMs, ...(resigns ? this.#turn : {}) });
    this.#lastHeard = advert;
    if (isFirst) this.#remember(packet, octets, advert, false);
  }

  #watchFamilies(family: AddressFamily, sourceOrder: -1 | 0 | 1, atMs: number, patienceMs: number): void {
    const before = this.#families.silent;
    this.#families.heard(family, sourceOrder, atMs, patienceMs);
    const { silent } = this.#families;
    if (silent === before) return;
    const { log, parent } = this.#services;
    const place = { vr: this.name, interface: parent.state.name };
    if (silent === undefined) log.info(place, `adverts over IPv${before} are heard again`);
    else {
      log.warn(
        { ...place, family: silent },
        `the master's adverts over IPv${silent} are lost, those over IPv${family} are heard: it is kept as the master; look at the multicast filters on the way (MLD and IGMP snooping)`,
      );
    }
    this.#tellState();
  }

  // ── what the machine asks for ─────────────────────────────────────────────────────────────────────────────────────

  /** One thing that fails keeps neither the others from being done nor the process from serving. */
  #tryTo(effect: Effect, atMs: number, before: Vr): void {
    try {
      this.#carryOut(effect, atMs, before);
    } catch (error) {
      this.#failed(effect.type, error);
    }
  }

  #failed(effect: Effect['type'], error: unknown): void {
    const { log } = this.#services;
    log.error({ vr: this.name, effect, err: error }, `${this.name}: carrying out '${effect}' failed`);
  }

  #carryOut(effect: Effect, atMs: number, before: Vr): void {
    switch (effect.type) {
      case 'advert':
        this.#sender.send(effect.candidacy);
        if (before.phase.name === 'releasing') failpoints?.passed('release.farewell');
        return;
      case 'saveTerm':
        this.#saveTerm(effect);
        return;
      case 'attach':
        if (isHanded(this.#machine.vr)) failpoints?.passed('prepare.named');
        this.#takeover?.attachBegan(atMs);
        void this.#takeAddresses(effect.term);
        return;
      case 'announce':
        this.#announcements.start(atMs, isHanded(before));
        return;
      case 'hush':
        this.#hush.set(effect.hushed);
        return;
      case 'detach':
        this.#detach();
        // Where nothing could wait for it, it is told all the same.
        if (!this.#preReleased) this.#hooks.start('preRelease', this.#hookContext());
        this.#preReleased = false;
        return;
      case 'released':
        this.#keep({
          type: 'released',
          vr: this.name,
          term: effect.term,
          reason: effect.reason,
          resigned: effect.resigned,
        });
        return;
      case 'challenge':
        this.#ask(effect);
        void this.#lookWhileAsking(effect.claim.id);
        return;
      case 'askHandover':
        void this.#askOnceSeen(effect);
        return;
      case 'claim':
      case 'askReady':
      case 'startHandover':
      case 'tellServing':
        this.#ask(effect);
        return;
      case 'notice':
        this.#notices.send(effect);
        return;
      case 'advertPath':
        this.#keep({ ...effect, vr: this.name });
        this.#detectors.advertPath(effect);
        return;
      case 'splitBrain': {
        const evidence = this.#detectors.splitBrain(effect);
        if (evidence !== undefined) this.#keep({ ...effect, vr: this.name, evidence: [...evidence] });
        return;
      }
      case 'transition':
        this.#transition(effect, atMs, before);
        return;
    }
  }

  /** Heard of, not used: it is written in passing. */
  #rememberTerm(heard: Term): void {
    this.#services.terms.save(this.name, heard).catch((error: unknown) => {
      this.#services.log.error({ vr: this.name, err: error }, 'the highest term could not be saved');
    });
  }

  #saveTerm(effect: Extract<Effect, { type: 'saveTerm' }>): void {
    const save = async (): Promise<void> => {
      await this.#services.terms.save(this.name, effect.term);
      if (failpoints !== undefined) await failpoints.reached('claim.term_saved');
    };
    const saved = (): void => this.give({ type: 'termSaved', term: effect.term, atMs: this.#services.now() });
    // The machine goes on without it at its own deadline; what failed is told here.
    const failed = (error: unknown): void =>
      this.#services.log.error(
        { vr: this.name, term: effect.term, err: error },
        'the term could not be saved to the state directory',
      );
    save().then(saved, failed);
  }

  #ask(effect: AgentRequest): void {
    const asking = {
      name: this.name,
      machine: this.#machine.vr,
      lanAddress: this.#route.lanAddress,
      virtualMac: this.#virtualMac,
    };
    let isSent = false;
    try {
      isSent = this.#services.agent.send(agentRequest(effect, asking));
      if (isSent && effect.type === 'claim') failpoints?.passed('claim.asked');
      if (isSent && effect.type === 'startHandover') failpoints?.passed('handover.asked');
      if (isSent && effect.type === 'tellServing') failpoints?.passed('prepare.told');
      if (isSent) return;
    } catch (error) {
      this.#failed(effect.type, error);
    }
    const answer = withoutAgent(effect, isSent);
    if (answer !== undefined) queueMicrotask(() => this.give({ ...answer, atMs: this.#services.now() }));
  }

  /** Whoever asks a holder how its LAN is looks at its own, within the time that the holder has for it. */
  async #lookWhileAsking(claim: ClaimId): Promise<void> {
    const { parameters, masterIntervalMs } = this.#machine.vr;
    if (parameters.arbitration !== 'log') return;
    const waitMs = neighboursWaitMs(parameters.challengeTimeoutMs);
    const carries = await this.#services.parent.isAnswered(waitMs, freshAnswerMs(masterIntervalMs));
    this.give({ type: 'ownLook', claim, carries, atMs: this.#services.now() });
  }

  /** Where nobody would hear this node serve, it leaves the address where it is. */
  async #askOnceSeen(effect: Extract<AgentRequest, { type: 'askHandover' }>): Promise<void> {
    if (await this.#services.parent.carries(handoverLookMs)) this.#ask(effect);
  }

  async #takeAddresses(attachTerm: Term): Promise<void> {
    if (this.#hooks.has('preAttach')) {
      const fault = await this.#hooks.preAttach(this.#hookContext()).then(
        () => undefined,
        (error: Error) => error.message,
      );
      const { phase } = this.#machine.vr;
      if (phase.name !== 'attaching' || phase.term !== attachTerm) return;
      if (fault !== undefined) {
        this.#warnings = [fault];
        this.give({ type: 'attachFailed', atMs: this.#services.now() });
        return;
      }
    }
    await this.#attach();
  }

  async #attach(): Promise<void> {
    const { now, log } = this.#services;
    this.#works += 1;
    this.#attempt += 1;
    const attempt = this.#attempt;
    try {
      await this.#services.turns.take();
      if (attempt !== this.#attempt) return;
      const receipts = await this.#attachment.attach();
      if (attempt !== this.#attempt) return;
      if (failpoints !== undefined) await failpoints.reached('claim.attached');
      if (attempt !== this.#attempt) return;
      this.#takeover?.attached(receipts, now());
    } catch (error) {
      if (attempt !== this.#attempt) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#warnings = [message];
      log.error({ vr: this.name, err: error }, 'attach failed; the steps before are undone');
      this.#withdraw('attachFailed');
      return;
    } finally {
      this.#works -= 1;
    }
    this.#warnings = [];
    this.give({ type: 'attached', atMs: now() });
  }

  #detach(): void {
    this.#announcements.stop();
    this.#withdraw('detached');
  }

  /**
   * Whoever has taken over shows itself once more: the last that this node answered may have come later than what the other
   * showed, and have moved the virtual MAC back to where nobody answers any more.
   */
  #askToShow(): void {
    const { phase } = this.#machine.vr;
    const isHandedOver = phase.name === 'releasing' && phase.reason === 'handed_over' && phase.giveTo === undefined;
    if (isHandedOver) this.#detectors.wish();
  }

  /** The addresses go off; the machine is told once it has been read back that they are, and not before. */
  #withdraw(told: 'detached' | 'attachFailed'): void {
    const { guard, log, now, scheduler } = this.#services;
    this.#attempt += 1;
    this.#withdrawing = true;
    try {
      this.#attachment.detach();
      failpoints?.passed('release.addresses_off');
      for (const { guardName } of this.#parts) guard.drop(guardName);
      failpoints?.passed('release.guard_told');
    } catch (error) {
      // Whatever holds them, the guard's deadline and the addresses' lifetime end them; nobody renews them any more.
      log.error({ vr: this.name, err: error }, 'the addresses could not be taken off; trying again');
      scheduler.set(`detach ${this.name}`, now() + withdrawAgainMs, () => this.#withdraw(told));
      return;
    }
    this.#hush.ended();
    this.#askToShow();
    queueMicrotask(() => {
      try {
        this.give({ type: told, atMs: now() });
        this.#withdrawn();
      } finally {
        this.#withdrawing = false;
      }
    });
  }

  #withdrawn(): void {
    try {
      failpoints?.passed('release.told');
      this.#hooks.start('postRelease', this.#hookContext());
    } catch (error) {
      this.#failed('detach', error);
    }
    this.#remake();
  }

  #transition(effect: Extract<Effect, { type: 'transition' }>, atMs: number, before: Vr): void {
    const { log, wallNow } = this.#services;
    const { from, to, reason, standing } = effect;
    if (to === 'candidate') this.#takeover = new TakeoverTiming(before, atMs);
    if (reason === 'attached') this.#hooks.start('postMaster', this.#hookContext());
    this.#sinceWallMs = wallNow();
    this.#lastFrom = from;
    this.#detectors.phaseChanged();
    this.#counters.transition(to, reason);
    log.info(
      { vr: this.name, from, to, reason, term: effect.term, standing },
      `${this.name}: ${from} → ${to}, ${explainReason(reason)}`,
    );
    this.#keep({
      type: 'transition',
      vr: this.name,
      from,
      to,
      reason,
      term: effect.term,
      standing: standing ?? null,
    });
    this.#tellState();
    // Whoever served with another configuration may not take over with it again.
    if (this.#configurationFault !== undefined) queueMicrotask(() => this.#tellFault());
  }

  /** At the end of this turn of the loop, and once: what is over by then is told to nobody. */
  #tellState(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#toldInterface = this.#services.parent.state.name;
    setImmediate(() => {
      this.#isTelling = false;
      if (!this.#isGone) this.#services.agent.send({ type: 'state', state: this.describe() });
    });
  }

  #announcementSeen(): void {
    const takeover = this.#takeover;
    if (takeover === undefined || this.#machine.vr.phase.name !== 'master') return;
    this.#takeover = undefined;
    const { phasesMs, steps, phases } = takeover.finish(this.#services.now());
    this.#counters.takeover(phasesMs);
    this.#keep({ type: 'masterActive', vr: this.name, term: this.#machine.vr.phase.term, steps, phases });
  }

  // ── repair ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody else changed what is ours: put it back, and say so; too often, and it is left to them. */
  #disturbed(kind: ForeignChange['kind'], object: string): void {
    const nowMs = this.#services.now();
    this.#tellChange(kind, object);
    if (!holdsAddresses(this.#machine.vr)) {
      this.#remake();
      return;
    }
    if (!this.#foreign.mayRepair(nowMs)) {
      this.give({ type: 'interference', atMs: nowMs });
      return;
    }
    void this.#reattach();
  }

  #tellChange(kind: ForeignChange['kind'], object: string): void {
    const { detection, log, parent } = this.#services;
    this.#counters.repairs.add(kind);
    detection.foreignChange(this.name, kind, object, parent.state);
    this.#keep({ type: 'repaired', vr: this.name, kind, object });
    log.warn(
      { vr: this.name, kind, object },
      'another program changed what koi has put into the kernel; putting it back',
    );
  }

  async #reattach(): Promise<void> {
    const { now, log } = this.#services;
    this.#works += 1;
    try {
      this.#attachment.detach();
      await this.#attachment.remake();
      await this.#attachment.attach();
      this.#hush.renew();
      if (this.#machine.vr.phase.name === 'master') this.#announcements.start(now());
    } catch (error) {
      log.error({ vr: this.name, err: error }, 'putting it back failed');
      this.give({ type: 'interference', atMs: now() });
    } finally {
      this.#works -= 1;
    }
  }

  // ── the link, the guard, the frames ───────────────────────────────────────────────────────────────────────────────

  #prepare(): void {
    try {
      this.#attachment.prepare();
      const wasUnable = this.#warnings.length > 0;
      this.#warnings = [];
      // Otherwise a node that failed once would be taken for one that cannot serve until its next transition.
      if (wasUnable) this.#tellState();
    } catch (error) {
      this.#notPrepared(error, 'the virtual-MAC link could not be prepared');
    }
  }

  /** Builds the frames of a takeover and of a challenge, looks at the LAN without a word, and goes the way of an attach with requests that change nothing. */
  rehearse(): void {
    if (holdsAddresses(this.#machine.vr) || this.#isWorking) return;
    const { candidacy } = rulesOf(this.#machine.vr.parameters.election);
    this.#running.adapter.adverts(candidacy, this.#route.sources);
    for (const part of this.#parts) this.#farewells(part);
    rehearseProbes(this.#route.sources, this.#running.config);
    this.#services.parent.rehearseLook();
    this.#attachment.rehearse();
  }

  /** It is tried again, soon where another program works on the interface; an attach would make the link as well. */
  #notPrepared(error: unknown, what: string): void {
    const { scheduler, now, log } = this.#services;
    const message = error instanceof Error ? error.message : String(error);
    const isNews = !this.#warnings.includes(message);
    this.#warnings = [message];
    const isBusy = error instanceof KoiError && error.code === 'timeout';
    if (isNews) log[isBusy ? 'info' : 'error']({ vr: this.name, err: error }, what);
    const againMs = isBusy ? prepareAgainMs.busy : prepareAgainMs.failed;
    scheduler.set(`prepare ${this.name}`, now() + againMs, () => this.#prepareAgain());
  }

  #prepareAgain(): void {
    const isIdle = !this.stopped && !this.#isWorking && !holdsAddresses(this.#machine.vr);
    if (this.#parentFault === undefined && isIdle) this.#prepare();
  }

  /** Whoever has stopped needs no link any more. */
  #remake(): void {
    this.#works += 1;
    // Whoever may be the next to take over wants its link soon.
    const isPatient = this.#machine.vr.phase.name === 'fault';
    const done = this.stopped ? this.#attachment.destroy() : this.#attachment.remake(isPatient);
    done
      .then(() => {
        if (this.#parentFault === undefined && !this.stopped) this.#prepare();
      })
      .catch((error: unknown) => this.#notPrepared(error, 'the virtual-MAC link could not be made anew'))
      .finally(() => {
        this.#works -= 1;
      });
  }

  /** One virtual MAC with its addresses. */
  #part(part: RouterPart, isRouter: () => boolean): AttachedPart {
    const { port, guardName } = part;
    const { virtualMac, addresses: first } = part.attachment.spec;
    const attachment = new Attachment({
      ...part.attachment,
      register: (link, addresses) => {
        const namespace = this.#namespace?.path;
        if (this.#namespace !== undefined && namespace === undefined) {
          return Promise.reject(new KoiError('attach', `the network namespace ${this.#namespace.name} is gone`));
        }
        const more = { namespace, leased: isLeased(this.#running.config) };
        return this.#services.guard.put(guardName, link, addresses, this.#farewells(part), more);
      },
      duplicates: (ipv6) => this.#checkDuplicates(ipv6, port),
      turn: () => this.#services.turns.takeLater(),
      lifetimeSeconds: () => this.#lifetimeSeconds,
    });
    const announcer = new Announcer({
      virtualMac,
      addresses: first,
      isRouter,
      send: (frames) => port.send(frames),
      onSent: (operation, count) => this.#counters.announced.add(operation, count),
      onFailed: (count) => this.#counters.announceFailed.add('not_sent', count),
      onRefused: (reason) => this.#counters.announceRefused.add(reason),
    });
    return { attachment, announcer, parentIfindex: () => port.state.ifindex };
  }

  async #checkDuplicates(addresses: readonly string[], port: ParentPort): Promise<string> {
    const knowsMaster = this.#heardMaster !== undefined || this.#machine.vr.log.ownership !== undefined;
    const probe = this.#duplicates.get(port);
    return probe === undefined ? 'not asked' : probe.check(addresses, port.state.mac ?? zeroMac, !knowsMaster);
  }

  #duplicate(address: string, mac: MacAddress): void {
    const message = `${mac} answers for ${address} with a MAC that is not this virtual router's; remove it there`;
    if (this.#warnings.includes(message)) return;
    this.#warnings = [...this.#warnings, message];
    this.#services.log.error({ vr: this.name, address, mac }, message);
    this.#tellState();
  }

  /** What the guard sends when this process cannot. It takes frames of a limited size: longer ones it goes without. */
  #farewells(part: RouterPart): GuardAdvert[] {
    const { ifindex } = this.#services.parent.state;
    const { virtualMac } = part.attachment.spec;
    // Where a virtual MAC is on several interfaces, the first speaks for it.
    const speaker = this.#parts.find(({ attachment }) => attachment.spec.virtualMac === virtualMac);
    if (ifindex === undefined || speaker !== part) return [];
    const { farewell } = rulesOf(this.#machine.vr.parameters.election);
    const ofPart = (frame: Uint8Array): boolean => readMac(frame, 6) === virtualMac;
    const fits = (frame: Uint8Array): boolean => frame.length <= guardLimits.advertBytes;
    const frames = this.#running.adapter
      .prepare(farewell, this.#route.sources)
      .filter((frame) => ofPart(frame) && fits(frame));
    return frames.map((frame) => ({ ifindex, frame, routed: this.#route.isUnicast }));
  }

  /** Takes the link away for good, at the end. */
  destroy(): Promise<void> {
    const { groups, handovers, claims, parent, scheduler } = this.#services;
    this.#isGone = true;
    groups.remove(this.name);
    handovers.forget([this]);
    claims.forget(this.name);
    this.#detectors.close();
    parent.remove(this);
    for (const { port, listener } of this.#elsewhere) port.remove(listener);
    this.#announcements.stop();
    this.#takeFromPump();
    this.#again.forget();
    for (const what of ['vr', 'detach', 'gate', 'prepare']) scheduler.set(`${what} ${this.name}`, undefined, nothing);
    return this.#attachment.destroy();
  }

  // ── what others are told ──────────────────────────────────────────────────────────────────────────────────────────

  #keep(news: UnstampedNews): void {
    const { agent, now, wallNow } = this.#services;
    agent.keep({ ...news, wallMs: wallNow(), monotonicMs: now() });
  }

  get #virtualMac(): MacAddress {
    return [...this.#virtualMacs][0] ?? zeroMac;
  }

  get #familyWarnings(): string[] {
    const { silent } = this.#families;
    return silent === undefined ? [] : [`the master's adverts over IPv${silent} are lost`];
  }

  /** What keeps it from serving elsewhere than on the adverts' interface, for people. */
  get #placeWarnings(): string[] {
    const elsewhere = this.#elsewhere.flatMap(({ port: { state } }) =>
      state.fault === undefined ? [] : [`${state.name}: ${explainReason(state.fault)}`],
    );
    if (this.#namespace === undefined || this.#namespace.host !== undefined) return elsewhere;
    const { name, problem } = this.#namespace;
    return [...elsewhere, problem ?? `the network namespace ${name} does not exist: koi waits for it`];
  }

  describe(): VrStateMessage {
    const { phase } = this.#machine.vr;
    const { parent } = this.#services;
    return {
      vr: this.name,
      state: stateName(phase),
      reason: this.#machine.vr.lastReason satisfies TransitionReason,
      term: 'term' in phase ? phase.term : this.#machine.vr.highestTerm,
      standing: standingOf(this.#machine.vr),
      sinceWallMs: this.#sinceWallMs,
      lastFrom: this.#lastFrom,
      heardMaster: phase.name === 'master' ? null : (this.#heardMaster ?? null),
      interface: parent.state.name,
      virtualMac: this.#virtualMac,
      lanAddress: this.#route.lanAddress,
      priority: placeOf(this.#machine.vr.parameters.election),
      tracks: this.#services.trackers.describe(this.#running.config.track),
      warnings: [...this.#warnings, ...this.#familyWarnings, ...this.#placeWarnings],
      configuration: this.#running.described,
    };
  }

  snapshot(present: (address: string) => boolean): VrSnapshot {
    this.#sender.countPumped();
    this.#again.ask();
    const { phase } = this.#machine.vr;
    const isOwner = holdsAddresses(this.#machine.vr);
    return {
      ...this.#counters.read(),
      name: this.name,
      state: stateName(phase),
      priority: placeOf(this.#machine.vr.parameters.election),
      term: 'term' in phase ? phase.term : this.#machine.vr.highestTerm,
      virtualMacAttached: this.#attachment.attached,
      splitBrain: this.#detectors.isSplit,
      vips: this.#addresses.map((address) => ({
        address,
        desired: isOwner,
        present: present(address),
        ...this.#detectors.probeOf(address),
      })),
      peers: [...this.#peersSeenMs].map(([peer, lastSeenMs]) => ({
        peer,
        lastSeenMs,
        lanPathOk: this.#detectors.isHeard(peer),
      })),
      ...(this.#running.adapter.checksums.length === 0 ? {} : { checksums: this.#running.adapter.checksums }),
    };
  }
}

/** A twin, which is summed otherwise and says what the advert before it said. */
function saysTheSame({ advert, source }: AdvertPacket, heard: HeardAdvert | undefined): heard is HeardAdvert {
  if (heard?.candidacy.kind !== 'vrrp' || !advert.ok || !('priority' in advert.value)) return false;
  const { priority, intervalMs } = advert.value;
  return source === heard.source && priority === heard.candidacy.priority && intervalMs === heard.candidacy.intervalMs;
}

const holdsAddresses = ({ phase }: Vr): boolean =>
  phase.name === 'master' || phase.name === 'attaching' || phase.name === 'handing';

/** The former master has named this node in the log, and lingers until this one serves. */
const isHanded = ({ phase }: Vr): boolean => phase.name === 'attaching' && phase.handedBy !== undefined;

/** Its addresses end with this node's lease. */
const isLeased = ({ arbitration }: VirtualRouterConfig): boolean => arbitration === 'strict';

const nothing = (): void => undefined;

const advertIntervalMs = (config: VirtualRouterConfig): number =>
  config.protocol === 'carp' ? config.advbase * 1000 + (config.advskew * 1000) / 256 : config.advertIntervalMs;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
type UnstampedNews = DistributiveOmit<
  Extract<ToAgent, { type: 'released' | 'transition' | 'masterActive' | 'repaired' | 'advertPath' | 'splitBrain' }>,
  'number' | 'wallMs' | 'monotonicMs'
>;

/** Why it is not master has changed while it stayed what it is: no transition tells that. */
const isAnotherReason = (before: Vr, after: Vr): boolean =>
  before.lastReason !== after.lastReason && stateName(before.phase) === stateName(after.phase);
