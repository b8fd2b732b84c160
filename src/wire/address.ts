import { type Decoded, decoded, refused } from './decoded.js';
import { type MacAddress, readMac } from './mac.js';
import { readU8, readU16, writeU16 } from './octets.js';
import { TextCache } from './text-cache.js';

/**
 * IPv4 and IPv6 addresses, bytes ⇄ text. Text is canonical (dotted decimal; RFC 5952), so that equal addresses are
 * equal strings. Parsing is strict: no leading zeros, no short forms, no zone, no blanks.
 */

export type AddressFamily = 4 | 6;

export interface IpAddress {
  readonly family: AddressFamily;
  /** 4 or 16 octets, network order. */
  readonly bytes: Uint8Array;
  /** Canonical text. */
  readonly text: string;
}

export interface IpPrefix {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

export type AddressRefusal = 'bad_address' | 'address_has_zone';
export type PrefixRefusal = AddressRefusal | 'missing_prefix_length' | 'bad_prefix_length';

const recentIpv4 = new TextCache(4, writeOutIpv4);
const recentIpv6 = new TextCache(16, writeOutIpv6);

/** The longest text of an address: eight groups with an IPv4 tail. */
const textLengthMax = 45;

/** An address without zone or prefix length, e.g. `192.0.2.1` or `2001:DB8::1`; the text of the result is canonical. */
export function parseAddress(text: string): Decoded<IpAddress, AddressRefusal> {
  if (text.includes('%')) return refused('address_has_zone');
  if (text.length > textLengthMax) return refused('bad_address');
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  if (bytes === undefined) return refused('bad_address');
  return decoded({ family: bytes.length === 4 ? 4 : 6, bytes, text: formatAddress(bytes) });
}

/** An address with its prefix length, e.g. `10.0.0.1/24`. Host bits are kept: it is an address on a network. */
export function parsePrefix(text: string): Decoded<IpPrefix, PrefixRefusal> {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address.ok) return address;
  if (slash < 0) return refused('missing_prefix_length');
  const prefixLength = parseDecimal(text.slice(slash + 1), address.value.family === 4 ? 32 : 128);
  return prefixLength === undefined ? refused('bad_prefix_length') : decoded({ address: address.value, prefixLength });
}

/**
 * The octets of an address already known to be one.
 * @throws RangeError if it is not: configuration and decoders hand over nothing else.
 */
export function addressBytes(text: string): Uint8Array {
  const address = parseAddress(text);
  if (!address.ok) throw new RangeError(`not an IP address: ${text}`);
  return address.value.bytes;
}

/** The family of an address already known to be one, told from its text alone. */
export function familyOf(text: string): AddressFamily {
  return text.includes(':') ? 6 : 4;
}

/** 4 or 16 octets as canonical text. */
export function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? readIpv4(bytes, 0) : readIpv6(bytes, 0);
}

/** The IPv4 address at `offset`, as text. The caller has checked that it is there. */
export function readIpv4(bytes: Uint8Array, offset: number): string {
  return recentIpv4.read(bytes, offset);
}

function writeOutIpv4(bytes: Uint8Array, offset: number): string {
  return `${readU8(bytes, offset)}.${readU8(bytes, offset + 1)}.${readU8(bytes, offset + 2)}.${readU8(bytes, offset + 3)}`;
}

/** The IPv6 address at `offset`, as RFC 5952 text. The caller has checked that it is there. */
export function readIpv6(bytes: Uint8Array, offset: number): string {
  return recentIpv6.read(bytes, offset);
}

function writeOutIpv6(bytes: Uint8Array, offset: number): string {
  const [runStart, runEnd] = longestZeroRun(bytes, offset);
  // RFC 5952 §5: the mixed notation only for a prefix that is known to hold an IPv4 address, here ::ffff:0:0/96.
  if (runStart === 0 && runEnd === 5 && readU16(bytes, offset + 10) === 0xffff) {
    return `::ffff:${readIpv4(bytes, offset + 12)}`;
  }
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === runStart) {
      text += '::';
      group = runEnd - 1;
      continue;
    }
    if (group > 0 && group !== runEnd) text += ':';
    text += readU16(bytes, offset + group * 2).toString(16);
  }
  return text;
}

/** The longest run of two or more zero groups, the first of equals, as [start, end); [8, 8] if there is none. */
function longestZeroRun(bytes: Uint8Array, offset: number): readonly [number, number] {
  let bestStart = 8;
  let bestLength = 1;
  let length = 0;
  for (let group = 0; group < 8; group++) {
    length = readU16(bytes, offset + group * 2) === 0 ? length + 1 : 0;
    if (length > bestLength) {
      bestLength = length;
      bestStart = group + 1 - length;
    }
  }
  return bestStart === 8 ? [8, 8] : [bestStart, bestStart + bestLength];
}

/** -1, 0 or 1 as `a` is below, equal to or above `b` as an unsigned number; IPv4 is below IPv6. */
export function compareAddresses(a: string, b: string): -1 | 0 | 1 {
  return compareAddressBytes(addressBytes(a), addressBytes(b));
}

/** `compareAddresses` for octets in network order. */
export function compareAddressBytes(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  if (a.length !== b.length) return a.length < b.length ? -1 : 1;
  for (let index = 0; index < a.length; index++) {
    const octetA = readU8(a, index);
    const octetB = readU8(b, index);
    if (octetA !== octetB) return octetA < octetB ? -1 : 1;
  }
  return 0;
}

/** fe80::/10 (RFC 4291 §2.5.6). IPv4's 169.254/16 is not meant: no protocol here treats it apart. */
export function isLinkLocalIpv6(bytes: Uint8Array): boolean {
  return bytes.length === 16 && (readU16(bytes, 0) & 0xffc0) === 0xfe80;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(bytes: Uint8Array): boolean {
  return bytes.length === 4 ? readU8(bytes, 0) >>> 4 === 0xe : readU8(bytes, 0) === 0xff;
}

/**
 * The Ethernet group address of an IP multicast group: 01:00:5e and the low 23 bits (RFC 1112 §6.4), or 33:33 and the
 * low 32 bits (RFC 2464 §7).
 */
export function multicastMac(group: Uint8Array): MacAddress {
  const mac = new Uint8Array(6);
  if (group.length === 4) {
    mac.set([0x01, 0x00, 0x5e, readU8(group, 1) & 0x7f, readU8(group, 2), readU8(group, 3)]);
  } else {
    mac.set([0x33, 0x33]);
    mac.set(group.subarray(12, 16), 2);
  }
  return readMac(mac, 0);
}

/** Decimal digits without leading zeros, not above `max`. */
function parseDecimal(text: string, max: number): number | undefined {
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    const octet = parseDecimal(part, 255);
    if (octet === undefined) return undefined;
    bytes[index] = octet;
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves;
  // An IPv4 tail may stand only at the very end of the address.
  const headGroups = parseGroups(head ?? '', tail === undefined);
  const tailGroups = tail === undefined ? [] : parseGroups(tail, true);
  if (headGroups === undefined || tailGroups === undefined) return undefined;
  const count = headGroups.length + tailGroups.length;
  if (tail === undefined ? count !== 8 : count > 7) return undefined;
  const bytes = new Uint8Array(16);
  for (const [index, group] of headGroups.entries()) writeU16(bytes, index * 2, group);
  for (const [index, group] of tailGroups.entries()) writeU16(bytes, (8 - tailGroups.length + index) * 2, group);
  return bytes;
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (mayEndInIpv4 && index === parts.length - 1 && part.includes('.')) {
      const bytes = parseIpv4(part);
      if (bytes === undefined) return undefined;
      groups.push(readU16(bytes, 0), readU16(bytes, 2));
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

/** The network that an address with this prefix length is in: all bits beyond the prefix are zero. */
export function networkOf(address: string, prefixLength: number): string {
  const network = addressBytes(address).map((octet, index) => {
    const kept = Math.min(Math.max(prefixLength - index * 8, 0), 8);
    return octet & (0xff00 >> kept);
  });
  return formatAddress(network);
}
