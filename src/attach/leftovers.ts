import { alreadyGone, dumpAddresses, removeAddresses } from '../kernel/addresses.js';
import { dumpLinks, type Link } from '../kernel/links.js';
import { ADDRESS_PROTO, isKoiGroup, linkGroup, parseAlias } from '../kernel/names.js';
import type { Netlink } from '../kernel/netlink.js';
import { KoiError } from '../koi-error.js';
import { LinkBin } from './link-bin.js';

/** What an earlier run had left in the kernel, and is gone now. */
export interface Leftovers {
  readonly links: readonly string[];
  readonly addresses: readonly string[];
}

/**
 * Removes what an earlier run of this cluster left in this network namespace: addresses that carry Koi's owner tag,
 * first, since that is what frees the virtual IPs; then the virtual-MAC links, known by their alias, as a group. Idempotent;
 * whatever is not tagged is not touched.
 * @throws KoiError `kernel`
 */
export async function removeLeftovers(netlink: Netlink, cluster: string): Promise<Leftovers> {
  const links = dumpLinks(netlink);
  const addresses = dumpAddresses(netlink);
  if (!links.ok) throw new KoiError('kernel', `reading the interfaces: ${links.message}`);
  if (!addresses.ok) throw new KoiError('kernel', `reading the addresses: ${addresses.message}`);

  const ownLinks = links.value.filter((link) => isHalfMade(link) || parseAlias(link.alias)?.cluster === cluster);
  const ownIndexes = new Set(ownLinks.map(({ ifindex }) => ifindex));
  const otherClusters = new Set(
    links.value.filter((link) => parseAlias(link.alias) !== undefined).map(({ ifindex }) => ifindex),
  );
  const ownAddresses = addresses.value.filter(
    ({ proto, ifindex }) => proto === ADDRESS_PROTO && (ownIndexes.has(ifindex) || !otherClusters.has(ifindex)),
  );
  for (const ack of removeAddresses(netlink, ownAddresses)) {
    if (!ack.ok && !alreadyGone(ack)) throw new KoiError('kernel', `removing a leftover address: ${ack.message}`);
  }
  const bin = new LinkBin(netlink, linkGroup('leftover links', `${cluster} ${process.pid}`));
  await Promise.all([...ownIndexes].map((ifindex) => bin.discard(ifindex)));
  return { links: ownLinks.map(({ name }) => name), addresses: ownAddresses.map(({ address }) => address) };
}

/**
 * Made by a run that died before it could write the alias, which the kernel does not take in the creating message. Whose
 * it was is not known any more; a living run would set it within the millisecond, or make it again.
 */
const isHalfMade = ({ kind, alias, group, flags }: Link): boolean =>
  kind === 'macvlan' && alias === undefined && isKoiGroup(group) && !flags.up;
