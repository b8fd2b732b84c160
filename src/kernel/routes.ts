import { addressBytes, familyOf } from '../wire/address.js';
import type { Ack, Netlink } from './netlink.js';
import { flag, MessageBuilder } from './netlink-message.js';

/** Routes over rtnetlink (rtnetlink(7), linux/rtnetlink.h), both families. */

const rtm = { newRoute: 24, delRoute: 25 } as const;
const rta = { destination: 1, outInterface: 4, gateway: 5, priority: 6, preferredSource: 7, table: 15 } as const;
const afInet = 2;
const afInet6 = 10;
const mainTable = 254;
const unicast = 1;
const scopes = { universe: 0, link: 253, nowhere: 255 } as const;
/** RTNH_F_ONLINK: the next hop is on this link, whatever the addresses say: a virtual IP brings no network with it. */
const onLink = 4;

/** Which route, exactly. */
export interface RouteId {
  /** Network address and prefix length; 0.0.0.0 or :: and 0 is the default route. */
  readonly destination: { readonly address: string; readonly prefixLength: number };
  readonly ifindex: number;
  /** The next hop; undefined: the destination is on the link itself. */
  readonly via: string | undefined;
  /** Which address packets of this host's own carry. */
  readonly source: string | undefined;
  /** Default: main, 254. */
  readonly table: number | undefined;
  /** The lower wins. Default: the kernel's, 0 for IPv4 and 1024 for IPv6. */
  readonly metric: number | undefined;
  /** rtm_protocol: who put it there. */
  readonly protocol: number;
}

export interface RouteSpec extends RouteId {
  /** Whether to stand behind a route to the same destination with the same metric; else that is EEXIST. */
  readonly behindOthers: boolean;
}

/** struct rtmsg: {u8 family, destination bits, source bits, tos, table, protocol, scope, type; u32 flags}. */
function routeHeader(route: RouteId, scope: number, flags: number): Uint8Array {
  const header = new Uint8Array(12);
  const { address, prefixLength } = route.destination;
  const table = route.table ?? mainTable;
  // Tables above 255 are named by the attribute alone (RT_TABLE_COMPAT).
  header.set([familyNumber(address), prefixLength, 0, 0, table < 256 ? table : 252, route.protocol, scope, unicast]);
  new DataView(header.buffer).setUint32(8, flags, true);
  return header;
}

const familyNumber = (address: string): number => (familyOf(address) === 4 ? afInet : afInet6);

function routeMessage(type: number, flags: number, route: RouteId, scope: number, nextHopFlags: number): Uint8Array {
  const { destination, via, source, metric } = route;
  const builder = new MessageBuilder(type, flags, routeHeader(route, scope, nextHopFlags));
  if (destination.prefixLength > 0) builder.bytes(rta.destination, addressBytes(destination.address));
  builder.u32(rta.outInterface, route.ifindex).u32(rta.table, route.table ?? mainTable);
  if (via !== undefined) builder.bytes(rta.gateway, addressBytes(via));
  if (source !== undefined) builder.bytes(rta.preferredSource, addressBytes(source));
  if (metric !== undefined) builder.u32(rta.priority, metric);
  return builder.finish();
}

function addMessage(route: RouteSpec): Uint8Array {
  const isIpv4 = familyOf(route.destination.address) === 4;
  const scope = route.via === undefined && isIpv4 ? scopes.link : scopes.universe;
  const flags = flag.create | (route.behindOthers ? flag.append : flag.exclusive);
  return routeMessage(rtm.newRoute, flags, route, scope, route.via === undefined ? 0 : onLink);
}

/** EEXIST: somebody has a route to the same destination with the same metric in that table. */
export function addRoutes(netlink: Netlink, routes: readonly RouteSpec[]): Ack[] {
  return netlink.request(routes.map(addMessage));
}

/** Exactly these. ESRCH when it is gone already; the kernel takes a link's routes away with its last IPv4 address. */
export function removeRoutes(netlink: Netlink, routes: readonly RouteId[]): Ack[] {
  return netlink.request(routes.map((route) => routeMessage(rtm.delRoute, 0, route, scopes.nowhere, 0)));
}

/** True for the refusals of a removal that mean: it is not there. */
export function routeAlreadyGone(ack: Ack): boolean {
  return !ack.ok && (ack.errno === 'ESRCH' || ack.errno === 'ENODEV' || ack.errno === 'ENETDOWN');
}
