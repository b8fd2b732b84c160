import { addressBytes, familyOf } from '../wire/address.js';
import type { Netlink } from './netlink.js';
import type { MessageBuilder } from './netlink-message.js';
import {
  countFrom,
  decide,
  equal,
  holdRules,
  matchMeta,
  matchOctetRange,
  matchPayload,
  type NftResult,
  ruleMessage,
} from './nft-message.js';

/**
 * Accept_Mode false (RFC 9568 §6.1): packets addressed to a virtual IP are forwarded for others, never taken for this
 * host's own, and dropped, an echo request among them. Neighbour discovery is excepted, as the RFC demands; ARP is no
 * IP. One nf_tables table of family inet at the input hook.
 */

const nfprotoInet = 1;
const nfprotoIpv4 = 2;
const nfprotoIpv6 = 10;
const localIn = 1;
const chainName = 'input';
const icmpv6 = 58;
/** Router solicitation to redirect (RFC 4861 §4). */
const neighbourDiscovery = { from: 133, to: 137 } as const;
const destinationOffset = { 4: 16, 6: 24 } as const;

function matchDestination(list: MessageBuilder, address: string): void {
  const family = familyOf(address);
  matchMeta(list, 'family', family === 4 ? nfprotoIpv4 : nfprotoIpv6);
  matchPayload(list, 'network', destinationOffset[family], equal, addressBytes(address));
}

function rulesFor(tableName: string, address: string): Uint8Array[] {
  const drop = ruleMessage(nfprotoInet, tableName, chainName, `${address} owns no service`, (list) => {
    matchDestination(list, address);
    countFrom(list, 0);
    decide(list, 'drop');
  });
  if (familyOf(address) === 4) return [drop];
  const discover = ruleMessage(nfprotoInet, tableName, chainName, `${address} is a neighbour`, (list) => {
    matchDestination(list, address);
    matchMeta(list, 'protocol', icmpv6);
    matchOctetRange(list, 'transport', 0, neighbourDiscovery.from, neighbourDiscovery.to);
    decide(list, 'accept');
  });
  return [discover, drop];
}

/**
 * Makes the table hold exactly these addresses, in one transaction; without any there is no table. Fails, with the reason,
 * where the kernel has no nf_tables: then the addresses accept everything.
 *
 * @param within a socket of another network namespace
 */
export function refuseService(tableName: string, addresses: readonly string[], within?: Netlink): NftResult {
  const table = { family: nfprotoInet, name: tableName, chain: chainName, hook: localIn };
  return holdRules(
    table,
    addresses.flatMap((address) => rulesFor(tableName, address)),
    within,
  );
}
