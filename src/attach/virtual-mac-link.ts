import { failpoints } from '../failpoint.js';
import { configureLink, createMacvlan, deleteLink, getLink, type Ipv4Conf, type Link } from '../kernel/links.js';
import { isKoiGroup, parseAlias } from '../kernel/names.js';
import type { Netlink } from '../kernel/netlink.js';
import type { Netns } from '../kernel/netns.js';
import { confPath, readSysctlIfPresent } from '../kernel/sysctl.js';
import { KoiError } from '../koi-error.js';
import type { MacAddress } from '../wire/mac.js';

/** What tells one virtual router's virtual-MAC link from every other. */
export interface VirtualMacLinkSpec {
  readonly linkName: string;
  readonly alias: string;
  readonly group: number;
  readonly virtualMac: MacAddress;
}

/** Where the link is, and where its parent. */
export interface LinkPlace {
  readonly netlink: Netlink;
  /** The namespace of the link, if not our own. */
  readonly netns?: Netns | undefined;
  /** A socket in the parent's namespace, if that is another than the link's. */
  readonly parentNetlink?: Netlink | undefined;
}

/** Drops what comes in where no route leads back; 0 is off, and 2 loose: any route will do (ip-sysctl). */
export const strictRpFilter = 1;

/**
 * Replies to a virtual IP's clients leave by the parent, so strict reverse-path filtering (1) would drop the requests.
 * The kernel uses the larger of `all` and the link's own value: beside a strict `all` only loose (2) helps.
 */
export function linkRpFilter(netns: Netns | undefined): 0 | 2 {
  return Number(readSysctlIfPresent(confPath('all', 'rp_filter'), netns)) === strictRpFilter ? 2 : 0;
}

const linkConf = (netns: Netns | undefined): Partial<Ipv4Conf> => ({
  arpIgnore: 1,
  arpAnnounce: 2,
  arpNotify: 0,
  rpFilter: linkRpFilter(netns),
});

/**
 * Makes the link: exclusive creation with the MAC in the message, then one message of settings, all read back. What an
 * earlier try of the same owner left under the name is deleted first (16 to 18 ms); what anybody else has there is not.
 *
 * @returns its ifindex. It is down and has no addresses.
 * @throws KoiError `attach`; then nothing of it is left.
 */
export function makeVirtualMacLink(place: LinkPlace, spec: VirtualMacLinkSpec, parentIfindex: number): number {
  const { netlink, netns, parentNetlink = netlink } = place;
  clearTheName(netlink, spec);
  failpoints?.passed('link.name_free');
  const { linkName: name, virtualMac: mac, group } = spec;
  const created = createMacvlan(parentNetlink, { name, parentIfindex, mac, mode: 'private', group, netns });
  try {
    if (!created.ok) {
      const isUnknown = created.errno === 'EOPNOTSUPP';
      // Somebody was faster than this process, between its look and its creation.
      const other = created.errno === 'EEXIST' ? getLink(netlink, name) : undefined;
      if (other?.ok === true && !isOwn(other.value, spec)) throw taken(other.value);
      const why = isUnknown ? 'this kernel has no macvlan' : `creating it: ${created.message}`;
      throw new KoiError('attach', why, isUnknown ? { remedy: 'modprobe macvlan (CONFIG_MACVLAN)' } : {});
    }
    failpoints?.passed('link.created');
    const { ifindex } = readLink(netlink, name);
    const faults = configure(place, spec, parentIfindex, ifindex);
    if (faults.length > 0) throw new KoiError('attach', `the kernel reads back ${faults.join(', ')}`);
    failpoints?.passed('link.configured');
    return ifindex;
  } catch (error) {
    // Also where the kernel refused: an answer that was lost says nothing about what was done.
    const remnant = findRemnant(netlink, spec);
    if (remnant !== undefined) deleteLink(netlink, remnant);
    throw error;
  }
}

/** Whether the link still is what was made, down; settings that somebody changed are set again. */
export function mendVirtualMacLink(
  place: LinkPlace,
  spec: VirtualMacLinkSpec,
  parentIfindex: number,
  ifindex: number,
): boolean {
  const found = getLink(place.netlink, ifindex);
  if (!found.ok) return false;
  if (faultsOf(found.value, spec, parentIfindex, place.netns).length === 0) return true;
  return configure(place, spec, parentIfindex, ifindex).length === 0;
}

/**
 * The ifindex of what this owner has under the link's name, if anything. A link without alias is ours where group and MAC
 * are: the kernel does not take the alias in the creating message.
 */
export function findRemnant(netlink: Netlink, spec: VirtualMacLinkSpec): number | undefined {
  const found = getLink(netlink, spec.linkName);
  return found.ok && isOwn(found.value, spec) ? found.value.ifindex : undefined;
}

export function readLink(netlink: Netlink, target: number | string): Link {
  const answer = getLink(netlink, target);
  if (!answer.ok) throw new KoiError('attach', `reading it back: ${answer.message}`);
  return answer.value;
}

function isOwn({ alias, kind, group, mac }: Link, spec: VirtualMacLinkSpec): boolean {
  if (alias !== undefined) return alias === spec.alias;
  return kind === 'macvlan' && group === spec.group && mac === spec.virtualMac;
}

function clearTheName(netlink: Netlink, spec: VirtualMacLinkSpec): void {
  const found = getLink(netlink, spec.linkName);
  if (!found.ok) {
    if (found.errno === 'ENODEV') return;
    throw new KoiError('attach', `looking for ${spec.linkName}: ${found.message}`);
  }
  if (!isOwn(found.value, spec)) throw taken(found.value);
  const ack = deleteLink(netlink, found.value.ifindex);
  if (!ack.ok && ack.errno !== 'ENODEV') throw new KoiError('attach', `deleting what is left of it: ${ack.message}`);
}

function taken({ name, alias, group }: Link): KoiError {
  const owner = parseAlias(alias);
  if (alias === undefined && isKoiGroup(group)) {
    return new KoiError('attach', `${name} is being made by another koi of this machine`, {
      remedy: 'stop the other koi of this machine, or run koi clean',
    });
  }
  if (owner === undefined) {
    return new KoiError('attach', `the name ${name} belongs to an interface that is not koi's`, {
      remedy: 'rename that interface',
    });
  }
  const whose = `${name} belongs to cluster ${owner.cluster}, virtual router ${owner.vr}, of another run`;
  return new KoiError('attach', whose, { remedy: 'stop the other koi of this machine, or run koi clean' });
}

function configure(
  { netlink, netns }: LinkPlace,
  spec: VirtualMacLinkSpec,
  parentIfindex: number,
  ifindex: number,
): string[] {
  const settings = { alias: spec.alias, addrGenModeNone: true, ipv4Conf: linkConf(netns) };
  const ack = configureLink(netlink, ifindex, settings);
  if (!ack.ok) throw new KoiError('attach', `configuring it: ${ack.message}`);
  return faultsOf(readLink(netlink, ifindex), spec, parentIfindex, netns);
}

/** The kernel silently ignores some attributes, so everything is compared with what it reads back. */
function faultsOf(link: Link, spec: VirtualMacLinkSpec, parentIfindex: number, netns: Netns | undefined): string[] {
  const found = link.ipv4Conf;
  const wanted = linkConf(netns);
  return [
    link.kind === 'macvlan' && link.macvlanMode === 'private' ? '' : `mode ${link.macvlanMode}`,
    link.parentIfindex === parentIfindex ? '' : `parent ${link.parentIfindex}`,
    link.mac === spec.virtualMac ? '' : `MAC ${link.mac}`,
    link.alias === spec.alias ? '' : `alias ${link.alias}`,
    link.flags.up ? 'already up' : '',
    link.addrGenMode === undefined || link.addrGenMode === 'none' ? '' : `address generation ${link.addrGenMode}`,
    found?.arpIgnore === wanted.arpIgnore ? '' : `arp_ignore ${found?.arpIgnore}`,
    found?.arpAnnounce === wanted.arpAnnounce ? '' : `arp_announce ${found?.arpAnnounce}`,
    found?.arpNotify === wanted.arpNotify ? '' : `arp_notify ${found?.arpNotify}`,
    found?.rpFilter === wanted.rpFilter ? '' : `rp_filter ${found?.rpFilter}`,
  ].filter((fault) => fault !== '');
}
