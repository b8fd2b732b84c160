import { expect, it } from 'vitest';
import { allocatedMiB } from './garbage-log.js';

it('adds up what a process allocated between its collections', () => {
  const text = `{"level":"info"}
[71:0x1a2b]      100 ms: Scavenge 12.5 (15.0) -> 11.0 (16.0) MB, 0.4 / 0.0 ms  (average mu = 1.000) allocation failure;
[72:0x1a2b]      120 ms: Scavenge 90.0 (99.0) -> 80.0 (99.0) MB, 0.4 / 0.0 ms
[71:0x1a2b]      150 ms: Scavenge 13.5 (15.0) -> 11.5 (16.0) MB, pooled: 0 MB, 0.40 / 0.00 ms  (average mu = 1.000, current mu = 1.000) task;
[71:0x1a2b]      190 ms: Mark-Compact (reduce) 12.0 (15.0) -> 9.0 (16.0) MB, 3.1 / 0.0 ms
`;
  expect(allocatedMiB(text, 71)).toBeCloseTo(3);
  expect(allocatedMiB(text, 72)).toBe(0);
});
