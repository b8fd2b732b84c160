import { AttachmentGroup } from '../attach/attachment-group.js';
import { createVr } from '../core/vr-machine.js';
import { type Effect, type Input, stateName, type Vr } from '../core/vr-state.js';
import { AdvertHearing } from './advert-hearing.js';
import { AdvertRoute } from './advert-route.js';
import { AdvertSender } from './advert-sender.js';
import { AgentQuestions } from './agent-questions.js';
import { Announcements } from './announcements.js';
import { attachedPart } from './attached-part.js';
import type { PreparedRouter } from './configuration-stage.js';
import { DuplicateProbes } from './duplicate-probes.js';
import { type HookContext, Hooks } from './hooks.js';
import { Hush } from './hush.js';
import { LanProof } from './lan-proof.js';
import { LinkKeeper, type LinkOwner } from './link-keeper.js';
import { LinkUpkeep } from './link-upkeep.js';
import { NoticeExchange } from './notice-exchange.js';
import { RouterCounters } from './router-counters.js';
import { RouterDetectors } from './router-detectors.js';
import { RouterFaults } from './router-faults.js';
import { RouterMachine } from './router-machine.js';
import { RouterNews } from './router-news.js';
import { type RouterPart, RouterPlaces, type RouterPlacesOptions } from './router-places.js';
import { RouterReport } from './router-report.js';
import type { RouterServices } from './router-services.js';
import { RunningConfiguration } from './running-configuration.js';
import { SteadyTimer } from './steady-timer.js';
import { TakeoverWatch } from './takeover-watch.js';

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

/** What the pieces tell the virtual router that they are of. */
export interface RouterEdge {
  /** Something happened. */
  give(input: Input): void;
  /** The machine's time has come. */
  tick(atMs: number, lateMs: number): void;
  /** What the machine asked for could not be done. */
  failed(effect: Effect['type'], error: unknown): void;
  readonly links: LinkOwner;
}

/** What one virtual router consists of, each piece with an idea of its own, and how they are joined. */
export class RouterPieces {
  readonly counters = new RouterCounters();
  readonly running: RunningConfiguration;
  readonly route: AdvertRoute;
  readonly places: RouterPlaces;
  readonly faults: RouterFaults;
  readonly machine: RouterMachine;
  readonly hooks: Hooks;
  readonly news: RouterNews;
  readonly takeover: TakeoverWatch;
  readonly attachment: AttachmentGroup;
  readonly hush: Hush;
  readonly links: LinkKeeper;
  readonly upkeep: LinkUpkeep;
  readonly announcements: Announcements;
  readonly detectors: RouterDetectors;
  readonly sender: AdvertSender;
  readonly hearing: AdvertHearing;
  readonly timer: SteadyTimer;
  readonly notices: NoticeExchange;
  readonly lan: LanProof;
  readonly questions: AgentQuestions;
  readonly report: RouterReport;

  constructor({ prepared, parts, namespace, isRouter, services }: RouterOptions, edge: RouterEdge) {
    const { config } = prepared;
    const { parent, now, log } = services;
    const { counters } = this;
    const vr = config.name;
    const give = (input: Input): void => edge.give(input);

    // What it is: its configuration, its place, its machine.
    const running = new RunningConfiguration(prepared);
    const route = new AdvertRoute(running, parent);
    const places = new RouterPlaces({ route, parent, parts, namespace });
    const placed = { ...services, vr, running, route, places, counters, give };
    this.running = running;
    this.route = route;
    this.places = places;
    this.faults = new RouterFaults({ ...placed, holdsAddresses: () => this.machine.holdsAddresses });
    const parameters = services.parametersOf(config, this.faults.loss);
    const { node } = parameters;
    const machine = new RouterMachine(createVr(parameters, services.terms.get(vr)));
    this.machine = machine;
    this.news = new RouterNews({
      ...services,
      describe: () => this.report.describe(),
      interfaceName: () => parent.state.name,
    });
    const known = { ...placed, machine, news: this.news };
    const context = (): HookContext => hookContextOf(machine.vr);
    this.hooks = new Hooks({ vr, node, config: config.hooks, run: services.runHook, log, context });
    this.takeover = new TakeoverWatch(known);

    // What it has in the kernel.
    const { virtualMacs, ports } = places;
    const duplicates = new DuplicateProbes({
      vr,
      virtualMacs,
      ports,
      knowsMaster: () => this.hearing.master !== undefined || machine.vr.log.ownership !== undefined,
      onLate: (address, mac) => this.links.duplicate(address, mac),
    });
    const lifetimeSeconds = (): number => this.upkeep.lifetimeSeconds;
    const ofParts = { ...known, duplicates, lifetimeSeconds, isRouter };
    const attachment = new AttachmentGroup(parts.map((part) => attachedPart(part, ofParts)));
    const hush = new Hush({
      attachment,
      ownMac: () => parent.state.mac,
      onFailed: (error) => log.warn({ vr, err: error }, 'while it lingers it answers for the addresses'),
    });
    const addresses = config.addresses.map(({ address }) => address);
    const links = new LinkKeeper({ ...known, attachment, hush, addresses, owner: edge.links });
    const linked = { ...known, attachment, links };
    this.attachment = attachment;
    this.hush = hush;
    this.links = links;
    this.upkeep = new LinkUpkeep({ ...linked, virtualMacs });
    this.announcements = new Announcements({ ...linked, onSeen: () => this.takeover.announced() });

    // What it says and hears.
    const detectors = new RouterDetectors({
      ...known,
      parts: parts.map(({ port, attachment: { spec } }) => ({ ...spec, port })),
      random: Math.random,
      announceAgain: () => this.announcements.again(now()),
      onAdvertisement: (port, frame) => duplicates.heard(port, frame),
    });
    const sender = new AdvertSender({ ...known, hush });
    const hearing = new AdvertHearing({
      ...known,
      detectors,
      onSilent: (atMs) => edge.tick(atMs, 0),
      onUnknown: () => this.timer.sleep(),
      onFamilies: () => this.news.tellState(),
    });
    this.detectors = detectors;
    this.sender = sender;
    this.hearing = hearing;
    this.timer = new SteadyTimer({ ...known, sender, hearing, onTick: (atMs, lateMs) => edge.tick(atMs, lateMs) });
    this.notices = new NoticeExchange({
      ...known,
      node,
      key: services.lanKey,
      onHeard: (notice) => give({ type: 'notice', notice, atMs: now() }),
    });
    this.lan = new LanProof({ ...known, isAttached: () => attachment.attached });
    this.questions = new AgentQuestions({
      ...known,
      lan: this.lan,
      onFailed: (request, error) => edge.failed(request, error),
    });
    this.report = new RouterReport({ ...linked, hearing, detectors });
  }
}

function hookContextOf({ phase, lastReason, highestTerm }: Vr): HookContext {
  return { state: stateName(phase), reason: lastReason, term: 'term' in phase ? phase.term : highestTerm };
}
