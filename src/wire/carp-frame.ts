import { familyOf } from './address.js';
import {
  type CarpAuthentication,
  type CarpDigestForm,
  carpDigest,
  carpProtocol,
  encodeCarp,
  type HmacSha1,
} from './carp.js';
import { buildIpFrame } from './ip-frame.js';
import type { MacAddress } from './mac.js';
import { vrrpGroupIpv4, vrrpGroupIpv6 } from './vrrp-frame.js';

/** IPTOS_LOWDELAY, as OpenBSD and ucarp send. */
const trafficClass = 0x10;

export interface CarpFrame {
  readonly virtualMac: MacAddress;
  /** The sender's own address, which decides the family: primary IPv4, or link-local IPv6. */
  readonly source: string;
  readonly advbase: number;
  readonly advskew: number;
  readonly demote: number;
  readonly counter: bigint;
  readonly authentication: CarpAuthentication;
  readonly digestForm: CarpDigestForm;
  /** A unicast peer instead of the group; it needs `destinationMac`. */
  readonly destination?: string | undefined;
  readonly destinationMac?: MacAddress | undefined;
}

/**
 * A CARP advert as a whole Ethernet frame. The digest does not cover advbase, advskew and demote, but it does cover the
 * counter: where the counter stands still the frame can be sent again as it is, elsewhere it is built anew.
 * @throws RangeError for a field that does not fit the wire.
 */
export function buildCarpFrame(frame: CarpFrame, hmacSha1: HmacSha1): Uint8Array {
  const { advbase, advskew, demote, counter, authentication } = frame;
  return buildIpFrame({
    etherSource: frame.virtualMac,
    etherDestination: frame.destinationMac,
    source: frame.source,
    destination: frame.destination ?? (familyOf(frame.source) === 4 ? vrrpGroupIpv4 : vrrpGroupIpv6),
    protocol: carpProtocol,
    trafficClass,
    payload: encodeCarp({
      vhid: authentication.vhid,
      advbase,
      advskew,
      demote,
      counter,
      digest: carpDigest(authentication, counter, frame.digestForm, hmacSha1),
    }),
  });
}
