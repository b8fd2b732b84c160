import type { MacAddress } from '../wire/mac.js';
import {
  afInet,
  afInet6,
  type Ipv4Conf,
  ifla,
  inet6AddrGenMode,
  inetConf,
  infoData,
  infoKind,
  ipv4ConfIndex,
  type Link,
  type MacvlanMode,
  macvlanModeAttribute,
  macvlanModes,
  parseIpv4Conf,
  parseLink,
  rtm,
} from './link.js';
import { type Ack, type Answer, failure, type Netlink } from './netlink.js';
import { flag, forEachAttribute, headerBytes, MessageBuilder } from './netlink-message.js';
import type { Netns } from './netns.js';

export type { AddrGenMode, Ipv4Conf, Link, LinkFlags, MacvlanMode, OperationalState } from './link.js';

/**
 * Reading and changing interfaces over rtnetlink (rtnetlink(7), linux/if_link.h). Links are addressed by ifindex, never
 * by name: a name may be given to another interface at any moment.
 */

const IFF_UP = 0x1;
/** RTEXT_FILTER_SKIP_STATS: the counters are half of every message. */
const skipStats = 8;
const inet6AddrGenNone = 1;

/** struct ifinfomsg: {u8 family, pad, u16 type, i32 index, u32 flags, u32 change}. */
function linkHeader(ifindex: number, flags = 0, change = 0): Uint8Array {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setInt32(4, ifindex, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return header;
}

export function dumpLinks(netlink: Netlink): Answer<Link[]> {
  const message = new MessageBuilder(rtm.getLink, 0, linkHeader(0)).u32(ifla.extMask, skipStats).finish();
  return netlink.dump(message, parseLink);
}

/** The IPv4 settings of every interface, by ifindex. */
export function dumpIpv4Confs(netlink: Netlink): Answer<ReadonlyMap<number, Ipv4Conf>> {
  const message = new MessageBuilder(rtm.getLink, 0, linkHeader(0)).u32(ifla.extMask, skipStats).finish();
  const answer = netlink.dump(message, parseIpv4Conf);
  return answer.ok ? { ok: true, value: new Map(answer.value) } : answer;
}

/** One link, by ifindex or by name; a name may be an alternative one. ENODEV when there is none. */
export function getLink(netlink: Netlink, target: number | string): Answer<Link> {
  const builder = new MessageBuilder(rtm.getLink, 0, linkHeader(typeof target === 'number' ? target : 0));
  // IFLA_ALT_IFNAME finds primary names as well, and is not bound to their 15 characters.
  if (typeof target === 'string') builder.string(ifla.altIfname, target);
  return netlink.query(builder.u32(ifla.extMask, skipStats).finish(), parseLink);
}

/** struct rtnl_link_stats64 begins with rx_packets: what the interface has ever taken from the wire. */
export function receivedFrames(netlink: Netlink, ifindex: number): Answer<number> {
  const message = new MessageBuilder(rtm.getLink, 0, linkHeader(ifindex)).finish();
  return netlink.query(message, ({ type, view, start, end }) => {
    if (type !== rtm.newLink) return undefined;
    let count: number | undefined;
    forEachAttribute(view, start + headerBytes + 16, end, (attribute, at, length) => {
      if (attribute === ifla.stats64 && length >= 8) count = Number(view.getBigUint64(at, true));
    });
    return count;
  });
}

export interface MacvlanSpec {
  readonly name: string;
  readonly parentIfindex: number;
  readonly mac: MacAddress;
  readonly mode: MacvlanMode;
  /** Link group, for {@link deleteGroup}. */
  readonly group: number;
  /** Where the link is made, if not where its parent is; it never was in the parent's namespace, not even down. */
  readonly netns?: Pick<Netns, 'fd'> | undefined;
}

/**
 * RTM_NEWLINK with NLM_F_CREATE and NLM_F_EXCL: made whole, with its MAC, and down; or EEXIST. Without EXCL the kernel
 * would silently reconfigure whoever has the name. Neither alias nor address family settings can be set here: the
 * kernel ignores the one and refuses the other, see {@link configureLink}. A MAC already in use on the parent is
 * accepted, and setting the link up then fails with EADDRINUSE.
 */
export function createMacvlan(netlink: Netlink, spec: MacvlanSpec): Ack {
  return netlink.requestOne(createMacvlanMessage(spec));
}

export function createMacvlans(netlink: Netlink, specs: readonly MacvlanSpec[]): Ack[] {
  return netlink.request(specs.map(createMacvlanMessage));
}

function createMacvlanMessage(spec: MacvlanSpec): Uint8Array {
  const message = new MessageBuilder(rtm.newLink, flag.create | flag.exclusive, linkHeader(0, 0, IFF_UP))
    .string(ifla.ifname, spec.name)
    .u32(ifla.link, spec.parentIfindex)
    .mac(ifla.address, spec.mac)
    .u32(ifla.group, spec.group);
  // Without IFLA_LINK_NETNSID the kernel looks for the parent where the socket is, and makes the link in the other namespace.
  if (spec.netns !== undefined) message.u32(ifla.netNsFd, spec.netns.fd);
  return message
    .nest(ifla.linkInfo, (info) => {
      info.string(infoKind, 'macvlan').nest(infoData, (data) => {
        data.u32(macvlanModeAttribute, macvlanModes[spec.mode]);
      });
    })
    .finish();
}

export interface LinkConfig {
  /** At most 255 bytes. */
  readonly alias?: string;
  /** IPv6 gives itself no address when the link comes up. Only effective before it does. */
  readonly addrGenModeNone?: boolean;
  readonly ipv4Conf?: Partial<Ipv4Conf>;
}

/**
 * RTM_SETLINK with everything in one message. The kernel sends no event for address generation and IPv4 settings: read
 * back with {@link getLink}. Where IPv6 is not in the kernel, `addrGenModeNone` is fulfilled without asking.
 */
export function configureLink(netlink: Netlink, ifindex: number, config: LinkConfig): Ack {
  const ack = netlink.requestOne(configureMessage(ifindex, config));
  if (ack.ok || ack.errno !== 'EAFNOSUPPORT' || config.addrGenModeNone !== true) return ack;
  return netlink.requestOne(configureMessage(ifindex, { ...config, addrGenModeNone: false }));
}

/** As {@link configureLink}, many in one send. */
export function configureLinks(
  netlink: Netlink,
  changes: readonly { readonly ifindex: number; readonly config: LinkConfig }[],
): Ack[] {
  const acks = netlink.request(changes.map(({ ifindex, config }) => configureMessage(ifindex, config)));
  return acks.map((ack, index) => {
    const change = changes[index];
    if (ack.ok || ack.errno !== 'EAFNOSUPPORT' || change?.config.addrGenModeNone !== true) return ack;
    return configureLink(netlink, change.ifindex, { ...change.config, addrGenModeNone: false });
  });
}

function configureMessage(ifindex: number, config: LinkConfig): Uint8Array {
  const builder = new MessageBuilder(rtm.setLink, 0, linkHeader(ifindex));
  if (config.alias !== undefined) builder.string(ifla.alias, config.alias);
  const conf = Object.entries(config.ipv4Conf ?? {}) as [keyof Ipv4Conf, number | undefined][];
  if (conf.length > 0 || config.addrGenModeNone === true) {
    builder.nest(ifla.afSpec, (families) => {
      if (conf.length > 0) {
        families.nest(afInet, (inet) => {
          inet.nest(inetConf, (values) => {
            for (const [key, value] of conf) if (value !== undefined) values.u32(ipv4ConfIndex[key], value);
          });
        });
      }
      if (config.addrGenModeNone === true) {
        families.nest(afInet6, (inet6) => {
          inet6.u8(inet6AddrGenMode, inet6AddrGenNone);
        });
      }
    });
  }
  return builder.finish();
}

function flagMessage(ifindex: number, up: boolean): Uint8Array {
  return new MessageBuilder(rtm.setLink, 0, linkHeader(ifindex, up ? IFF_UP : 0, IFF_UP)).finish();
}

/** EADDRINUSE: another macvlan of the parent, or the parent itself, has this MAC. */
export function setUp(netlink: Netlink, ifindex: number): Ack {
  return netlink.requestOne(flagMessage(ifindex, true));
}

export function setUpAll(netlink: Netlink, ifindexes: readonly number[]): Ack[] {
  return netlink.request(ifindexes.map((ifindex) => flagMessage(ifindex, true)));
}

/** Blocks for an RCU grace period, about 12 ms. */
export function setDown(netlink: Netlink, ifindex: number): Ack {
  return netlink.requestOne(flagMessage(ifindex, false));
}

export function setDownInBackground(
  netlink: Netlink,
  ifindexes: readonly number[],
  deadlineMs: number,
): Promise<Ack[]> {
  return netlink.requestInBackground(
    ifindexes.map((ifindex) => flagMessage(ifindex, false)),
    deadlineMs,
  );
}

function deleteMessage(ifindex: number): Uint8Array {
  return new MessageBuilder(rtm.delLink, 0, linkHeader(ifindex)).finish();
}

function deleteGroupMessage(group: number): Uint8Array {
  return new MessageBuilder(rtm.delLink, 0, linkHeader(0)).u32(ifla.group, group).finish();
}

/** Group 0 is where every interface is that nobody put elsewhere. */
const groupZero = failure('EPERM', 'group 0 holds every interface without a group and is never deleted');

/** Blocks for 16 to 18 ms; its addresses go with it. */
export function deleteLink(netlink: Netlink, ifindex: number): Ack {
  return netlink.requestOne(deleteMessage(ifindex));
}

export async function deleteLinkInBackground(netlink: Netlink, ifindex: number, deadlineMs: number): Promise<Ack> {
  const [ack] = await netlink.requestInBackground([deleteMessage(ifindex)], deadlineMs);
  return ack ?? failure('EIO');
}

export function deleteLinksInBackground(
  netlink: Netlink,
  ifindexes: readonly number[],
  deadlineMs: number,
): Promise<Ack[]> {
  return netlink.requestInBackground(ifindexes.map(deleteMessage), deadlineMs);
}

/** Every link of the group in one message: 41 ms for 200, 124 ms for 1,000. ENODEV when the group is empty. */
export function deleteGroup(netlink: Netlink, group: number): Ack {
  return group === 0 ? groupZero : netlink.requestOne(deleteGroupMessage(group));
}

export async function deleteGroupInBackground(netlink: Netlink, group: number, deadlineMs: number): Promise<Ack> {
  if (group === 0) return groupZero;
  const [ack] = await netlink.requestInBackground([deleteGroupMessage(group)], deadlineMs);
  return ack ?? failure('EIO');
}

/** Moves links to another group, for deleting just these with {@link deleteGroup}. */
export function setGroups(netlink: Netlink, ifindexes: readonly number[], group: number): Ack[] {
  return netlink.request(
    ifindexes.map((ifindex) => new MessageBuilder(rtm.setLink, 0, linkHeader(ifindex)).u32(ifla.group, group).finish()),
  );
}
