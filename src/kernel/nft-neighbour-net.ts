import { addressBytes, readIpv6 } from '../wire/address.js';
import { macBytes } from '../wire/mac.js';
import type { Answer, Netlink } from './netlink.js';
import { attributeText, forEachAttribute, headerBytes, type Message } from './netlink-message.js';
import {
  counterPackets,
  decide,
  element,
  elementMessages,
  elements,
  equal,
  expression,
  holdRules,
  innerChainMessage,
  jump,
  matchMeta,
  matchPayload,
  matchSet,
  type NftResult,
  type NftSet,
  netfilter,
  nft,
  nftMessage,
  nftType,
  type PayloadPart,
  rule,
  ruleMessage,
  setMessage,
} from './nft-message.js';
import type { DropCounter, MacBinding, NetState } from './nft-net.js';

/**
 * The fail-closed net of the attach order for IPv6: one nf_tables table of family ip6 that drops and counts the neighbour
 * discovery of this host that would bind a virtual address to another MAC than the virtual one.
 *
 *     set bound:          the addresses, each with its MAC
 *     set guarded:        the addresses, each with its counter
 *     chain output:       hook, of each packet of this host: what is neighbour discovery goes to one of
 *     chain advertised:   neighbour advertisements, by their target
 *     chain solicited:    neighbour solicitations, by their source
 *     chain sought:       router solicitations, by their source
 *
 * The hook shows no Ethernet header. What binds is the link-layer address in the message: it must be the virtual MAC. An
 * answer to a question that was sent to one host alone carries none; that one must leave by a link of Koi's.
 *
 * Only what IPv6 itself sends passes the hook: frames from packet sockets, our announcements among them, do not.
 */

const nfprotoIpv6 = 10;
const localOut = 3;
const hookChain = 'output';
const icmpv6 = 58;
const payloadLengthOffset = 4;
const source: PayloadPart = { base: 'network', offset: 8, length: 16 };
const target: PayloadPart = { base: 'transport', offset: 8, length: 16 };
/** Type and length stand before it (RFC 4861 §4.6.1). */
const macInOption = 2;
/** As nft numbers the types of keys: six bits each, one behind the other. */
const ipv6Key = { keyType: 8, keyLength: 16 } as const;
const ipv6AndMacKey = { keyType: (8 << 6) | 9, keyLength: 16 + 8 } as const;

interface Kind {
  readonly chain: string;
  readonly type: number;
  /** Without options (RFC 4861 §4.1, §4.3, §4.4). */
  readonly length: number;
  /** Of the option with the link-layer address of whom the message is about; the kernel puts it first. */
  readonly option: number;
  readonly about: PayloadPart;
}

const kinds: readonly Kind[] = [
  { chain: 'advertised', type: 136, length: 24, option: 2, about: target },
  { chain: 'solicited', type: 135, length: 24, option: 1, about: source },
  { chain: 'sought', type: 133, length: 8, option: 1, about: source },
];
/** Of each kind, and one that leads there. */
const rulesEach = 4;

const setsOf = (table: string): { readonly bound: NftSet; readonly guarded: NftSet } => ({
  bound: { family: nfprotoIpv6, table, name: 'bound', id: 1, ...ipv6AndMacKey },
  guarded: { family: nfprotoIpv6, table, name: 'guarded', id: 2, ...ipv6Key },
});

function boundKey({ address, mac }: MacBinding): Uint8Array {
  const key = new Uint8Array(ipv6AndMacKey.keyLength);
  key.set(addressBytes(address));
  key.set(macBytes(mac), ipv6Key.keyLength);
  return key;
}

function rulesOf(table: string, kind: Kind, linkGroup: number): Uint8Array[] {
  const { chain, length, option, about } = kind;
  const { bound, guarded } = setsOf(table);
  const ruleOf = (comment: string, build: Parameters<typeof ruleMessage>[4]): Uint8Array =>
    ruleMessage(nfprotoIpv6, table, chain, comment, build);
  return [
    ruleOf('binds nothing, from a link of koi', (list) => {
      matchMeta(list, 'leavesByGroup', linkGroup);
      matchPayload(list, 'network', payloadLengthOffset, equal, Uint8Array.of(0, length));
      decide(list, 'accept');
    }),
    ruleOf('binds to the virtual MAC', (list) => {
      matchPayload(list, 'transport', length, equal, Uint8Array.of(option, 1));
      matchSet(list, bound.name, about, { base: 'transport', offset: length + macInOption, length: 6 });
      decide(list, 'accept');
    }),
    ruleOf('binds to another MAC', (list) => {
      matchSet(list, guarded.name, about);
      decide(list, 'drop');
    }),
  ];
}

const entry = (tableName: string, { chain, type }: Kind): Uint8Array =>
  ruleMessage(nfprotoIpv6, tableName, hookChain, chain, (list) => {
    matchMeta(list, 'protocol', icmpv6);
    matchPayload(list, 'transport', 0, equal, Uint8Array.of(type));
    jump(list, chain);
  });

/** The tables of Koi are told apart by family and name, and this family has another one of the plain name. */
const nameOf = (tableName: string): string => `${tableName}_net`;

/**
 * Makes the table hold exactly these IPv6 bindings, in one transaction: at no moment are there rules missing; without any
 * there is no table. Fails, with a reason for a warning, where the kernel has no nf_tables with sets that count.
 *
 * @param linkGroup of the links that carry the virtual MACs
 * @param soFar where the counters of addresses begin that have been counted before; the others begin at 0
 * @param within a socket of another network namespace
 */
export function installNeighbourGuard(
  tableName: string,
  linkGroup: number,
  bindings: readonly MacBinding[],
  soFar: ReadonlyMap<string, number> = new Map(),
  within?: Netlink,
): NftResult {
  const name = nameOf(tableName);
  const table = { family: nfprotoIpv6, name, chain: hookChain, hook: localOut };
  if (bindings.length === 0) return holdRules(table, [], within);
  const { bound, guarded } = setsOf(name);
  const counted = bindings.map(({ address }) => ({ key: addressBytes(address), startAt: soFar.get(address) ?? 0 }));
  const parts = [
    setMessage(bound, false),
    ...elementMessages(
      bound,
      bindings.map((binding) => ({ key: boundKey(binding) })),
    ),
    setMessage(guarded, true),
    ...elementMessages(guarded, counted),
    ...kinds.flatMap((kind) => [
      innerChainMessage(nfprotoIpv6, name, kind.chain),
      ...rulesOf(name, kind, linkGroup),
      entry(name, kind),
    ]),
  ];
  return holdRules(table, parts, within);
}

/** Removes the table, if there is one. */
export const removeNeighbourGuard = (tableName: string, within?: Netlink): NftResult =>
  installNeighbourGuard(tableName, 0, [], undefined, within);

/** How many rules and bound addresses there are for so many bindings. */
export const neighbourGuardRules = (bindings: number): number =>
  bindings === 0 ? 0 : kinds.length * rulesEach + bindings;

/** The counters in no order, and how many rules and bound addresses there are. */
export function readNeighbourGuard(tableName: string, within: Netlink = netfilter()): Answer<NetState> {
  const name = nameOf(tableName);
  const { bound, guarded } = setsOf(name);
  const rules = within.dump(nftMessage(nfprotoIpv6, nft.getRule, 0).string(rule.table, name).finish(), (answer) =>
    tableOf(answer) === name ? true : undefined,
  );
  if (!rules.ok) return rules;
  const macs = readElements(bound, within);
  if (!macs.ok) return macs;
  const counters = readElements(guarded, within);
  if (!counters.ok) return counters;
  return { ok: true, value: { counters: counters.value, rules: rules.value.length + macs.value.length } };
}

/** Of a rule; older kernels ignore the table in a dump, and send every rule. */
function tableOf({ type, bytes, view, start, end }: Message): string | undefined {
  let name: string | undefined;
  if (type !== nftType(nft.newRule)) return undefined;
  forEachAttribute(view, start + headerBytes + 4, end, (attribute, at, length) => {
    if (attribute === rule.table) name = attributeText(bytes, at, length);
  });
  return name;
}

/** The addresses of a set, with what they have counted; none where there is no such set. */
function readElements({ family, table, name }: NftSet, within: Netlink): Answer<DropCounter[]> {
  const found: DropCounter[] = [];
  const request = nftMessage(family, nft.getElements, 0).string(elements.table, table).string(elements.set, name);
  const read = within.dump(request.finish(), ({ type, bytes, view, start, end }) => {
    if (type !== nftType(nft.newElements)) return undefined;
    forEachAttribute(view, start + headerBytes + 4, end, (attribute, list, listLength) => {
      if (attribute !== elements.list) return;
      forEachAttribute(view, list, list + listLength, (_, one, oneLength) => {
        let address = '';
        let droppedPackets = 0;
        forEachAttribute(view, one, one + oneLength, (field, at, length) => {
          // The key is nested once more.
          if (field === element.key) address = readIpv6(bytes, at + 4);
          if (field === element.expression) droppedPackets = packetsOf(view, at, length);
        });
        found.push({ address, droppedPackets });
      });
    });
    return undefined;
  });
  if (!read.ok) return read.errno === 'ENOENT' ? { ok: true, value: [] } : read;
  return { ok: true, value: found };
}

function packetsOf(view: DataView, from: number, length: number): number {
  let packets = 0;
  forEachAttribute(view, from, from + length, (property, at, size) => {
    if (property !== expression.data) return;
    forEachAttribute(view, at, at + size, (field, value) => {
      if (field === counterPackets) packets = Number(view.getBigUint64(value));
    });
  });
  return packets;
}
