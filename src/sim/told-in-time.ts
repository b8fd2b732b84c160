import { isObservation, type KoiEvent } from '../log/event.js';
import type { Excuse, PastDouble } from './split-brain-reports.js';

/*
 * Two that held at once are told of soon, and not only in the end: once one of the two that held on follows the log and has
 * read all that both told, nothing is left to wait for. An agent looks each second.
 */

/** From then on it is told within this time. */
export const toldWithinMs = 2000;

/** What is looked at of a node. */
export interface ReadingNode {
  /** Its agent runs, and has the log as it is, as far as it knows. */
  readonly followsLog: boolean;
  /** Nothing waits on it for the log. */
  readonly hasToldAll: boolean;
  readonly clock: { monotonicMs(): number };
}

interface Party {
  readonly node: number;
  /** It held on, or both ended at once: it has to tell. */
  readonly tells: boolean;
  /** What it says from then on, by its own clock, binds that to the log's; undefined while the log is away for it. */
  boundFromMs: number | undefined;
  /** Since when it could have told. */
  couldSinceMs: number | undefined;
}

interface Awaited {
  readonly past: PastDouble;
  readonly parties: readonly [Party, Party];
}

interface Read {
  /** The last of what a node saw. */
  readonly id: string | undefined;
  /** When it said its last word, by its own clock: a lease is one too. */
  readonly saidMs: number;
}

export class ToldInTime {
  readonly #nodeAt: (node: number) => ReadingNode | undefined;
  readonly #lastStored = new Map<number, string>();
  /** By reader, then by whoever told. */
  readonly #read = new Map<number, Map<number, Read>>();
  /** By node: since when it hears the log, by its own clock. */
  readonly #hearsFromMs = new Map<number, number>();
  #awaited: Awaited[] = [];

  constructor(nodeAt: (node: number) => ReadingNode | undefined) {
    this.#nodeAt = nodeAt;
  }

  stored(node: number, { id }: KoiEvent): void {
    this.#lastStored.set(node, id);
  }

  /** An agent reads the log from its beginning. */
  readsAnew(reader: number): void {
    this.#read.delete(reader);
  }

  read(reader: number, node: number, event: KoiEvent): void {
    const all = this.#read.get(reader) ?? new Map<number, Read>();
    this.#read.set(reader, all);
    const before = all.get(node);
    all.set(node, {
      id: isObservation(event) ? event.id : before?.id,
      saidMs: Math.max(before?.saidMs ?? event.monotonicMs, event.monotonicMs),
    });
  }

  /** Told again and again. */
  hearsLog(node: number, isHearing: boolean): void {
    if (!isHearing) {
      this.#hearsFromMs.delete(node);
      return;
    }
    if (this.#hearsFromMs.has(node)) return;
    const fromMs = this.#nodeAt(node)?.clock.monotonicMs() ?? 0;
    this.#hearsFromMs.set(node, fromMs);
    for (const { parties } of this.#awaited) {
      for (const party of parties) if (party.node === node) party.boundFromMs ??= fromMs;
    }
  }

  /** Two have held at once, and one or both have let go. @param holdsOn whether a node still holds */
  ended(past: PastDouble, holdsOn: (node: number) => boolean): void {
    const haveBothEnded = !past.pair.some(holdsOn);
    const partyOf = (node: number): Party => ({
      node,
      tells: haveBothEnded || holdsOn(node),
      boundFromMs: this.#hearsFromMs.get(node),
      couldSinceMs: undefined,
    });
    this.#awaited.push({ past, parties: [partyOf(past.pair[0]), partyOf(past.pair[1])] });
  }

  /** One that could have told for long enough, and has not. */
  late(
    nowMs: number,
    isTold: (past: PastDouble) => boolean,
    excuse: (past: PastDouble) => Excuse | undefined,
  ): { readonly past: PastDouble; readonly node: number } | undefined {
    for (const awaited of [...this.#awaited]) {
      const { past, parties } = awaited;
      for (const party of parties) {
        if (!party.tells || !this.#hasReadAll(party.node, parties)) party.couldSinceMs = undefined;
        else party.couldSinceMs ??= nowMs;
      }
      const late = parties.find(({ couldSinceMs = nowMs }) => nowMs - couldSinceMs > toldWithinMs);
      if (late === undefined) continue;
      const why = isTold(past) ? 'told' : excuse(past);
      if (why === undefined) return { past, node: late.node };
      // What binds the clocks may come yet.
      if (why === 'unbound') for (const party of parties) party.couldSinceMs = undefined;
      else this.#awaited = this.#awaited.filter((each) => each !== awaited);
    }
    return undefined;
  }

  #hasReadAll(reader: number, parties: Awaited['parties']): boolean {
    const read = this.#read.get(reader);
    if (read === undefined || this.#nodeAt(reader)?.followsLog !== true) return false;
    return parties.every(({ node, boundFromMs }) => {
      const { id, saidMs = Number.NEGATIVE_INFINITY } = read.get(node) ?? {};
      const isBound = boundFromMs !== undefined && saidMs >= boundFromMs;
      return isBound && id === this.#lastStored.get(node) && this.#nodeAt(node)?.hasToldAll === true;
    });
  }
}
