import type { Address } from '../kernel/addresses.js';
import type { KernelMonitor } from '../kernel/monitor.js';

/** What the kernel itself has said about addresses: its notifications, not our own bookkeeping. */
export interface AddressEcho {
  /** Those of `addresses` that are on the link now. */
  present(ifindex: number, addresses: readonly string[]): readonly string[];
  /** The same by what has been read already: for many in a row, after one that reads what waits. */
  wasPresent(ifindex: number, address: string): boolean;
  /** Those that are not there, or there but unusable (tentative, duplicate detection failed). */
  missing(ifindex: number, addresses: readonly string[]): readonly string[];
  /** Every interface's entry of one of them, as far as they were told: those of IPv6 a moment after they came. */
  holders(addresses: readonly string[]): readonly Address[];
}

/**
 * The echo from rtnetlink notifications. The kernel queues those of removals, and of IPv4 addresses, before it
 * acknowledges the change, so reading what waits is enough. A new IPv6 address is told by a worker of the kernel, often a
 * moment after the acknowledgement, also without duplicate address detection.
 */
export function monitorEcho(monitor: KernelMonitor): AddressEcho {
  const find = (ifindex: number, addresses: readonly string[]) => {
    monitor.drain();
    const found = [...monitor.addressesOf(ifindex).values()];
    return (wanted: string) => found.find(({ address }) => address === wanted && addresses.includes(address));
  };
  return {
    holders(addresses) {
      monitor.drain();
      return addresses.flatMap((address) => monitor.holdersOf(address));
    },
    wasPresent: (ifindex, address) => monitor.has(ifindex, address),
    present(ifindex, addresses) {
      const at = find(ifindex, addresses);
      return addresses.filter((address) => at(address) !== undefined);
    },
    missing(ifindex, addresses) {
      const at = find(ifindex, addresses);
      return addresses.filter((address) => {
        const found = at(address);
        return found === undefined || found.flags.tentative || found.flags.dadFailed;
      });
    },
  };
}
