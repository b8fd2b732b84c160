import { addressBytes, familyOf, readIpv4, readIpv6 } from '../wire/address.js';
import type { Ack, Answer, Netlink } from './netlink.js';
import { attributeText, flag, forEachAttribute, headerBytes, type Message, MessageBuilder } from './netlink-message.js';

/** Addresses over rtnetlink (rtnetlink(7), linux/if_addr.h), both families. */

const rtm = { newAddr: 20, delAddr: 21, getAddr: 22 } as const;
/** Attributes of an address (linux/if_addr.h). */
export const ifa = { address: 1, local: 2, label: 3, cacheInfo: 6, flags: 8, proto: 11 } as const;
const afInet = 2;
const afInet6 = 10;
const forever = 0xffff_ffff;

const flagBits = {
  secondary: 0x01,
  noDad: 0x02,
  dadFailed: 0x08,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  noPrefixRoute: 0x200,
} as const;
const flagNames = Object.keys(flagBits) as (keyof typeof flagBits)[];
export type AddressFlags = { readonly [K in keyof typeof flagBits]: boolean };

const scopes: Readonly<Record<number, AddressScope>> = { 0: 'global', 200: 'site', 253: 'link', 254: 'host' };
export type AddressScope = 'global' | 'site' | 'link' | 'host' | 'nowhere';

/** An address on an interface. Identity is (ifindex, address, prefixLength). */
export interface Address {
  readonly family: 4 | 6;
  readonly ifindex: number;
  /** Canonical text. */
  readonly address: string;
  readonly prefixLength: number;
  readonly flags: AddressFlags;
  /** IFA_PROTO, who put it there; undefined when nobody said (0), or on kernels before 5.18. */
  readonly proto: number | undefined;
  readonly label: string | undefined;
  readonly scope: AddressScope;
  /** Seconds left when the kernel was asked; Infinity for ever. */
  readonly validSeconds: number;
  readonly preferredSeconds: number;
}

/** Reads RTM_NEWADDR or RTM_DELADDR; undefined for other messages and families. */
export function parseAddressMessage(message: Message): Address | undefined {
  const { bytes, view, start, end } = message;
  if (message.type !== rtm.newAddr && message.type !== rtm.delAddr) return undefined;
  if (end - start < headerBytes + 8) return undefined;
  const header = start + headerBytes;
  const family = view.getUint8(header);
  if (family !== afInet && family !== afInet6) return undefined;
  let flags = view.getUint8(header + 2);
  let address: string | undefined;
  let local: string | undefined;
  let label: string | undefined;
  let proto: number | undefined;
  let validSeconds = Number.POSITIVE_INFINITY;
  let preferredSeconds = Number.POSITIVE_INFINITY;
  const textAt = (at: number) => (family === afInet ? readIpv4(bytes, at) : readIpv6(bytes, at));
  forEachAttribute(view, header + 8, end, (type, at, length) => {
    if (type === ifa.address) address = textAt(at);
    else if (type === ifa.local) local = textAt(at);
    else if (type === ifa.label) label = attributeText(bytes, at, length);
    else if (type === ifa.flags) flags = view.getUint32(at, true);
    else if (type === ifa.proto) proto = view.getUint8(at) || undefined;
    else if (type === ifa.cacheInfo) ({ preferredSeconds, validSeconds } = lifetimesAt(view, at));
  });
  // On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL, where there is one, is always ours.
  const own = local ?? address;
  if (own === undefined) return undefined;
  const has = (bit: number) => (flags & bit) !== 0;
  return {
    family: family === afInet ? 4 : 6,
    ifindex: view.getUint32(header + 4, true),
    address: own,
    prefixLength: view.getUint8(header + 1),
    flags: {
      secondary: has(flagBits.secondary),
      noDad: has(flagBits.noDad),
      dadFailed: has(flagBits.dadFailed),
      deprecated: has(flagBits.deprecated),
      tentative: has(flagBits.tentative),
      permanent: has(flagBits.permanent),
      noPrefixRoute: has(flagBits.noPrefixRoute),
    },
    proto,
    label,
    scope: scopes[view.getUint8(header + 3)] ?? 'nowhere',
    validSeconds,
    preferredSeconds,
  };
}

/** struct ifa_cacheinfo: {u32 preferred, u32 valid, …}. */
export const lifetimesAt = (view: DataView, at: number): Pick<Address, 'preferredSeconds' | 'validSeconds'> => ({
  preferredSeconds: seconds(view.getUint32(at, true)),
  validSeconds: seconds(view.getUint32(at + 4, true)),
});

const seconds = (value: number): number => (value === forever ? Number.POSITIVE_INFINITY : value);

/** An address is there, is new, or is another. */
export const isAddressNews = ({ type, start, end }: Message): boolean =>
  type === rtm.newAddr && end - start >= headerBytes + 8;

export const isAddressRemoval = (message: Message): boolean => message.type === rtm.delAddr;

/** What identifies an address among those of one interface. */
export const addressKey = (address: { readonly address: string; readonly prefixLength: number }): string =>
  `${address.address}/${address.prefixLength}`;

/** True when both say the same, lifetimes aside, which run down by themselves. */
export function sameAddress(a: Address, b: Address): boolean {
  return (
    a.ifindex === b.ifindex &&
    a.address === b.address &&
    a.prefixLength === b.prefixLength &&
    a.proto === b.proto &&
    a.label === b.label &&
    a.scope === b.scope &&
    flagNames.every((name) => a.flags[name] === b.flags[name])
  );
}

/** struct ifaddrmsg: {u8 family, u8 prefix length, u8 flags, u8 scope, u32 index}. */
function addressHeader(family: number, prefixLength: number, ifindex: number): Uint8Array {
  const header = new Uint8Array(8);
  header[0] = family;
  header[1] = prefixLength;
  new DataView(header.buffer).setUint32(4, ifindex, true);
  return header;
}

/** Every address of both families. */
export function dumpAddresses(netlink: Netlink): Answer<Address[]> {
  return netlink.dump(new MessageBuilder(rtm.getAddr, 0, addressHeader(0, 0, 0)).finish(), parseAddressMessage);
}

/** Which address, exactly. */
export interface AddressId {
  readonly ifindex: number;
  readonly address: string;
  readonly prefixLength: number;
}

export interface AddressSpec extends AddressId {
  /** IFA_PROTO. */
  readonly proto: number;
  /** The kernel removes the address by itself when this has passed without a renewal. Default: for ever. */
  readonly validSeconds?: number;
}

/** 32 or 128: a virtual address brings no network with it. */
export const hostPrefixLength = (address: string): 32 | 128 => (familyOf(address) === 4 ? 32 : 128);

function addMessage(spec: AddressSpec, flags: number): Uint8Array {
  const family = familyOf(spec.address) === 4 ? afInet : afInet6;
  const bytes = addressBytes(spec.address);
  const valid = lifetime(spec.validSeconds);
  const cacheInfo = new Uint8Array(16);
  const view = new DataView(cacheInfo.buffer);
  view.setUint32(0, valid, true);
  view.setUint32(4, valid, true);
  // Duplicate address detection would kill the address beside a master with the same MAC, or not see it: NODAD.
  const addressFlags = family === afInet ? flagBits.noPrefixRoute : flagBits.noPrefixRoute | flagBits.noDad;
  return new MessageBuilder(rtm.newAddr, flags, addressHeader(family, spec.prefixLength, spec.ifindex))
    .bytes(ifa.local, bytes)
    .bytes(ifa.address, bytes)
    .u32(ifa.flags, addressFlags)
    .u8(ifa.proto, spec.proto)
    .bytes(ifa.cacheInfo, cacheInfo)
    .finish();
}

function lifetime(validSeconds: number | undefined): number {
  if (validSeconds === undefined || validSeconds === Number.POSITIVE_INFINITY) return forever;
  // 0 would be refused, and is what a fraction would round to.
  return Math.min(Math.max(Math.ceil(validSeconds), 1), forever - 1);
}

/** NLM_F_CREATE and NLM_F_EXCL, no prefix route, IPv6 without DAD. EEXIST when the interface has it already. */
export function addAddress(netlink: Netlink, spec: AddressSpec): Ack {
  return netlink.requestOne(addMessage(spec, flag.create | flag.exclusive));
}

export function addAddresses(netlink: Netlink, specs: readonly AddressSpec[]): Ack[] {
  return netlink.request(specs.map((spec) => addMessage(spec, flag.create | flag.exclusive)));
}

/**
 * Starts the lifetime anew, keeping flags and owner tag (NLM_F_REPLACE). The kernel *adds* an address that it does not
 * find, with or without NLM_F_CREATE: renew only what the monitor, drained just before, still shows on the interface.
 */
export function renewAddress(netlink: Netlink, spec: AddressSpec): Ack {
  return netlink.requestOne(addMessage(spec, flag.replace));
}

/**
 * Renewals of many interfaces, for few system calls. As with {@link renewAddress}: nothing may take an address off between its
 * being put here and `send`.
 */
export class AddressRenewals {
  readonly #messages = new Map<Netlink, Uint8Array[]>();
  /** Of each object that was put: the next time it is the same. */
  readonly #built = new WeakMap<AddressSpec, Uint8Array>();

  put(netlink: Netlink, specs: readonly AddressSpec[]): void {
    let waiting = this.#messages.get(netlink);
    if (waiting === undefined) {
      waiting = [];
      this.#messages.set(netlink, waiting);
    }
    for (const spec of specs) waiting.push(this.#message(spec));
  }

  /** What the kernel refuses is seen to be missing, or runs out, and is repaired then: nobody waits for its answers. */
  send(): void {
    for (const [netlink, messages] of this.#messages) netlink.tell(messages);
    this.#messages.clear();
  }

  #message(spec: AddressSpec): Uint8Array {
    let message = this.#built.get(spec);
    if (message === undefined) {
      message = addMessage(spec, flag.replace);
      this.#built.set(spec, message);
    }
    return message;
  }
}

function removeMessage(id: AddressId): Uint8Array {
  const family = familyOf(id.address) === 4 ? afInet : afInet6;
  const bytes = addressBytes(id.address);
  return new MessageBuilder(rtm.delAddr, 0, addressHeader(family, id.prefixLength, id.ifindex))
    .bytes(ifa.local, bytes)
    .bytes(ifa.address, bytes)
    .finish();
}

/** Exactly this one, by interface, address and prefix length. EADDRNOTAVAIL or ENODEV when it is gone already. */
export function removeAddress(netlink: Netlink, id: AddressId): Ack {
  return netlink.requestOne(removeMessage(id));
}

export function removeAddresses(netlink: Netlink, ids: readonly AddressId[]): Ack[] {
  return netlink.request(ids.map(removeMessage));
}

/** Removals of many interfaces, for few system calls. */
export class AddressRemovals {
  readonly #ids = new Map<Netlink, AddressId[]>();

  put(netlink: Netlink, ids: readonly AddressId[]): void {
    const waiting = this.#ids.get(netlink);
    if (waiting === undefined) this.#ids.set(netlink, [...ids]);
    else waiting.push(...ids);
  }

  /** What the kernel refuses is found by whoever reads back. */
  send(): void {
    for (const [netlink, ids] of this.#ids) removeAddresses(netlink, ids);
    this.#ids.clear();
  }
}

/** True for the refusals of a removal that mean: it is not there. */
export function alreadyGone(ack: Ack): boolean {
  return !ack.ok && (ack.errno === 'EADDRNOTAVAIL' || ack.errno === 'ENODEV');
}
