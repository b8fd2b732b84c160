import type { Netlink } from '../kernel/netlink.js';
import { arpGuardRules, installArpGuard, readArpGuard, removeArpGuard } from '../kernel/nft-arp-net.js';
import type { NftResult } from '../kernel/nft-message.js';
import {
  installNeighbourGuard,
  neighbourGuardRules,
  readNeighbourGuard,
  removeNeighbourGuard,
} from '../kernel/nft-neighbour-net.js';
import type { AddressFamily } from '../wire/address.js';
import { MacNet, type NetBinding } from './mac-net.js';

export interface MacNetsOptions {
  readonly tableName: string;
  /** Of the links that carry the virtual MACs. */
  readonly linkGroup: number;
  readonly onDropped: (vr: string, frames: number) => void;
  /** A socket of another network namespace. */
  readonly within: Netlink | undefined;
}

/** The fail-closed nets of both address families in one network namespace. */
export class MacNets {
  readonly #options: MacNetsOptions;
  readonly #nets: ReadonlyMap<AddressFamily, MacNet>;

  constructor(options: MacNetsOptions) {
    this.#options = options;
    const { tableName, linkGroup, onDropped, within } = options;
    const arp = new MacNet(
      {
        install: (bindings, soFar) => installArpGuard(tableName, bindings, soFar, within),
        read: () => readArpGuard(tableName, within),
        rules: arpGuardRules,
      },
      onDropped,
    );
    const neighbours = new MacNet(
      {
        install: (bindings, soFar) => installNeighbourGuard(tableName, linkGroup, bindings, soFar, within),
        read: () => readNeighbourGuard(tableName, within),
        rules: neighbourGuardRules,
      },
      onDropped,
    );
    this.#nets = new Map([
      [4, arp],
      [6, neighbours],
    ]);
  }

  /** Each holds exactly its bindings. @returns the families whose addresses are without one, and why */
  hold(
    bindingsOf: (family: AddressFamily) => readonly NetBinding[],
  ): readonly { readonly family: AddressFamily; readonly reason: string }[] {
    return [...this.#nets].flatMap(([family, net]) => {
      const bindings = bindingsOf(family);
      const held = net.hold(bindings);
      return held.ok || bindings.length === 0 ? [] : [{ family, reason: held.reason }];
    });
  }

  /** As {@link MacNet.look} of each. */
  look(): readonly string[] {
    return [...this.#nets.values()].flatMap((net) => net.look());
  }

  /** Before the tables are removed. */
  close(): void {
    for (const net of this.#nets.values()) net.close();
  }

  /** What removes the table of each family. */
  get removals(): readonly (() => NftResult)[] {
    const { tableName, within } = this.#options;
    return [() => removeArpGuard(tableName, within), () => removeNeighbourGuard(tableName, within)];
  }
}
