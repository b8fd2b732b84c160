import type { Answer } from '../kernel/netlink.js';
import type { NftResult } from '../kernel/nft-message.js';
import type { ArpBinding, ArpCounter } from '../kernel/nftables.js';

/** An address of a virtual router, and the only MAC that may speak for it. */
export interface NetBinding extends ArpBinding {
  readonly vr: string;
}

/** The table of one network namespace. */
export interface ArpTable {
  /** Makes it hold exactly these; `soFar` is where the counters of addresses begin that were counted before. */
  readonly install: (bindings: readonly ArpBinding[], soFar: ReadonlyMap<string, number>) => NftResult;
  readonly read: () => Answer<ArpCounter[]>;
}

/**
 * The fail-closed net of one network namespace, and what falls into it: the kernel counts for each address what this host
 * would have sent with a wrong MAC, and each virtual router is told what came since it was looked at last. What is told
 * never becomes less: a counter that somebody has set back counts from 0, and a table that somebody has removed goes on from
 * where it was when it was looked at last.
 */
export class ArpNet {
  readonly #table: ArpTable;
  readonly #onDropped: (vr: string, frames: number) => void;
  #bindings: readonly NetBinding[] = [];
  /** Of each address that is in the table, when it was looked at last. */
  #seen = new Map<string, number>();
  #inForce = false;

  constructor(table: ArpTable, onDropped: (vr: string, frames: number) => void) {
    this.#table = table;
    this.#onDropped = onDropped;
  }

  /** From now on these are in the table, and no others. Fails, with the reason, where the kernel has no nf_tables. */
  hold(bindings: readonly NetBinding[]): NftResult {
    if (this.#inForce) this.#count();
    const stays = new Set(bindings.map(({ ipv4 }) => ipv4));
    this.#seen = new Map([...this.#seen].filter(([ipv4]) => stays.has(ipv4)));
    this.#bindings = bindings;
    return this.#install();
  }

  /**
   * Counts what has been dropped, and puts back what somebody has taken out of the table.
   * @returns the addresses whose rules were missing
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
    const result = this.#table.install(this.#bindings, this.#seen);
    this.#inForce = result.ok;
    return result;
  }

  /** @returns the addresses that are not in the table; none where it cannot be read now */
  #count(): readonly string[] {
    const counters = this.#table.read();
    if (!counters.ok) return [];
    const now = new Map(counters.value.map(({ ipv4, droppedPackets }) => [ipv4, droppedPackets]));
    for (const { ipv4, vr } of this.#bindings) {
      const frames = now.get(ipv4);
      if (frames === undefined) continue;
      const before = this.#seen.get(ipv4) ?? 0;
      const more = frames < before ? frames : frames - before;
      this.#seen.set(ipv4, frames);
      if (more > 0) this.#onDropped(vr, more);
    }
    return this.#bindings.filter(({ ipv4 }) => !now.has(ipv4)).map(({ ipv4 }) => ipv4);
  }
}
