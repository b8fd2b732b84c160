import { readIpv6 } from '../wire/address.js';
import { afInet6 } from './link.js';
import { NTF_PROXY, nda, ndmsgBytes, rtm } from './neighbours.js';
import type { Answer, Netlink } from './netlink.js';
import { forEachAttribute, headerBytes, type Message, MessageBuilder } from './netlink-message.js';

/** Addresses for which an interface answers with its own MAC (rtnetlink(7), linux/neighbour.h). */

export interface ProxyNeighbour {
  /** 0: on every interface. */
  readonly ifindex: number;
  readonly address: string;
}

/** The IPv6 proxies of `ip -6 neigh show proxy`. */
export function dumpProxyNeighbours(netlink: Netlink): Answer<ProxyNeighbour[]> {
  const header = new Uint8Array(ndmsgBytes);
  header[0] = afInet6;
  header[10] = NTF_PROXY;
  return netlink.dump(new MessageBuilder(rtm.getNeighbour, 0, header).finish(), parseProxy);
}

function parseProxy({ type, bytes, view, start, end }: Message): ProxyNeighbour | undefined {
  const header = start + headerBytes;
  if (type !== rtm.newNeighbour || end - header < ndmsgBytes || view.getUint8(header) !== afInet6) return undefined;
  if ((view.getUint8(header + 10) & NTF_PROXY) === 0) return undefined;
  let address: string | undefined;
  forEachAttribute(view, header + ndmsgBytes, end, (attribute, at, length) => {
    if (attribute === nda.destination && length >= 16) address = readIpv6(bytes, at);
  });
  return address === undefined ? undefined : { ifindex: view.getInt32(header + 4, true), address };
}
