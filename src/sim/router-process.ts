import type { SharedConfiguration } from '../core/config-version.js';
import { ConfigurationGate } from '../core/configuration-gate.js';
import { ConfigurationOverlap } from '../core/configuration-overlap.js';
import { type Candidacy, demoted, type Election, placeOf, rulesOf } from '../core/election-rules.js';
import { type BootId, type ClaimId, nodeId } from '../core/identity.js';
import { freshAnswerMs, handoverLookMs, neighboursWaitMs } from '../core/lan-reach.js';
import { addressLifetimeSeconds } from '../core/lease.js';
import { emptyLogView, type LogView } from '../core/ownership.js';
import type { Fault } from '../core/reasons.js';
import { type ServingReport, servingReport } from '../core/serving.js';
import { createVr, dueAtMs, peerPatienceMs } from '../core/vr-machine.js';
import { isNews, standingOf } from '../core/vr-news.js';
import { type Effect, type HeardAdvert, type Input, stateName, type Vr, type VrParameters } from '../core/vr-state.js';
import { type AgentRequest, agentRequest, withoutAgent } from '../ipc/agent-request.js';
import type { ToAgent, VrStateMessage } from '../ipc/protocol.js';
import type { KeptNews } from './dataplane-process.js';
import type { AdvertFrame, LanFrame } from './lan.js';
import type { SimulatedNode } from './simulated-node.js';
import { describeEffect, describeInput } from './trace-words.js';
import type { RouterSettings, World } from './world.js';

/** After a takeover, as the announcer does it; then every 15 s. */
const announceAtMs: readonly number[] = [0, 100, 1200, 2400, 5000];
const announceRefreshMs = 15_000;
const attachSteps = ['parent', 'guards', 'link', 'link_up', 'addresses', 'announce'];
/** Deleting the link and making it anew: an attach waits for it. */
const remakeMs = [1, 18] as const;
const detachRetryMs = 10;

/** What a virtual router needs of the process it runs in. */
export interface RouterHost {
  readonly boot: BootId;
  readonly node: SimulatedNode;
  readonly isDead: boolean;
  /** Runs at once, or when the process runs again. */
  inLoop(kind: 'socket' | 'ipc' | 'kernel' | 'timer', action: () => void): void;
  tellAgent(message: ToAgent): boolean;
  keep(news: KeptNews): void;
  nodeAt(source: string): VrParameters['node'] | undefined;
  carries(waitMs: number, freshMs?: number): Promise<boolean>;
  isAnswered(waitMs: number, freshMs: number): Promise<boolean>;
}

/**
 * One virtual router of one dataplane: carries out what the machine asks for, on a kernel and a LAN that are simulated.
 * No decision is taken here.
 */
export class RouterProcess {
  readonly name: string;
  readonly #world: World;
  readonly #host: RouterHost;
  readonly #settings: RouterSettings;
  #vr: Vr;
  #priority: number;
  #loss = 0;
  #parentFault: Fault | undefined;
  /** What its adverts say. */
  #running: SharedConfiguration;
  /** What its file says, and waits for the other nodes. */
  #prepared: SharedConfiguration | undefined;
  readonly #overlap = new ConfigurationOverlap<string>();
  readonly #gate: ConfigurationGate;
  #gateTimer: () => void = () => undefined;
  #told: Omit<LogView, 'reachable'> = emptyLogView;
  /** By sender: what is not above the last one is a repetition. */
  readonly #notices = new Map<number, number>();
  #attempt = 0;
  /** The master speaks on while what somebody took away is put back, within 100 ms. */
  #isRepairing = false;
  #settledAtMs = 0;
  #tick: () => void = () => undefined;
  #tickForMs: number | undefined;
  /** It has taken over, and has not been seen announcing yet. */
  #isNew = false;
  #announced = 0;
  #announcedSinceMs = 0;
  #nextAnnouncement: () => void = () => undefined;

  constructor(world: World, host: RouterHost, settings: RouterSettings, priority: number) {
    this.#world = world;
    this.#host = host;
    this.#settings = settings;
    this.#priority = priority;
    this.name = settings.name;
    this.#running = host.node.fileOf(settings.name);
    host.node.guardSays(settings.name, this.#running.digest);
    this.#gate = new ConfigurationGate(this.#now());
    this.#vr = createVr(this.#parameters(), host.node.terms.get(settings.name));
  }

  get machine(): Vr {
    return this.#vr;
  }

  get patienceMs(): number {
    return peerPatienceMs(this.#vr);
  }

  get isStopped(): boolean {
    return this.#vr.phase.name === 'init' && this.#vr.phase.stopped;
  }

  /** What a challenger is told. */
  servingReport(lanWorks: boolean): ServingReport {
    return servingReport(this.#vr, this.isHolding, lanWorks);
  }

  /** Of an answer to one that misses its adverts. */
  get freshAnswerMs(): number {
    return freshAnswerMs(rulesOf(this.#vr.parameters.election).intervalMs);
  }

  get isHolding(): boolean {
    return this.#host.node.addresses.has(this.name);
  }

  give(input: Input): void {
    if (this.#host.isDead) return;
    const before = this.#vr;
    const { vr, effects } = this.#world.rules.step(before, input);
    this.#vr = vr;
    this.#world.trace.note(this.#host.node.id, input.type, () => `${this.name} ${describeInput(input)}`);
    if (isNews(before, vr)) this.#tellState();
    if (vr.highestTerm > before.highestTerm) {
      this.#host.node.terms.save(this.name, vr.highestTerm, () => undefined);
    }
    for (const effect of effects) this.#carryOut(effect);
    this.#setTick();
  }

  // ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

  parentIs(fault: Fault | undefined): void {
    this.#parentFault = fault;
    this.#tellFault();
  }

  #tellFault(): void {
    const differs = this.#configurationFault;
    this.#world.witness.barred(this.#host.node.index, this.name, differs !== undefined);
    this.give({ type: 'parent', fault: this.#parentFault ?? differs, atMs: this.#now() });
  }

  /** Whoever serves goes on; nobody takes over with another configuration than the one in force. */
  get #configurationFault(): Fault | undefined {
    const { name } = this.#vr.phase;
    const holds = name === 'master' || name === 'attaching' || name === 'handing';
    if (this.#settings.arbitration === 'wire' || holds) return undefined;
    return this.#gate.isBarred(this.#now()) ? 'configuration_differs' : undefined;
  }

  received(frame: LanFrame): void {
    switch (frame.kind) {
      case 'advert':
        this.#heard(frame);
        return;
      case 'notice':
        if (frame.counter <= (this.#notices.get(frame.from) ?? 0)) return;
        this.#notices.set(frame.from, frame.counter);
        this.give({ type: 'notice', notice: frame.notice, atMs: this.#now() });
        return;
      case 'probe': {
        const from = this.#host.nodeAt(frame.source);
        if (from !== undefined) this.give({ type: 'holderProbe', from, atMs: this.#now() });
        return;
      }
      case 'announcement':
        return;
    }
  }

  #heard({ source, from, candidacy, configuration }: AdvertFrame): void {
    const { node } = this.#host;
    if (!this.takes(configuration)) {
      this.#world.trace.note(node.id, 'refuses', () => `${this.name}: an advert in ${configuration} from ${source}`);
      if (this.#gate.refused('address_mismatch', this.#now())) this.#barred();
      return;
    }
    const advert: HeardAdvert = {
      source,
      sourceOrder: from === node.index ? 0 : from > node.index ? 1 : -1,
      candidacy,
      node: this.#host.nodeAt(source),
    };
    this.give({ type: 'advert', advert, atMs: this.#now() });
  }

  logSays(reachable: boolean, view: Omit<LogView, 'reachable'> | undefined): void {
    // What was told last, not what the machine made of it: it keeps an ownership that a log out of reach has not got.
    this.#told = view ?? this.#told;
    this.give({ type: 'log', view: { ...this.#told, reachable }, atMs: this.#now() });
  }

  // ── its configuration ─────────────────────────────────────────────────────────────────────────────────────────────

  get configuration(): SharedConfiguration {
    return this.#running;
  }

  /** Adverts in this configuration are heard. */
  takes(digest: string): boolean {
    return digest === this.#running.digest || this.#overlap.others(this.#now()).includes(digest);
  }

  get isBarredByConfiguration(): boolean {
    const { phase } = this.#vr;
    return phase.name === 'fault' && phase.reason === 'configuration_differs';
  }

  /** The file was read again. `atOnce`: what may be applied without waiting; undefined: anything. */
  reread(atOnce: readonly string[] | undefined): void {
    const file = this.#host.node.fileOf(this.name);
    if (file.digest === this.#running.digest) this.#prepare(undefined);
    else if (atOnce === undefined || atOnce.includes(file.digest)) this.#switchTo(file);
    else this.#prepare(file);
    this.#tellState();
  }

  /** What was prepared is in force. */
  switchTo(digest: string): void {
    if (this.#prepared?.digest === digest) this.#switchTo(this.#prepared);
    this.#tellState();
  }

  /** The log says whether what runs here is in force. */
  setDiffering(differs: boolean): void {
    this.#gate.logSays(differs);
    this.#tellFault();
  }

  #prepare(configuration: SharedConfiguration | undefined): void {
    this.#prepared = configuration;
    this.#overlap.expect(configuration?.digest);
  }

  #switchTo(configuration: SharedConfiguration): void {
    const { node } = this.#host;
    this.#world.trace.note(node.id, 'switches', () => `${this.name} to ${configuration.digest}`);
    this.#overlap.replaced(this.#running.digest, this.#now());
    this.#running = configuration;
    node.guardSays(this.name, configuration.digest);
    this.#prepare(undefined);
    this.#tellFault();
    if (this.#vr.phase.name === 'master' && this.isHolding) this.#startAnnouncing();
  }

  /** After a refused advert that said so: it is barred until some time, or longer. */
  #barred(): void {
    this.#tellFault();
    this.#gateTimer();
    const openAtMs = this.#gate.isBarred(this.#now()) ? this.#gate.openAtMs : undefined;
    if (openAtMs === undefined) return;
    this.#gateTimer = this.#world.time.after(this.#host.node.clock.untilMs(openAtMs) + 1, () =>
      this.#host.inLoop('timer', () => this.#barred()),
    );
  }

  /** The configuration says another priority, or what is tracked takes something off it. */
  reconsider(priority: number, loss: number): void {
    this.#priority = priority;
    this.#loss = loss;
    this.give({ type: 'parameters', parameters: this.#parameters(), atMs: this.#now() });
    this.#tellState();
  }

  /** Somebody else took the addresses away; they are put back. */
  disturb(): void {
    if (!this.isHolding || this.#vr.phase.name !== 'master') return;
    this.#host.node.addresses.remove(this.name);
    this.#world.trace.note(this.#host.node.id, 'disturbed', () => this.name);
    const attempt = this.#supersede();
    this.#isRepairing = true;
    this.#later([20, 90], () => {
      this.#isRepairing = false;
      if (attempt !== this.#attempt) return;
      this.#hold();
      this.#startAnnouncing();
    });
  }

  interfere(): void {
    this.give({ type: 'interference', atMs: this.#now() });
  }

  // ── what the machine asks for ─────────────────────────────────────────────────────────────────────────────────────

  #carryOut(effect: Effect): void {
    const { node } = this.#host;
    this.#world.trace.note(node.id, effect.type, () => `${this.name} ${describeEffect(effect)}`);
    switch (effect.type) {
      case 'advert':
        this.#sendAdvert(effect.candidacy);
        return;
      case 'saveTerm':
        node.terms.save(this.name, effect.term, () =>
          this.#host.inLoop('kernel', () => this.give({ type: 'termSaved', term: effect.term, atMs: this.#now() })),
        );
        return;
      case 'attach':
        this.#world.witness.attaching(node.index, this.name, effect.term, this.#vr);
        this.#attach();
        return;
      case 'announce':
        this.#startAnnouncing();
        return;
      case 'hush':
        // The switch of the simulated LAN learns nothing from adverts.
        return;
      case 'detach':
        this.#detach();
        return;
      case 'released': {
        const { term: ended, reason, resigned } = effect;
        this.#host.keep({ type: 'released', vr: this.name, term: ended, reason, resigned });
        return;
      }
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
        this.#sendNotice(effect);
        return;
      case 'advertPath': {
        const { peer, lost, durationMs } = effect;
        this.#host.keep({ type: 'advertPath', vr: this.name, peer, lost, durationMs });
        return;
      }
      case 'splitBrain': {
        const { rival, began, durationMs } = effect;
        this.#world.witness.splitBrain(node.index, this.name, began);
        this.#host.keep({ type: 'splitBrain', vr: this.name, rival, began, durationMs });
        return;
      }
      case 'transition':
        this.#transition(effect);
        return;
    }
  }

  #sendAdvert(candidacy: Candidacy): void {
    const { node } = this.#host;
    this.#world.witness.sentAdvert(node.index, this.name, candidacy, this.isHolding || this.#isRepairing);
    const configuration = this.#running.digest;
    const frame = { from: node.index, source: node.lanAddress, vr: this.name, candidacy, configuration };
    this.#world.lan.send({ ...frame, kind: 'advert' });
  }

  #sendNotice({ termHeld, logged, highestLoggedTerm }: Extract<Effect, { type: 'notice' }>): void {
    const { node } = this.#host;
    const notice = { node: nodeId(node.id), source: node.lanAddress, termHeld, logged, highestLoggedTerm };
    const counter = node.nextNotice();
    this.#world.lan.send({ kind: 'notice', from: node.index, source: node.lanAddress, vr: this.name, notice, counter });
  }

  #ask(effect: AgentRequest): void {
    const { lanAddress } = this.#host.node;
    const asking = { name: this.name, machine: this.#vr, lanAddress, virtualMac: '' };
    if (this.#host.tellAgent(agentRequest(effect, asking))) return;
    const answer = withoutAgent(effect);
    if (answer !== undefined) this.#soon(() => this.give({ ...answer, atMs: this.#now() }));
  }

  async #lookWhileAsking(claim: ClaimId): Promise<void> {
    const { parameters, masterIntervalMs } = this.#vr;
    if (parameters.arbitration !== 'log') return;
    const waitMs = neighboursWaitMs(parameters.challengeTimeoutMs);
    const carries = await this.#host.isAnswered(waitMs, freshAnswerMs(masterIntervalMs));
    this.#host.inLoop('timer', () => this.give({ type: 'ownLook', claim, carries, atMs: this.#now() }));
  }

  async #askOnceSeen(effect: Extract<AgentRequest, { type: 'askHandover' }>): Promise<void> {
    const carries = await this.#host.carries(handoverLookMs);
    if (carries || !this.#world.rules.looksBeforeAsking) this.#host.inLoop('timer', () => this.#ask(effect));
  }

  /** The guard is told first, then the link comes up, then the addresses are added and read back. */
  #attach(): void {
    const { random, lan, time } = this.#world;
    const { node } = this.#host;
    const attempt = this.#supersede();
    const startAtMs = Math.max(time.nowMs(), this.#settledAtMs);
    const tookMs = random.chance(0.02) ? random.between(8, 120) : random.between(0.5, 8);
    const fails = random.chance(node.attachFailureRate) || !this.#mayKeep();
    time.at(startAtMs + tookMs, () =>
      this.#host.inLoop('kernel', () => {
        if (attempt !== this.#attempt) return;
        if (fails || !lan.hasCarrier(node.index)) {
          node.guard?.drop(this.name);
          this.#remake();
          this.give({ type: 'attachFailed', atMs: this.#now() });
          return;
        }
        node.guard?.put(this.name);
        this.#hold();
        this.give({ type: 'attached', atMs: this.#now() });
      }),
    );
  }

  /** The kernel may be told to keep an address for long enough. */
  #mayKeep(): boolean {
    const { parameters, leaseEndsAtMs = Number.NEGATIVE_INFINITY } = this.#vr;
    return parameters.arbitration !== 'strict' || addressLifetimeSeconds(leaseEndsAtMs, this.#now()) >= 1;
  }

  #hold(): void {
    this.#host.node.addresses.add(this.name);
    this.#world.trace.note(this.#host.node.id, 'holds', () => this.name);
  }

  #detach(): void {
    const { node } = this.#host;
    this.#nextAnnouncement();
    this.#supersede();
    this.#isRepairing = false;
    if (this.isHolding && this.#world.random.chance(node.detachFailureRate)) {
      this.#later([detachRetryMs, detachRetryMs + 1], () => this.#detach());
      return;
    }
    node.addresses.remove(this.name);
    node.guard?.drop(this.name);
    this.#soon(() => {
      this.give({ type: 'detached', atMs: this.#now() });
      this.#remake();
    });
  }

  #remake(): void {
    const { time, random } = this.#world;
    this.#settledAtMs = Math.max(time.nowMs(), this.#settledAtMs) + random.between(...remakeMs);
  }

  #supersede(): number {
    this.#attempt += 1;
    return this.#attempt;
  }

  #transition(effect: Extract<Effect, { type: 'transition' }>): void {
    const { from, to, reason, standing } = effect;
    this.#isNew = to === 'master' && (this.#isNew || from === 'candidate');
    this.#world.witness.moved(this.#host.node.index, this.name, effect);
    this.#host.keep({
      type: 'transition',
      vr: this.name,
      from,
      to,
      reason,
      term: effect.term,
      standing: standing ?? null,
    });
    this.#tellState();
    if (this.#configurationFault !== undefined) this.#soon(() => this.#tellFault());
  }

  #tellState(): void {
    this.#host.tellAgent({ type: 'state', state: this.describe() });
  }

  // ── announcing ────────────────────────────────────────────────────────────────────────────────────────────────────

  #startAnnouncing(): void {
    this.#announced = 0;
    this.#announcedSinceMs = this.#now();
    this.#announce();
  }

  #announce(): void {
    const { node } = this.#host;
    // While it is put back, the announcer refuses for want of the token.
    if (!this.#isRepairing) {
      this.#world.witness.announced(node.index, this.name, this.isHolding);
      this.#world.lan.send({ from: node.index, source: node.lanAddress, vr: this.name, kind: 'announcement' });
      this.#soon(() => this.#announcementSeen());
    }
    this.#announced += 1;
    this.#nextAnnouncement();
    this.#nextAnnouncement = this.#world.time.after(
      node.clock.untilMs(this.#announcedSinceMs + announceOffsetMs(this.#announced)),
      () =>
        this.#host.inLoop('timer', () => {
          if (this.#vr.phase.name === 'master' && this.isHolding) this.#announce();
        }),
    );
  }

  #announcementSeen(): void {
    const { phase } = this.#vr;
    if (!this.#isNew || phase.name !== 'master') return;
    this.#isNew = false;
    const steps = attachSteps.map((name) => ({ name, durationUs: 0 }));
    const phases = { detectUs: 0, arbitrateUs: 0, attachUs: 0, announceUs: 0 };
    this.#host.keep({ type: 'masterActive', vr: this.name, term: phase.term, steps, phases });
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #now(): number {
    return this.#host.node.clock.monotonicMs();
  }

  #setTick(): void {
    const dueMs = dueAtMs(this.#vr);
    if (dueMs === this.#tickForMs) return;
    this.#tickForMs = dueMs;
    this.#tick();
    if (dueMs === undefined || dueMs === Number.POSITIVE_INFINITY) return;
    // Timers are rounded up to a millisecond and are late by a little.
    const lateMs = this.#world.random.between(0.05, 1.2);
    this.#tick = this.#world.time.after(this.#host.node.clock.untilMs(dueMs) + lateMs, () =>
      this.#host.inLoop('timer', () => {
        this.#tickForMs = undefined;
        this.give({ type: 'tick', atMs: this.#now() });
      }),
    );
  }

  /** After what is being done now, before anything else happens. */
  #soon(action: () => void): void {
    this.#world.time.after(0, () => this.#host.inLoop('kernel', action));
  }

  #later(range: readonly [number, number], action: () => void): void {
    this.#world.time.after(this.#world.random.between(...range), () => this.#host.inLoop('kernel', action));
  }

  // ── what others are told ──────────────────────────────────────────────────────────────────────────────────────────

  /** The last word of a dead router: priority 0, from the frame that the guard was given. */
  farewell(): Candidacy {
    return rulesOf(this.#election()).farewell;
  }

  describe(): VrStateMessage {
    const { phase, lastReason, highestTerm } = this.#vr;
    return {
      vr: this.name,
      state: stateName(phase),
      reason: lastReason,
      term: 'term' in phase ? phase.term : highestTerm,
      standing: standingOf(this.#vr),
      sinceWallMs: 0,
      lastFrom: null,
      heardMaster: null,
      interface: 'lan',
      virtualMac: '',
      lanAddress: this.#host.node.lanAddress,
      priority: placeOf(this.#election()),
      tracks: [],
      warnings: [],
      configuration: { running: told(this.#running), prepared: this.#prepared ? told(this.#prepared) : null },
    };
  }

  #election(): Election {
    const { advertIntervalMs } = this.#settings;
    return demoted({ protocol: 'vrrp3', priority: this.#priority, advertIntervalMs }, this.#loss);
  }

  #parameters(): VrParameters {
    const { node, boot } = this.#host;
    const election = this.#election();
    return {
      node: nodeId(node.id),
      boot,
      election,
      ...this.#settings,
    };
  }
}

const told = (configuration: SharedConfiguration) => ({ ...configuration, addresses: [...configuration.addresses] });

function announceOffsetMs(announced: number): number {
  const scheduled = announceAtMs[announced];
  if (scheduled !== undefined) return scheduled;
  return (announceAtMs.at(-1) ?? 0) + (announced - announceAtMs.length + 1) * announceRefreshMs;
}
