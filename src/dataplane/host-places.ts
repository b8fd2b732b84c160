import type { Logger } from 'pino';
import type { AttachHost } from '../attach/attachment.js';
import type { InterfaceSelector, VirtualRouterConfig } from '../config/config.js';
import type { KernelEvent, KernelMonitor } from '../kernel/monitor.js';
import { aliasOf, virtualMacLinkName } from '../kernel/names.js';
import { type NetnsSelector, netnsLabel } from '../kernel/netns.js';
import { AdvertMemory } from './advert-memory.js';
import type { HomePlace } from './home-place.js';
import { LanWatch } from './lan-watch.js';
import { NamespacePlace } from './namespace-place.js';
import type { FilteredNamespace } from './packet-filters.js';
import { ParentPort } from './parent-port.js';
import { placementsOf } from './placement.js';
import type { ProtocolAdapter } from './protocol-adapter.js';
import { RefusalLog } from './protocol-refusals.js';
import type { RouterPart } from './router-places.js';
import type { Scheduler } from './scheduler.js';

interface Resident {
  /** Where its addresses are; undefined: our own network namespace. */
  readonly namespace: string | undefined;
  namespaceChanged(): void;
  settled(): Promise<void>;
}

export interface HostPlacesOptions {
  readonly home: HomePlace;
  readonly cluster: string;
  readonly boot: string;
  readonly stateDir: string;
  readonly nftTable: string;
  /** Of the links that carry the virtual MACs. */
  readonly linkGroup: number;
  readonly scheduler: Scheduler;
  readonly now: () => number;
  readonly log: Logger;
  readonly checkLoop: () => void;
  readonly routers: () => Iterable<Resident>;
  /** Something happened in another namespace. */
  readonly onEvent: (event: KernelEvent, namespace: string) => void;
  /** Another namespace has come. */
  readonly onFilter: (there: FilteredNamespace) => void;
}

/** The interfaces and network namespaces that virtual routers live in, each made for the first of them and shared by all. */
export class HostPlaces {
  readonly #options: HostPlacesOptions;
  readonly #ports = new Map<string, ParentPort>();
  readonly #namespaces = new Map<string, NamespacePlace>();
  readonly #virtualAddresses = new Set<string>();
  readonly #refusals: RefusalLog;

  constructor(options: HostPlacesOptions) {
    this.#options = options;
    this.#refusals = new RefusalLog(options.log, options.now);
  }

  get ports(): Iterable<ParentPort> {
    return this.#ports.values();
  }

  /** Other than our own. */
  get namespaces(): Iterable<NamespacePlace> {
    return this.#namespaces.values();
  }

  /** The addresses that are nobody's own, whoever put them on an interface. */
  noteAddresses(routers: readonly VirtualRouterConfig[]): void {
    this.#virtualAddresses.clear();
    for (const { addresses } of routers) {
      for (const { address } of addresses) this.#virtualAddresses.add(address);
    }
  }

  port(selector: InterfaceSelector): ParentPort {
    const key = `${selector.by} ${selector.value}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const { home, scheduler, now, log, checkLoop } = this.#options;
    const port = new ParentPort({
      selector,
      monitor: home.monitor,
      netlink: home.netlink,
      virtualAddresses: this.#virtualAddresses,
      beforeFrames: checkLoop,
      refusals: this.#refusals,
      onWarning: (name, message) => log.warn({ interface: name }, message),
      memory: new AdvertMemory(key, scheduler),
      watch: new LanWatch({ key, scheduler, now, beforeFrames: checkLoop }),
    });
    this.#ports.set(key, port);
    return port;
  }

  namespace(selector: NetnsSelector): NamespacePlace {
    const name = netnsLabel(selector);
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    const { home, cluster, boot, stateDir, nftTable, scheduler, log, routers, onEvent, onFilter } = this.#options;
    const inside = (): Resident[] => [...routers()].filter(({ namespace }) => namespace === name);
    const place = new NamespacePlace({
      selector,
      cluster,
      boot,
      stateDir,
      nftTable,
      parentNetlink: home.netlink,
      log,
      onChange: () => {
        for (const router of inside()) router.namespaceChanged();
      },
      onEvent: (event) => onEvent(event, name),
      onFilter: (filter) => onFilter({ name, filter }),
      settled: () => Promise.all(inside().map((router) => router.settled())),
    });
    this.#namespaces.set(name, place);
    const lookEveryMs = Math.min(...[...this.#namespaces.values()].map((each) => each.lookEveryMs));
    scheduler.every('namespaces', lookEveryMs, () => {
      for (const each of this.#namespaces.values()) void each.look();
    });
    return place;
  }

  /** Where the addresses of a virtual router go; undefined while that is not there. */
  hostOf({ namespace }: VirtualRouterConfig): AttachHost | undefined {
    return namespace === undefined ? this.#options.home.host : this.#namespaces.get(netnsLabel(namespace))?.host;
  }

  /** What the kernel says there; undefined while that is not there. */
  monitorOf(namespace: string | undefined): KernelMonitor | undefined {
    return namespace === undefined ? this.#options.home.monitor : this.#namespaces.get(namespace)?.monitor;
  }

  /** One for each virtual MAC on each interface, with the addresses that go there. */
  partsOf(config: VirtualRouterConfig, adapter: ProtocolAdapter): RouterPart[] {
    const { home, cluster, boot, linkGroup: group, now } = this.#options;
    // A namespace that is not there yet is moved to when it comes; until then nothing is attached.
    const host = this.hostOf(config) ?? home.host;
    return placementsOf(config, (family) => adapter.virtualMac(family)).map((placement) => {
      const { key, virtualMac, addresses, routes } = placement;
      const name = key === '' ? config.name : `${config.name} ${key}`;
      return {
        port: this.port(placement.interface),
        guardName: name,
        attachment: {
          ...host,
          spec: {
            vr: config.name,
            linkName: virtualMacLinkName(cluster, name, config.id),
            alias: aliasOf({ cluster, vr: config.name, bootId: boot }),
            group,
            virtualMac,
            addresses,
            routes,
          },
          now,
          pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        },
      };
    });
  }

  /** What waits in the kernel has happened. */
  drainMonitors(): void {
    this.#options.home.monitor.drain();
    for (const { monitor } of this.#namespaces.values()) monitor?.drain();
  }

  /** Closes what no virtual router uses any more. @param onClose before a namespace is left for good */
  async giveUpUnused(onClose: (place: NamespacePlace) => void): Promise<void> {
    for (const [key, port] of this.#ports) {
      if (port.isUsed) continue;
      port.retire();
      this.#ports.delete(key);
    }
    for (const [name, place] of this.#namespaces) {
      if ([...this.#options.routers()].some(({ namespace }) => namespace === name)) continue;
      onClose(place);
      await place.close();
      this.#namespaces.delete(name);
    }
  }
}
