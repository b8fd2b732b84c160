import { beforeEach, describe, expect, it } from 'vitest';
import { LoopWatch } from './loop-watch.js';

let monotonic: number;
let wall: number;
let cpu: number;
let gaps: [number, number, number][];
let watch: LoopWatch;

beforeEach(() => {
  monotonic = 500;
  wall = 1_700_000_000_000;
  cpu = 70;
  gaps = [];
  watch = new LoopWatch({
    now: () => monotonic,
    wallNow: () => wall,
    cpuMs: () => cpu,
    onGap: ({ awayMs, stoodStillMs }, atMs) => gaps.push([awayMs, stoodStillMs, atMs]),
  });
});

const pass = (ms: number): void => {
  monotonic += ms;
  wall += ms;
};

describe('the loop watch', () => {
  it('says nothing while the loop turns often enough, and returns the time', () => {
    for (let turn = 0; turn < 10; turn += 1) {
      pass(50);
      expect(watch.check(50)).toBe(monotonic);
    }
    expect(gaps).toEqual([]);
  });

  it('tells of a gap once, with its length', () => {
    pass(301);
    watch.check(300);
    watch.check(300);
    expect(gaps).toEqual([[301, 301, 801]]);
  });

  it('counts a gap from the last check, whoever made it', () => {
    pass(200);
    watch.check(300);
    pass(200);
    watch.check(300);
    expect(gaps).toEqual([]);
  });

  it('sees from the wall clock that the machine slept together with its monotonic clock', () => {
    pass(10);
    wall += 60_000;
    watch.check(3000);
    expect(gaps).toEqual([[60_010, 60_010, 510]]);
    pass(10);
    watch.check(3000);
    expect(gaps).toHaveLength(1);
  });

  it('does not take a wall clock that was set back for a gap, nor for the opposite of one', () => {
    pass(10);
    wall -= 3_600_000;
    watch.check(3000);
    expect(gaps).toEqual([]);
    wall -= 3_600_000;
    pass(3001);
    watch.check(3000);
    expect(gaps).toEqual([[3001, 3001, 3511]]);
  });

  it('tells what the process was busy for from what it stood still for', () => {
    pass(50);
    cpu += 40;
    watch.check(30);
    expect(gaps).toEqual([[50, 10, 550]]);
  });

  it('does not count what was done before the gap', () => {
    pass(20);
    cpu += 20;
    watch.check(30);
    pass(50);
    watch.check(30);
    expect(gaps).toEqual([[50, 50, 570]]);
  });

  it('takes no more off than there was, where several threads were busy', () => {
    pass(50);
    cpu += 90;
    watch.check(30);
    expect(gaps).toEqual([[50, 0, 550]]);
  });

  it('is content with a gap of any length where that is expected', () => {
    pass(1_000_000);
    watch.check(Number.POSITIVE_INFINITY);
    expect(gaps).toEqual([]);
  });
});
