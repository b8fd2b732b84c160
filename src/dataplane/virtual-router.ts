import type { Logger } from 'pino';
import { macRefreshMs } from '../attach/announcer.js';
import { AttachmentGroup } from '../attach/attachment-group.js';
import type { Drift } from '../attach/guards.js';
import type { VirtualRouterConfig } from '../config/config.js';
import { rulesOf } from '../core/election-rules.js';
import type { ClaimId, Term } from '../core/identity.js';
import { emptyLogView, type LogView } from '../core/ownership.js';
import { explainReason, type TransitionReason } from '../core/reasons.js';
import type { ServingReport } from '../core/serving.js';
import {
  advertsAgainAt,
  elseDueAtMs,
  isLeftToItself,
  isOnlyNoted,
  isSteadyTick,
  isUnmovedByLog,
  tickSteadily,
} from '../core/steady.js';
import { type Absence, createVr, dueAtMs, hasMissed, peerPatienceMs } from '../core/vr-machine.js';
import { isNews } from '../core/vr-news.js';
import { type Effect, type Input, stateName, type Vr, type VrParameters } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import { type AgentRequest, agentRequest, withoutAgent } from '../ipc/agent-request.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { AddressRemovals, AddressRenewals } from '../kernel/addresses.js';
import type { AdvertPump } from '../kernel/advert-pump.js';
import type { KernelEvent } from '../kernel/monitor.js';
import type { VrSnapshot } from '../observe/snapshot.js';
import type { DemuxedFrame } from '../wire/demux.js';
import type { MacAddress } from '../wire/mac.js';
import { AdvertHearing } from './advert-hearing.js';
import { AdvertRoute } from './advert-route.js';
import { AdvertSender } from './advert-sender.js';
import type { AgentServer } from './agent-server.js';
import { Announcements } from './announcements.js';
import { attachedPart } from './attached-part.js';
import type { ClaimTurns } from './claim-turns.js';
import type { PreparedRouter } from './configuration-stage.js';
import type { Detection } from './detection.js';
import { DuplicateProbes } from './duplicate-probes.js';
import { farewellsOf } from './guard-farewells.js';
import type { GuardKeeper } from './guard-keeper.js';
import type { Handed, HandoverTurns } from './handover-turns.js';
import { type HookContext, Hooks, type HooksOptions } from './hooks.js';
import { Hush } from './hush.js';
import type { LanKey } from './lan-key.js';
import { LanProof } from './lan-proof.js';
import { LinkKeeper, type LinkOwner } from './link-keeper.js';
import { LinkUpkeep } from './link-upkeep.js';
import { NoticeExchange } from './notice-exchange.js';
import type { ParentListener, ParentPort } from './parent-port.js';
import type { AdvertPacket } from './protocol-adapter.js';
import { RouterCounters } from './router-counters.js';
import { RouterDetectors } from './router-detectors.js';
import { RouterFaults } from './router-faults.js';
import { RouterMachine } from './router-machine.js';
import { RouterNews } from './router-news.js';
import { type RouterPart, RouterPlaces, type RouterPlacesOptions } from './router-places.js';
import { RouterReport } from './router-report.js';
import { isLeased, RunningConfiguration } from './running-configuration.js';
import { isSameOnWire, sameAddresses } from './same-on-wire.js';
import type { Scheduler } from './scheduler.js';
import type { Grouped, SyncGroups } from './sync-groups.js';
import { TakeoverTiming } from './takeover-timing.js';
import type { TermStore } from './term-store.js';
import type { Trackers } from './track/trackers.js';
import type { Turns } from './turns.js';

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

export interface RouterOptions {
  readonly prepared: PreparedRouter;
  /** One for each virtual MAC on each interface. */
  readonly parts: readonly RouterPart[];
  /** The network namespace of the addresses; undefined: our own. */
  readonly namespace: RouterPlacesOptions['namespace'];
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
  readonly #services: RouterServices;
  readonly #counters = new RouterCounters();
  readonly #running: RunningConfiguration;
  readonly #route: AdvertRoute;
  readonly #places: RouterPlaces;
  readonly #faults: RouterFaults;
  readonly #machine: RouterMachine;
  readonly #hooks: Hooks;
  readonly #duplicates: DuplicateProbes;
  readonly #attachment: AttachmentGroup;
  readonly #hush: Hush;
  readonly #links: LinkKeeper;
  readonly #upkeep: LinkUpkeep;
  readonly #announcements: Announcements;
  readonly #sender: AdvertSender;
  readonly #notices: NoticeExchange;
  readonly #detectors: RouterDetectors;
  readonly #hearing: AdvertHearing;
  readonly #lan: LanProof;
  readonly #news: RouterNews;
  readonly #report: RouterReport;
  /** What the agent said of the log last: it tells differences only. */
  #toldOfLog: Omit<LogView, 'reachable'> = emptyLogView;
  #takeover: TakeoverTiming | undefined;
  /** The hook `preRelease` has run for the release that is about to come. */
  #preReleased = false;

  constructor(options: RouterOptions) {
    const { prepared, parts, namespace, isRouter, services } = options;
    const { config } = prepared;
    const { parent, now, log } = services;
    const vr = config.name;
    const running = new RunningConfiguration(prepared);
    const route = new AdvertRoute(running, parent);
    const places = new RouterPlaces({ route, parent, parts, namespace });
    const common = { ...services, vr, running, route, places, counters: this.#counters };
    this.name = vr;
    this.#timerName = `vr ${vr}`;
    this.#services = services;
    this.#running = running;
    this.#route = route;
    this.#places = places;
    this.#faults = new RouterFaults({
      ...common,
      holdsAddresses: () => this.#machine.holdsAddresses,
      onChange: () => this.#tellFault(),
    });
    const parameters = services.parametersOf(config, this.#faults.loss);
    const machine = new RouterMachine(createVr(parameters, services.terms.get(vr)));
    this.#machine = machine;
    this.#hooks = new Hooks({ vr, node: parameters.node, config: config.hooks, run: services.runHook, log });
    this.#news = new RouterNews({
      ...services,
      describe: () => this.describe(),
      interfaceName: () => parent.state.name,
    });

    this.#duplicates = new DuplicateProbes({
      vr,
      virtualMacs: places.virtualMacs,
      ports: places.ports,
      knowsMaster: () => this.#hearing.master !== undefined || machine.vr.log.ownership !== undefined,
      onLate: (address, mac) => this.#duplicate(address, mac),
    });
    const partOptions = {
      ...common,
      machine,
      duplicates: this.#duplicates,
      lifetimeSeconds: () => this.#upkeep.lifetimeSeconds,
      isRouter,
    };
    const attachment = new AttachmentGroup(parts.map((part) => attachedPart(part, partOptions)));
    this.#attachment = attachment;
    this.#hush = new Hush({
      attachment,
      ownMac: () => parent.state.mac,
      onFailed: (error) => log.warn({ vr, err: error }, 'while it lingers it answers for the addresses'),
    });
    const onLinks = { ...common, machine, attachment, virtualMacs: places.virtualMacs, news: this.#news };
    this.#links = new LinkKeeper({
      ...onLinks,
      addresses: config.addresses.map(({ address }) => address),
      hush: this.#hush,
      owner: this.#makeLinkOwner(),
    });
    this.#upkeep = new LinkUpkeep({ ...onLinks, links: this.#links, give: (input) => this.give(input) });

    this.#announcements = this.#makeAnnouncements();
    this.#sender = new AdvertSender({ ...common, hush: this.#hush });
    this.#notices = new NoticeExchange({
      vr,
      node: parameters.node,
      key: services.lanKey,
      parent,
      route,
      onHeard: (notice) => this.give({ type: 'notice', notice, atMs: now() }),
    });
    this.#detectors = this.#makeDetectors();
    this.#hearing = new AdvertHearing({
      ...common,
      machine,
      detectors: this.#detectors,
      onSilent: (atMs) => this.#tick(atMs, 0),
      onUnknown: () => this.#sleep(),
      onFamilies: () => this.#news.tellState(),
    });
    this.#lan = new LanProof({ ...common, machine, isAttached: () => attachment.attached });
    this.#report = new RouterReport({
      ...common,
      machine,
      attachment,
      links: this.#links,
      hearing: this.#hearing,
      detectors: this.#detectors,
    });
    places.listen(this);
    services.groups.place(this, config.syncGroup);
  }

  #makeLinkOwner(): LinkOwner {
    const { now } = this.#services;
    return {
      attached: (receipts) => {
        this.#takeover?.attached(receipts, now());
        this.give({ type: 'attached', atMs: now() });
      },
      addressesOff: () => this.#askToShow(),
      released: (how) => {
        this.give({ type: how, atMs: now() });
        this.#afterRelease();
      },
      putBack: (isDone) => {
        if (!isDone) this.give({ type: 'interference', atMs: now() });
        else if (this.phase === 'master') this.#announcements.start(now());
      },
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
      serves: () => this.phase === 'master',
      holds: () => this.phase === 'master' || this.phase === 'handing',
      advertsCarryMac: () =>
        !this.#route.isUnicast && !this.#places.isSpread && advertIntervalMs(this.#running.config) <= macRefreshMs,
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
      parts: this.#places.parts.map(({ port, attachment: { spec } }) => ({ ...spec, port })),
      scheduler,
      detection,
      counters: this.#counters,
      now,
      random: Math.random,
      nodeAt,
      standing: () => ({ phase: this.phase, rival: this.#machine.vr.rival?.name }),
      arbitration: () => this.#running.config.arbitration,
      logReachable: () => this.#machine.vr.log.reachable,
      announceAgain: () => this.#announcements.again(now()),
      onAdvertisement: (port, frame) => this.#duplicates.heard(port, frame),
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
    return this.#machine.isStopped;
  }

  get machine(): Vr {
    this.#hearing.count();
    return this.#machine.vr;
  }

  get phase(): Vr['phase']['name'] {
    return this.#machine.phase;
  }

  /** It cannot serve, whatever its sync group does. */
  get isFaulty(): boolean {
    return this.#faults.own !== undefined;
  }

  /** The log says whether what this node runs is in force. */
  setDiffering(differs: boolean): void {
    this.#faults.setDiffering(differs);
  }

  /** Another configuration is ready and waits for the other nodes, whose adverts may come in it already. */
  setWaiting(waiting: PreparedRouter | undefined): void {
    if (this.#running.prepare(waiting)) this.#news.tellState();
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
    if (isNews(before, vr) || isAnotherReason(before, vr)) this.#news.tellState();
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
    return this.#hearing.isOnlyCounted ? undefined : dueAtMs(vr);
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
    this.#hearing.forget();
    this.#sender.forgetFrames();
  }

  // ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  parentChanged(): void {
    this.#placesChanged();
  }

  /** An interface, or the namespace of the addresses, is another, or can or cannot be used. */
  #placesChanged(): void {
    this.#links.placesChanged();
    this.#tellFault();
    this.#news.tellName();
  }

  /** The namespace of the addresses has come, or is gone. */
  namespaceChanged(): void {
    const host = this.#places.namespace?.host;
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
    return this.#places.namespace?.name;
  }

  /** Resolves when nothing of it is being deleted any more. */
  settled(): Promise<void> {
    return this.#attachment.settled();
  }

  setGroupFault(isFaulty: boolean): void {
    this.#faults.setGroup(isFaulty);
  }

  /** Something that is tracked is another, or is weighted otherwise. */
  tracksChanged(): void {
    const { isLossOther, isFailureOther } = this.#faults.weighTracks();
    if (isLossOther) this.#tellParameters();
    if (isFailureOther) this.#tellFault();
    if (this.#running.config.track.length > 0) this.#news.tellState();
  }

  #tellFault(): void {
    this.give({ type: 'parent', fault: this.#faults.current, atMs: this.#services.now() });
  }

  /** The node's own settings are others. */
  parametersChanged(): void {
    this.#tellParameters();
  }

  #tellParameters(): void {
    const parameters = this.#services.parametersOf(this.#running.config, this.#faults.loss);
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
    this.#faults.weighTracks();
    this.#tellParameters();
    this.#tellFault();
    if (warning === undefined && !sameAddresses(before, config) && this.phase === 'master') {
      this.#announcements.start(now());
    }
    this.#news.tellState();
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
    return await this.#links.working(async () => {
      try {
        if (sameAddresses(before, config)) await this.#attachment.registerAgain();
        else await this.#changeAddresses(config);
        return undefined;
      } catch (error) {
        this.#running.takeBack(spokenBefore, before.addresses);
        const why = error instanceof Error ? error.message : String(error);
        this.#services.log.error({ vr: this.name, err: error }, 'it keeps the addresses it had');
        return `${why}; it keeps the addresses it had`;
      }
    });
  }

  async #changeAddresses({ addresses }: VirtualRouterConfig): Promise<void> {
    const { adapter } = this.#running;
    const addressesOf = (virtualMac: MacAddress): string[] =>
      addresses.filter(({ family }) => adapter.virtualMac(family) === virtualMac).map(({ address }) => address);
    await this.#links.changeAddresses(
      addresses.map(({ address }) => address),
      addressesOf,
    );
    this.#detectors.setAddresses(addressesOf);
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
    return this.#places.uses(port);
  }

  /** As {@link LinkKeeper.vacate}. */
  vacate(removals: AddressRemovals): void {
    this.#links.vacate(removals);
  }

  received(frame: DemuxedFrame, octets: Uint8Array, isFirst: boolean): boolean {
    const prober = this.#lan.proberOf(frame, octets);
    if (prober !== undefined) this.give({ type: 'holderProbe', from: prober, atMs: this.#services.now() });
    if (frame.kind === 'notice' && frame.id === this.#running.config.id) {
      this.#notices.heard(frame, octets);
      return true;
    }
    if ((frame.kind !== 'vrrp' && frame.kind !== 'carp') || frame.id !== this.#running.config.id) return false;
    if (!this.#route.families.includes(frame.family)) return false;
    this.#heard(frame, octets, isFirst);
    return true;
  }

  /** As {@link LanProof.challenged}. */
  challenged(lanAddresses: readonly string[], timeoutMs: number): Promise<ServingReport> {
    return this.#lan.challenged(lanAddresses, timeoutMs);
  }

  /** As {@link LanProof.isHeard}. */
  isHeardOnLan(lanAddresses: readonly string[]): Promise<ServingReport> {
    return this.#lan.isHeard(lanAddresses);
  }

  /** Whether the guard knows one of its virtual MACs by this name. */
  isGuardedAs(name: string): boolean {
    return this.#places.parts.some(({ guardName }) => guardName === name);
  }

  left(frame: DemuxedFrame): void {
    if (this.#announcements.awaited && this.#isAnnouncement(frame)) this.#announcements.sawLeave();
  }

  #isAnnouncement(frame: DemuxedFrame): boolean {
    const { virtualMacs } = this.#places;
    const { addresses } = this.#links;
    if (frame.kind === 'arp') {
      return virtualMacs.has(frame.packet.senderMac) && addresses.includes(frame.packet.senderAddress);
    }
    if (frame.kind !== 'ndp' || frame.message.type !== 'advertisement') return false;
    return virtualMacs.has(frame.etherSource) && addresses.includes(frame.message.target);
  }

  /** Whether a link is one of its virtual-MAC links. */
  owns(ifindex: number): boolean {
    return this.#attachment.owns(ifindex);
  }

  /** As {@link LinkUpkeep.kernelChanged}. */
  kernelChanged(event: KernelEvent): void {
    this.#upkeep.kernelChanged(event);
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

  /** The addresses go where a sysctl that cannot be kept lays them open. */
  guardsFailed(drift: Pick<Drift, 'interface' | 'key'>): void {
    if (this.#places.isExposedBy(drift)) this.give({ type: 'interference', atMs: this.#services.now() });
  }

  /** As {@link LinkUpkeep.mayRenew}. */
  mayRenew(): boolean {
    return this.#upkeep.mayRenew();
  }

  /** As {@link LinkUpkeep.renew}. */
  renewAddresses(renewals: AddressRenewals): readonly string[] {
    return this.#upkeep.renew(renewals);
  }

  /** As {@link LinkUpkeep.addressesGone}. */
  addressesGone(addresses: readonly string[]): void {
    this.#upkeep.addressesGone(addresses);
  }

  #tick(atMs: number, lateMs: number): void {
    this.#services.checkLoop();
    if (this.phase === 'master' && !this.#sender.isLeftToPump) this.#services.onLateness(lateMs);
    const heldUntilMs = this.#services.groups.heldUntilMs(this.name);
    this.give({ type: 'tick', atMs, ...(heldUntilMs === undefined ? {} : { heldUntilMs }), ...this.#turn });
  }

  /** For what may make it claim: when it is its turn, where the log has others' claims to answer first. */
  get #turn(): { readonly turnAtMs?: number } {
    const turnAtMs = this.#services.claims.turnAtMs(this.name, this.#machine.vr);
    return turnAtMs === undefined ? {} : { turnAtMs };
  }

  #heard(packet: AdvertPacket, octets: Uint8Array, isFirst: boolean): void {
    const judgement = this.#hearing.judge(packet, octets, isFirst);
    // It may have taught which form of checksum is understood.
    this.#sender.forgetFrames();
    if (this.#sender.isLeftToPump) this.#sleep();
    if (judgement.kind === 'refused') {
      this.#faults.refused(judgement.reason);
      return;
    }
    if (judgement.kind === 'heard') {
      const atMs = this.#services.now();
      const { candidacy } = judgement;
      const resigns = rulesOf(this.#machine.vr.parameters.election).compare(candidacy) === 'resigned';
      const advert = this.#hearing.heard(packet, candidacy, resigns, atMs);
      this.give({ type: 'advert', advert, atMs, ...(resigns ? this.#turn : {}) });
    }
    if (isFirst && this.#hearing.remember(packet, octets, judgement.kind === 'twin')) this.#sleep();
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
        this.#announcements.stop();
        this.#links.withdraw('detached');
        // Where nothing could wait for it, it is told all the same.
        if (!this.#preReleased) this.#hooks.start('preRelease', this.#hookContext());
        this.#preReleased = false;
        return;
      case 'released':
        this.#news.keep({
          type: 'released',
          vr: this.name,
          term: effect.term,
          reason: effect.reason,
          resigned: effect.resigned,
        });
        return;
      case 'challenge':
        this.#ask(effect);
        void this.#lookWhileChallenging(effect.claim.id);
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
        this.#news.keep({ ...effect, vr: this.name });
        this.#detectors.advertPath(effect);
        return;
      case 'splitBrain': {
        const evidence = this.#detectors.splitBrain(effect);
        if (evidence !== undefined) this.#news.keep({ ...effect, vr: this.name, evidence: [...evidence] });
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
      virtualMac: this.#places.virtualMac,
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

  async #lookWhileChallenging(claim: ClaimId): Promise<void> {
    const carries = await this.#lan.whileChallenging();
    if (carries !== undefined) this.give({ type: 'ownLook', claim, carries, atMs: this.#services.now() });
  }

  async #askOnceSeen(effect: Extract<AgentRequest, { type: 'askHandover' }>): Promise<void> {
    if (await this.#lan.carries()) this.#ask(effect);
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
        this.#links.setProblem(fault);
        this.give({ type: 'attachFailed', atMs: this.#services.now() });
        return;
      }
    }
    await this.#links.attach();
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

  #afterRelease(): void {
    try {
      failpoints?.passed('release.told');
      this.#hooks.start('postRelease', this.#hookContext());
    } catch (error) {
      this.#failed('detach', error);
    }
  }

  #transition(effect: Extract<Effect, { type: 'transition' }>, atMs: number, before: Vr): void {
    const { log } = this.#services;
    const { from, to, reason, standing } = effect;
    if (to === 'candidate') this.#takeover = new TakeoverTiming(before, atMs);
    if (reason === 'attached') this.#hooks.start('postMaster', this.#hookContext());
    this.#report.left(from);
    this.#detectors.phaseChanged();
    this.#counters.transition(to, reason);
    log.info(
      { vr: this.name, from, to, reason, term: effect.term, standing },
      `${this.name}: ${from} → ${to}, ${explainReason(reason)}`,
    );
    this.#news.keep({
      type: 'transition',
      vr: this.name,
      from,
      to,
      reason,
      term: effect.term,
      standing: standing ?? null,
    });
    this.#news.tellState();
    // Whoever served with another configuration may not take over with it again.
    if (this.#faults.configuration !== undefined) queueMicrotask(() => this.#tellFault());
  }

  #announcementSeen(): void {
    const takeover = this.#takeover;
    const { phase } = this.#machine.vr;
    if (takeover === undefined || phase.name !== 'master') return;
    this.#takeover = undefined;
    const { phasesMs, steps, phases } = takeover.finish(this.#services.now());
    this.#counters.takeover(phasesMs);
    this.#news.keep({ type: 'masterActive', vr: this.name, term: phase.term, steps, phases });
  }

  // ── before and after ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Builds the frames of a takeover and of a challenge, looks at the LAN without a word, and goes the way of an attach with requests that change nothing. */
  rehearse(): void {
    if (this.#machine.holdsAddresses || this.#links.isWorking) return;
    const farewells = { running: this.#running, route: this.#route, places: this.#places, machine: this.#machine };
    const { candidacy } = rulesOf(this.#machine.vr.parameters.election);
    const { parent } = this.#services;
    this.#running.adapter.adverts(candidacy, this.#route.sources);
    for (const part of this.#places.parts) farewellsOf(part, { ...farewells, parent });
    this.#lan.rehearse();
    this.#attachment.rehearse();
  }

  #duplicate(address: string, mac: MacAddress): void {
    const message = `${mac} answers for ${address} with a MAC that is not this virtual router's; remove it there`;
    if (!this.#links.addProblem(message)) return;
    this.#services.log.error({ vr: this.name, address, mac }, message);
    this.#news.tellState();
  }

  /** Takes the link away for good, at the end. */
  destroy(): Promise<void> {
    const { groups, handovers, claims, scheduler } = this.#services;
    this.#news.close();
    groups.remove(this.name);
    handovers.forget([this]);
    claims.forget(this.name);
    this.#detectors.close();
    this.#places.leave();
    this.#announcements.stop();
    this.#takeFromPump();
    this.#hearing.forget();
    this.#faults.close();
    scheduler.set(this.#timerName, undefined, nothing);
    return this.#links.destroy();
  }

  // ── what others are told ──────────────────────────────────────────────────────────────────────────────────────────

  describe(): VrStateMessage {
    return this.#report.describe();
  }

  snapshot(present: (address: string) => boolean): VrSnapshot {
    this.#sender.countPumped();
    this.#hearing.count();
    return this.#report.snapshot(present);
  }
}

/** The former master has named this node in the log, and lingers until this one serves. */
const isHanded = ({ phase }: Vr): boolean => phase.name === 'attaching' && phase.handedBy !== undefined;

const nothing = (): void => undefined;

const advertIntervalMs = (config: VirtualRouterConfig): number =>
  config.protocol === 'carp' ? config.advbase * 1000 + (config.advskew * 1000) / 256 : config.advertIntervalMs;

/** Why it is not master has changed while it stayed what it is: no transition tells that. */
const isAnotherReason = (before: Vr, after: Vr): boolean =>
  before.lastReason !== after.lastReason && stateName(before.phase) === stateName(after.phase);
