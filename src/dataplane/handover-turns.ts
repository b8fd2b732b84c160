import type { NodeId } from '../core/identity.js';
import type { Input, Phase } from '../core/vr-state.js';

/** Enough to hide the round trips of the log, and few enough for a slow pair of nodes to meet every deadline. */
const atOnceFirst = 4;
const atOnceMost = 16;
/**
 * What one may take with the others beside it: far below the time after which the giver takes it for failed. A few at once are
 * not what makes them slow.
 */
const quickMs = 100;
const slowMs = 200;

/** What is asked of a virtual router that is handed over. */
export interface Handed {
  readonly name: string;
  /** Where its machine is. */
  readonly phase: Phase['name'];
  give(input: Input): void;
}

export interface HandoverOrder {
  /** Undefined: the successor that the log names. */
  readonly to: NodeId | undefined;
  readonly stops: boolean;
}

interface Waiting {
  readonly party: readonly Handed[];
  readonly order: HandoverOrder;
}

/**
 * Planned handovers, a number at a time: each is three round trips, two of them to the log's disk, and has to be through
 * before its deadlines, on the other node as well. While one waits its virtual router is served as before. How many go at
 * once is found out: one more with each that is quick, one fewer with each that is slow, half as many where one fails.
 */
export class HandoverTurns {
  readonly #now: () => number;
  readonly #waiting: Waiting[] = [];
  readonly #waitingNames = new Set<string>();
  /** Since when each is being handed over. */
  readonly #underWay = new Map<string, number>();
  #atOnce = atOnceFirst;
  #serving = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Hands a party over together, when it is its turn. Whoever is being handed over is told at once. */
  ask(party: readonly Handed[], order: HandoverOrder): void {
    const under = party.filter(({ name }) => this.#underWay.has(name));
    for (const each of under) each.give(this.#input(order));
    const rest = party.filter((each) => !under.includes(each));
    if (rest.length === 0) return;
    this.#callOff(rest);
    this.#waiting.push({ party: rest, order });
    for (const { name } of rest) this.#waitingNames.add(name);
    this.#serve();
  }

  /** Whether a virtual router waits, or is being handed over. */
  isBusyWith(name: string): boolean {
    return this.#underWay.has(name) || this.#waitingNames.has(name);
  }

  /** Whoever waits is not handed over any more; who is under way takes no place from others. */
  forget(party: readonly Handed[]): void {
    this.#callOff(party);
    for (const { name } of party) this.#underWay.delete(name);
    this.#serve();
  }

  /** To be told of a virtual router whose machine has moved. */
  moved(router: Handed): void {
    if (!this.#underWay.has(router.name) || isHandingOver(router)) return;
    this.#ended(router);
    this.#serve();
  }

  #callOff(party: readonly Handed[]): void {
    const names = new Set(party.map(({ name }) => name).filter((name) => this.#waitingNames.delete(name)));
    if (names.size === 0) return;
    for (const [index, { party: waiting, order }] of [...this.#waiting.entries()].reverse()) {
      const left = waiting.filter(({ name }) => !names.has(name));
      if (left.length === waiting.length) continue;
      this.#waiting.splice(index, 1, ...(left.length === 0 ? [] : [{ party: left, order }]));
    }
  }

  #serve(): void {
    // What a virtual router is given may end another's turn: the loop goes on with it.
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (let next = this.#waiting[0]; next !== undefined && this.#hasRoomFor(next); next = this.#waiting[0]) {
        this.#waiting.shift();
        for (const { name } of next.party) this.#waitingNames.delete(name);
        for (const each of next.party) this.#begin(each, next.order);
      }
    } finally {
      this.#serving = false;
    }
  }

  /** One that is not handed over after all, a backup that only stops, takes no place and proves nothing. */
  #begin(router: Handed, order: HandoverOrder): void {
    router.give(this.#input(order));
    if (isHandingOver(router)) this.#underWay.set(router.name, this.#now());
  }

  #hasRoomFor({ party }: Waiting): boolean {
    return this.#underWay.size === 0 || this.#underWay.size + party.length <= this.#atOnce;
  }

  #ended(router: Handed): void {
    const tookMs = this.#now() - (this.#underWay.get(router.name) ?? 0);
    this.#underWay.delete(router.name);
    const hasFailed = router.phase === 'master';
    if (hasFailed) this.#atOnce = Math.max(1, this.#atOnce >> 1);
    else if (tookMs <= quickMs) this.#atOnce = Math.min(atOnceMost, this.#atOnce + 1);
    else if (tookMs > slowMs) this.#atOnce = Math.max(Math.min(atOnceFirst, this.#atOnce), this.#atOnce - 1);
  }

  #input({ to, stops }: HandoverOrder): Input {
    return { type: 'handOver', to, stops, atMs: this.#now() };
  }
}

/** Its addresses may be off while it still has to give: `strict` breaks before it makes. */
const isHandingOver = ({ phase }: Handed): boolean =>
  phase === 'handing' || phase === 'giving' || phase === 'releasing';
