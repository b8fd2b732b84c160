import { readIpv4, readIpv6 } from '../wire/address.js';
import { afInet, afInet6 } from './link.js';
import type { Answer, Netlink } from './netlink.js';
import { forEachAttribute, headerBytes, type Message, MessageBuilder } from './netlink-message.js';

/** The kernel's tables of neighbours: ARP and neighbour discovery (rtnetlink(7), linux/neighbour.h). */

export const rtm = { newNeighbour: 28, getNeighbour: 30 } as const;
export const nda = { destination: 1, cacheInfo: 3 } as const;
/** struct ndmsg: {u8 family, u8 pad, u16 pad, s32 ifindex, u16 state, u8 flags, u8 type}. */
export const ndmsgBytes = 12;
export const NTF_PROXY = 0x08;

/** Of NUD_*: entries made by hand, or without any protocol behind them. */
const unlearned = 0x40 | 0x80;
/** `ndm_confirmed` counts in USER_HZ, which is 100 on every architecture that Linux runs on today. */
const tickMs = 10;

export interface Neighbour {
  readonly ifindex: number;
  readonly address: string;
  /**
   * Milliseconds since it was last known to be there, whatever has become of the entry since. The kernel gives an entry
   * that nobody has ever answered for twice `base_reachable_time` (60 s) from the start.
   */
  readonly confirmedAgoMs: number;
}

/** Those found by ARP or neighbour discovery, or sought by it. */
export function dumpNeighbours(netlink: Netlink): Answer<Neighbour[]> {
  return netlink.dump(new MessageBuilder(rtm.getNeighbour, 0, new Uint8Array(ndmsgBytes)).finish(), parseNeighbour);
}

function parseNeighbour({ type, bytes, view, start, end }: Message): Neighbour | undefined {
  const header = start + headerBytes;
  if (type !== rtm.newNeighbour || end - header < ndmsgBytes) return undefined;
  if ((view.getUint8(header + 10) & NTF_PROXY) !== 0) return undefined;
  if ((view.getUint16(header + 8, true) & unlearned) !== 0) return undefined;
  const family = view.getUint8(header);
  let address: string | undefined;
  let confirmedAgoMs: number | undefined;
  forEachAttribute(view, header + ndmsgBytes, end, (attribute, at, length) => {
    if (attribute === nda.cacheInfo && length >= 4) confirmedAgoMs = view.getUint32(at, true) * tickMs;
    if (attribute !== nda.destination) return;
    if (family === afInet && length === 4) address = readIpv4(bytes, at);
    if (family === afInet6 && length === 16) address = readIpv6(bytes, at);
  });
  if (address === undefined || confirmedAgoMs === undefined) return undefined;
  return { ifindex: view.getInt32(header + 4, true), address, confirmedAgoMs };
}
