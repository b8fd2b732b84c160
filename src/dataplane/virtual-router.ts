import type { Drift } from '../attach/guards.js';
import type { VirtualRouterConfig } from '../config/config.js';
import { rulesOf } from '../core/election-rules.js';
import type { Term } from '../core/identity.js';
import { emptyLogView, type LogView } from '../core/ownership.js';
import { explainReason, type TransitionReason } from '../core/reasons.js';
import { isOnlyNoted, isUnmovedByLog } from '../core/steady.js';
import { type Absence, hasMissed, peerPatienceMs } from '../core/vr-machine.js';
import { isNews } from '../core/vr-news.js';
import { type Effect, type Input, stateName, type Vr } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { AddressRemovals } from '../kernel/addresses.js';
import type { VrSnapshot } from '../observe/snapshot.js';
import type { DemuxedFrame } from '../wire/demux.js';
import type { PreparedRouter } from './configuration-stage.js';
import { farewellsOf } from './guard-farewells.js';
import type { Handed } from './handover-turns.js';
import type { LanProof } from './lan-proof.js';
import type { LinkOwner } from './link-keeper.js';
import type { LinkUpkeep } from './link-upkeep.js';
import type { ParentListener, ParentPort } from './parent-port.js';
import type { AdvertPacket } from './protocol-adapter.js';
import type { RouterFaults } from './router-faults.js';
import { type RouterOptions, RouterPieces } from './router-pieces.js';
import type { RouterServices } from './router-services.js';
import { sameAddresses } from './same-on-wire.js';
import type { Grouped } from './sync-groups.js';
import { changeWire } from './wire-change.js';

/**
 * One virtual router: feeds the pure machine with what happens and carries out what it asks for. No decision is taken
 * here that the machine could take.
 */
export class VirtualRouter implements ParentListener, Grouped, Handed {
  readonly name: string;
  readonly #services: RouterServices;
  readonly #pieces: RouterPieces;
  /** What the agent said of the log last: it tells differences only. */
  #toldOfLog: Omit<LogView, 'reachable'> = emptyLogView;
  /** The hook `preRelease` has run for the release that is about to come. */
  #preReleased = false;

  constructor(options: RouterOptions) {
    const { config } = options.prepared;
    const { services } = options;
    this.name = config.name;
    this.#services = services;
    this.#pieces = new RouterPieces(options, {
      give: (input) => this.give(input),
      tick: (atMs, lateMs) => this.#tick(atMs, lateMs),
      failed: (effect, error) => this.#failed(effect, error),
      links: this.#linkOwner(),
    });
    this.#pieces.places.listen(this);
    services.groups.place(this, config.syncGroup);
  }

  // ── what it is ────────────────────────────────────────────────────────────────────────────────────────────────────

  get machine(): Vr {
    this.#pieces.hearing.count();
    return this.#pieces.machine.vr;
  }

  get phase(): Vr['phase']['name'] {
    return this.#pieces.machine.phase;
  }

  get stopped(): boolean {
    return this.#pieces.machine.isStopped;
  }

  /** It cannot serve, whatever its sync group does. */
  get isFaulty(): boolean {
    return this.faults.own !== undefined;
  }

  /** How long it may go unattended before its peers count it as gone. */
  get patienceMs(): number {
    return peerPatienceMs(this.#pieces.machine.vr);
  }

  /** What it has in common with the other nodes. */
  get shared(): PreparedRouter['shared'] {
    return this.#pieces.running.shared;
  }

  /** The network namespace of its addresses; undefined: our own. */
  get namespace(): string | undefined {
    return this.#pieces.places.namespace?.name;
  }

  /** Its virtual-MAC links. */
  get links(): readonly number[] {
    return this.#pieces.attachment.links;
  }

  /** Whether a link is one of those. */
  owns(ifindex: number): boolean {
    return this.#pieces.attachment.owns(ifindex);
  }

  /** Whether its adverts go over this interface, or some of its addresses are on it. */
  uses(port: ParentPort): boolean {
    return this.#pieces.places.uses(port);
  }

  /** Whether the guard knows one of its virtual MACs by this name. */
  isGuardedAs(name: string): boolean {
    return this.#pieces.places.guardNames.includes(name);
  }

  /** Why it cannot serve. */
  get faults(): RouterFaults {
    return this.#pieces.faults;
  }

  /** What renews and puts back what it has in the kernel. */
  get upkeep(): LinkUpkeep {
    return this.#pieces.upkeep;
  }

  /** What answers those who challenge it. */
  get lan(): LanProof {
    return this.#pieces.lan;
  }

  describe(): VrStateMessage {
    return this.#pieces.report.describe();
  }

  snapshot(present: (address: string) => boolean): VrSnapshot {
    const { sender, hearing, report } = this.#pieces;
    sender.countPumped();
    hearing.count();
    return report.snapshot(present);
  }

  // ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Something happened. Everything that changes this virtual router comes through here. */
  give(input: Input): void {
    const { machine, timer, news } = this.#pieces;
    if (isOnlyNoted(machine.vr, input)) {
      machine.take(input);
      return;
    }
    timer.stir();
    const before = machine.vr;
    const effects = machine.take(input);
    const { vr } = machine;
    if (isNews(before, vr) || isAnotherReason(before, vr)) news.tellState();
    if (vr.highestTerm > before.highestTerm) this.#rememberTerm(vr.highestTerm);
    for (const effect of effects) this.#tryTo(effect, input.atMs, before);
    timer.sleep();
    this.#services.groups.changed(this, input.atMs);
    this.#services.handovers.moved(this);
    this.#services.claims.moved(this.name, machine.vr);
  }

  #tick(atMs: number, lateMs: number): void {
    const { checkLoop, onLateness, groups } = this.#services;
    checkLoop();
    if (this.phase === 'master' && !this.#pieces.sender.isLeftToPump) onLateness(lateMs);
    const heldUntilMs = groups.heldUntilMs(this.name);
    this.give({ type: 'tick', atMs, ...(heldUntilMs === undefined ? {} : { heldUntilMs }), ...this.#turn });
  }

  /** For what may make it claim: when it is its turn, where the log has others' claims to answer first. */
  get #turn(): { readonly turnAtMs?: number } {
    const turnAtMs = this.#services.claims.turnAtMs(this.name, this.#pieces.machine.vr);
    return turnAtMs === undefined ? {} : { turnAtMs };
  }

  /** What it waited for has come: it ticks as soon as the loop goes round. */
  lookAgain(): void {
    this.#pieces.timer.lookAgain();
  }

  /** This process did not run for so long: whoever was silent meanwhile may have been taken for gone. */
  overslept(absence: Absence, atMs: number): void {
    const { sender, machine } = this.#pieces;
    if (sender.isLeftToPump) this.attend(atMs);
    else if (hasMissed(machine.vr, absence)) this.give({ type: 'overslept', atMs });
  }

  /** Adverts that go out by themselves do not any more, or may have stopped. */
  attend(atMs: number): void {
    const { sender, timer } = this.#pieces;
    const lapsed = sender.countPumped();
    if (lapsed === undefined) return;
    timer.sleep();
    if (lapsed === 'silent') this.give({ type: 'overslept', atMs });
  }

  received(frame: DemuxedFrame, octets: Uint8Array, isFirst: boolean): boolean {
    const { lan, running, route, notices } = this.#pieces;
    const prober = lan.proberOf(frame, octets);
    if (prober !== undefined) this.give({ type: 'holderProbe', from: prober, atMs: this.#services.now() });
    const { id } = running.config;
    if (frame.kind === 'notice' && frame.id === id) {
      notices.heard(frame, octets);
      return true;
    }
    if ((frame.kind !== 'vrrp' && frame.kind !== 'carp') || frame.id !== id) return false;
    if (!route.families.includes(frame.family)) return false;
    this.#heard(frame, octets, isFirst);
    return true;
  }

  #heard(packet: AdvertPacket, octets: Uint8Array, isFirst: boolean): void {
    const { machine, hearing, sender, timer } = this.#pieces;
    const judgement = hearing.judge(packet, octets, isFirst);
    // It may have taught which form of checksum is understood.
    sender.forgetFrames();
    if (sender.isLeftToPump) timer.sleep();
    if (judgement.kind === 'refused') {
      this.faults.refused(judgement.reason);
      return;
    }
    if (judgement.kind === 'heard') {
      const atMs = this.#services.now();
      const { candidacy } = judgement;
      const resigns = rulesOf(machine.vr.parameters.election).compare(candidacy) === 'resigned';
      const advert = hearing.heard(packet, candidacy, resigns, atMs);
      this.give({ type: 'advert', advert, atMs, ...(resigns ? this.#turn : {}) });
    }
    if (isFirst && hearing.remember(packet, octets, judgement.kind === 'twin')) timer.sleep();
  }

  left(frame: DemuxedFrame): void {
    this.#pieces.announcements.left(frame);
  }

  parentChanged(): void {
    this.#placesChanged();
  }

  /** An interface, or the namespace of the addresses, is another, or can or cannot be used. */
  #placesChanged(): void {
    const { links, faults, news } = this.#pieces;
    links.placesChanged();
    faults.tell();
    news.tellName();
  }

  /** The namespace of the addresses has come, or is gone. */
  namespaceChanged(): void {
    const { places, attachment, faults } = this.#pieces;
    const host = places.namespace?.host;
    if (host === undefined) {
      // The machine takes the addresses off, as long as they can be reached; then there is nothing left to work in.
      faults.tell();
      attachment.forgetLinks();
      return;
    }
    attachment.moveTo(host);
    this.#placesChanged();
  }

  /** As {@link LinkKeeper.vacate}. */
  vacate(removals: AddressRemovals): void {
    this.#pieces.links.vacate(removals);
  }

  /** The addresses go where a sysctl that cannot be kept lays them open. */
  guardsFailed(drift: Pick<Drift, 'interface' | 'key'>): void {
    if (this.#pieces.places.isExposedBy(drift)) this.give({ type: 'interference', atMs: this.#services.now() });
  }

  /** The kernel has dropped so many more frames that would have bound one of its addresses to another MAC. */
  wrongMacSuppressed(frames: number): void {
    this.#pieces.counters.wrongMacSuppressed += frames;
  }

  setGroupFault(isFaulty: boolean): void {
    this.faults.setGroup(isFaulty);
  }

  /** Something that is tracked is another, or is weighted otherwise. */
  tracksChanged(): void {
    const { faults, running, news } = this.#pieces;
    const { isLossOther, isFailureOther } = faults.weighTracks();
    if (isLossOther) this.parametersChanged();
    if (isFailureOther) faults.tell();
    if (running.config.track.length > 0) news.tellState();
  }

  /** What the log says, as far as the agent knows it; `view` only where something of this virtual router changed. */
  logSays(reachable: boolean, view: Omit<LogView, 'reachable'> | undefined, atMs: number): void {
    const { machine, announcements } = this.#pieces;
    if (view === undefined && reachable && isUnmovedByLog(machine.vr)) return;
    if (view !== undefined) this.#toldOfLog = view;
    const turn = view?.ownership?.released === true ? this.#turn : {};
    this.give({ type: 'log', view: { ...this.#toldOfLog, reachable }, atMs, ...turn });
    if (view !== undefined && view.ownership?.handedBy === undefined) announcements.lingeringEnded();
  }

  // ── another configuration ─────────────────────────────────────────────────────────────────────────────────────────

  /** Another configuration is ready and waits for the other nodes, whose adverts may come in it already. */
  setWaiting(waiting: PreparedRouter | undefined): void {
    const { running, news } = this.#pieces;
    if (running.prepare(waiting)) news.tellState();
  }

  /** What the machine goes by may be otherwise: the node's own settings, or what is tracked. */
  parametersChanged(): void {
    const { parametersOf, now } = this.#services;
    const parameters = parametersOf(this.#pieces.running.config, this.faults.loss);
    this.give({ type: 'parameters', parameters, atMs: now() });
  }

  /**
   * Another configuration, without leaving the state: what could not be brought about is returned, for people. Another
   * id, protocol or interface needs another virtual router.
   */
  async reconfigure(config: VirtualRouterConfig, prepared: PreparedRouter): Promise<string | undefined> {
    const { running, hooks, attachment, links, detectors, faults, announcements, news } = this.#pieces;
    const { groups, now, log } = this.#services;
    const before = running.config;
    running.adopt(config);
    hooks.configure(config.hooks);
    groups.place(this, config.syncGroup);
    const concerned = { vr: this.name, running, attachment, links, detectors, now, log };
    const warning = await changeWire(before, { ...prepared, config }, concerned);
    faults.weighTracks();
    this.parametersChanged();
    faults.tell();
    if (warning === undefined && !sameAddresses(before, config) && this.phase === 'master') announcements.start(now());
    news.tellState();
    return warning;
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
    const { machine, sender, takeover, announcements, hush, questions, notices, news, detectors } = this.#pieces;
    switch (effect.type) {
      case 'advert':
        sender.send(effect.candidacy);
        if (before.phase.name === 'releasing') failpoints?.passed('release.farewell');
        return;
      case 'saveTerm':
        this.#saveTerm(effect);
        return;
      case 'attach':
        if (isHanded(machine.vr)) failpoints?.passed('prepare.named');
        takeover.attachBegan(atMs);
        void this.#takeAddresses(effect.term);
        return;
      case 'announce':
        announcements.start(atMs, isHanded(before));
        return;
      case 'hush':
        hush.set(effect.hushed);
        return;
      case 'detach':
        this.#letGo();
        return;
      case 'released': {
        const { term, reason, resigned } = effect;
        news.keep({ type: 'released', vr: this.name, term, reason, resigned });
        return;
      }
      case 'claim':
      case 'challenge':
      case 'askReady':
      case 'askHandover':
      case 'startHandover':
      case 'tellServing':
        questions.ask(effect);
        return;
      case 'notice':
        notices.send(effect);
        return;
      case 'advertPath':
        news.keep({ ...effect, vr: this.name });
        detectors.advertPath(effect);
        return;
      case 'splitBrain': {
        const evidence = detectors.splitBrain(effect);
        if (evidence !== undefined) news.keep({ ...effect, vr: this.name, evidence: [...evidence] });
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

  #saveTerm({ term }: Extract<Effect, { type: 'saveTerm' }>): void {
    const { terms, now, log } = this.#services;
    const save = async (): Promise<void> => {
      await terms.save(this.name, term);
      if (failpoints !== undefined) await failpoints.reached('claim.term_saved');
    };
    const saved = (): void => this.give({ type: 'termSaved', term, atMs: now() });
    // The machine goes on without it at its own deadline; what failed is told here.
    const failed = (error: unknown): void =>
      log.error({ vr: this.name, term, err: error }, 'the term could not be saved to the state directory');
    save().then(saved, failed);
  }

  #transition(effect: Extract<Effect, { type: 'transition' }>, atMs: number, before: Vr): void {
    const { takeover, hooks, report, detectors, counters, news, faults } = this.#pieces;
    const { from, to, reason, standing = null, term } = effect;
    const vr = this.name;
    if (to === 'candidate') takeover.decided(before, atMs);
    if (reason === 'attached') hooks.start('postMaster');
    report.left(from);
    detectors.phaseChanged();
    counters.transition(to, reason);
    this.#services.log.info(
      { vr, from, to, reason, term, standing: effect.standing },
      `${vr}: ${from} → ${to}, ${explainReason(reason)}`,
    );
    news.keep({ type: 'transition', vr, from, to, reason, term, standing });
    news.tellState();
    // Whoever served with another configuration may not take over with it again.
    if (faults.configuration !== undefined) queueMicrotask(() => faults.tell());
  }

  // ── its addresses, taken and given up ─────────────────────────────────────────────────────────────────────────────

  async #takeAddresses(attachTerm: Term): Promise<void> {
    const { hooks, machine, links } = this.#pieces;
    if (hooks.has('preAttach')) {
      const fault = await hooks.preAttach().then(
        () => undefined,
        (error: Error) => error.message,
      );
      const { phase } = machine.vr;
      if (phase.name !== 'attaching' || phase.term !== attachTerm) return;
      if (fault !== undefined) {
        links.setProblem(fault);
        this.give({ type: 'attachFailed', atMs: this.#services.now() });
        return;
      }
    }
    await links.attach();
  }

  /** Before a release that is planned: the hook runs while this node still serves. Resolves when it may go. */
  async beforeRelease(reason: TransitionReason): Promise<void> {
    const { hooks } = this.#pieces;
    if ((this.phase !== 'master' && this.phase !== 'handing') || !hooks.has('preRelease')) return;
    this.#preReleased = true;
    await hooks.preRelease(reason);
  }

  #letGo(): void {
    const { announcements, links, hooks } = this.#pieces;
    announcements.stop();
    links.withdraw('detached');
    // Where nothing could wait for it, it is told all the same.
    if (!this.#preReleased) hooks.start('preRelease');
    this.#preReleased = false;
  }

  #linkOwner(): LinkOwner {
    const { now } = this.#services;
    return {
      attached: (receipts) => {
        this.#pieces.takeover.attached(receipts);
        this.give({ type: 'attached', atMs: now() });
      },
      addressesOff: () => this.#askToShow(),
      released: (how) => {
        this.give({ type: how, atMs: now() });
        this.#afterRelease();
      },
      putBack: (isDone) => {
        if (!isDone) this.give({ type: 'interference', atMs: now() });
        else if (this.phase === 'master') this.#pieces.announcements.start(now());
      },
    };
  }

  /**
   * Whoever has taken over shows itself once more: the last that this node answered may have come later than what the other
   * showed, and have moved the virtual MAC back to where nobody answers any more.
   */
  #askToShow(): void {
    const { machine, detectors } = this.#pieces;
    const { phase } = machine.vr;
    const isHandedOver = phase.name === 'releasing' && phase.reason === 'handed_over' && phase.giveTo === undefined;
    if (isHandedOver) detectors.wish();
  }

  #afterRelease(): void {
    try {
      failpoints?.passed('release.told');
      this.#pieces.hooks.start('postRelease');
    } catch (error) {
      this.#failed('detach', error);
    }
  }

  // ── before and after ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Builds the frames of a takeover and of a challenge, looks at the LAN without a word, and goes the way of an attach with requests that change nothing. */
  rehearse(): void {
    const { machine, links, running, route, places, lan, attachment } = this.#pieces;
    if (machine.holdsAddresses || links.isWorking) return;
    const { candidacy } = rulesOf(machine.vr.parameters.election);
    const { parent } = this.#services;
    running.adapter.adverts(candidacy, route.sources);
    for (const part of places.parts) farewellsOf(part, { running, route, machine, places, parent });
    lan.rehearse();
    attachment.rehearse();
  }

  /** Resolves when nothing of it is being deleted any more. */
  settled(): Promise<void> {
    return this.#pieces.attachment.settled();
  }

  /** Resolves when no hook runs any more. */
  hooksSettled(): Promise<void> {
    return this.#pieces.hooks.settled();
  }

  /** Takes the link away for good, at the end. */
  destroy(): Promise<void> {
    const { groups, handovers, claims } = this.#services;
    const { news, detectors, places, announcements, timer, faults, links } = this.#pieces;
    news.close();
    groups.remove(this.name);
    handovers.forget([this]);
    claims.forget(this.name);
    detectors.close();
    places.leave();
    announcements.stop();
    timer.stop();
    faults.close();
    return links.destroy();
  }
}

/** The former master has named this node in the log, and lingers until this one serves. */
const isHanded = ({ phase }: Vr): boolean => phase.name === 'attaching' && phase.handedBy !== undefined;

/** Why it is not master has changed while it stayed what it is: no transition tells that. */
const isAnotherReason = (before: Vr, after: Vr): boolean =>
  before.lastReason !== after.lastReason && stateName(before.phase) === stateName(after.phase);
