import { alreadyGone, dumpAddresses, removeAddresses } from '../kernel/addresses.js';
import { dumpLinks, type Link } from '../kernel/links.js';
import { LockSequence } from '../kernel/lock.js';
import { ADDRESS_PROTO, isKoiGroup, linkGroup, parseAlias } from '../kernel/names.js';
import type { Netlink } from '../kernel/netlink.js';
import type { Netns } from '../kernel/netns.js';
import { KoiError } from '../koi-error.js';
import { linkLock, lockDeadlineMs } from './interface-locks.js';
import { LinkBin } from './link-bin.js';

/** What an earlier run had left in the kernel, and is gone now. */
export interface Leftovers {
  readonly links: readonly string[];
  readonly addresses: readonly string[];
}

/**
 * Removes what an earlier run of this cluster left in this network namespace: addresses that carry Koi's owner tag,
 * first, since that is what frees the virtual IPs; then the virtual-MAC links, known by their alias, as a group. Idempotent;
 * whatever is not tagged is not touched. Each link's lock is held from the look to the deletion.
 * @param netns that of the socket, if not our own
 * @throws KoiError `kernel`; `timeout` where another process works on one of the links
 */
export async function removeLeftovers(netlink: Netlink, cluster: string, netns?: Netns): Promise<Leftovers> {
  const locks = new LockSequence();
  const locked = new Set<string>();
  try {
    for (const link of leftoverLinks(netlink, cluster).sort(byName)) {
      if (await isLocked(locks, link, netns)) locked.add(link.name);
    }
    // Looked at again: what was being made has been made meanwhile, and is somebody's.
    return await removeThem(
      netlink,
      leftoverLinks(netlink, cluster).filter(({ name }) => locked.has(name)),
    );
  } finally {
    locks.end();
  }
}

const byName = (a: Link, b: Link): number => (a.name < b.name ? -1 : 1);

/** Nobody makes or uses it meanwhile. One that is half made and does not get free is no leftover: somebody is at it. */
async function isLocked(locks: LockSequence, link: Link, netns: Netns | undefined): Promise<boolean> {
  try {
    await locks.acquire(linkLock(link.name, netns), lockDeadlineMs);
    return true;
  } catch (error) {
    if (isHalfMade(link) && error instanceof KoiError && error.code === 'timeout') return false;
    throw error;
  }
}

function leftoverLinks(netlink: Netlink, cluster: string): Link[] {
  return readLinks(netlink).filter((link) => isHalfMade(link) || parseAlias(link.alias)?.cluster === cluster);
}

function readLinks(netlink: Netlink): readonly Link[] {
  const links = dumpLinks(netlink);
  if (!links.ok) throw new KoiError('kernel', `reading the interfaces: ${links.message}`);
  return links.value;
}

async function removeThem(netlink: Netlink, ownLinks: readonly Link[]): Promise<Leftovers> {
  const addresses = dumpAddresses(netlink);
  if (!addresses.ok) throw new KoiError('kernel', `reading the addresses: ${addresses.message}`);
  const ownIndexes = new Set(ownLinks.map(({ ifindex }) => ifindex));
  const isKoi = (link: Link): boolean => parseAlias(link.alias) !== undefined;
  const koiIndexes = new Set(
    readLinks(netlink)
      .filter(isKoi)
      .map(({ ifindex }) => ifindex),
  );
  const ownAddresses = addresses.value.filter(
    ({ proto, ifindex }) => proto === ADDRESS_PROTO && (ownIndexes.has(ifindex) || !koiIndexes.has(ifindex)),
  );
  for (const ack of removeAddresses(netlink, ownAddresses)) {
    if (!ack.ok && !alreadyGone(ack)) throw new KoiError('kernel', `removing a leftover address: ${ack.message}`);
  }
  const bin = new LinkBin(netlink, linkGroup('leftover links', `${process.pid}`));
  await Promise.all([...ownIndexes].map((ifindex) => bin.discard(ifindex)));
  return { links: ownLinks.map(({ name }) => name), addresses: ownAddresses.map(({ address }) => address) };
}

/**
 * Made by a run that died before it could write the alias, which the kernel does not take in the creating message. Whose
 * it was is not known any more; a living run would set it within the millisecond, or make it again.
 */
const isHalfMade = ({ kind, alias, group, flags }: Link): boolean =>
  kind === 'macvlan' && alias === undefined && isKoiGroup(group) && !flags.up;
