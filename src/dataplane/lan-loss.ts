import { AddressRemovals } from '../kernel/addresses.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { linkFault, type ParentPort } from './parent-port.js';

interface Vacating {
  uses(port: ParentPort): boolean;
  vacate(removals: AddressRemovals): void;
}

/**
 * An interface is lost, with all the virtual routers on it: their addresses go in one message, before each of them is told and
 * says so to others. Of two hundred the last address else went half a second after the first.
 *
 * To be called before the ports hear of the event: they tell the virtual routers.
 */
export function vacateLostLan(
  event: KernelEvent,
  links: ReadonlyMap<number, Parameters<typeof linkFault>[0]>,
  ports: Iterable<ParentPort>,
  routers: Iterable<Vacating>,
): void {
  if (event.type !== 'link') return;
  const { ifindex } = event.link;
  // As it is now, which is what the port goes by.
  const link = links.get(ifindex);
  if (link === undefined || linkFault(link) === undefined) return;
  const lost = [...ports].filter(({ state }) => state.ifindex === ifindex && state.fault === undefined);
  if (lost.length === 0) return;
  const removals = new AddressRemovals();
  for (const router of routers) if (lost.some((port) => router.uses(port))) router.vacate(removals);
  removals.send();
}
