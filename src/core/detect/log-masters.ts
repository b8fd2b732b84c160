/**
 * Two active terms in the log: two nodes that are alive by their leases and were masters by their own last word. In a
 * handover, and until the lease of a dead master has run out, the log has both for a while; so it must last.
 */

export interface LogStanding {
  readonly node: string;
  readonly state: string;
  readonly term: number | undefined;
  /** Its lease has not run out. */
  readonly isAlive: boolean;
}

export interface DoubleMasters {
  readonly nodes: readonly string[];
  readonly evidence: readonly { readonly key: string; readonly value: string }[];
}

export function doubleMasters(standings: readonly LogStanding[]): DoubleMasters | undefined {
  const masters = standings.filter(({ state, isAlive }) => state === 'master' && isAlive);
  if (masters.length < 2) return undefined;
  const sorted = [...masters].sort((a, b) => (a.node < b.node ? -1 : 1));
  return {
    nodes: sorted.map(({ node }) => node),
    evidence: [
      { key: 'source', value: 'log' },
      ...sorted.map(({ node, term }) => ({ key: node, value: `master with term ${term ?? 0}` })),
    ],
  };
}

/** Follows one virtual router: told of it again and again, it says when it has lasted, and when it is over. */
export class LogMasters {
  readonly #lastsMs: number;
  #since: { readonly key: string; readonly atMs: number } | undefined;
  #told = false;

  /** @param lastsMs longer than a lease: who died without a word is alive for so long */
  constructor(lastsMs: number) {
    this.#lastsMs = lastsMs;
  }

  look(found: DoubleMasters | undefined, atMs: number): 'began' | { readonly endedAfterMs: number } | undefined {
    const key = found?.nodes.join(' ');
    if (key !== undefined && this.#since?.key === key) {
      if (this.#told || atMs - this.#since.atMs < this.#lastsMs) return undefined;
      this.#told = true;
      return 'began';
    }
    const before = this.#told ? this.#since : undefined;
    this.#since = key === undefined ? undefined : { key, atMs };
    this.#told = false;
    return before === undefined ? undefined : { endedAfterMs: atMs - before.atMs };
  }
}
