import { addressBytes } from '../wire/address.js';
import type { Netlink } from './netlink.js';
import { decide, equal, holdRules, matchMeta, matchPayload, type NftResult, ruleMessage } from './nft-message.js';

/**
 * The kernel has no arp_ignore for IPv6: an address on a link that is up is answered for. One nf_tables table of family
 * ip6 drops the neighbor advertisements (RFC 4861 §4.4) that the kernel itself sends for some addresses; frames of packet
 * sockets, our announcements, do not pass it.
 */

const nfprotoIpv6 = 10;
const localOut = 3;
const chainName = 'output';
const icmpv6 = 58;
const neighbourAdvertisement = 136;
const targetOffset = 8;

/**
 * Makes the table hold exactly these IPv6 addresses, in one transaction; without any there is no table. Fails, with the
 * reason, where the kernel has no nf_tables: then all are answered for.
 *
 * @param within a socket of another network namespace
 */
export function silenceNeighbours(tableName: string, addresses: readonly string[], within?: Netlink): NftResult {
  const table = { family: nfprotoIpv6, name: tableName, chain: chainName, hook: localOut };
  return holdRules(
    table,
    addresses.map((address) => ruleFor(tableName, address)),
    within,
  );
}

const ruleFor = (tableName: string, address: string): Uint8Array =>
  ruleMessage(nfprotoIpv6, tableName, chainName, `${address} is being handed over`, (list) => {
    matchMeta(list, 'protocol', icmpv6);
    matchPayload(list, 'transport', 0, equal, Uint8Array.of(neighbourAdvertisement));
    matchPayload(list, 'transport', targetOffset, equal, addressBytes(address));
    decide(list, 'drop');
  });
