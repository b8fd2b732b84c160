import { addressBytes, readIpv4 } from '../wire/address.js';
import { macBytes } from '../wire/mac.js';
import type { Answer, Netlink } from './netlink.js';
import { attributeText, forEachAttribute, headerBytes, type Message } from './netlink-message.js';
import {
  compare,
  counterPackets,
  countFrom,
  decide,
  equal,
  expression,
  holdRules,
  matchPayload,
  type NftResult,
  netfilter,
  nft,
  nftMessage,
  nftType,
  notEqual,
  rule,
  ruleMessage,
} from './nft-message.js';
import type { DropCounter, MacBinding, NetState } from './nft-net.js';

/**
 * The fail-closed net of the attach order for IPv4: one nf_tables table of family arp with a rule per virtual address that
 * drops and counts whatever this host would send with that address as ARP sender and another MAC than the virtual one.
 *
 * Only what the kernel's own ARP sends passes the hook: frames from packet sockets, our announcements among them, do not.
 */

const nfprotoArp = 3;
const arpOut = 1;
const chainName = 'output';

/** Offsets in an ARP packet for Ethernet and IPv4 (RFC 826). */
const senderMacOffset = 8;
const senderIpOffset = 14;

const bindingRule = (tableName: string, { address, mac }: MacBinding, startAt: number): Uint8Array =>
  ruleMessage(nfprotoArp, tableName, chainName, `${address} only from ${mac}`, (list) => {
    matchPayload(list, 'network', senderIpOffset, equal, addressBytes(address));
    matchPayload(list, 'network', senderMacOffset, notEqual, macBytes(mac));
    countFrom(list, startAt);
    decide(list, 'drop');
  });

/**
 * Makes the table hold exactly these bindings, in one transaction: at no moment are there rules missing; without any there
 * is no table. Fails, with a reason for a warning, where the kernel has no nf_tables.
 *
 * @param soFar where the counters of addresses begin that have been counted before; the others begin at 0
 * @param within a socket of another network namespace
 */
export function installArpGuard(
  tableName: string,
  bindings: readonly MacBinding[],
  soFar: ReadonlyMap<string, number> = new Map(),
  within?: Netlink,
): NftResult {
  const table = { family: nfprotoArp, name: tableName, chain: chainName, hook: arpOut };
  const rules = bindings.map((binding) => bindingRule(tableName, binding, soFar.get(binding.address) ?? 0));
  return holdRules(table, rules, within);
}

/** Removes the table, if there is one. */
export const removeArpGuard = (tableName: string, within?: Netlink): NftResult =>
  installArpGuard(tableName, [], undefined, within);

/** How many rules there are for so many bindings. */
export const arpGuardRules = (bindings: number): number => bindings;

/** The counters in the order in which they were installed; nothing is in a table that is not there. */
export function readArpGuard(tableName: string, within: Netlink = netfilter()): Answer<NetState> {
  const request = nftMessage(nfprotoArp, nft.getRule, 0).string(rule.table, tableName).finish();
  // Older kernels ignore the table in a dump, and send every rule.
  const rules = within.dump(request, (answer) => parseRule(answer, tableName));
  if (!rules.ok) return rules;
  const counters = rules.value.flatMap(({ address, droppedPackets }) =>
    address === undefined || droppedPackets === undefined ? [] : [{ address, droppedPackets }],
  );
  return { ok: true, value: { counters, rules: rules.value.length } };
}

function parseRule(answer: Message, tableName: string): Partial<DropCounter> | undefined {
  const { bytes, view, start, end } = answer;
  if (answer.type !== nftType(nft.newRule)) return undefined;
  let ours = false;
  let address: string | undefined;
  let droppedPackets: number | undefined;
  forEachAttribute(view, start + headerBytes + 4, end, (type, at, length) => {
    if (type === rule.table) ours = attributeText(bytes, at, length) === tableName;
    if (type !== rule.expressions) return;
    forEachAttribute(view, at, at + length, (_, element, elementLength) => {
      let name = '';
      forEachAttribute(view, element, element + elementLength, (property, from, size) => {
        if (property === expression.name) name = attributeText(bytes, from, size);
        if (property !== expression.data) return;
        forEachAttribute(view, from, from + size, (field, value, valueLength) => {
          if (name === 'counter' && field === counterPackets) droppedPackets = Number(view.getBigUint64(value));
          if (name !== 'cmp' || field !== compare.data || address !== undefined) return;
          // The first comparison is the one with the sender's address; its data is nested once more.
          if (valueLength === 8) address = readIpv4(bytes, value + 4);
        });
      });
    });
  });
  if (!ours) return undefined;
  return { ...(address === undefined ? {} : { address }), ...(droppedPackets === undefined ? {} : { droppedPackets }) };
}
