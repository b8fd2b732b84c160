import { KoiError } from '../koi-error.js';
import { type Ack, NETLINK_NETFILTER, Netlink } from './netlink.js';
import { flag, MessageBuilder } from './netlink-message.js';

/**
 * The nf_tables messages that Koi's tables are made of (linux/netfilter/nf_tables.h), and the transaction that puts them
 * in force together. The kernel is spoken to directly; no `nft` program is needed.
 */

const verdicts = { drop: 0, accept: 1, jump: -3 } as const;
const subsystem = 10 << 8;
export const nft = {
  newTable: 0,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  newRule: 6,
  getRule: 7,
  newSet: 9,
  newElements: 12,
  getElements: 13,
} as const;
const batchBegin = 0x10;
const batchEnd = 0x11;

const table = { name: 1, flags: 2 } as const;
export const chain = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
export const rule = { table: 1, chain: 2, expressions: 4, userdata: 7 } as const;
const set = { table: 1, name: 2, flags: 3, keyType: 4, keyLength: 5, id: 10, expression: 17 } as const;
export const elements = { table: 1, set: 2, list: 3 } as const;
export const element = { key: 1, expression: 7 } as const;
/** An attribute has at most 65,535 octets, and an element takes a hundred. */
const elementsAtOnce = 400;
const listElement = 1;
export const expression = { name: 1, data: 2 } as const;
const payload = { register: 1, base: 2, offset: 3, length: 4 } as const;
export const compare = { register: 1, op: 2, data: 3 } as const;
export const counterPackets = 2;
const register1 = 1;
/** 16 octets each, one behind the other: a key that is longer begins in the first. */
const register2 = 2;
const lookup = { set: 1, register: 2 } as const;
export const equal = 0;
export const notEqual = 1;
const range = { register: 1, op: 2, from: 3, to: 4 } as const;
const meta = { register: 1, key: 2 } as const;
/**
 * NFT_META_NFPROTO, NFT_META_L4PROTO and NFT_META_OIFGROUP: which family a packet of an `inet` table is of, what it carries,
 * and the group of the interface that it leaves by.
 */
export const metaKey = { family: 15, protocol: 16, leavesByGroup: 22 } as const;
/** Userdata is a list of {u8 type, u8 length, bytes}; type 0 is the comment that `nft list` prints. */
const commentType = 0;

export type PayloadBase = 'network' | 'transport';
const payloadBases: Readonly<Record<PayloadBase, number>> = { network: 1, transport: 2 };

/** The type of a message in an answer. */
export const nftType = (type: number): number => subsystem | type;

export type NftResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** struct nfgenmsg: {u8 family, u8 version, u16 resource id, network order}. */
const header = (family: number, resource = 0): Uint8Array => Uint8Array.of(family, 0, resource >> 8, resource & 0xff);

/** What an nf_tables message begins with; `family` is NFPROTO_*. */
export const nftMessage = (family: number, type: number, flags: number): MessageBuilder =>
  new MessageBuilder(subsystem | type, flags | flag.request, header(family));

export const tableMessage = (family: number, type: number, flags: number, name: string): Uint8Array =>
  nftMessage(family, type, flags).string(table.name, name).u32be(table.flags, 0).finish();

/** A chain of type filter at a hook, which lets through what no rule catches. */
export function chainMessage(family: number, tableName: string, name: string, hook: number): Uint8Array {
  return nftMessage(family, nft.newChain, flag.create)
    .string(chain.table, tableName)
    .string(chain.name, name)
    .nest(chain.hook, (inner) => inner.u32be(1, hook).u32be(2, 0), true)
    .u32be(chain.policy, 1)
    .string(chain.type, 'filter')
    .finish();
}

/** A chain that others jump into. */
export const innerChainMessage = (family: number, tableName: string, name: string): Uint8Array =>
  nftMessage(family, nft.newChain, flag.create).string(chain.table, tableName).string(chain.name, name).finish();

/** A rule at the end of a chain, with the comment that `nft list` prints. */
export function ruleMessage(
  family: number,
  tableName: string,
  chainName: string,
  comment: string,
  build: (list: MessageBuilder) => void,
): Uint8Array {
  const words = new TextEncoder().encode(`${comment}\0`);
  return nftMessage(family, nft.newRule, flag.create | flag.append)
    .string(rule.table, tableName)
    .string(rule.chain, chainName)
    .nest(rule.expressions, build, true)
    .bytes(rule.userdata, Uint8Array.of(commentType, words.length, ...words))
    .finish();
}

function expressionOf(
  list: MessageBuilder,
  name: string,
  build: (data: MessageBuilder) => void,
  as: number = listElement,
): void {
  list.nest(
    as,
    (inside) => {
      inside.string(expression.name, name).nest(expression.data, build, true);
    },
    true,
  );
}

function load(list: MessageBuilder, base: PayloadBase, offset: number, length: number, register = register1): void {
  expressionOf(list, 'payload', (data) => {
    data
      .u32be(payload.register, register)
      .u32be(payload.base, payloadBases[base])
      .u32be(payload.offset, offset)
      .u32be(payload.length, length);
  });
}

function compareLoaded(list: MessageBuilder, op: number, value: Uint8Array): void {
  expressionOf(list, 'cmp', (data) => {
    data
      .u32be(compare.register, register1)
      .u32be(compare.op, op)
      .nest(compare.data, (inner) => inner.bytes(1, value), true);
  });
}

/** The rule goes on where the octets at `offset` are (or are not) `value`. */
export function matchPayload(
  list: MessageBuilder,
  base: PayloadBase,
  offset: number,
  op: number,
  value: Uint8Array,
): void {
  load(list, base, offset, value.length);
  compareLoaded(list, op, value);
}

/** Octets of a packet. */
export interface PayloadPart {
  readonly base: PayloadBase;
  readonly offset: number;
  readonly length: number;
}

/** The rule goes on where the set has a key of these octets: 16 at most, and of the second part as well. */
export function matchSet(list: MessageBuilder, name: string, first: PayloadPart, second?: PayloadPart): void {
  load(list, first.base, first.offset, first.length);
  if (second !== undefined) load(list, second.base, second.offset, second.length, register2);
  expressionOf(list, 'lookup', (data) => {
    data.string(lookup.set, name).u32be(lookup.register, register1);
  });
}

/** A set of a table; `id` is its number in the transaction. */
export interface NftSet {
  readonly family: number;
  readonly table: string;
  readonly name: string;
  readonly id: number;
  /** What `nft list` takes the keys for. */
  readonly keyType: number;
  readonly keyLength: number;
}

/** @param counted each key has a counter, of the packets for which a rule found it (Linux 5.7) */
export function setMessage(
  { family, table: tableName, name, id, keyType, keyLength }: NftSet,
  counted: boolean,
): Uint8Array {
  const message = nftMessage(family, nft.newSet, flag.create)
    .string(set.table, tableName)
    .string(set.name, name)
    .u32be(set.flags, 0)
    .u32be(set.keyType, keyType)
    .u32be(set.keyLength, keyLength)
    .u32be(set.id, id);
  if (counted) expressionOf(message, 'counter', () => undefined, set.expression);
  return message.finish();
}

export interface NftElement {
  readonly key: Uint8Array;
  /** Where its counter begins, in a set that counts. */
  readonly startAt?: number;
}

export function elementMessages({ family, table: tableName, name }: NftSet, all: readonly NftElement[]): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let from = 0; from < all.length; from += elementsAtOnce) {
    const list = (inside: MessageBuilder): void => {
      for (const { key, startAt } of all.slice(from, from + elementsAtOnce)) {
        const one = (each: MessageBuilder): void => {
          each.nest(element.key, (value) => value.bytes(1, key), true);
          if (startAt !== undefined) countFrom(each, startAt, element.expression);
        };
        inside.nest(listElement, one, true);
      }
    };
    messages.push(
      nftMessage(family, nft.newElements, flag.create)
        .string(elements.table, tableName)
        .string(elements.set, name)
        .nest(elements.list, list, true)
        .finish(),
    );
  }
  return messages;
}

/** The rule goes on where the octet at `offset` is from `from` to `to`. */
export function matchOctetRange(
  list: MessageBuilder,
  base: PayloadBase,
  offset: number,
  from: number,
  to: number,
): void {
  load(list, base, offset, 1);
  expressionOf(list, 'range', (data) => {
    data
      .u32be(range.register, register1)
      .u32be(range.op, equal)
      .nest(range.from, (inner) => inner.bytes(1, Uint8Array.of(from)), true)
      .nest(range.to, (inner) => inner.bytes(1, Uint8Array.of(to)), true);
  });
}

/** The rule goes on where the packet's family, its transport protocol or its interface's group is `value`. */
export function matchMeta(list: MessageBuilder, key: keyof typeof metaKey, value: number): void {
  expressionOf(list, 'meta', (data) => {
    data.u32be(meta.register, register1).u32be(meta.key, metaKey[key]);
  });
  // The kernel's own order of octets, unlike everything else here.
  compareLoaded(list, equal, key === 'leavesByGroup' ? hostOrder(value) : Uint8Array.of(value));
}

/** @param as the attribute that it becomes; of a rule, if nothing else is said */
export function countFrom(list: MessageBuilder, startAt: number, as?: number): void {
  const packets = new Uint8Array(8);
  new DataView(packets.buffer).setBigUint64(0, BigInt(startAt));
  expressionOf(
    list,
    'counter',
    (data) => {
      data.bytes(counterPackets, packets);
    },
    as,
  );
}

export const decide = (list: MessageBuilder, verdict: 'drop' | 'accept'): void =>
  verdictOf(list, (inner) => inner.u32be(1, verdicts[verdict]));

/** Goes on in another chain of the table, and comes back from its end. */
export const jump = (list: MessageBuilder, chainName: string): void =>
  verdictOf(list, (inner) => inner.u32be(1, verdicts.jump >>> 0).string(2, chainName));

/** @param build NFTA_VERDICT_CODE, and NFTA_VERDICT_CHAIN of a jump */
function verdictOf(list: MessageBuilder, build: (inner: MessageBuilder) => void): void {
  expressionOf(list, 'immediate', (data) => {
    // NFTA_IMMEDIATE_DREG = the verdict register, NFTA_IMMEDIATE_DATA → NFTA_DATA_VERDICT.
    data.u32be(1, 0).nest(2, (value) => value.nest(2, build, true), true);
  });
}

/** Runs changes as one transaction: all of them, or none. @param within a socket of another network namespace */
export function transact(changes: readonly Uint8Array[], within?: Netlink): NftResult {
  const boundary = (type: number) => new MessageBuilder(type, flag.request, header(0, subsystem >> 8)).finish();
  const last = changes.at(-1);
  if (last === undefined) return { ok: true };
  const acknowledged = last.slice();
  new DataView(acknowledged.buffer).setUint16(6, new DataView(last.buffer).getUint16(6, true) | flag.ack, true);
  const messages = [boundary(batchBegin), ...changes.slice(0, -1), acknowledged, boundary(batchEnd)];
  try {
    return resultOf((within ?? netfilter()).transaction(messages, changes.length));
  } catch (error) {
    if (error instanceof KoiError) return noNfTables(error);
    throw error;
  }
}

/** Where a table stands, and its only chain: at one hook. */
export interface NftTable {
  readonly family: number;
  readonly name: string;
  readonly chain: string;
  readonly hook: number;
}

/**
 * Makes the table hold exactly these rules, in one transaction; without any there is no table.
 *
 * @param rules chains that they jump into before them
 * @param within a socket of another network namespace
 */
export function holdRules(table: NftTable, rules: readonly Uint8Array[], within?: Netlink): NftResult {
  const { family, name, chain: chainName, hook } = table;
  const create = tableMessage(family, nft.newTable, flag.create, name);
  const removal = [create, tableMessage(family, nft.delTable, 0, name)];
  if (rules.length === 0) return transact(removal, within);
  return transact([...removal, create, chainMessage(family, name, chainName, hook), ...rules], within);
}

function hostOrder(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

export const noNfTables = (error: KoiError): { readonly ok: false; readonly reason: string } => ({
  ok: false,
  reason: `the kernel has no nf_tables (${error.message})`,
});

/**
 * One socket for the life of the process: closing it after a change makes the kernel wait for what it has yet to free,
 * 7 to 30 ms in which the event loop would stand still.
 */
let kept: Netlink | undefined;

/** @throws KoiError where the kernel has no netfilter netlink */
export function netfilter(): Netlink {
  kept ??= Netlink.open(NETLINK_NETFILTER);
  return kept;
}

/** What it means when nf_tables, or the family of the table, is not in the kernel. */
const absent = new Set(['EOPNOTSUPP', 'EAFNOSUPPORT', 'EPROTONOSUPPORT', 'EINVAL']);

function resultOf(ack: Ack): NftResult {
  if (ack.ok) return { ok: true };
  if (ack.errno === 'EPERM') return { ok: false, reason: 'CAP_NET_ADMIN is missing (EPERM)' };
  if (absent.has(ack.errno)) return { ok: false, reason: `the kernel has no nf_tables for this (${ack.errno})` };
  return { ok: false, reason: `nf_tables: ${ack.message} (${ack.errno})` };
}
