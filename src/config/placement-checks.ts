import { addressTextOf, canonicalAddress, parsePrefix, parseVirtualAddress, type VirtualAddress } from './address.js';
import { type ConfigPath, formatPath, isMap } from './path.js';
import {
  checkNamespace,
  checkSelector,
  type Entry,
  type Indexed,
  namespaceKey,
  type Report,
  selectorKey,
  titleOf,
} from './raw-entries.js';

/* Where virtual IPs are put, and whom adverts go to: rules that join several fields. */

/** The guard keeps its registrations in static memory of this size. */
const addressesMax = 4_096;
const ownerPriority = 255;

interface PlacedAddress extends VirtualAddress {
  readonly path: ConfigPath;
  /** The interface it is put on. */
  readonly link: string | undefined;
}

/** The addresses of a virtual router that can be read. */
function addressesOf(router: Entry, path: ConfigPath): PlacedAddress[] {
  if (!Array.isArray(router.addresses)) return [];
  return router.addresses.flatMap((entry: unknown, at) => {
    const text = addressTextOf(entry);
    const parsed = text === undefined ? undefined : parseVirtualAddress(text);
    if (parsed?.ok !== true) return [];
    const own = isMap(entry) ? entry.interface : undefined;
    return [{ ...parsed.value, path: [...path, 'addresses', at], link: selectorKey(own ?? router.interface) }];
  });
}

/** One MAC on one wire: VRRP for IPv4 and CARP derive the same one from an id, VRRP for IPv6 another. */
export function checkIdentifiers(routers: readonly Indexed[], fail: Report): void {
  const seen = new Map<string, number>();
  for (const [index, router] of routers) {
    const { id } = router;
    if (typeof id !== 'number') continue;
    const macs = virtualMacsOf(router, ['virtualRouters', index]).map((place) => `${place} ${id}`);
    const clash = macs.map((key) => seen.get(key)).find((first) => first !== undefined);
    for (const key of macs) if (!seen.has(key)) seen.set(key, index);
    if (clash === undefined) continue;
    fail(
      ['virtualRouters', index, 'id'],
      `the id ${id} is already used on this interface by ${titleOf(routers, clash)}: both would have one virtual MAC`,
      'choose another id, the same on every node',
    );
  }
}

/** On which interfaces it has which kind of virtual MAC; on that of the adverts in any case. */
function virtualMacsOf(router: Entry, path: ConfigPath): string[] {
  const parent = selectorKey(router.interface);
  const kindOf = (family: 4 | 6): string => (router.protocol !== 'carp' && family === 6 ? '00:02' : '00:01');
  const placed = addressesOf(router, path);
  const adverts = placed.map(({ family }) => `${parent} ${kindOf(family)}`);
  const fallback = adverts.length === 0 ? [`${parent} 00:01`] : [];
  const elsewhere = placed.map(({ family, link }) => `${link ?? parent} ${kindOf(family)}`);
  return parent === undefined ? [] : [...new Set([...adverts, ...fallback, ...elsewhere])];
}

export function checkAddresses(routers: readonly Indexed[], fail: Report): void {
  const seen = new Map<string, { path: string; index: number }>();
  let total = 0;
  for (const [index, router] of routers) {
    total += Array.isArray(router.addresses) ? router.addresses.length : 0;
    for (const { address, link, path } of addressesOf(router, ['virtualRouters', index])) {
      // Every link has its own fe80::1.
      const where = address.startsWith('fe80:') ? link : '';
      const key = `${namespaceKey(router.namespace)} ${address} ${where}`;
      const first = seen.get(key);
      if (first === undefined) {
        seen.set(key, { path: formatPath(path), index });
        continue;
      }
      const owner = first.index === index ? 'this virtual router' : titleOf(routers, first.index);
      fail(path, `the address ${address} is already in ${owner} (${first.path})`, 'an address has one virtual router');
    }
  }
  if (total > addressesMax) {
    fail(['virtualRouters'], `there are ${total} virtual IPs`, `keep to ${addressesMax} a node`);
  }
}

/** What one virtual router says of unicast peers, other interfaces and routes. */
export function checkPlacement(router: Entry, path: ConfigPath, fail: Report): void {
  if (Array.isArray(router.addresses)) {
    router.addresses.forEach((entry: unknown, at) => {
      if (isMap(entry)) checkSelector(entry.interface, [...path, 'addresses', at, 'interface'], fail);
    });
  }
  checkNamespace(router.namespace, [...path, 'namespace'], fail);
  checkUnicast(router, path, fail);
  checkRoutes(router, path, fail);
  if (router.accept === false && router.priority === ownerPriority) {
    fail([...path, 'accept'], 'the owner of the addresses (priority 255) accepts what is sent to them', 'remove it');
  }
}

function checkUnicast(router: Entry, path: ConfigPath, fail: Report): void {
  if (!isMap(router.unicast) || !Array.isArray(router.unicast.peers)) return;
  const { source, peers } = router.unicast;
  const place: ConfigPath = [...path, 'unicast', 'peers'];
  const own = typeof source === 'string' ? canonicalAddress(source) : undefined;
  const known = peers.map((text: unknown) => (typeof text === 'string' ? canonicalAddress(text) : undefined));
  known.forEach((peer, at) => {
    if (peer === undefined) return;
    if (known.findIndex((other) => other?.address === peer.address) < at) {
      fail([...place, at], `${peer.address} is in the list already`, 'name each peer once');
    }
    if (own === undefined) return;
    if (peer.address === own.address) fail([...place, at], 'is the source itself', 'name the other routers only');
    if (peer.family !== own.family) fail([...place, at], 'is of another family than source', 'use one address family');
  });
  if (known.includes(undefined)) return;
  for (const family of new Set(addressesOf(router, path).map((vip) => vip.family))) {
    if (known.some((peer) => peer?.family === family)) continue;
    const remedy = `add the peer's IPv${family} address; without source, one of each family can be there`;
    fail(place, `adverts for the IPv${family} addresses go over IPv${family}, and no peer is reached so`, remedy);
  }
}

/** A route goes over the link of a virtual IP of its family, so there must be one. */
function checkRoutes(router: Entry, path: ConfigPath, fail: Report): void {
  if (!Array.isArray(router.routes)) return;
  const families = new Set(addressesOf(router, path).map(({ family }) => family));
  router.routes.forEach((route: unknown, at) => {
    if (!isMap(route)) return;
    const place: ConfigPath = [...path, 'routes', at];
    const family = typeof route.to === 'string' ? parsePrefix(route.to)?.family : undefined;
    if (family === undefined) return;
    if (families.size > 0 && !families.has(family)) {
      fail([...place, 'to'], `there is no IPv${family} virtual IP whose link it could use`, 'add one, or remove it');
    }
    for (const key of ['via', 'source'] as const) {
      const text = route[key];
      const other = typeof text === 'string' ? canonicalAddress(text) : undefined;
      if (other !== undefined && other.family !== family) {
        fail([...place, key], `is not of the family of the destination (IPv${family})`, 'use one address family');
      }
    }
  });
}
