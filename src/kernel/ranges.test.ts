import { describe, expect, it } from 'vitest';
import { assemble } from './bpf.js';
import { coveringRanges } from './ranges.js';
import { watchProgram } from './watch.js';

describe('ranges that cover numbers', () => {
  it('are as tight as their count allows', () => {
    expect(coveringRanges([], 3)).toEqual([]);
    expect(coveringRanges([5], 3)).toEqual([{ low: 5, high: 5 }]);
    expect(coveringRanges([7, 5, 6, 5], 3)).toEqual([{ low: 5, high: 7 }]);
    expect(coveringRanges([1, 2, 50, 60, 1000], 3)).toEqual([
      { low: 1, high: 2 },
      { low: 50, high: 60 },
      { low: 1000, high: 1000 },
    ]);
    expect(coveringRanges([1, 2, 50, 60, 1000], 1)).toEqual([{ low: 1, high: 1000 }]);
  });

  it('hold every number', () => {
    const numbers = Array.from({ length: 300 }, (_, index) => (index * 7919 * 65_537) % 0xffff_ffff);
    const ranges = coveringRanges(numbers, 12);
    expect(ranges).toHaveLength(12);
    for (const number of numbers) {
      expect(ranges.some(({ low, high }) => number >= low && number <= high)).toBe(true);
    }
  });
});

it("the detectors' program is one that the kernel takes, however many addresses there are", () => {
  const addresses = Array.from({ length: 500 }, (_, index) => [
    `10.${index % 256}.${(index * 7) % 256}.${index % 251}`,
    `2001:db8::${(index * 977).toString(16).slice(-4)}`,
  ]).flat();
  const code = assemble(watchProgram({ addresses, virtualMacs: [] }));
  expect(code.length / 8).toBeLessThanOrEqual(256);
});
