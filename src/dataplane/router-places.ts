import type { AttachmentOptions } from '../attach/attachment.js';
import type { Drift } from '../attach/guards.js';
import { explainReason, type ParentFault } from '../core/reasons.js';
import { type MacAddress, zeroMac } from '../wire/mac.js';
import type { AdvertRoute } from './advert-route.js';
import type { NamespacePlace } from './namespace-place.js';
import type { ParentListener, ParentPort } from './parent-port.js';

/** One virtual MAC on one interface. */
export interface RouterPart {
  /** Where it is on the wire: the adverts' interface, or another one. */
  readonly port: ParentPort;
  /** By which the guard knows it. */
  readonly guardName: string;
  readonly attachment: Omit<AttachmentOptions, 'register' | 'duplicates' | 'turn'>;
}

export interface RouterPlacesOptions {
  readonly route: Pick<AdvertRoute, 'lacksSource'>;
  /** The adverts' interface. */
  readonly parent: ParentPort;
  /** One for each virtual MAC on each interface. */
  readonly parts: readonly RouterPart[];
  /** The network namespace of the addresses; undefined: our own. */
  readonly namespace: Pick<NamespacePlace, 'name' | 'path' | 'host' | 'problem'> | undefined;
}

/** Where one virtual router is: the interface of its adverts, those of its addresses, and the network namespace of these. */
export class RouterPlaces {
  readonly virtualMacs: ReadonlySet<MacAddress>;
  readonly #options: RouterPlacesOptions;
  /** Interfaces that only have addresses. */
  readonly #elsewhere: readonly ParentPort[];
  readonly #listeners: (readonly [ParentPort, ParentListener])[] = [];

  constructor(options: RouterPlacesOptions) {
    this.#options = options;
    this.virtualMacs = new Set(options.parts.map(({ attachment }) => attachment.spec.virtualMac));
    this.#elsewhere = [...this.ports].filter((port) => port !== options.parent);
  }

  get parts(): readonly RouterPart[] {
    return this.#options.parts;
  }

  get namespace(): RouterPlacesOptions['namespace'] {
    return this.#options.namespace;
  }

  /** By which it is known. */
  get virtualMac(): MacAddress {
    return [...this.virtualMacs][0] ?? zeroMac;
  }

  /** By which the guard knows its virtual MACs. */
  get guardNames(): readonly string[] {
    return this.parts.map(({ guardName }) => guardName);
  }

  /** Of adverts and of addresses. */
  get ports(): ReadonlySet<ParentPort> {
    return new Set([this.#options.parent, ...this.parts.map(({ port }) => port)]);
  }

  /** Some addresses are on another interface than the adverts'. */
  get isSpread(): boolean {
    return this.#elsewhere.length > 0;
  }

  /** Whether its adverts go over this interface, or some of its addresses are on it. */
  uses(port: ParentPort): boolean {
    return port === this.#options.parent || this.parts.some((part) => part.port === port);
  }

  /** Whether one of its links is of an interface that is not there. */
  get isOrphaned(): boolean {
    return this.parts.some(({ port }) => port.state.ifindex === undefined);
  }

  /** Why it cannot serve from where it is. */
  get fault(): ParentFault | undefined {
    const { parent, route, namespace } = this.#options;
    const { fault } = parent.state;
    if (fault !== undefined) return fault;
    if (route.lacksSource) return 'no_primary_address';
    if (namespace !== undefined && namespace.host === undefined) return 'namespace_absent';
    return this.#elsewhere.map((port) => port.state.fault).find((each) => each !== undefined);
  }

  /** What keeps it from serving elsewhere than on the adverts' interface, for people. */
  get warnings(): string[] {
    const { namespace } = this.#options;
    const elsewhere = this.#elsewhere.flatMap(({ state }) =>
      state.fault === undefined ? [] : [`${state.name}: ${explainReason(state.fault)}`],
    );
    if (namespace === undefined || namespace.host !== undefined) return elsewhere;
    const { name, problem } = namespace;
    return [...elsewhere, problem ?? `the network namespace ${name} does not exist: koi waits for it`];
  }

  /**
   * Whether a sysctl that cannot be kept concerns its addresses: the interface, a parent, cannot be kept from answering with
   * its own MAC; or, a virtual-MAC link, from that or from dropping what is sent to it, which concerns its own virtual router
   * alone.
   */
  isExposedBy({ interface: name, key }: Pick<Drift, 'interface' | 'key'>): boolean {
    if (this.parts.some(({ attachment }) => attachment.spec.linkName === name)) return true;
    const isBeside = this.namespace !== undefined || this.parts.some(({ port }) => port.state.name === name);
    return key !== 'rp_filter' && isBeside;
  }

  /** Hears what happens there. On an interface that only has addresses, no advert is for this virtual router. */
  listen(listener: ParentListener): void {
    const aside: ParentListener = {
      hearsAdverts: false,
      parentChanged: (state) => listener.parentChanged(state),
      received: () => false,
      left: (frame) => listener.left(frame),
    };
    this.#listeners.push([this.#options.parent, listener]);
    for (const port of this.#elsewhere) this.#listeners.push([port, aside]);
    for (const [port, each] of this.#listeners) port.add(each);
  }

  /** The opposite. */
  leave(): void {
    for (const [port, listener] of this.#listeners.splice(0)) port.remove(listener);
  }
}
