import { alreadyGone, dumpAddresses, removeAddresses } from '../kernel/addresses.js';
import { deleteLinksInBackground, dumpLinks } from '../kernel/links.js';
import { ADDRESS_PROTO, parseAlias } from '../kernel/names.js';
import type { Netlink } from '../kernel/netlink.js';
import { KoiError } from '../koi-error.js';

const deadlineMs = 10_000;

/** What an earlier run had left in the kernel, and is gone now. */
export interface Leftovers {
  readonly links: readonly string[];
  readonly addresses: readonly string[];
}

/**
 * Removes what an earlier run of this cluster left in this network namespace: addresses that carry Koi's owner tag,
 * first, since that is what frees the virtual IPs; then the virtual-MAC links, known by their alias. Idempotent; whatever
 * is not tagged is not touched.
 * @throws KoiError `kernel`
 */
export async function removeLeftovers(netlink: Netlink, cluster: string): Promise<Leftovers> {
  const links = dumpLinks(netlink);
  const addresses = dumpAddresses(netlink);
  if (!links.ok) throw new KoiError('kernel', `reading the interfaces: ${links.message}`);
  if (!addresses.ok) throw new KoiError('kernel', `reading the addresses: ${addresses.message}`);

  const ownLinks = links.value.filter((link) => parseAlias(link.alias)?.cluster === cluster);
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
  for (const ack of await deleteLinksInBackground(netlink, [...ownIndexes], deadlineMs)) {
    if (!ack.ok && ack.errno !== 'ENODEV') throw new KoiError('kernel', `deleting a leftover link: ${ack.message}`);
  }
  return { links: ownLinks.map(({ name }) => name), addresses: ownAddresses.map(({ address }) => address) };
}
