import { rehearsals } from '../rehearsals.js';
import { isMulticast, parseAddress } from '../wire/address.js';
import { buildHolderProbe, type HolderProbe } from '../wire/holder-probe.js';
import { type MacAddress, zeroMac } from '../wire/mac.js';
import type { AdvertSources } from './protocol-adapter.js';

/** A node has one of each family in use; the rest is margin. */
const addressesMax = 8;

/** Of documentation (RFC 5737, RFC 3849): nobody's. */
const nobodys = ['192.0.2.1', '2001:db8::1'];

/** Builds such frames for nobody, so that the code is compiled before the first challenge. */
export function rehearseProbes(sources: AdvertSources, about: Pick<HolderProbe, 'protocol' | 'id'>): number {
  let built = 0;
  for (let round = 0; round < rehearsals; round++) built += probesTo(nobodys, sources, about, zeroMac).length;
  return built;
}

/**
 * The frames that prove to the challenger that the LAN carries what this node sends: one for each of its addresses of a
 * family in which this node has one of its own.
 * @param challenger its LAN addresses, as they came from another node
 */
export function probesTo(
  challenger: readonly string[],
  sources: AdvertSources,
  about: Pick<HolderProbe, 'protocol' | 'id'>,
  senderMac: MacAddress,
): Uint8Array[] {
  return challenger.slice(0, addressesMax).flatMap((text) => {
    const parsed = parseAddress(text);
    if (!parsed.ok || isMulticast(parsed.value.bytes)) return [];
    const { family, text: target } = parsed.value;
    const source = sources[family];
    return source === undefined || source === target ? [] : [buildHolderProbe({ ...about, source, target }, senderMac)];
  });
}
