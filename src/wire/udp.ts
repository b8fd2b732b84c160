import { addressBytes } from './address.js';
import { addWords, checksumOfSum, pseudoHeaderSum } from './checksum.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { inRange, readU16, writeU16 } from './octets.js';

/*
 * UDP (RFC 768)
 *   0  2  source port
 *   2  2  destination port
 *   4  2  length, with this header
 *   6  2  checksum, with pseudo-header; 0 for none, over IPv4 alone
 *   8     payload
 */

export const udpProtocol = 17;
export const udpHeaderLength = 8;

export interface UdpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payloadOffset: number;
  readonly payloadLength: number;
}

export type UdpRefusal = 'udp_bad_length';

/** The checksum is left alone: what is read here carries a digest of its own. */
export function decodeUdp(bytes: Uint8Array, offset: number, length: number): Decoded<UdpHeader, UdpRefusal> {
  if (length < udpHeaderLength || offset + length > bytes.length) return refused('udp_bad_length');
  const claimed = readU16(bytes, offset + 4);
  if (claimed < udpHeaderLength || claimed > length) return refused('udp_bad_length');
  return decoded({
    sourcePort: readU16(bytes, offset),
    destinationPort: readU16(bytes, offset + 2),
    payloadOffset: offset + udpHeaderLength,
    payloadLength: claimed - udpHeaderLength,
  });
}

/** The datagram as an IP payload, checksum included. @throws RangeError for a port or length that does not fit. */
export function encodeUdp(
  header: {
    readonly sourcePort: number;
    readonly destinationPort: number;
    readonly source: string;
    readonly destination: string;
  },
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(udpHeaderLength + payload.length);
  writeU16(bytes, 0, inRange('source port', header.sourcePort, 0, 0xffff));
  writeU16(bytes, 2, inRange('destination port', header.destinationPort, 0, 0xffff));
  writeU16(bytes, 4, inRange('length', bytes.length, udpHeaderLength, 0xffff));
  bytes.set(payload, udpHeaderLength);
  const addresses = [addressBytes(header.source), addressBytes(header.destination)];
  const addressSum = addresses.reduce((sum, address) => addWords(sum, address, 0, address.length), 0);
  const sum = addWords(pseudoHeaderSum(addressSum, udpProtocol, bytes.length), bytes, 0, bytes.length);
  // A sum of 0 is sent as its other form, since 0 says that there is none.
  writeU16(bytes, 6, checksumOfSum(sum) || 0xffff);
  return bytes;
}
