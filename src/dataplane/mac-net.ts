import type { Answer } from '../kernel/netlink.js';
import type { NftResult } from '../kernel/nft-message.js';
import type { MacBinding, NetState } from '../kernel/nft-net.js';

/** An address of a virtual router, and the only MAC that may speak for it. */
export interface NetBinding extends MacBinding {
  readonly vr: string;
}

/** The table of one network namespace. */
export interface NetTable {
  /** Makes it hold exactly these; `soFar` is where the counters of addresses begin that were counted before. */
  readonly install: (bindings: readonly MacBinding[], soFar: ReadonlyMap<string, number>) => NftResult;
  readonly read: () => Answer<NetState>;
  /** How many rules it then has. */
  readonly rules: (bindings: number) => number;
}

/**
 * The fail-closed net of one network namespace, and what falls into it: the kernel counts for each address what this host
 * would have sent with a wrong MAC, and each virtual router is told what came since it was looked at last. What is told
 * never becomes less: a counter that somebody has set back counts from 0, and a table that somebody has removed goes on from
 * where it was when it was looked at last.
 */
export class MacNet {
  readonly #table: NetTable;
  readonly #onDropped: (vr: string, frames: number) => void;
  #bindings: readonly NetBinding[] = [];
  /** Of each address that is in the table, when it was looked at last. */
  #seen = new Map<string, number>();
  #inForce = false;

  constructor(table: NetTable, onDropped: (vr: string, frames: number) => void) {
    this.#table = table;
    this.#onDropped = onDropped;
  }

  /** From now on these are in the table, and no others. Fails, with the reason, where the kernel has no nf_tables. */
  hold(bindings: readonly NetBinding[]): NftResult {
    if (this.#inForce) this.#count();
    const stays = new Set(bindings.map(({ address }) => address));
    this.#seen = new Map([...this.#seen].filter(([address]) => stays.has(address)));
    this.#bindings = bindings;
    const result = this.#install();
    this.#inForce = result.ok;
    return result;
  }

  /**
   * Counts what has been dropped, and makes the table what it was where somebody has changed it.
   * @returns the addresses whose rules were missing; all, where one is that serves all, or there are some of somebody else
   */
  look(): readonly string[] {
    const missing = this.#inForce ? this.#count() : [];
    if (missing.length > 0) this.#install();
    return missing;
  }

  /** Before the table is removed: counts for the last time, and looks no more. */
  close(): void {
    if (this.#inForce) this.#count();
    this.#inForce = false;
  }

  #install(): NftResult {
    return this.#table.install(this.#bindings, this.#seen);
  }

  /** @returns the addresses that are not guarded; none where the table cannot be read now */
  #count(): readonly string[] {
    const state = this.#table.read();
    if (!state.ok) return [];
    const { counters, rules } = state.value;
    const now = new Map(counters.map(({ address, droppedPackets }) => [address, droppedPackets]));
    for (const { address, vr } of this.#bindings) {
      const frames = now.get(address);
      if (frames === undefined) continue;
      const before = this.#seen.get(address) ?? 0;
      const more = frames < before ? frames : frames - before;
      this.#seen.set(address, frames);
      if (more > 0) this.#onDropped(vr, more);
    }
    const all = this.#bindings.map(({ address }) => address);
    const missing = all.filter((address) => !now.has(address));
    return missing.length === 0 && rules !== this.#table.rules(all.length) ? all : missing;
  }
}
