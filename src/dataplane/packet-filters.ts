import type { Logger } from 'pino';
import type { VirtualRouterConfig } from '../config/config.js';
import type { Netlink } from '../kernel/netlink.js';
import { netnsLabel } from '../kernel/netns.js';
import { refuseService } from '../kernel/nft-accept.js';
import { silenceNeighbours } from '../kernel/nft-hush.js';
import type { AddressFamily } from '../wire/address.js';
import type { NetBinding } from './mac-net.js';
import { MacNets } from './mac-nets.js';
import { virtualMacOf } from './protocol-adapter.js';

export interface PacketFiltersOptions {
  readonly tableName: string;
  /** Of the links that carry the virtual MACs. */
  readonly linkGroup: number;
  readonly log: Pick<Logger, 'warn' | 'error'>;
  /** So many frames with a wrong MAC for one of a virtual router's addresses were dropped. */
  readonly onDropped: (vr: string, frames: number) => void;
}

/** A network namespace that is not our own. */
export interface FilteredNamespace {
  readonly name: string;
  /** The socket for packet filters there; undefined while there is no such namespace. */
  readonly filter: Netlink | undefined;
}

/**
 * The packet filters in each network namespace: the fail-closed net below the guards, which Koi runs without where the
 * kernel has no nf_tables; and the addresses that own no service, which own one there.
 */
export class PacketFilters {
  readonly #options: PacketFiltersOptions;
  readonly #nets: MacNets;
  /** Those of other namespaces, by the socket there. */
  readonly #netsThere = new WeakMap<Netlink, MacNets>();

  constructor(options: PacketFiltersOptions) {
    this.#options = options;
    this.#nets = this.#newNets();
  }

  /** Those of these virtual routers whose addresses are in our own namespace, or in another one, and of nobody else. */
  install(routers: readonly VirtualRouterConfig[], there?: FilteredNamespace): void {
    const within = there?.filter;
    if (there !== undefined && within === undefined) return;
    const { tableName, log } = this.#options;
    const namespace = there?.name;
    const here = routers.filter((router) => namespaceOf(router) === namespace);
    const bare = this.#netsOf(within).hold((family) => here.flatMap((router) => bindingsOf(router, family)));
    for (const { family, reason } of bare) {
      log.warn({ reason, namespace }, `no nftables net under the IPv${family} addresses`);
    }
    const refusing = here.filter(({ accept }) => !accept);
    const addresses = refusing.flatMap((router) => router.addresses.map(({ address }) => address));
    const refused = refuseService(tableName, addresses, within);
    if (refused.ok || addresses.length === 0) return;
    const vrs = refusing.map(({ name }) => name);
    log.error(
      { vrs, reason: refused.reason },
      'accept: false is not in force: the addresses take what is sent to them',
    );
  }

  /** What another program has changed is put back. */
  look(there?: FilteredNamespace): void {
    if (there !== undefined && there.filter === undefined) return;
    const addresses = this.#netsOf(there?.filter).look();
    if (addresses.length === 0) return;
    this.#options.log.warn(
      { namespace: there?.name, addresses },
      'another program changed rules of the nftables net under the virtual IPs; putting them back',
    );
  }

  /** At the end, for good. */
  remove(there?: FilteredNamespace): void {
    const within = there?.filter;
    if (there !== undefined && within === undefined) return;
    const { tableName } = this.#options;
    const nets = this.#netsOf(within);
    nets.close();
    const removals = [
      ...nets.removals,
      () => refuseService(tableName, [], within),
      () => silenceNeighbours(tableName, [], within),
    ];
    // Nobody comes back for a table that stays: what the kernel had no memory for is asked for once more.
    for (const remove of removals) if (!remove().ok) remove();
  }

  #netsOf(within: Netlink | undefined): MacNets {
    if (within === undefined) return this.#nets;
    const known = this.#netsThere.get(within) ?? this.#newNets(within);
    this.#netsThere.set(within, known);
    return known;
  }

  #newNets(within?: Netlink): MacNets {
    const { tableName, linkGroup, onDropped } = this.#options;
    return new MacNets({ tableName, linkGroup, onDropped, within });
  }
}

const namespaceOf = ({ namespace }: VirtualRouterConfig): string | undefined => namespace && netnsLabel(namespace);

function bindingsOf(config: VirtualRouterConfig, family: AddressFamily): NetBinding[] {
  const mac = virtualMacOf(config, family);
  return config.addresses
    .filter((vip) => vip.family === family)
    .map(({ address }) => ({ vr: config.name, address, mac }));
}
