import type { VirtualRoute } from '../attach/virtual-routes.js';
import type { InterfaceSelector, VirtualIp, VirtualRouterConfig } from '../config/config.js';
import { type AddressFamily, networkOf } from '../wire/address.js';
import type { MacAddress } from '../wire/mac.js';

/** One virtual MAC on one interface, with what goes there. */
export interface Placement {
  /** Tells it from the others of its virtual router; '' for the first. */
  readonly key: string;
  readonly virtualMac: MacAddress;
  readonly interface: InterfaceSelector;
  readonly addresses: readonly string[];
  readonly routes: readonly VirtualRoute[];
}

const interfaceKey = ({ by, value }: InterfaceSelector): string => `${by} ${value}`;

/**
 * Where a virtual router's addresses go: a link for each virtual MAC on each interface, those on the adverts' interface
 * first. A route goes over the link of the address that it names as its source, else over the first of its family.
 */
export function placementsOf(
  config: VirtualRouterConfig,
  virtualMacOf: (family: AddressFamily) => MacAddress,
): Placement[] {
  const groups = new Map<string, VirtualIp[]>();
  const keyOf = (vip: VirtualIp): string =>
    `${virtualMacOf(vip.family)} ${interfaceKey(vip.interface ?? config.interface)}`;
  const isElsewhere = (vip: VirtualIp): boolean =>
    interfaceKey(vip.interface ?? config.interface) !== interfaceKey(config.interface);
  const inOrder = [...config.addresses].sort(
    (a, b) => Number(isElsewhere(a)) - Number(isElsewhere(b)) || a.family - b.family,
  );
  for (const vip of inOrder) groups.set(keyOf(vip), [...(groups.get(keyOf(vip)) ?? []), vip]);

  const linkOf = ({
    destination,
    source,
  }: {
    destination: VirtualIp;
    source: string | undefined;
  }): string | undefined => {
    const carrier =
      config.addresses.find(({ address }) => address === source) ??
      inOrder.find(({ family }) => family === destination.family);
    return carrier === undefined ? undefined : keyOf(carrier);
  };
  return [...groups].map(([key, vips], index) => {
    const [first] = vips;
    const elsewhere =
      first === undefined || !isElsewhere(first) ? '' : ` ${interfaceKey(first.interface ?? config.interface)}`;
    const virtualMac = virtualMacOf(first?.family ?? 4);
    return {
      key: index === 0 ? '' : `${virtualMac}${elsewhere}`,
      virtualMac,
      interface: first?.interface ?? config.interface,
      addresses: config.addresses.filter((vip) => vips.includes(vip)).map(({ address }) => address),
      routes: [
        ...vips.filter(({ prefixRoute }) => prefixRoute === true).map(prefixRouteOf),
        ...config.routes.filter((route) => linkOf(route) === key).map((route) => ({ ...route, behindOthers: false })),
      ],
    };
  });
}

/** The parent may have the same one, of its own address: that stays the first. */
function prefixRouteOf({ address, prefixLength }: VirtualIp): VirtualRoute {
  const destination = { address: networkOf(address, prefixLength), prefixLength };
  return { destination, via: undefined, source: address, table: undefined, metric: undefined, behindOthers: true };
}
