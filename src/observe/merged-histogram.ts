import { Histogram, type LabelValues } from 'prom-client';
import type { HistogramCounts } from './snapshot.js';

interface Series<T extends string> {
  readonly labels: LabelValues<T>;
  /** One for each bound and one above all; not cumulative. */
  readonly counts: number[];
  sum: number;
}

/**
 * A histogram whose observations were made in another process: it takes counts, not values. prom-client has no such
 * thing, so this one answers a scrape from its own counts.
 */
export class MergedHistogram<T extends string> extends Histogram<T> {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #labelNames: readonly T[];
  readonly #series = new Map<string, Series<T>>();

  constructor(options: { name: string; help: string; bounds: readonly number[]; labelNames: readonly T[] }) {
    super({
      name: options.name,
      help: options.help,
      labelNames: [...options.labelNames],
      buckets: [...options.bounds],
      registers: [],
    });
    this.#name = options.name;
    this.#help = options.help;
    this.#bounds = options.bounds;
    this.#labelNames = options.labelNames;
  }

  /** Adds what was observed since the last time; all zeros makes the series exist. Counts of other bounds are refused. */
  add(labels: LabelValues<T>, added: HistogramCounts): void {
    if (added.counts.length !== this.#bounds.length + 1) return;
    const series = this.#open(labels);
    added.counts.forEach((count, bucket) => {
      series.counts[bucket] = (series.counts[bucket] ?? 0) + count;
    });
    series.sum += added.sum;
  }

  declare(labels: LabelValues<T>): void {
    this.#open(labels);
  }

  forget(labels: LabelValues<T>): void {
    this.#series.delete(this.#key(labels));
  }

  #open(labels: LabelValues<T>): Series<T> {
    const key = this.#key(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const fresh = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
    this.#series.set(key, fresh);
    return fresh;
  }

  #key(labels: LabelValues<T>): string {
    return this.#labelNames.map((name) => String(labels[name])).join('\0');
  }

  /** What prom-client's registry, and its own `get`, take the values from; its type declarations leave it out. */
  async getForPromString() {
    const values = [...this.#series.values()].flatMap(({ labels, counts, sum }) => {
      let total = 0;
      const buckets = counts.map((count, bucket) => {
        total += count;
        return {
          metricName: `${this.#name}_bucket`,
          labels: { le: this.#bounds[bucket] ?? '+Inf', ...labels },
          value: total,
        };
      });
      return [
        ...buckets,
        { metricName: `${this.#name}_sum`, labels, value: sum },
        { metricName: `${this.#name}_count`, labels, value: total },
      ];
    });
    return { name: this.#name, help: this.#help, type: 'histogram', values, aggregator: 'sum' };
  }
}
