import { addressBytes, readIpv4 } from './address.js';
import { addWords, foldSum, internetChecksum, sumAddresses } from './checksum.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { inRange, readU8, readU16, writeU16 } from './octets.js';

/*
 * IPv4 header (RFC 791 §3.1)
 *   0  1  version 4 | header length in 32-bit words
 *   1  1  type of service
 *   2  2  total length
 *   4  2  identification
 *   6  2  flags (bit 14: don't fragment, bit 13: more fragments) | fragment offset
 *   8  1  time to live
 *   9  1  protocol
 *  10  2  header checksum
 *  12  4  source
 *  16  4  destination
 *  20     options
 */

export const ipv4HeaderLength = 20;

export interface Ipv4Header {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly typeOfService: number;
  /** Time to live. */
  readonly hopLimit: number;
  readonly payloadOffset: number;
  /** Octets of payload, without the Ethernet padding behind it. */
  readonly payloadLength: number;
  /** The addresses' words, for a pseudo-header. */
  readonly addressSum: number;
}

export type Ipv4Refusal =
  | 'ip_truncated'
  | 'ip_bad_version'
  | 'ip_bad_header_length'
  | 'ip_bad_length'
  | 'ip_fragment'
  | 'ip_bad_checksum';

/** `length` is what the link delivered; octets beyond the total length are padding. */
export function decodeIpv4(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Decoded<Ipv4Header, Ipv4Refusal> {
  if (length < ipv4HeaderLength || offset + length > bytes.length) return refused('ip_truncated');
  if (readU8(bytes, offset) >>> 4 !== 4) return refused('ip_bad_version');
  const headerLength = (readU8(bytes, offset) & 0x0f) * 4;
  if (headerLength < ipv4HeaderLength) return refused('ip_bad_header_length');
  const totalLength = readU16(bytes, offset + 2);
  if (totalLength < headerLength) return refused('ip_bad_length');
  if (totalLength > length) return refused('ip_truncated');
  if (foldSum(addWords(0, bytes, offset, headerLength)) !== 0xffff) return refused('ip_bad_checksum');
  if ((readU16(bytes, offset + 6) & 0x3fff) !== 0) return refused('ip_fragment');
  return decoded({
    source: readIpv4(bytes, offset + 12),
    destination: readIpv4(bytes, offset + 16),
    protocol: readU8(bytes, offset + 9),
    typeOfService: readU8(bytes, offset + 1),
    hopLimit: readU8(bytes, offset + 8),
    payloadOffset: offset + headerLength,
    payloadLength: totalLength - headerLength,
    addressSum: sumAddresses(bytes, offset, 4),
  });
}

export type Ipv4Envelope = Pick<
  Ipv4Header,
  'source' | 'destination' | 'protocol' | 'typeOfService' | 'hopLimit' | 'payloadLength'
>;

/** Writes a header without options at `offset`, its checksum included. */
export function writeIpv4(bytes: Uint8Array, offset: number, header: Ipv4Envelope): void {
  const source = addressBytes(header.source);
  const destination = addressBytes(header.destination);
  if (source.length !== 4 || destination.length !== 4) {
    throw new RangeError(`an IPv4 header carries IPv4 addresses, not ${header.source} and ${header.destination}`);
  }
  bytes[offset] = 0x45;
  bytes[offset + 1] = inRange('type of service', header.typeOfService, 0, 255);
  writeU16(bytes, offset + 2, ipv4HeaderLength + inRange('payload length', header.payloadLength, 0, 65_515));
  // An atomic datagram: never fragmented, so the identification may be 0 (RFC 6864 §4.1).
  writeU16(bytes, offset + 4, 0);
  writeU16(bytes, offset + 6, 0x4000);
  bytes[offset + 8] = inRange('hop limit', header.hopLimit, 0, 255);
  bytes[offset + 9] = inRange('protocol', header.protocol, 0, 255);
  writeU16(bytes, offset + 10, 0);
  bytes.set(source, offset + 12);
  bytes.set(destination, offset + 16);
  writeU16(bytes, offset + 10, internetChecksum(bytes, offset, ipv4HeaderLength));
}

/** The 20 octets of a header without options. */
export function encodeIpv4(header: Ipv4Envelope): Uint8Array {
  const bytes = new Uint8Array(ipv4HeaderLength);
  writeIpv4(bytes, 0, header);
  return bytes;
}
