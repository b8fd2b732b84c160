import type { Directive } from './keepalived-parser.js';
import type { Place } from './keepalived-text.js';
import { adviceFor } from './left-out-advice.js';

/** A statement that Koi's configuration does not say, or not in full. */
export interface LeftOut {
  readonly place: Place;
  readonly directive: string;
  readonly reason: string;
  readonly remedy: string;
}

export interface Why {
  readonly reason: string;
  readonly remedy: string;
}

/** What follows one of these words is never shown. */
const secretNames = ['auth_pass', 'key', 'authentication', 'auth_hmac'];

/** What became of each statement: it is carried over, it is listed, or both, where Koi says it with a difference. */
export class Ledger {
  readonly #carried = new Set<Directive>();
  readonly #listed = new Map<Directive, LeftOut[]>();
  readonly #order = new Map<Directive, number>();

  constructor(directives: readonly Directive[]) {
    this.#number(directives);
  }

  carry(directive: Directive): void {
    this.#carried.add(directive);
  }

  /** Carried over as well, but not in full, or not quite the same. */
  note(directive: Directive, reason: string, remedy: string): void {
    this.#carried.add(directive);
    this.#list(directive, { reason, remedy });
  }

  /** What is in its block is left out with it. */
  leave(directive: Directive, why: Why = adviceFor(directive.name)): void {
    this.#list(directive, why);
  }

  get carried(): ReadonlySet<Directive> {
    return this.#carried;
  }

  get listed(): ReadonlySet<Directive> {
    return new Set(this.#listed.keys());
  }

  /** In the order of the file. */
  get leftOut(): readonly LeftOut[] {
    return [...this.#listed]
      .sort(([a], [b]) => (this.#order.get(a) ?? 0) - (this.#order.get(b) ?? 0))
      .flatMap(([, entries]) => entries);
  }

  #list(directive: Directive, { reason, remedy }: Why): void {
    const entries = this.#listed.get(directive) ?? [];
    if (entries.some((entry) => entry.reason === reason)) return;
    this.#listed.set(directive, [...entries, { place: directive.place, directive: shown(directive), reason, remedy }]);
  }

  #number(directives: readonly Directive[]): void {
    for (const directive of directives) {
      this.#order.set(directive, this.#order.size);
      this.#number(directive.block ?? []);
    }
  }
}

function shown({ name, values }: Directive): string {
  const words = [name, ...values];
  const secret = words.findIndex((word) => secretNames.includes(word));
  const text = (secret < 0 ? words : words.slice(0, secret + 1)).join(' ');
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
