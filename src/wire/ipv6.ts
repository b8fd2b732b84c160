import { addressBytes, readIpv6 } from './address.js';
import { sumAddresses } from './checksum.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { inRange, readU8, readU16, writeU16, writeU32 } from './octets.js';

/*
 * IPv6 header (RFC 8200 §3)
 *   0  4  version 6 | traffic class (8 bits) | flow label (20 bits)
 *   4  2  payload length
 *   6  1  next header
 *   7  1  hop limit
 *   8 16  source
 *  24 16  destination
 */

export const ipv6HeaderLength = 40;
const fragmentHeader = 44;

export interface Ipv6Header {
  readonly source: string;
  readonly destination: string;
  /** The next header; extension headers are not followed, since no protocol here is carried behind one. */
  readonly protocol: number;
  readonly trafficClass: number;
  readonly hopLimit: number;
  readonly payloadOffset: number;
  /** Octets of payload, without the Ethernet padding behind it. */
  readonly payloadLength: number;
  /** The addresses' words, for a pseudo-header. */
  readonly addressSum: number;
}

export type Ipv6Refusal = 'ip_truncated' | 'ip_bad_version' | 'ip_fragment';

/** `length` is what the link delivered; octets beyond the payload length are padding. */
export function decodeIpv6(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Decoded<Ipv6Header, Ipv6Refusal> {
  if (length < ipv6HeaderLength || offset + length > bytes.length) return refused('ip_truncated');
  if (readU8(bytes, offset) >>> 4 !== 6) return refused('ip_bad_version');
  const payloadLength = readU16(bytes, offset + 4);
  if (ipv6HeaderLength + payloadLength > length) return refused('ip_truncated');
  const protocol = readU8(bytes, offset + 6);
  if (protocol === fragmentHeader) return refused('ip_fragment');
  return decoded({
    source: readIpv6(bytes, offset + 8),
    destination: readIpv6(bytes, offset + 24),
    protocol,
    trafficClass: (readU16(bytes, offset) >>> 4) & 0xff,
    hopLimit: readU8(bytes, offset + 7),
    payloadOffset: offset + ipv6HeaderLength,
    payloadLength,
    addressSum: sumAddresses(bytes, offset, 6),
  });
}

export type Ipv6Envelope = Pick<
  Ipv6Header,
  'source' | 'destination' | 'protocol' | 'trafficClass' | 'hopLimit' | 'payloadLength'
>;

/** Writes a header at `offset`, flow label 0. */
export function writeIpv6(bytes: Uint8Array, offset: number, header: Ipv6Envelope): void {
  const source = addressBytes(header.source);
  const destination = addressBytes(header.destination);
  if (source.length !== 16 || destination.length !== 16) {
    throw new RangeError(`an IPv6 header carries IPv6 addresses, not ${header.source} and ${header.destination}`);
  }
  writeU32(bytes, offset, 0x6000_0000 + inRange('traffic class', header.trafficClass, 0, 255) * 0x10_0000);
  writeU16(bytes, offset + 4, inRange('payload length', header.payloadLength, 0, 0xffff));
  bytes[offset + 6] = inRange('next header', header.protocol, 0, 255);
  bytes[offset + 7] = inRange('hop limit', header.hopLimit, 0, 255);
  bytes.set(source, offset + 8);
  bytes.set(destination, offset + 24);
}

/** The 40 octets of a header. */
export function encodeIpv6(header: Ipv6Envelope): Uint8Array {
  const bytes = new Uint8Array(ipv6HeaderLength);
  writeIpv6(bytes, 0, header);
  return bytes;
}
