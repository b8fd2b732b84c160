import type { Logger } from 'pino';
import { type Candidacy, rulesOf } from '../core/election-rules.js';
import type { NodeId } from '../core/identity.js';
import { hearSteadily, isHeardSteadily, patienceSteadily } from '../core/steady.js';
import type { HeardAdvert } from '../core/vr-state.js';
import { type AddressFamily, compareAddresses } from '../wire/address.js';
import type { AdvertRoute } from './advert-route.js';
import { KnownAdvert, type KnownAdvertOptions } from './known-advert.js';
import type { ParentPort } from './parent-port.js';
import type { AdvertPacket, Judgement } from './protocol-adapter.js';
import { FamilyWatch } from './protocol-families.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterDetectors } from './router-detectors.js';
import type { RouterMachine } from './router-machine.js';
import type { RunningConfiguration } from './running-configuration.js';

export interface AdvertHearingOptions {
  readonly vr: string;
  readonly running: Pick<RunningConfiguration, 'adapter' | 'judge' | 'isAlone'>;
  readonly route: Pick<AdvertRoute, 'families' | 'sources'>;
  readonly machine: Pick<RouterMachine, 'vr' | 'own'>;
  readonly parent: Pick<ParentPort, 'state' | 'memory' | 'refuse'>;
  readonly detectors: Pick<RouterDetectors, 'refused' | 'heardMaster' | 'isStranger'>;
  readonly counters: Pick<RouterCounters, 'advertsReceived'>;
  readonly nodeAt: (lanAddress: string) => NodeId | undefined;
  readonly now: () => number;
  readonly wallNow: () => number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** The advert that is only counted has been silent for too long. */
  readonly onSilent: (atMs: number) => void;
  /** It is only counted no more. */
  readonly onUnknown: () => void;
  /** The master is heard in other families than before. */
  readonly onFamilies: () => void;
}

/** The adverts that one virtual router hears: whose they are, and which of them repeats itself and is only counted from then on. */
export class AdvertHearing {
  readonly #options: AdvertHearingOptions;
  readonly #families: FamilyWatch;
  /** The advert that it hears again and again, counted where it comes in. */
  readonly #again: KnownAdvert;
  /** Whose it is. */
  #againFrom: NodeId | undefined;
  #lastHeard: HeardAdvert | undefined;
  #master: string | undefined;
  readonly #peersSeenMs = new Map<string, number>();

  constructor(options: AdvertHearingOptions) {
    this.#options = options;
    const { running, route, parent, onSilent, onUnknown } = options;
    this.#families = new FamilyWatch(route.families);
    this.#again = new KnownAdvert({
      memory: parent.memory,
      adapter: () => running.adapter,
      onHeard: this.#onHeardAgain,
      onSilent,
      onUnknown,
    });
  }

  /** Its node, or its address where it is nobody's of the cluster. */
  get master(): string | undefined {
    return this.#master;
  }

  /** When each node of the cluster was heard last, by the wall clock. */
  get peersSeenMs(): ReadonlyMap<string, number> {
    return this.#peersSeenMs;
  }

  get warnings(): string[] {
    const { silent } = this.#families;
    return silent === undefined ? [] : [`the master's adverts over IPv${silent} are lost`];
  }

  /** An advert is counted by itself, and its silence noticed. */
  get isOnlyCounted(): boolean {
    return this.#again.isKnown;
  }

  /** Has the machine know what was counted until now. */
  count(): void {
    this.#again.ask();
  }

  /** The same, and the next advert has to be judged. */
  forget(): void {
    this.#again.forget();
  }

  /** @param isFirst no other virtual router has taken it for its own */
  judge(packet: AdvertPacket, octets: Uint8Array, isFirst: boolean): Judgement {
    const { running, route, parent, detectors, vr, now } = this.#options;
    if (!isFirst) parent.memory.clear();
    // What is a repetition is judged by what came before it.
    this.#again.ask();
    const judgement = running.judge(packet, octets, route.sources, now());
    if (judgement.kind === 'refused') {
      const { reason, detail } = judgement;
      parent.refuse(packet, reason, { vr, ...(detail === undefined ? {} : { detail }) });
      detectors.refused(packet, reason);
    } else this.#seen(packet);
    return judgement;
  }

  #seen({ source }: AdvertPacket): void {
    const node = this.#options.nodeAt(source);
    if (node !== undefined) this.#peersSeenMs.set(node, this.#options.wallNow());
  }

  /** It was judged as heard. @returns it as the machine takes it */
  heard(packet: AdvertPacket, candidacy: Candidacy, resigns: boolean, atMs: number): HeardAdvert {
    const { machine, route, detectors, counters, nodeAt } = this.#options;
    counters.advertsReceived += 1;
    const { source, family } = packet;
    const node = nodeAt(source);
    if (!resigns) {
      this.#master = node ?? source;
      detectors.heardMaster(packet, node);
    }
    const rules = rulesOf(machine.vr.parameters.election);
    const own = route.sources[family] ?? source;
    const patienceMs = rules.masterDownMs(rules.masterIntervalMs(candidacy));
    const familyOrder = compareAddresses(source, own);
    const sourceOrder = this.#families.orderOf(family, familyOrder, atMs, patienceMs);
    if (!resigns) this.#watchFamilies(family, familyOrder, atMs, patienceMs);
    this.#lastHeard = { source, sourceOrder, candidacy, node };
    return this.#lastHeard;
  }

  #watchFamilies(family: AddressFamily, sourceOrder: -1 | 0 | 1, atMs: number, patienceMs: number): void {
    const before = this.#families.silent;
    this.#families.heard(family, sourceOrder, atMs, patienceMs);
    const { silent } = this.#families;
    if (silent === before) return;
    const { vr, log, parent, onFamilies } = this.#options;
    const place = { vr, interface: parent.state.name };
    if (silent === undefined) log.info(place, `adverts over IPv${before} are heard again`);
    else {
      log.warn(
        { ...place, family: silent },
        `the master's adverts over IPv${silent} are lost, those over IPv${family} are heard: it is kept as the master; look at the multicast filters on the way (MLD and IGMP snooping)`,
      );
    }
    onFamilies();
  }

  /**
   * The advert that was heard last is judged, and done with, or this is its twin: where the same once more would change
   * nothing, it is only counted.
   * @returns whether it is, or could be: who waits for its silence need not, or has to
   */
  remember(packet: AdvertPacket, octets: Uint8Array, isTwin: boolean): boolean {
    const advert = this.#lastHeard;
    if (advert === undefined || (isTwin && !saysTheSame(packet, advert))) return false;
    const { machine, running, route, detectors, nodeAt, now } = this.#options;
    const node = nodeAt(packet.source);
    const isCertain =
      running.adapter.hearsTheSame &&
      route.families.length === 1 &&
      running.isAlone(now()) &&
      !detectors.isStranger(node);
    if (!isCertain || !isHeardSteadily(machine.vr, advert)) return false;
    this.#againFrom = node;
    this.#again.remember(packet, octets, patienceSteadily(machine.vr), isTwin);
    return true;
  }

  readonly #onHeardAgain: KnownAdvertOptions['onHeard'] = ({ adverts, heardAtMs, lastAtMs }) => {
    const { machine, counters, now, wallNow } = this.#options;
    if (this.#againFrom !== undefined) this.#peersSeenMs.set(this.#againFrom, wallNow() - (now() - lastAtMs));
    counters.advertsReceived += adverts;
    if (adverts > 0 && machine.vr.phase.name === 'backup') hearSteadily(machine.own(), heardAtMs);
  };
}

/** A twin, which is summed otherwise and says what the advert before it said. */
function saysTheSame({ advert, source }: AdvertPacket, heard: HeardAdvert): boolean {
  if (heard.candidacy.kind !== 'vrrp' || !advert.ok || !('priority' in advert.value)) return false;
  const { priority, intervalMs } = advert.value;
  return source === heard.source && priority === heard.candidacy.priority && intervalMs === heard.candidacy.intervalMs;
}
