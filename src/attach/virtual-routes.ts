import { ROUTE_PROTOCOL } from '../kernel/names.js';
import type { Netlink } from '../kernel/netlink.js';
import { addRoutes, type RouteSpec, removeRoutes } from '../kernel/routes.js';
import { KoiError } from '../koi-error.js';

/** A route that goes over the virtual-MAC link, and so never outlives it. */
export type VirtualRoute = Omit<RouteSpec, 'ifindex' | 'protocol'>;

const onLink = (routes: readonly VirtualRoute[], ifindex: number): RouteSpec[] =>
  routes.map((route) => ({ ...route, ifindex, protocol: ROUTE_PROTOCOL }));

const textOf = ({ destination, via }: VirtualRoute): string =>
  `${destination.address}/${destination.prefixLength}${via === undefined ? '' : ` via ${via}`}`;

/**
 * Adds the routes, tagged.
 * @returns the evidence
 * @throws KoiError `attach`, naming the route
 */
export function addVirtualRoutes(netlink: Netlink, routes: readonly VirtualRoute[], ifindex: number): string {
  const acks = addRoutes(netlink, onLink(routes, ifindex));
  acks.forEach((ack, index) => {
    const route = routes[index];
    if (ack.ok || route === undefined) return;
    if (ack.errno !== 'EEXIST') throw new KoiError('attach', `the route to ${textOf(route)}: ${ack.message}`);
    const table = route.table === undefined ? '' : ` table ${route.table}`;
    throw new KoiError('attach', `there is another route to ${textOf(route)} with the same metric`, {
      remedy: `ip route show ${route.destination.address}/${route.destination.prefixLength}${table}; give this one a metric`,
    });
  });
  return routes.map(textOf).join(', ');
}

/** Takes them off again. One that is gone already is fine, and what will not go goes with the link. */
export function removeVirtualRoutes(netlink: Netlink, routes: readonly VirtualRoute[], ifindex: number): void {
  if (routes.length > 0) removeRoutes(netlink, onLink(routes, ifindex));
}
