import type { RouteTrack } from '../../config/config.js';
import { Netlink } from '../../kernel/netlink.js';
import { forEachAttribute, headerBytes, type Message, MessageBuilder } from '../../kernel/netlink-message.js';
import { addressBytes } from '../../wire/address.js';
import { poll } from './polling.js';
import type { OnReading, Watching } from './watching.js';

/** linux/rtnetlink.h */
const rtm = { newRoute: 24, getRoute: 26 } as const;
const rta = { dst: 1, table: 15 } as const;
const rtmsgBytes = 12;
const family = { 4: 2, 6: 10 } as const;
const restFactor = 20;
/** One socket for all: a dump is over before the next begins. */
let shared: Netlink | undefined;

/**
 * Up while the routing table has exactly this destination, by any way. It is read whole each time: the kernel tells of
 * no IPv4 route that goes with its interface. Where the table is large the looks become rarer by themselves.
 */
export function watchRoute(track: RouteTrack, onReading: OnReading): Watching {
  const { destination, table, intervalMs, rise, fall } = track;
  const request = new MessageBuilder(rtm.getRoute, 0, routeHeader(family[destination.family])).finish();
  const wanted = masked(addressBytes(destination.address), destination.prefixLength);
  const text = `${destination.address}/${destination.prefixLength} in table ${table}`;
  const look = () => {
    shared ??= Netlink.open();
    const answer = shared.dump(request, (message) => (isRoute(message, wanted, destination, table) ? true : undefined));
    if (!answer.ok) throw new Error(`the routes cannot be read: ${answer.message}`);
    const isOk = answer.value.length > 0;
    return { isOk, detail: `${isOk ? 'there is a route' : 'there is no route'} to ${text}` };
  };
  return poll({ intervalMs, rise, fall, look, onReading, restFactor });
}

function routeHeader(addressFamily: number): Uint8Array {
  const header = new Uint8Array(rtmsgBytes);
  header[0] = addressFamily;
  return header;
}

/** struct rtmsg: family, destination length, source length, TOS, table, protocol, scope, type, u32 flags. */
function isRoute(message: Message, wanted: Uint8Array, destination: RouteTrack['destination'], table: number): boolean {
  const { bytes, view, start, end } = message;
  const at = start + headerBytes;
  if (message.type !== rtm.newRoute || bytes[at] !== family[destination.family]) return false;
  if (bytes[at + 1] !== destination.prefixLength) return false;
  let foundTable = bytes[at + 4] ?? 0;
  // A destination of length 0 has no attribute.
  let isSame = destination.prefixLength === 0;
  forEachAttribute(view, at + rtmsgBytes, end, (type, from, length) => {
    if (type === rta.table && length >= 4) foundTable = view.getUint32(from, true);
    if (type === rta.dst)
      isSame = length === wanted.length && wanted.every((byte, index) => bytes[from + index] === byte);
  });
  return isSame && foundTable === table;
}

function masked(bytes: Uint8Array, prefixLength: number): Uint8Array {
  return bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, prefixLength - index * 8));
    return byte & (0xff << (8 - kept));
  });
}
