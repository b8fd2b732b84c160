import { canonicalAddress, sameIpv4Network } from './address.js';
import type { InterfaceSelector, VirtualRouterConfig } from './config.js';
import { type ConfigPath, formatPath } from './path.js';
import type { ConfigProblem } from './problem.js';

/** What the checks need to know of this machine. */
export interface HostView {
  readonly interfaces: readonly HostInterface[];
}

export interface HostInterface {
  readonly name: string;
  /** Lower case; undefined where the interface has none. */
  readonly mac: string | undefined;
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number }[];
  /** A virtual-MAC link that koi made: a virtual IP belongs there. */
  readonly ofKoi: boolean;
}

/**
 * Compares virtual routers with this machine. A parent that is absent is only a warning, since koi waits for it; a
 * virtual IP that the parent itself has is an error, since the parent would answer for it with its own MAC.
 *
 * @param routers at the places that they have in the file; undefined: what is wrong in itself is not compared
 * @param locate the line of a path in the file, as the loader knows it
 */
export function checkHost(
  routers: readonly (VirtualRouterConfig | undefined)[],
  host: HostView,
  locate: (path: ConfigPath) => number | undefined = () => undefined,
): { readonly errors: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] } {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const into = (list: ConfigProblem[], path: ConfigPath, message: string, remedy: string): void => {
    list.push({ path: formatPath(path), line: locate(path), message, remedy });
  };

  routers.forEach((router, index) => {
    if (router === undefined) return;
    const place: ConfigPath = ['virtualRouters', index];
    const parent = findInterface(host, router.interface);
    if (parent === 'unknown') return;
    if (parent === undefined) {
      const { by, value } = router.interface;
      into(
        warnings,
        [...place, 'interface'],
        `there is no interface with the ${by} '${value}' now`,
        'koi waits for it; check the spelling if it is not meant to appear later',
      );
    }
    const own4 = parent?.addresses.filter(({ address }) => !address.includes(':')) ?? [];
    const wants4 = router.addresses.some(({ family }) => family === 4);
    if (parent !== undefined && wants4 && own4.length === 0) {
      into(
        warnings,
        [...place, 'interface'],
        `${parent.name} has no IPv4 address of its own to send adverts from`,
        'give it one; koi waits for it',
      );
    }
    const wants6 = router.addresses.some(({ family }) => family === 6);
    if (parent !== undefined && wants6 && !parent.addresses.some(({ address }) => isLinkLocal(address))) {
      into(
        warnings,
        [...place, 'interface'],
        `${parent.name} has no IPv6 link-local address to send adverts from`,
        'enable IPv6 on it; koi waits for it',
      );
    }
    const source = router.unicast?.source;
    if (
      parent !== undefined &&
      source !== undefined &&
      !parent.addresses.some(({ address }) => isSame(address, source))
    ) {
      const path: ConfigPath = [...place, 'unicast', 'source'];
      into(warnings, path, `${source} is no address of ${parent.name}`, 'give it to it; koi waits for it');
    }
    router.addresses.forEach((vip, at) => {
      // Another network namespace has addresses and networks of its own, which this host does not show.
      if (router.namespace !== undefined) return;
      const path: ConfigPath = [...place, 'addresses', at];
      const home = vip.interface === undefined ? parent : findInterface(host, vip.interface);
      if (home === 'unknown') return;
      if (home === undefined && vip.interface !== undefined) {
        const { by, value } = vip.interface;
        const remedy = 'koi waits for it; check the spelling if it is not meant to appear later';
        into(warnings, [...path, 'interface'], `there is no interface with the ${by} '${value}' now`, remedy);
      }
      const holders = host.interfaces.filter(
        ({ addresses, ofKoi }) => !ofKoi && addresses.some(({ address }) => isSame(address, vip.address)),
      );
      const holder = holders.find(({ name }) => name === home?.name) ?? holders[0];
      if (holder !== undefined && holder.name === home?.name) {
        into(
          errors,
          path,
          `${vip.address} is already an address of ${holder.name} itself, which would answer with its own MAC`,
          `koi puts it on the virtual-MAC link: stop what serves it there now (keepalived, ucarp), or remove it from ${holder.name} (ip addr del ${vip.address}/${prefixOn(holder, vip.address)} dev ${holder.name})`,
        );
      } else if (holder !== undefined && !isLinkLocal(vip.address)) {
        into(warnings, path, `${vip.address} is an address of ${holder.name}`, `remove it from ${holder.name}`);
      }
      const networks = home?.addresses.filter(({ address }) => !address.includes(':')) ?? [];
      if (
        vip.family === 4 &&
        vip.prefixRoute !== true &&
        networks.length > 0 &&
        !networks.some((own) => sameIpv4Network(own.address, vip.address, own.prefixLength))
      ) {
        into(
          warnings,
          path,
          `${vip.address} is in no network of ${home?.name ?? 'its interface'}`,
          'check the address; where this host has no other way to its network, write {address: …, prefixRoute: true}',
        );
      }
    });
  });
  return { errors, warnings };
}

const isSame = (text: string, address: string): boolean => canonicalAddress(text)?.address === address;

/** Such an address means something on its own link only. */
const isLinkLocal = (address: string): boolean => /^fe[89ab]/i.test(address);

function prefixOn(holder: HostInterface, vip: string): number | string {
  return holder.addresses.find(({ address }) => canonicalAddress(address)?.address === vip)?.prefixLength ?? '';
}

function findInterface(host: HostView, selector: InterfaceSelector): HostInterface | undefined | 'unknown' {
  switch (selector.by) {
    case 'name':
      return host.interfaces.find(({ name }) => name === selector.value);
    case 'mac':
      return host.interfaces.find(({ mac, ofKoi }) => !ofKoi && mac === selector.value);
    default:
      return 'unknown';
  }
}
