import type { UnicastConfig } from '../config/config.js';
import { type AddressFamily, familyOf } from '../wire/address.js';
import type { IpEnvelope } from '../wire/demux.js';
import { type MacAddress, zeroMac } from '../wire/mac.js';
import type { AdvertRefusal } from '../wire/reasons.js';
import { vrrpGroupIpv4, vrrpGroupIpv6 } from '../wire/vrrp-frame.js';

/** Adverts come from the link itself: a router would have counted the hop limit down (RFC 9568 §7.1). */
const linkHopLimit = 255;

/** Where a frame goes; without any, to the group. The MAC is for the kernel to fill in: it knows the next hop. */
export interface Destination {
  readonly destination?: string;
  readonly destinationMac?: MacAddress;
}

/** What is around an advert, for one virtual router: whom it is sent to, and what is demanded of those that come in. */
export interface Envelope {
  destinations(family: AddressFamily): readonly Destination[];
  /** Undefined where there is nothing to object to. @param ownAddress where this virtual router's adverts come from */
  fault(packet: IpEnvelope, ownAddress: string | undefined): AdvertRefusal | undefined;
}

const toTheGroup: Envelope = {
  destinations: () => [{}],
  fault(packet, ownAddress) {
    if (packet.source === ownAddress) return 'own_advert';
    if (packet.hopLimit !== linkHopLimit) return 'bad_ttl';
    if (packet.destination !== (packet.family === 4 ? vrrpGroupIpv4 : vrrpGroupIpv6)) return 'wrong_destination';
    return undefined;
  },
};

export function envelopeOf(unicast: UnicastConfig | undefined): Envelope {
  if (unicast === undefined) return toTheGroup;
  const { peers, minTtl } = unicast;
  return {
    destinations: (family) =>
      peers
        .filter((peer) => familyOf(peer) === family)
        .map((destination) => ({ destination, destinationMac: zeroMac })),
    fault(packet, ownAddress) {
      if (packet.source === ownAddress) return 'own_advert';
      if (packet.destination !== ownAddress) return 'wrong_destination';
      if (!peers.includes(packet.source)) return 'unknown_peer';
      return packet.hopLimit < minTtl ? 'bad_ttl' : undefined;
    },
  };
}

/** Whether two lists hold the same addresses, in whatever order. */
export function sameAddresses(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && [...a].sort().join() === [...b].sort().join();
}
