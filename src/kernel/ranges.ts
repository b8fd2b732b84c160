export interface Range {
  readonly low: number;
  /** Included. */
  readonly high: number;
}

/** At most `max` ranges that hold all of the numbers, and as few others as that allows: the widest gaps are kept. */
export function coveringRanges(numbers: readonly number[], max: number): readonly Range[] {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const gaps = sorted.slice(1).map((number, index) => ({ index, width: number - (sorted[index] ?? 0) }));
  const kept = gaps
    .filter(({ width }) => width > 1)
    .sort((a, b) => b.width - a.width)
    .slice(0, Math.max(0, max - 1));
  const ends = new Set(kept.map(({ index }) => index));
  const ranges: Range[] = [];
  let low = sorted[0];
  for (const [index, number] of sorted.entries()) {
    if (index < sorted.length - 1 && !ends.has(index)) continue;
    if (low !== undefined) ranges.push({ low, high: number });
    low = sorted[index + 1];
  }
  return ranges;
}
