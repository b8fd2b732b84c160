import { expect, it } from 'vitest';
import { formatDuration, parseDurationMs } from './duration.js';

it.each([
  ['10ms', 10],
  ['1s', 1_000],
  ['1.5s', 1_500],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['0s', 0],
  ['0.001s', 1],
])('reads %s', (text, valueMs) => {
  expect(parseDurationMs(text)).toBe(valueMs);
});

it.each(['', '10', 's', '-1s', '1 s', '1S', '1d', '0.5ms', '1e3ms', '1s ', '1.2345s', '9999999999s'])(
  'refuses %j',
  (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  },
);

it.each([
  [0, '0ms'],
  [10, '10ms'],
  [1_000, '1s'],
  [40_950, '40950ms'],
  [90_000, '90s'],
  [120_000, '2m'],
])('writes %i ms as %s, which reads back', (valueMs, text) => {
  expect(formatDuration(valueMs)).toBe(text);
  expect(parseDurationMs(text)).toBe(valueMs);
});
