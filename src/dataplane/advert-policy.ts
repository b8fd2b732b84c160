import type { VrrpRouterConfig } from '../config/config.js';
import type { VrrpPacket } from '../wire/demux.js';
import type { AdvertRefusal } from '../wire/reasons.js';
import type { VrrpAdvert } from '../wire/vrrp.js';
import { vrrpGroupIpv4 } from '../wire/vrrp-frame.js';

export type AdvertVerdict =
  | { readonly ok: true; readonly advert: VrrpAdvert }
  | { readonly ok: false; readonly reason: AdvertRefusal };

const refused = (reason: AdvertRefusal): AdvertVerdict => ({ ok: false, reason });

/** Adverts come from the link itself: a router would have counted the hop limit down (RFC 9568 §7.1). */
const linkHopLimit = 255;

/** Whether an advert with our id is one to act upon (RFC 9568 §7.1), or why not. */
export function judgeAdvert(
  packet: VrrpPacket,
  config: VrrpRouterConfig,
  ownAddress: string | undefined,
): AdvertVerdict {
  if (packet.source === ownAddress) return refused('own_advert');
  if (packet.hopLimit !== linkHopLimit) return refused('bad_ttl');
  if (packet.destination !== vrrpGroupIpv4) return refused('wrong_destination');
  if (!packet.advert.ok) return refused(packet.advert.reason);
  const advert = packet.advert.value;
  if (advert.version !== 3) return refused('version_mismatch');
  if (advert.priority === 255 && config.priority === 255) return refused('owner_conflict');
  if (!sameAddresses(advert.addresses, config)) return refused('address_mismatch');
  return { ok: true, advert };
}

function sameAddresses(heard: readonly string[], config: VrrpRouterConfig): boolean {
  const own = config.addresses.map(({ address }) => address);
  return heard.length === own.length && [...heard].sort().join() === [...own].sort().join();
}
