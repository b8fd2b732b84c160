import type { IpEnvelope } from '../wire/demux.js';
import type { AdvertRefusal } from '../wire/reasons.js';
import { vrrpGroupIpv4, vrrpGroupIpv6 } from '../wire/vrrp-frame.js';

/** Adverts come from the link itself: a router would have counted the hop limit down (RFC 9568 §7.1). */
const linkHopLimit = 255;

/** What every protocol demands of the packet around an advert; undefined where there is nothing to object to. */
export function envelopeFault(packet: IpEnvelope, ownAddress: string | undefined): AdvertRefusal | undefined {
  if (packet.source === ownAddress) return 'own_advert';
  if (packet.hopLimit !== linkHopLimit) return 'bad_ttl';
  if (packet.destination !== (packet.family === 4 ? vrrpGroupIpv4 : vrrpGroupIpv6)) return 'wrong_destination';
  return undefined;
}

/** Whether two lists hold the same addresses, in whatever order. */
export function sameAddresses(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && [...a].sort().join() === [...b].sort().join();
}
