import { medianOf } from '../lab/median.js';

export const implementations = ['keepalived', 'koi'] as const;
export type Implementation = (typeof implementations)[number];

/** One figure of both, a value per round; undefined where a round did not come to one. */
export interface Figure {
  readonly name: string;
  readonly unit: 'ms' | 'ms/s' | 'MiB';
  readonly rounds: Readonly<Record<Implementation, readonly (number | undefined)[]>>;
}

/** Of one implementation; infinite where a round never ended. */
export interface Summary {
  readonly median: number;
  readonly worst: number;
}

/** Undefined without any round. */
export function summaryOf(values: readonly (number | undefined)[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const known = values.map((value) => value ?? Number.POSITIVE_INFINITY);
  return { median: medianOf(known), worst: Math.max(...known) };
}

/** Koi's median over keepalived's; undefined where either has none, or keepalived's is nothing. */
export function ratioOf({ rounds }: Figure): number | undefined {
  const [koi, other] = [summaryOf(rounds.koi), summaryOf(rounds.keepalived)];
  if (koi === undefined || other === undefined || other.median === 0) return undefined;
  const ratio = koi.median / other.median;
  return Number.isNaN(ratio) ? undefined : ratio;
}

const headings = ['figure', 'keepalived', 'worst', 'koi', 'worst', 'ratio'];

/** As lines of text, columns aligned. */
export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const [keepalived, koi] = [summaryOf(figure.rounds.keepalived), summaryOf(figure.rounds.koi)];
    const shown = (value: number | undefined): string => show(value, figure.unit);
    return [
      figure.name,
      ...[shown(keepalived?.median), shown(keepalived?.worst), shown(koi?.median), shown(koi?.worst)],
      showRatio(ratioOf(figure)),
    ];
  });
  const widths = headings.map((heading, at) => Math.max(heading.length, ...rows.map((row) => (row[at] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  return [headings, ...rows].map(line).join('\n');
}

function show(value: number | undefined, unit: string): string {
  if (value === undefined) return '–';
  if (value === Number.POSITIVE_INFINITY) return 'never';
  return `${value < 100 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}

function showRatio(ratio: number | undefined): string {
  if (ratio === undefined) return '';
  return ratio === Number.POSITIVE_INFINITY ? '∞' : ratio.toPrecision(2);
}
