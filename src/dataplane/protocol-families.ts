import type { AddressFamily } from '../wire/address.js';

interface Heard {
  readonly atMs: number;
  readonly sourceOrder: -1 | 0 | 1;
}

/**
 * What a virtual router with addresses of both families has to keep apart: its master sends an advert in each, and
 * either may be lost alone.
 *
 * BSD's CARP has a timer for each family and takes over when either runs out: where multicast of one family is lost, two
 * masters drive each other out for ever. Here the master is silent only when both families are, and a family that is
 * silent alone is reported.
 */
export class FamilyWatch {
  readonly #families: readonly AddressFamily[];
  readonly #heard = new Map<AddressFamily, Heard>();
  /** When adverts began to be heard, after the last time there were none at all. */
  #sinceMs: number | undefined;
  #silent: AddressFamily | undefined;

  constructor(families: readonly AddressFamily[]) {
    this.#families = families;
  }

  /** The family that is silent while the other is heard; undefined while all is well. */
  get silent(): AddressFamily | undefined {
    return this.#silent;
  }

  /**
   * An advert came in.
   * @param patienceMs how long a family may be silent
   */
  heard(family: AddressFamily, sourceOrder: -1 | 0 | 1, atMs: number, patienceMs: number): void {
    const newestMs = Math.max(...[...this.#heard.values()].map((last) => last.atMs), Number.NEGATIVE_INFINITY);
    if (this.#sinceMs === undefined || atMs - newestMs > patienceMs) this.#sinceMs = atMs;
    this.#heard.set(family, { atMs, sourceOrder });
    const sinceMs = this.#sinceMs;
    this.#silent = this.#families.find((other) => {
      const lastMs = Math.max(this.#heard.get(other)?.atMs ?? sinceMs, sinceMs);
      return other !== family && atMs - lastMs > patienceMs;
    });
  }

  /**
   * The order of addresses that decides between equals: that of IPv4 wherever it was heard lately. Judged by each family
   * on its own, two routers whose addresses are ordered the other way round would both give way.
   */
  orderOf(family: AddressFamily, sourceOrder: -1 | 0 | 1, atMs: number, patienceMs: number): -1 | 0 | 1 {
    const first = this.#heard.get(4);
    const isFresh = first !== undefined && atMs - first.atMs <= patienceMs;
    return family === 6 && isFresh ? first.sourceOrder : sourceOrder;
  }
}
