import { readIpv4, readIpv6 } from './address.js';
import { type AuthHmacStamp, authHmacLength, computeAuthHmac, type HmacSha256, writeAuthHmac } from './auth-hmac.js';
import { sumAddresses, updateChecksum } from './checksum.js';
import { ethernetHeaderLength } from './ethernet.js';
import { buildIpFrame, type IpFrame, ipPayloadOf } from './ip-frame.js';
import type { MacAddress } from './mac.js';
import { inRange, readU16, writeU16 } from './octets.js';
import {
  type ChecksumForm,
  encodeVrrp,
  type Vrrp2Auth,
  type VrrpAdvert,
  vrrpProtocol,
  writeVrrpChecksum,
} from './vrrp.js';

/** Adverts as whole Ethernet frames: built once, then only patched, so that sending one costs next to nothing. */

export const vrrpGroupIpv4 = '224.0.0.18';
export const vrrpGroupIpv6 = 'ff02::12';

/** CS6, network control, as keepalived and FRR send. */
const trafficClass = 0xc0;

export interface VrrpFrame {
  /** The Ethernet source: it must be the virtual MAC, so that bridges learn where it lives (RFC 9568 §7.3). */
  readonly virtualMac: MacAddress;
  /** The sender's own address: primary IPv4, or link-local IPv6. */
  readonly source: string;
  readonly vrid: number;
  readonly priority: number;
  readonly intervalMs: number;
  readonly addresses: readonly string[];
  /** A unicast peer instead of the group; it needs `destinationMac`. */
  readonly destination?: string | undefined;
  readonly destinationMac?: MacAddress | undefined;
  /** Leave room for keepalived's trailer; `signVrrpFrame` must fill it before the frame is sent. */
  readonly authHmac?: boolean | undefined;
}

/** @throws RangeError for a field that does not fit the wire. */
export function buildVrrp2Frame(frame: VrrpFrame & { readonly auth: Vrrp2Auth }): Uint8Array {
  return build(frame, { version: 2, family: 4, auth: frame.auth, ...fieldsOf(frame) }, vrrpGroupIpv4);
}

/** @throws RangeError for a field that does not fit the wire. */
export function buildVrrp3Ipv4Frame(frame: VrrpFrame & { readonly checksumForm: ChecksumForm }): Uint8Array {
  const { checksumForm } = frame;
  return build(frame, { version: 3, family: 4, checksumForm, ...fieldsOf(frame) }, vrrpGroupIpv4);
}

/** The first address must be the virtual link-local one (RFC 9568 §5.2.9). @throws RangeError as the others. */
export function buildVrrp3Ipv6Frame(frame: VrrpFrame): Uint8Array {
  return build(frame, { version: 3, family: 6, checksumForm: 'pseudo-header', ...fieldsOf(frame) }, vrrpGroupIpv6);
}

function fieldsOf(frame: VrrpFrame): Pick<VrrpAdvert, 'vrid' | 'priority' | 'intervalMs' | 'addresses' | 'authHmac'> {
  const { vrid, priority, intervalMs, addresses } = frame;
  const blank = { keyId: 0, seconds: 0, subseconds: 0, counter: 0, digest: new Uint8Array(16) };
  return { vrid, priority, intervalMs, addresses, authHmac: frame.authHmac === true ? blank : undefined };
}

function build(frame: VrrpFrame, advert: VrrpAdvert, group: string): Uint8Array {
  const destination = frame.destination ?? group;
  const packet: IpFrame = {
    etherSource: frame.virtualMac,
    etherDestination: frame.destinationMac,
    source: frame.source,
    destination,
    protocol: vrrpProtocol,
    trafficClass,
    payload: encodeVrrp(advert, frame.source, destination),
  };
  return buildIpFrame(packet);
}

/**
 * Changes the priority of a frame built here, in place, and its checksum with it (RFC 1624): the same frame serves as
 * the farewell of priority 0. A signed frame must be signed again.
 */
export function patchPriority(frame: Uint8Array, priority: number): void {
  const { offset } = ipPayloadOf(frame);
  const oldWord = readU16(frame, offset + 2);
  frame[offset + 2] = inRange('priority', priority, 0, 255);
  writeU16(frame, offset + 6, updateChecksum(readU16(frame, offset + 6), oldWord, readU16(frame, offset + 2)));
}

/** Fills the trailer of a frame built with `authHmac`, in place; over IPv6 the checksum covers it and follows. */
export function signVrrpFrame(frame: Uint8Array, stamp: AuthHmacStamp, key: Uint8Array, hmacSha256: HmacSha256): void {
  const { family, offset, length } = ipPayloadOf(frame);
  const messageLength = length - authHmacLength;
  const trailerOffset = offset + messageLength;
  const source = family === 4 ? readIpv4(frame, ethernetHeaderLength + 12) : readIpv6(frame, ethernetHeaderLength + 8);
  writeAuthHmac(frame, trailerOffset, { ...stamp, digest: new Uint8Array(16) });
  const digest = computeAuthHmac(frame.subarray(offset, offset + length), source, key, hmacSha256);
  writeAuthHmac(frame, trailerOffset, { ...stamp, digest });
  if (family === 6) {
    const addressSum = sumAddresses(frame, ethernetHeaderLength, 6);
    writeVrrpChecksum(frame, offset, length, 6, 'pseudo-header', addressSum, messageLength);
  }
}
