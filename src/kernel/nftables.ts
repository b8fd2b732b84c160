import { KoiError } from '../koi-error.js';
import { addressBytes, readIpv4 } from '../wire/address.js';
import { type MacAddress, macBytes } from '../wire/mac.js';
import { type Ack, type Answer, NETLINK_NETFILTER, Netlink } from './netlink.js';
import { attributeText, flag, forEachAttribute, headerBytes, type Message, MessageBuilder } from './netlink-message.js';

/**
 * The fail-closed net of the attach order: one nf_tables table of family arp with a rule per virtual address that drops
 * and counts whatever this host would send with that address as ARP sender and another MAC than the virtual one. It
 * speaks to the kernel directly (linux/netfilter/nf_tables.h); no `nft` program is needed.
 *
 * Only what the kernel's own ARP sends passes the hook: frames from packet sockets, our announcements among them, do not.
 */

const nfprotoArp = 3;
const arpOut = 1;
const dropVerdict = 0;
const subsystem = 10 << 8;
const nft = { newTable: 0, delTable: 2, newChain: 3, newRule: 6, getRule: 7 } as const;
const batchBegin = 0x10;
const batchEnd = 0x11;

const table = { name: 1, flags: 2 } as const;
const chain = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
const rule = { table: 1, chain: 2, expressions: 4, userdata: 7 } as const;
const listElement = 1;
const expression = { name: 1, data: 2 } as const;
const payload = { register: 1, base: 2, offset: 3, length: 4 } as const;
const compare = { register: 1, op: 2, data: 3 } as const;
const counterPackets = 2;
const networkHeader = 1;
const register1 = 1;
const equal = 0;
const notEqual = 1;
/** Userdata is a list of {u8 type, u8 length, bytes}; type 0 is the comment that `nft list` prints. */
const commentType = 0;
const chainName = 'output';

/** Offsets in an ARP packet for Ethernet and IPv4 (RFC 826). */
const senderMacOffset = 8;
const senderIpOffset = 14;

export interface ArpBinding {
  readonly ipv4: string;
  readonly mac: MacAddress;
}

/** Frames dropped so far for one binding. */
export interface ArpCounter {
  readonly ipv4: string;
  readonly droppedPackets: number;
}

export type ArpGuardResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** struct nfgenmsg: {u8 family, u8 version, u16 resource id, network order}. */
const header = (family: number, resource = 0): Uint8Array => Uint8Array.of(family, 0, resource >> 8, resource & 0xff);

const message = (type: number, flags: number): MessageBuilder =>
  new MessageBuilder(subsystem | type, flags | flag.request, header(nfprotoArp));

function expressionOf(list: MessageBuilder, name: string, build: (data: MessageBuilder) => void): void {
  list.nest(
    listElement,
    (element) => {
      element.string(expression.name, name).nest(expression.data, build, true);
    },
    true,
  );
}

function loadAndCompare(list: MessageBuilder, offset: number, op: number, value: Uint8Array): void {
  expressionOf(list, 'payload', (data) => {
    data
      .u32be(payload.register, register1)
      .u32be(payload.base, networkHeader)
      .u32be(payload.offset, offset)
      .u32be(payload.length, value.length);
  });
  expressionOf(list, 'cmp', (data) => {
    data
      .u32be(compare.register, register1)
      .u32be(compare.op, op)
      .nest(compare.data, (inner) => inner.bytes(1, value), true);
  });
}

function ruleMessage(tableName: string, binding: ArpBinding, startAt: number): Uint8Array {
  const comment = new TextEncoder().encode(`${binding.ipv4} only from ${binding.mac}\0`);
  return message(nft.newRule, flag.create | flag.append)
    .string(rule.table, tableName)
    .string(rule.chain, chainName)
    .nest(
      rule.expressions,
      (list) => {
        loadAndCompare(list, senderIpOffset, equal, addressBytes(binding.ipv4));
        loadAndCompare(list, senderMacOffset, notEqual, macBytes(binding.mac));
        const packets = new Uint8Array(8);
        new DataView(packets.buffer).setBigUint64(0, BigInt(startAt));
        expressionOf(list, 'counter', (data) => {
          data.bytes(counterPackets, packets);
        });
        expressionOf(list, 'immediate', (data) => {
          // NFTA_IMMEDIATE_DREG = the verdict register, NFTA_IMMEDIATE_DATA → NFTA_DATA_VERDICT → NFTA_VERDICT_CODE.
          data.u32be(1, 0).nest(2, (value) => value.nest(2, (verdict) => verdict.u32be(1, dropVerdict), true), true);
        });
      },
      true,
    )
    .bytes(rule.userdata, Uint8Array.of(commentType, comment.length, ...comment))
    .finish();
}

const tableMessage = (type: number, flags: number, name: string): Uint8Array =>
  message(type, flags).string(table.name, name).u32be(table.flags, 0).finish();

function chainMessage(tableName: string): Uint8Array {
  return message(nft.newChain, flag.create)
    .string(chain.table, tableName)
    .string(chain.name, chainName)
    .nest(chain.hook, (hook) => hook.u32be(1, arpOut).u32be(2, 0), true)
    .u32be(chain.policy, 1)
    .string(chain.type, 'filter')
    .finish();
}

/** Runs changes as one transaction: all of them, or none. */
function transact(changes: readonly Uint8Array[]): ArpGuardResult {
  const boundary = (type: number) => new MessageBuilder(type, flag.request, header(0, subsystem >> 8)).finish();
  const last = changes.at(-1);
  if (last === undefined) return { ok: true };
  const acknowledged = last.slice();
  new DataView(acknowledged.buffer).setUint16(6, new DataView(last.buffer).getUint16(6, true) | flag.ack, true);
  const messages = [boundary(batchBegin), ...changes.slice(0, -1), acknowledged, boundary(batchEnd)];
  try {
    return verdict(netfilter().transaction(messages, changes.length));
  } catch (error) {
    if (error instanceof KoiError) return noNfTables(error);
    throw error;
  }
}

const noNfTables = (error: KoiError): ArpGuardResult => ({
  ok: false,
  reason: `the kernel has no nf_tables (${error.message})`,
});

/**
 * One socket for the life of the process: closing it after a change makes the kernel wait for what it has yet to free,
 * 7 to 30 ms in which the event loop would stand still.
 */
let kept: Netlink | undefined;

function netfilter(): Netlink {
  kept ??= Netlink.open(NETLINK_NETFILTER);
  return kept;
}

/** What it means when nf_tables, or its ARP family, is not in the kernel. */
const absent = new Set(['EOPNOTSUPP', 'EAFNOSUPPORT', 'EPROTONOSUPPORT', 'EINVAL']);

function verdict(ack: Ack): ArpGuardResult {
  if (ack.ok) return { ok: true };
  if (ack.errno === 'EPERM') return { ok: false, reason: 'CAP_NET_ADMIN is missing (EPERM)' };
  if (absent.has(ack.errno)) return { ok: false, reason: `the kernel has no nf_tables for ARP (${ack.errno})` };
  return { ok: false, reason: `nf_tables: ${ack.message} (${ack.errno})` };
}

/**
 * Makes the table hold exactly these bindings, in one transaction: at no moment are there rules missing. The counter of
 * an address that stays goes on from where it was, save for what is dropped in the instant between. Fails, with a
 * reason for a warning, where the kernel has no nf_tables.
 */
export function installArpGuard(tableName: string, bindings: readonly ArpBinding[]): ArpGuardResult {
  let counters: Answer<ArpCounter[]>;
  try {
    counters = readArpGuard(tableName);
  } catch (error) {
    if (error instanceof KoiError) return noNfTables(error);
    throw error;
  }
  const soFar = new Map(counters.ok ? counters.value.map((entry) => [entry.ipv4, entry.droppedPackets]) : []);
  return transact([
    // Deleting needs something to delete: make it, delete it, make it.
    tableMessage(nft.newTable, flag.create, tableName),
    tableMessage(nft.delTable, 0, tableName),
    tableMessage(nft.newTable, flag.create, tableName),
    chainMessage(tableName),
    ...bindings.map((binding) => ruleMessage(tableName, binding, soFar.get(binding.ipv4) ?? 0)),
  ]);
}

/** Removes the table, if there is one. */
export function removeArpGuard(tableName: string): ArpGuardResult {
  return transact([tableMessage(nft.newTable, flag.create, tableName), tableMessage(nft.delTable, 0, tableName)]);
}

/** The counters, one for each binding, in the order in which they were installed; none when there is no table. */
export function readArpGuard(tableName: string): Answer<ArpCounter[]> {
  const request = message(nft.getRule, 0).string(rule.table, tableName).string(rule.chain, chainName).finish();
  // Older kernels ignore the table in a dump, and send every rule.
  return netfilter().dump(request, (answer) => parseRule(answer, tableName));
}

function parseRule(answer: Message, tableName: string): ArpCounter | undefined {
  const { bytes, view, start, end } = answer;
  if (answer.type !== (subsystem | nft.newRule)) return undefined;
  let ours = false;
  let ipv4: string | undefined;
  let droppedPackets = 0;
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
          if (name !== 'cmp' || field !== compare.data || ipv4 !== undefined) return;
          // The first comparison is the one with the sender's address; its data is nested once more.
          if (valueLength === 8) ipv4 = readIpv4(bytes, value + 4);
        });
      });
    });
  });
  return ours && ipv4 !== undefined ? { ipv4, droppedPackets } : undefined;
}
