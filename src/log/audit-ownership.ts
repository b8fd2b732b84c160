import type { AuditWord, Report } from './audit-words.js';
import type { OwnershipEvent } from './event.js';

/** Terms remembered with their owners, for naming whoever had one before. */
const termsMax = 64;

interface Chain {
  /** Hash of the newest event on the subject; undefined before the first, or where that was not read. */
  hash: string | undefined;
  /** The first event that was read need not be the first there is. */
  begun: boolean;
  highestTerm: number;
  readonly owners: Map<number, string>;
  holder: { readonly node: string; readonly term: number; released: boolean } | undefined;
  /** Whoever has handed over and may linger. */
  lingering: string | undefined;
}

/** Reasons to claim that only say what was not heard, or what is wanted: what the holder does has to be found out. */
const questioned: ReadonlySet<string> = new Set([
  'master_silent',
  'master_demoted',
  'preempting',
  'advert_path_lost',
  'owner',
]);

/** What one node may do to the ownership of a virtual router, given what the log had when it did. */
export class OwnershipAudit {
  readonly #chains = new Map<string, Chain>();
  readonly #partial: () => boolean;
  /** This log's nodes write down what they found out about a holder. */
  #recordsVerdicts = false;

  /** @param partial whether the log was not read from its first event */
  constructor(partial: () => boolean) {
    this.#partial = partial;
  }

  /** Whether the log gave this term to this node; undefined where that was before what has been read. */
  owned(vr: string, term: number, node: string): boolean | undefined {
    const chain = this.#chains.get(vr);
    if (chain?.owners.get(term) === node) return true;
    const [oldest] = chain?.owners.keys() ?? [];
    const isBefore = oldest === undefined || term < oldest;
    return isBefore && (this.#partial() || (chain?.owners.size ?? 0) >= termsMax) ? undefined : false;
  }

  /** Something stands on the subject that could not be read: the next event follows it all the same. */
  skip(vr: string, hash: string): void {
    this.#chain(vr).hash = hash;
    this.#chain(vr).begun = true;
  }

  read(event: OwnershipEvent, hash: string, report: Report): void {
    const chain = this.#chain(event.vr);
    const isUnknownStart = !chain.begun && this.#partial();
    if (!isUnknownStart && event.previousHash !== chain.hash) {
      report('chain_broken', `it follows ${short(event.previousHash)}, but ${short(chain.hash)} stands before it`);
    }
    this.#apply(chain, event, chain.holder === undefined && this.#partial(), report);
    chain.begun = true;
    chain.hash = hash;
  }

  #apply(chain: Chain, event: OwnershipEvent, isHolderUnknown: boolean, report: Report): void {
    const { payload, node, term } = event;
    const { holder } = chain;
    switch (payload.type) {
      case 'claimed':
        this.#checkTerm(chain, term, node, report);
        this.#checkProof(chain, event, report);
        take(chain, term, node);
        chain.lingering = undefined;
        return;
      case 'handoverStarted':
        this.#checkTerm(chain, term, payload.to, report);
        if (!isHolderUnknown && (holder?.node !== node || holder.released)) {
          report('handover_by_other', `${node} handed it to ${payload.to}; ${held(chain)}`);
        }
        take(chain, term, payload.to);
        chain.lingering = node;
        return;
      case 'released':
        if (chain.lingering === node) chain.lingering = undefined;
        else if (holder?.node === node && holder.term === term && !holder.released) holder.released = true;
        else if (!isHolderUnknown) report('release_by_other', `${node} released term ${term}; ${held(chain)}`);
        return;
      case 'handoverReady':
      case 'handoverFailed':
        return;
    }
  }

  #checkTerm(chain: Chain, term: number, owner: string, report: Report): void {
    if (term > chain.highestTerm) return;
    const before = chain.owners.get(term);
    const word: AuditWord = before === undefined ? 'term_fell' : 'term_reused';
    const had = before === undefined ? `term ${chain.highestTerm} had been owned` : `${before} had owned it`;
    report(word, `term ${term} went to ${owner}, when ${had}`);
  }

  #checkProof(chain: Chain, { payload, node }: OwnershipEvent, report: Report): void {
    if (payload.type !== 'claimed') return;
    if (payload.holderVerdict !== undefined) this.#recordsVerdicts = true;
    const { holder } = chain;
    const isFree = holder === undefined || holder.released || holder.node === node || chain.lingering === node;
    if (isFree || !this.#recordsVerdicts || !questioned.has(payload.reason)) return;
    if (payload.holderVerdict !== undefined || payload.provisionalSinceMs !== undefined) return;
    report('claim_unproven', `${node} claimed over ${holder.node} (term ${holder.term}) for ${payload.reason}`);
  }

  #chain(vr: string): Chain {
    const known = this.#chains.get(vr);
    if (known !== undefined) return known;
    const fresh: Chain = {
      hash: undefined,
      begun: false,
      highestTerm: 0,
      owners: new Map(),
      holder: undefined,
      lingering: undefined,
    };
    this.#chains.set(vr, fresh);
    return fresh;
  }
}

function take(chain: Chain, term: number, node: string): void {
  chain.highestTerm = Math.max(chain.highestTerm, term);
  chain.holder = { node, term, released: false };
  chain.owners.set(term, node);
  if (chain.owners.size <= termsMax) return;
  const [oldest] = chain.owners.keys();
  if (oldest !== undefined) chain.owners.delete(oldest);
}

function held({ holder }: Chain): string {
  if (holder === undefined) return 'nobody owned it';
  return `${holder.node} ${holder.released ? 'had released' : 'owned'} term ${holder.term}`;
}

const short = (hash: string | undefined): string => (hash === undefined ? 'nothing' : hash.slice(0, 12));
