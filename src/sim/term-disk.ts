import { nextTerm, noTerm, type Term } from '../core/identity.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

const reserveAfterMs = 500;

/** The state directory's terms, as the term store keeps them: what is written survives, what is being written may. */
export class TermDisk {
  readonly #time: VirtualTime;
  readonly #random: Random;
  #terms = new Map<string, Term>();
  #written = new Map<string, Term>();
  #life = 0;
  #waiting: (() => void)[] = [];
  #writing: Map<string, Term> | undefined;
  #reserving: () => void = () => undefined;
  /** One write with its fsync, milliseconds. */
  writeMs: readonly [number, number] = [0.3, 4];

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  get(vr: string): Term {
    return this.#terms.get(vr) ?? noTerm;
  }

  /** Calls `done` when a term at least as high is on disk; never at once. */
  save(vr: string, value: Term, done: () => void): void {
    if (value > this.get(vr)) this.#terms.set(vr, value);
    this.#reserveSoon();
    const life = this.#life;
    const report = (): void => {
      if (life === this.#life) done();
    };
    if (value <= (this.#written.get(vr) ?? noTerm)) {
      this.#time.after(0, report);
      return;
    }
    this.#waiting.push(report);
    if (this.#writing === undefined) this.#write();
  }

  /** The process died: what it remembers is what it finds on disk. */
  crash(): void {
    this.#life += 1;
    this.#reserving();
    if (this.#writing !== undefined && this.#random.chance(0.5)) this.#written = this.#writing;
    this.#writing = undefined;
    this.#waiting = [];
    this.#terms = new Map(this.#written);
  }

  /** A disk that keeps nothing, for the test that breaks this rule. */
  forget(): void {
    this.crash();
    this.#terms.clear();
    this.#written.clear();
  }

  #reserveSoon(): void {
    this.#reserving();
    this.#reserving = this.#time.after(reserveAfterMs, () => {
      const isReserved = [...this.#terms].every(([vr, value]) => (this.#written.get(vr) ?? noTerm) > value);
      if (!isReserved && this.#writing === undefined) this.#write();
    });
  }

  #write(): void {
    const life = this.#life;
    const served = this.#waiting;
    this.#waiting = [];
    const reserved = new Map([...this.#terms].map(([vr, value]) => [vr, nextTerm(value)]));
    this.#writing = reserved;
    this.#time.after(this.#random.between(...this.writeMs), () => {
      if (life !== this.#life) return;
      this.#written = reserved;
      this.#writing = undefined;
      for (const done of served) done();
      if (this.#waiting.length > 0 && this.#writing === undefined) this.#write();
    });
  }
}
