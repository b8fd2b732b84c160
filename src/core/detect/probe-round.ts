import type { MacAddress } from '../../wire/mac.js';

/**
 * "Who has this virtual IP", asked by a backup, and who answers. Two answers with the virtual MAC are two masters, which
 * nobody else can see; but in a handover both have it for an instant, so it takes a second question to be sure.
 *
 *   ask ──► answers ──► settle: one, or none ─────────────────► next question as usual
 *                          │
 *                          └─ two with the virtual MAC ──► again, soon ──► again two: split brain
 */

/** More different MACs than this are not told apart. */
const macsMax = 8;
const answersMax = 1000;

export interface ProbeVerdict {
  /** How many answered: a MAC that answers twice counts twice. */
  readonly responders: number;
  /** All that answered had the virtual MAC; nobody answering is no mismatch. */
  readonly macMatch: boolean;
  /** Two masters, asked twice. */
  readonly isSplit: boolean;
  /** Ask again soon: this could be a handover. */
  readonly isSuspicious: boolean;
}

export class ProbeRound {
  readonly #virtualMac: MacAddress;
  readonly #answers = new Map<MacAddress, number>();
  #asked = false;
  #wasDouble = false;

  constructor(virtualMac: MacAddress) {
    this.#virtualMac = virtualMac;
  }

  /** A question has gone out, and its answers may come. */
  ask(): void {
    this.#answers.clear();
    this.#asked = true;
  }

  get isOpen(): boolean {
    return this.#asked;
  }

  /** @returns whether it answers the question that is open */
  heard(mac: MacAddress): boolean {
    if (!this.#asked) return false;
    const count = this.#answers.get(mac) ?? 0;
    if (count > 0 || this.#answers.size < macsMax) this.#answers.set(mac, Math.min(count + 1, answersMax));
    return true;
  }

  /** The time for answers is over; undefined where nobody was asked. */
  settle(): ProbeVerdict | undefined {
    if (!this.#asked) return undefined;
    this.#asked = false;
    const right = this.#answers.get(this.#virtualMac) ?? 0;
    let responders = 0;
    for (const count of this.#answers.values()) responders += count;
    const isDouble = right > 1;
    const isSplit = isDouble && this.#wasDouble;
    const isSuspicious = isDouble && !this.#wasDouble;
    this.#wasDouble = isDouble;
    return { responders, macMatch: responders === right, isSplit, isSuspicious };
  }

  /** It does not ask any more: what was found is worth nothing later. */
  forget(): void {
    this.#answers.clear();
    this.#asked = false;
    this.#wasDouble = false;
  }
}
