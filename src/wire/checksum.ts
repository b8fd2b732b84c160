import type { AddressFamily } from './address.js';
import { readU8, readU16 } from './octets.js';

/**
 * The Internet checksum (RFC 1071). A *sum* is an unfolded total of 16-bit words and may be carried from range to range;
 * it stays exact for every packet IP can carry.
 */

/** Adds the 16-bit words of a range to `sum`; an odd last octet counts as the high half of a word. */
export function addWords(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  let total = sum;
  const end = offset + length;
  let at = offset;
  for (; at + 1 < end; at += 2) total += readU16(bytes, at);
  return at < end ? total + (readU8(bytes, at) << 8) : total;
}

/** The sum in 16 bits, carries added back in; 0xffff means that a range which holds its own checksum is intact. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x1_0000);
  return folded;
}

/** What to write into the checksum field, given the sum of everything else. */
export function checksumOfSum(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** The checksum of one range whose checksum field is zero. */
export function internetChecksum(bytes: Uint8Array, offset = 0, length = bytes.length - offset): number {
  return checksumOfSum(addWords(0, bytes, offset, length));
}

/** The checksum after one 16-bit word has changed, without reading the rest (RFC 1624 §3, equation 3). */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return checksumOfSum((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord);
}

/**
 * The words of the two addresses, which stand side by side in both IP headers: at 12 in IPv4, at 8 in IPv6. Summed
 * here once, so that no pseudo-header is ever built.
 */
export function sumAddresses(bytes: Uint8Array, headerOffset: number, family: AddressFamily): number {
  return family === 4 ? addWords(0, bytes, headerOffset + 12, 8) : addWords(0, bytes, headerOffset + 8, 32);
}

/**
 * The sum of a pseudo-header: the addresses' words, the protocol, the length of what the checksum protects
 * (RFC 793 §3.1 for IPv4, RFC 8200 §8.1 for IPv6; the 32-bit length of the latter never exceeds 16 bits here).
 */
export function pseudoHeaderSum(addressSum: number, protocol: number, length: number): number {
  return addressSum + protocol + length;
}
