import type { Counter, LabelValues } from 'prom-client';

/**
 * A counter whose counting happens in another process, which reports totals since its own start. A total that is lower
 * than the last one means that the process began anew: the counter goes on from where it was.
 */
export class ContinuedCounter<T extends string> {
  readonly #counter: Counter<T>;
  readonly #labelNames: readonly T[];
  #reported = new Map<string, number>();

  constructor(counter: Counter<T>, labelNames: readonly T[]) {
    this.#counter = counter;
    this.#labelNames = labelNames;
  }

  /** Makes the series exist at 0, so that its first increase can be seen. */
  declare(labels: LabelValues<T>): void {
    this.#counter.inc(labels, 0);
  }

  report(labels: LabelValues<T>, total: number): void {
    const key = this.#key(labels);
    const before = this.#reported.get(key);
    this.#reported.set(key, total);
    const added = before === undefined || total < before ? total : total - before;
    if (added > 0 || before === undefined) this.#counter.inc(labels, added);
  }

  /** Counts one more that this process saw itself. */
  increment(labels: LabelValues<T>): void {
    this.#counter.inc(labels);
  }

  /** Forgets what was reported where a label has this value; its series are the registry's to remove. */
  forget(label: T, value: string): void {
    const at = this.#labelNames.indexOf(label);
    for (const key of this.#reported.keys()) if (key.split('\0')[at] === value) this.#reported.delete(key);
  }

  #key(labels: LabelValues<T>): string {
    return this.#labelNames.map((name) => String(labels[name])).join('\0');
  }

  /** The other process has started anew: its totals begin at 0, even where they are already higher than before. */
  restart(): void {
    this.#reported = new Map();
  }
}
