import { type Decoded, decoded, refused } from './decoded.js';
import { inRange, readU8 } from './octets.js';
import { TextCache } from './text-cache.js';

declare const macBrand: unique symbol;

/** An Ethernet address as text, lower case, with colons: `00:00:5e:00:01:33`. Equal addresses are equal strings. */
export type MacAddress = string & { readonly [macBrand]: true };

export type MacRefusal = 'bad_mac';

export const macLength = 6;

const hexOctets: readonly string[] = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'));
const macPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** Reads `aa:bb:cc:dd:ee:ff` (or with dashes, in either case), and nothing else. */
export function parseMac(text: string): Decoded<MacAddress, MacRefusal> {
  const lower = text.toLowerCase();
  const withColons = lower.includes(':') ? lower : lower.replaceAll('-', ':');
  return macPattern.test(withColons) ? decoded(withColons as MacAddress) : refused('bad_mac');
}

function writeOut(bytes: Uint8Array, offset: number): string {
  const octet = (index: number) => hexOctets[readU8(bytes, offset + index)] ?? '00';
  return `${octet(0)}:${octet(1)}:${octet(2)}:${octet(3)}:${octet(4)}:${octet(5)}`;
}

const recent = new TextCache(macLength, writeOut);

/** The six octets at `offset`. The caller has checked that they are there. */
export function readMac(bytes: Uint8Array, offset: number): MacAddress {
  return recent.read(bytes, offset) as MacAddress;
}

/** Six octets as text; fewer are read as if followed by zeros. */
export function formatMac(bytes: Uint8Array): MacAddress {
  return readMac(bytes, 0);
}

/** Puts the six octets of `mac` at `offset`. */
export function writeMac(bytes: Uint8Array, offset: number, mac: MacAddress): void {
  for (let index = 0; index < macLength; index++) {
    bytes[offset + index] = Number.parseInt(mac.slice(index * 3, index * 3 + 2), 16);
  }
}

/** The six octets of `mac`, newly allocated. */
export function macBytes(mac: MacAddress): Uint8Array {
  const bytes = new Uint8Array(macLength);
  writeMac(bytes, 0, mac);
  return bytes;
}

export const broadcastMac = 'ff:ff:ff:ff:ff:ff' as MacAddress;
export const zeroMac = '00:00:00:00:00:00' as MacAddress;

/** Group or broadcast: the lowest bit of the first octet (IEEE 802.3 §3.2.3). */
export function isGroupMac(mac: MacAddress): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/**
 * The virtual router MAC: `00:00:5e:00:01:VRID` for IPv4, `00:00:5e:00:02:VRID` for IPv6 (RFC 9568 §7.3).
 * @throws RangeError for a VRID outside 1..255.
 */
export function vrrpVirtualMac(family: 4 | 6, vrid: number): MacAddress {
  const id = hexOctets[inRange('VRID', vrid, 1, 255)] ?? '00';
  return `00:00:5e:00:0${family === 4 ? 1 : 2}:${id}` as MacAddress;
}

/**
 * CARP's virtual MAC, `00:00:5e:00:01:VHID`, for both families (OpenBSD and FreeBSD `ip_carp.c`).
 * @throws RangeError for a VHID outside 1..255.
 */
export function carpVirtualMac(vhid: number): MacAddress {
  return `00:00:5e:00:01:${hexOctets[inRange('VHID', vhid, 1, 255)] ?? '00'}` as MacAddress;
}
