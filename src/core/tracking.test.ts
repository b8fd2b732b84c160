import { describe, expect, it } from 'vitest';
import {
  countResult,
  type Hysteresis,
  judgeTracks,
  type TrackedItem,
  type TrackLevel,
  unknownYet,
} from './tracking.js';

const item = (weight: number, level: TrackLevel, reverse = false): TrackedItem => ({
  name: `w${weight}`,
  weight,
  reverse,
  level,
});
const up = { kind: 'up' } as const;
const down = { kind: 'down' } as const;
const init = { kind: 'init' } as const;
const number = (value: number) => ({ kind: 'number', value }) as const;

describe('what is tracked', () => {
  it.each([
    [item(-50, up), 0, false],
    [item(-50, down), -50, false],
    [item(-50, init), 0, false],
    [item(30, up), 30, false],
    [item(30, down), 0, false],
    [item(30, init), 0, false],
    [item(0, up), 0, false],
    [item(0, down), 0, true],
    [item(0, init), 0, true],
    [item(-50, up, true), -50, false],
    [item(-50, down, true), 0, false],
    [item(30, down, true), 30, false],
    [item(30, init, true), 0, false],
    [item(0, up, true), 0, true],
    [item(0, down, true), 0, false],
    [item(0, init, true), 0, true],
    [item(1, number(-20)), -20, false],
    [item(-2, number(10)), -20, false],
    [item(2, number(10), true), -20, false],
    [item(0, number(0)), 0, false],
    [item(0, number(7)), 0, true],
    [item(0, number(0), true), 0, true],
  ])('%j adds %d; a fault: %s', (tracked, adjustment, isFault) => {
    const verdict = judgeTracks([tracked]);
    expect(verdict.adjustment).toBeCloseTo(adjustment);
    expect(verdict.failed).toEqual(isFault ? [tracked.name] : []);
  });

  it('adds up', () => {
    expect(judgeTracks([item(-50, down), item(-20, down), item(10, up), item(0, down)])).toEqual({
      adjustment: -60,
      failed: ['w0'],
    });
  });
});

describe('rise and fall', () => {
  const run = (results: string, limits: { rise: number; fall: number }): string => {
    let state: Hysteresis = unknownYet;
    return [...results]
      .map((result) => {
        state = countResult(state, result === '+', limits);
        return state.level[0];
      })
      .join('');
  };

  it.each([
    ['+', 2, 2, 'u'],
    ['-', 2, 2, 'd'],
    ['+-+-+-', 2, 2, 'uuuuuu'],
    ['+--+-++-', 2, 2, 'uudddduu'],
    ['-+++', 3, 2, 'dddu'],
    ['+-', 2, 1, 'ud'],
    ['+---', 1, 3, 'uuud'],
  ])('%s with rise %d and fall %d gives %s', (results, rise, fall, levels) => {
    expect(run(results, { rise, fall })).toBe(levels);
  });
});
