import { describe, expect, it } from 'vitest';
import { LogReading, NodeTimes } from './log-time.js';

/** A node's clock that shows `atMs` when the log's shows `ahead` more, and runs at `pace`. */
const clock = (pace: number) => ({
  at: (logMs: number): number => 5000 + (logMs - 1_000_000) * pace,
});

/** Events once a second, stored 5 ms after they were told; each says what was read 3 ms after it was stored. */
function told(times: NodeTimes, { at }: ReturnType<typeof clock>, fromMs: number, toMs: number): void {
  for (let logMs = fromMs; logMs <= toMs; logMs += 1000) {
    const read = { atMs: at(logMs - 400), storedAtMs: logMs - 403 };
    times.told({ atMs: at(logMs), storedAtMs: logMs + 5, read });
  }
}

describe('when something happened by the log’s clock', () => {
  for (const pace of [1, 1.0005, 1.05, 0.95]) {
    it(`is known to some milliseconds, of a clock that runs at ${pace}`, () => {
      const node = clock(pace);
      const times = new NodeTimes();
      told(times, node, 1_000_000, 1_020_000);
      const found = times.at(node.at(1_010_321));
      expect(found?.earliestMs).toBeLessThanOrEqual(1_010_321);
      expect(found?.latestMs).toBeGreaterThanOrEqual(1_010_321);
      expect((found?.latestMs ?? 0) - (found?.earliestMs ?? 0)).toBeLessThan(15);
    });

    it(`is never said wrongly for a time in which nothing was told or read, of a clock that runs at ${pace}`, () => {
      const node = clock(pace);
      const times = new NodeTimes();
      told(times, node, 1_000_000, 1_010_000);
      // What happened while the log was away comes in late.
      const late = { atMs: node.at(1_014_000), storedAtMs: 1_018_020, read: undefined };
      times.told(late);
      told(times, node, 1_018_000, 1_020_000);
      const found = times.at(node.at(1_014_000));
      expect(found?.earliestMs).toBeLessThanOrEqual(1_014_000);
      expect(found?.latestMs).toBeGreaterThanOrEqual(1_014_000);
      expect((found?.latestMs ?? 0) - (found?.earliestMs ?? 0)).toBeLessThan(30);
    });
  }

  it('is unknown of a node that does not say what it has read', () => {
    const times = new NodeTimes();
    times.told({ atMs: 1, storedAtMs: 1000, read: undefined });
    expect(times.at(1)).toBeUndefined();
  });

  it('notices a clock that stood still, and one that did not', () => {
    const node = clock(1);
    const times = new NodeTimes();
    told(times, node, 1_000_000, 1_004_000);
    const read = { atMs: node.at(1_004_500), storedAtMs: 1_004_499 };
    const next = { atMs: node.at(1_004_600), storedAtMs: 1_004_610 };
    expect(times.isInStepWith({ ...next, read })).toBe(true);
    expect(times.isInStepWith({ ...next, read: { ...read, storedAtMs: 1_006_500 } })).toBe(false);
  });
});

describe('what a node has read', () => {
  it('is told by the quickest of late, and by that of before where nothing was read since', () => {
    const reading = new LogReading();
    expect(reading.best(0)).toBeUndefined();
    reading.read({ atMs: 100, storedAtMs: 1099 });
    reading.read({ atMs: 200, storedAtMs: 1150 });
    expect(reading.best(300)).toEqual({ atMs: 100, storedAtMs: 1099 });
    expect(reading.best(3000)).toEqual({ atMs: 200, storedAtMs: 1150 });
    expect(reading.best(90_000)).toEqual({ atMs: 200, storedAtMs: 1150 });
  });
});
