import type { KernelEvent } from '../kernel/monitor.js';
import { ADDRESS_PROTO, parseAlias } from '../kernel/names.js';
import type { MacAddress } from '../wire/mac.js';

/** A link or address taken away more often than this in a minute is left to whoever takes it. */
const repairsPerMinuteMax = 5;
const minuteMs = 60_000;

export interface ForeignChange {
  readonly kind: 'link_deleted' | 'link_changed' | 'address_deleted' | 'address_changed';
  /** The link's name, or the address. */
  readonly object: string;
}

export interface OwnLinks {
  /** Whether a link is one of the virtual router's own. */
  owns(ifindex: number): boolean;
  /** Everything is in place; otherwise its links are down. */
  readonly attached: boolean;
}

/** What another program does to a virtual router's links and addresses, and how often it is put back. */
export class ForeignChanges {
  readonly #links: OwnLinks;
  readonly #virtualMacs: ReadonlySet<MacAddress>;
  #repairsAtMs: number[] = [];

  constructor(links: OwnLinks, virtualMacs: ReadonlySet<MacAddress>) {
    this.#links = links;
    this.#virtualMacs = virtualMacs;
  }

  /** What an event means that comes while nothing of Koi's own is being changed; undefined: nothing to this one. */
  judge(event: KernelEvent): ForeignChange | undefined {
    switch (event.type) {
      case 'linkGone':
        return this.#links.owns(event.link.ifindex) ? { kind: 'link_deleted', object: event.link.name } : undefined;
      case 'link': {
        const { ifindex, name, mac, flags } = event.link;
        if (!this.#links.owns(ifindex)) return undefined;
        const isAsMade = this.#virtualMacs.has(mac as MacAddress) && flags.up === this.#links.attached;
        return isAsMade && !isRelabelled(event) ? undefined : { kind: 'link_changed', object: name };
      }
      case 'address': {
        const { ifindex, address, proto } = event.address;
        const wasOurs = this.#links.owns(ifindex) && event.previous?.proto === ADDRESS_PROTO;
        return wasOurs && proto !== ADDRESS_PROTO ? { kind: 'address_changed', object: address } : undefined;
      }
      case 'addressGone': {
        const { ifindex, address } = event.address;
        return this.#links.owns(ifindex) ? { kind: 'address_deleted', object: address } : undefined;
      }
      default:
        return undefined;
    }
  }

  /** Counts a repair; false where there have been too many of late, and the count begins anew. */
  mayRepair(nowMs: number): boolean {
    this.#repairsAtMs = [...this.#repairsAtMs.filter((atMs) => nowMs - atMs < minuteMs), nowMs];
    if (this.#repairsAtMs.length <= repairsPerMinuteMax) return true;
    this.#repairsAtMs = [];
    return false;
  }
}

/** The alias says whose the link is; without it a later run would not know it. */
const isRelabelled = ({ link, previous }: Extract<KernelEvent, { type: 'link' }>): boolean =>
  previous !== undefined && parseAlias(previous.alias) !== undefined && link.alias !== previous.alias;
