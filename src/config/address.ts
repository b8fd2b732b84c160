import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { isMap } from './path.js';

/** A virtual IP as configured: canonical text (RFC 5952 for IPv6), the prefix length of its network. */
export interface VirtualAddress {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefixLength: number;
}

export type AddressRefusal = { readonly message: string; readonly remedy: string };
export type ParsedAddress =
  | { readonly ok: true; readonly value: VirtualAddress }
  | ({ readonly ok: false } & AddressRefusal);

/** Canonical text of an IP address, so that two spellings of one address compare equal; undefined where it is none. */
export function canonicalAddress(text: string): { family: 4 | 6; address: string } | undefined {
  if (isIPv4(text)) return { family: 4, address: text };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return { family: 6, address: new SocketAddress({ address: text, family: 'ipv6' }).address };
}

/** The address of an entry of `addresses` in the file, which is a text or has one; undefined where it has none. */
export function addressTextOf(entry: unknown): string | undefined {
  const text: unknown = isMap(entry) ? entry.address : entry;
  return typeof text === 'string' ? text : undefined;
}

/** The 32 bits of an IPv4 address as an unsigned number. */
export function ipv4Bits(address: string): number {
  return address.split('.').reduce((bits, octet) => bits * 256 + Number(octet), 0);
}

/** Whether two IPv4 addresses lie in one network of `prefixLength` bits. */
export function sameIpv4Network(a: string, b: string, prefixLength: number): boolean {
  const hostSpan = 2 ** (32 - prefixLength);
  return Math.floor(ipv4Bits(a) / hostSpan) === Math.floor(ipv4Bits(b) / hostSpan);
}

/**
 * Reads a virtual IP, `10.77.0.254/24` or `2001:db8::254/64`; without a prefix length it is a single host.
 * Refuses what no host may own: unspecified, loopback, multicast, broadcast and network addresses (RFC 1122 §3.2.1.3,
 * RFC 4291 §2.4).
 */
export function parseVirtualAddress(text: string): ParsedAddress {
  const [host = '', prefix, ...rest] = text.split('/');
  const canonical = canonicalAddress(host);
  if (canonical === undefined || rest.length > 0) {
    return refused(`'${text}' is not an IP address`, 'write it as 10.77.0.254/24 or 2001:db8::254/64');
  }
  const { family, address } = canonical;
  const bits = family === 4 ? 32 : 128;
  if (prefix !== undefined && (!/^(0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > bits || Number(prefix) === 0)) {
    return refused(`'${text}' has the prefix length '${prefix}'`, `write a prefix length from 1 to ${bits}`);
  }
  const prefixLength = prefix === undefined ? bits : Number(prefix);
  const fault = family === 4 ? ipv4Fault(address, prefixLength) : ipv6Fault(address, prefixLength);
  if (fault !== undefined) return refused(`'${text}' is ${fault}`, 'a virtual IP must be a unicast host address');
  return { ok: true, value: { family, address, prefixLength } };
}

/**
 * Reads a route's destination, `10.0.0.0/8` or `::/0`; the prefix length is required, and an IPv4 address with bits
 * beyond it is refused.
 */
export function parsePrefix(text: string): VirtualAddress | undefined {
  const [host = '', prefix, ...rest] = text.split('/');
  const canonical = canonicalAddress(host);
  if (canonical === undefined || rest.length > 0 || prefix === undefined || !/^(0|[1-9]\d{0,2})$/.test(prefix)) {
    return undefined;
  }
  const { family, address } = canonical;
  const prefixLength = Number(prefix);
  if (prefixLength > (family === 4 ? 32 : 128)) return undefined;
  if (family === 4 && ipv4Bits(address) % 2 ** (32 - prefixLength) !== 0) return undefined;
  return { family, address, prefixLength };
}

function ipv4Fault(address: string, prefixLength: number): string | undefined {
  const bits = ipv4Bits(address);
  const first = Math.floor(bits / 2 ** 24);
  if (first === 0) return 'the unspecified address';
  if (first === 127) return 'a loopback address';
  if (first >= 224 && first < 240) return 'a multicast address';
  if (first >= 240) return 'a reserved or broadcast address';
  // RFC 3021: a /31 has neither a network nor a broadcast address.
  if (prefixLength <= 30) {
    const hostSpan = 2 ** (32 - prefixLength);
    if (bits % hostSpan === 0) return `the network address of its /${prefixLength}`;
    if (bits % hostSpan === hostSpan - 1) return `the broadcast address of its /${prefixLength}`;
  }
  return undefined;
}

function ipv6Fault(address: string, prefixLength: number): string | undefined {
  if (address === '::') return 'the unspecified address';
  if (address === '::1') return 'the loopback address';
  if (address.startsWith('ff')) return 'a multicast address';
  if (address.startsWith('::ffff:')) return 'an IPv4 address in IPv6 form';
  // RFC 4291 §2.6.1: every router of the network answers for it; RFC 6164 exempts /127.
  const hostBits = BigInt(128 - prefixLength);
  if (prefixLength < 127 && ipv6Bits(address) % (1n << hostBits) === 0n) {
    return `the anycast address of all routers of its /${prefixLength}`;
  }
  return undefined;
}

function ipv6Bits(address: string): bigint {
  const groups = (text: string | undefined): string[] => (text === undefined || text === '' ? [] : text.split(':'));
  const [head, tail] = address.split('::').map(groups);
  const [front, back] = [head ?? [], tail ?? []];
  const zeros = new Array<string>(8 - front.length - back.length).fill('0');
  return [...front, ...zeros, ...back].reduce((bits, group) => (bits << 16n) + BigInt(`0x${group}`), 0n);
}

function refused(message: string, remedy: string): ParsedAddress {
  return { ok: false, message, remedy };
}
