import type { Evidence } from '../core/detect/episode.js';
import { isForeignAdvert, isStranger, Strangers } from '../core/detect/stranger.js';
import type { NodeId } from '../core/identity.js';
import type { Effect } from '../core/vr-state.js';
import type { DemuxedFrame } from '../wire/demux.js';
import type { MacAddress } from '../wire/mac.js';
import type { AdvertRefusal } from '../wire/reasons.js';
import type { Detection } from './detection.js';
import type { ParentPort } from './parent-port.js';
import type { AdvertPacket } from './protocol-adapter.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterMachine } from './router-machine.js';
import type { RunningConfiguration } from './running-configuration.js';
import type { Scheduler } from './scheduler.js';
import { type VipProbeResult, VipWatch } from './vip-watch.js';

export interface RouterDetectorsOptions {
  readonly vr: string;
  readonly running: Pick<RunningConfiguration, 'config'>;
  readonly machine: Pick<RouterMachine, 'vr' | 'phase'>;
  readonly parts: readonly {
    readonly port: ParentPort;
    readonly virtualMac: MacAddress;
    readonly addresses: readonly string[];
  }[];
  readonly scheduler: Pick<Scheduler, 'set'>;
  readonly detection: Detection;
  readonly counters: RouterCounters;
  readonly now: () => number;
  readonly random: () => number;
  readonly nodeAt: (lanAddress: string) => NodeId | undefined;
  readonly announceAgain: () => void;
  readonly onAdvertisement: (port: ParentPort, frame: DemuxedFrame) => void;
}

/** Everything that one virtual router's detectors hear, on all its interfaces. */
export class RouterDetectors {
  readonly #options: RouterDetectorsOptions;
  readonly #watches: ReadonlyMap<ParentPort, VipWatch>;
  readonly #lostPeers = new Set<string>();
  readonly #strangers = new Strangers();
  #servesSinceMs: number | undefined;
  /** The last advert of another master. */
  #lastAdvert: { readonly packet: AdvertPacket; readonly node: NodeId | undefined } | undefined;
  /** The rival that is heard is another cluster's, and no master of this one. */
  #rivalIsStranger = false;

  constructor(options: RouterDetectorsOptions) {
    this.#options = options;
    const ports = [...new Set(options.parts.map(({ port }) => port))];
    this.#watches = new Map(ports.map((port, index) => [port, this.#watch(port, index)]));
  }

  #watch(port: ParentPort, index: number): VipWatch {
    const { vr, running, machine, parts, scheduler, detection, counters, now, random, announceAgain } = this.#options;
    const here = parts.filter((part) => part.port === port);
    return new VipWatch({
      vr,
      id: running.config.id,
      key: `${vr} ${index}`,
      port,
      virtualMacs: new Set(here.map(({ virtualMac }) => virtualMac)),
      vips: vipsOf(here),
      scheduler,
      detection,
      counters,
      now,
      random,
      role: () => this.#role(),
      hasRival: () => machine.vr.rival !== undefined,
      onWrong: announceAgain,
      onAdvertisement: (frame) => this.#options.onAdvertisement(port, frame),
    });
  }

  /** From now on it serves, or does so no longer. */
  phaseChanged(): void {
    this.#role();
  }

  #role(): 'asks' | 'idle' | { readonly servesSinceMs: number } {
    const { phase } = this.#options.machine;
    if (phase !== 'master') {
      this.#servesSinceMs = undefined;
      return phase === 'backup' ? 'asks' : 'idle';
    }
    this.#servesSinceMs ??= this.#options.now();
    return { servesSinceMs: this.#servesSinceMs };
  }

  /** The virtual router has other addresses; those of each virtual MAC are given by it. */
  setAddresses(addressesOf: (virtualMac: MacAddress) => readonly string[]): void {
    for (const [port, watch] of this.#watches) {
      const here = this.#options.parts.filter((part) => part.port === port);
      watch.setVips(vipsOf(here.map(({ virtualMac }) => ({ virtualMac, addresses: addressesOf(virtualMac) }))));
    }
  }

  /** An advert with this id was refused for what it says. */
  refused(packet: AdvertPacket, reason: AdvertRefusal): void {
    const isKnown = this.#options.nodeAt(packet.source) !== undefined;
    if (isForeignAdvert(reason, isKnown)) this.#duplicate(packet, reason);
  }

  /** A valid advert of a master. */
  heardMaster(packet: AdvertPacket, node: NodeId | undefined): void {
    this.#lastAdvert = { packet, node };
    const isStranger = this.#strangers.heard(packet.source, this.isStranger(node), this.#options.now());
    if (isStranger) this.#duplicate(packet, 'no node of this cluster');
  }

  /** Whether a master that is this node, or none of the cluster, is another cluster's. */
  isStranger(node: NodeId | undefined): boolean {
    const { running, machine } = this.#options;
    const { arbitration } = running.config;
    return isStranger({ arbitration, isKnownNode: node !== undefined, logReachable: machine.vr.log.reachable });
  }

  #duplicate({ source, etherSource, kind, id }: AdvertPacket, why: string): void {
    const { vr, detection, counters } = this.#options;
    counters.duplicateIds += 1;
    const evidence = [
      { key: 'source', value: source },
      { key: 'mac', value: etherSource },
      { key: 'advert', value: `${kind} ${id}` },
      { key: 'why', value: why },
    ];
    detection.saw({ kind: 'duplicate_id', vr, subject: source, evidence });
  }

  /** Another master is heard, or no more. @returns the evidence; undefined where it is another cluster's. */
  splitBrain({ began }: Extract<Effect, { type: 'splitBrain' }>): readonly Evidence[] | undefined {
    const { counters, announceAgain } = this.#options;
    const last = this.#lastAdvert;
    if (!began) {
      const wasStranger = this.#rivalIsStranger;
      this.#rivalIsStranger = false;
      // Clients may have learnt the other's port; whoever is left says where the address is.
      announceAgain();
      return wasStranger ? undefined : [];
    }
    this.#rivalIsStranger = this.isStranger(last?.node);
    if (this.#rivalIsStranger) return undefined;
    counters.splitBrains += 1;
    if (last === undefined) return [];
    const { source, etherSource, kind, id } = last.packet;
    return [
      { key: 'address', value: source },
      { key: 'mac', value: etherSource },
      { key: 'advert', value: `${kind} ${id}` },
    ];
  }

  /** The adverts of a node that serves do not come through, or do again. */
  advertPath({ peer, lost }: Extract<Effect, { type: 'advertPath' }>): void {
    if (lost) this.#lostPeers.add(peer);
    else this.#lostPeers.delete(peer);
  }

  isHeard(peer: string): boolean {
    return !this.#lostPeers.has(peer);
  }

  /** Two masters, by their adverts or by their answers. */
  get isSplit(): boolean {
    const { vr, machine, detection } = this.#options;
    return (machine.vr.rival !== undefined && !this.#rivalIsStranger) || detection.isOpen('split_brain', vr);
  }

  /** The master is asked to announce. */
  wish(): void {
    for (const watch of this.#watches.values()) watch.wish();
  }

  /** For a snapshot: what the last question for an address found. */
  probeOf(vip: string): { readonly probe?: VipProbeResult } {
    for (const watch of this.#watches.values()) {
      const probe = watch.result(vip);
      if (probe !== undefined) return { probe };
    }
    return {};
  }

  close(): void {
    const { vr, detection } = this.#options;
    for (const watch of this.#watches.values()) watch.close();
    detection.endAll(vr, 'not configured here any more');
  }
}

const vipsOf = (
  parts: readonly { readonly virtualMac: MacAddress; readonly addresses: readonly string[] }[],
): ReadonlyMap<string, MacAddress> =>
  new Map(parts.flatMap(({ virtualMac, addresses }) => addresses.map((address) => [address, virtualMac] as const)));
