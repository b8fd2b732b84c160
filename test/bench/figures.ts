import { medianOf } from '../lab/median.js';
import { type Implementation, implementations } from '../lab/options.js';

export type Unit = 'ms' | 'ms/s' | 'MiB' | 'MiB/h' | 'MiB/s' | '1/s' | '';
/** A figure has come to one value more; undefined: it came to none. */
export type Note = (of: Implementation, name: string, unit: Unit, value: number | undefined) => void;

/** One figure of all, a value per round; undefined where a round did not come to one. */
export interface Figure {
  readonly name: string;
  readonly unit: Unit;
  readonly rounds: Readonly<Record<Implementation, readonly (number | undefined)[]>>;
}

/** Of one implementation; infinite where a round never ended. */
export interface Summary {
  readonly median: number;
  /** The highest; of what is counted a second, where more is better, the lowest. */
  readonly worst: number;
}

/** Undefined without any round. */
export function summaryOf(values: readonly (number | undefined)[], unit: Unit = 'ms'): Summary | undefined {
  if (values.length === 0) return undefined;
  const known = values.map((value) => value ?? Number.POSITIVE_INFINITY);
  return { median: medianOf(known), worst: unit === '1/s' ? Math.min(...known) : Math.max(...known) };
}

/** Koi's median over keepalived's; undefined where either has none, or keepalived's is nothing. */
export function ratioOf({ rounds }: Figure): number | undefined {
  const [koi, other] = [summaryOf(rounds.koi), summaryOf(rounds.keepalived)];
  if (koi === undefined || other === undefined || other.median === 0) return undefined;
  const ratio = koi.median / other.median;
  return Number.isNaN(ratio) ? undefined : ratio;
}

/** Per millisecond, of a straight line through samples (least squares); 0 of fewer than two. */
export function slopeOf(samples: readonly { readonly atMs: number; readonly value: number }[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [atMean, valueMean] = [mean(samples.map(({ atMs }) => atMs)), mean(samples.map(({ value }) => value))];
  const spread = samples.reduce((sum, { atMs }) => sum + (atMs - atMean) ** 2, 0);
  if (samples.length < 2 || spread === 0) return 0;
  return samples.reduce((sum, { atMs, value }) => sum + (atMs - atMean) * (value - valueMean), 0) / spread;
}

/** Collects figures as they come. */
export class Figures {
  readonly #all = new Map<string, { unit: Unit; rounds: Record<Implementation, (number | undefined)[]> }>();

  add(implementation: Implementation, name: string, unit: Unit, value: number | undefined): void {
    const entry = this.#all.get(name) ?? { unit, rounds: { keepalived: [], ucarp: [], koi: [] } };
    entry.rounds[implementation].push(value);
    this.#all.set(name, entry);
  }

  get list(): Figure[] {
    return [...this.#all].map(([name, { unit, rounds }]) => ({ name, unit, rounds }));
  }
}

/** As lines of text, columns aligned; ucarp has columns where there is a figure of it. */
export function figureTable(figures: readonly Figure[]): string {
  const shown = implementations.filter((of) => of !== 'ucarp' || figures.some(({ rounds }) => rounds[of].length > 0));
  const headings = ['figure', ...shown.flatMap((of) => [of, 'worst']), 'ratio'];
  const rows = figures.map((figure) => {
    const cells = shown.flatMap((of) => {
      const summary = summaryOf(figure.rounds[of], figure.unit);
      return [show(summary?.median, figure.unit), show(summary?.worst, figure.unit)];
    });
    return [figure.name, ...cells, showRatio(ratioOf(figure))];
  });
  const widths = headings.map((heading, at) => Math.max(heading.length, ...rows.map((row) => (row[at] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  return [headings, ...rows].map(line).join('\n');
}

/** A figure for people. */
export function show(value: number | undefined, unit: Unit): string {
  if (value === undefined) return '–';
  if (value === Number.POSITIVE_INFINITY) return 'never';
  return `${value < 100 ? value.toFixed(1) : value.toFixed(0)} ${unit}`.trimEnd();
}

function showRatio(ratio: number | undefined): string {
  if (ratio === undefined) return '';
  return ratio === Number.POSITIVE_INFINITY ? '∞' : ratio.toPrecision(2);
}
