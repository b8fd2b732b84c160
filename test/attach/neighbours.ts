import { Netlink } from '../../src/kernel/netlink.js';
import { MessageBuilder } from '../../src/kernel/netlink-message.js';
import { addressBytes } from '../../src/wire/address.js';

const rtmDelNeighbour = 29;
const ndaDestination = 1;
const afInet = 2;
const periodMs = 5;

/**
 * Deletes what the neighbour cache of this namespace says about IPv4 addresses, again and again (rtnetlink(7), struct
 * ndmsg), so that whoever is talked to is asked for anew. An address that is being resolved is asked for again, too.
 *
 * @returns what ends it
 */
export function keepForgetting(ifindex: number, addresses: readonly string[]): () => void {
  const netlink = Netlink.open();
  const messages = addresses.map((address) => {
    const header = new Uint8Array(12);
    header[0] = afInet;
    new DataView(header.buffer).setInt32(4, ifindex, true);
    return new MessageBuilder(rtmDelNeighbour, 0, header).bytes(ndaDestination, addressBytes(address)).finish();
  });
  // Refused where there is nothing to forget.
  const timer = setInterval(() => netlink.request(messages), periodMs);
  return () => {
    clearInterval(timer);
    netlink.close();
  };
}
