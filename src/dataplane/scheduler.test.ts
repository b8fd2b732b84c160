import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aheadMs, monotonicMs, Scheduler } from './scheduler.js';

const startMs = 1_000_000;
let woken: string[];
let drains: number;
let onDrain: () => void;
let scheduler: Scheduler;

const note = (name: string) => (atMs: number, lateMs: number) => woken.push(`${name}@${atMs - startMs}+${lateMs}`);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: startMs });
  woken = [];
  drains = 0;
  onDrain = () => undefined;
  scheduler = new Scheduler(Date.now, () => {
    drains += 1;
    onDrain();
  });
});
afterEach(() => {
  scheduler.stop();
  vi.useRealTimers();
});

describe('the scheduler', () => {
  it('wakes each sleeper at its own time, once', () => {
    scheduler.set('b', startMs + 20, note('b'));
    scheduler.set('a', startMs + 10, note('a'));
    vi.advanceTimersByTime(9);
    expect(woken).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(woken).toEqual(['a@10+0']);
    vi.advanceTimersByTime(1000);
    expect(woken).toEqual(['a@10+0', 'b@20+0']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('tells how late it is', () => {
    scheduler.set('a', startMs + 10, note('a'));
    vi.setSystemTime(startMs + 45);
    vi.advanceTimersByTime(10);
    expect(woken).toEqual(['a@55+45']);
  });

  it('wakes at once whose time has passed already', () => {
    scheduler.set('a', startMs - 5, note('a'));
    expect(woken).toEqual([]);
    vi.advanceTimersByTime(0);
    expect(woken).toEqual(['a@0+5']);
  });

  it('keeps one deadline for each, which may come nearer, go further away, or go', () => {
    scheduler.set('nearer', startMs + 50, note('old'));
    scheduler.set('further', startMs + 10, note('old'));
    scheduler.set('gone', startMs + 10, note('old'));
    scheduler.set('nearer', startMs + 5, note('nearer'));
    scheduler.set('further', startMs + 30, note('further'));
    scheduler.set('gone', undefined, note('old'));
    vi.advanceTimersByTime(100);
    expect(woken).toEqual(['nearer@5+0', 'further@30+0']);
  });

  it('drains before it wakes: an advert that waited in the kernel moves the deadline it would have missed', () => {
    scheduler.set('master down', startMs + 10, note('master down'));
    onDrain = () => scheduler.set('master down', startMs + 40, note('master down'));
    vi.advanceTimersByTime(39);
    expect([woken, drains]).toEqual([[], 1]);
    onDrain = () => undefined;
    vi.advanceTimersByTime(1);
    expect([woken, drains]).toEqual([['master down@40+0'], 2]);
  });

  it('drains once for all that are due, and not at all where none is', () => {
    for (const name of ['a', 'b', 'c']) scheduler.set(name, startMs + 10, note(name));
    vi.advanceTimersByTime(10);
    expect([woken.length, drains]).toEqual([3, 1]);
    scheduler.set('moved', startMs + 20, note('moved'));
    scheduler.set('moved', startMs + 90, note('moved'));
    vi.advanceTimersByTime(20);
    expect(drains).toBe(1);
  });

  it('does not wake one that another, awake before it, removed or moved', () => {
    scheduler.set('first', startMs + 10, () => {
      scheduler.set('removed', undefined, note('removed'));
      scheduler.set('moved', startMs + 25, note('moved'));
    });
    scheduler.set('removed', startMs + 10, note('removed'));
    scheduler.set('moved', startMs + 10, note('moved'));
    vi.advanceTimersByTime(24);
    expect(woken).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(woken).toEqual(['moved@25+0']);
  });

  it('lets one that is due again at once wait for the next turn, so that the sockets are read in between', () => {
    let turns = 0;
    const again = (): void => {
      turns += 1;
      if (turns < 3) scheduler.set('again', startMs + 10, again);
    };
    scheduler.set('again', startMs + 10, again);
    vi.advanceTimersByTime(20);
    expect([turns, drains]).toEqual([3, 3]);
  });

  it('goes on after a sleeper that throws', () => {
    scheduler.set('bad', startMs + 10, () => {
      throw new Error('bad');
    });
    scheduler.set('good', startMs + 10, note('good'));
    expect(() => vi.advanceTimersByTime(10)).toThrow('bad');
    vi.advanceTimersByTime(1);
    expect(woken).toHaveLength(1);
  });

  it('reaches deadlines beyond what one timer holds', () => {
    const month = 30 * 86_400_000;
    scheduler.set('later', startMs + month, note('later'));
    vi.advanceTimersByTime(month - 1);
    expect(woken).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(woken).toEqual([`later@${month}+0`]);
    expect(drains).toBe(1);
  });

  it('looks first at what decides nothing: where that is all, the sockets are not drained', () => {
    scheduler.set('quick', startMs + 10, note('slow'), (atMs) => {
      woken.push(`quick@${atMs - startMs}`);
      scheduler.set('quick', startMs + 30, note('slow'), () => false);
      return true;
    });
    vi.advanceTimersByTime(29);
    expect([woken, drains]).toEqual([['quick@10'], 0]);
    vi.advanceTimersByTime(1);
    expect([woken, drains]).toEqual([['quick@10', 'slow@30+0'], 1]);
  });

  it('wakes everybody in the order of their times, however they are set, moved and removed', () => {
    const sets = fc.array(fc.tuple(fc.nat(40), fc.option(fc.integer({ min: 1, max: 500 }))), { maxLength: 200 });
    fc.assert(
      fc.property(sets, (changes) => {
        const expected = new Map<string, number>();
        woken = [];
        for (const [sleeper, afterMs] of changes) {
          const name = `s${sleeper}`;
          const dueAtMs = afterMs === null ? undefined : Date.now() + afterMs;
          scheduler.set(name, dueAtMs, () => woken.push(name));
          if (dueAtMs === undefined) expected.delete(name);
          else expected.set(name, dueAtMs);
        }
        vi.advanceTimersByTime(500);
        expect(woken.map((name) => expected.get(name))).toEqual([...expected.values()].sort((a, b) => a - b));
        expect(new Set(woken).size).toBe(expected.size);
      }),
      { numRuns: 60 },
    );
  });

  it('wakes nobody after its end', () => {
    scheduler.set('a', startMs + 10, note('a'));
    scheduler.stop();
    vi.advanceTimersByTime(100);
    expect(woken).toEqual([]);
  });
});

describe('on the real clock', () => {
  it('is never early, whatever the fraction', async () => {
    vi.useRealTimers();
    const real = new Scheduler(monotonicMs, () => undefined);
    const beginMs = monotonicMs();
    const asked = [0.2, 1.7, 2.5, 3.01, 4.999, 7.3];
    const lates = await Promise.all(
      asked.map(
        (afterMs) =>
          new Promise<number>((resolve) =>
            real.set(`after ${afterMs}`, beginMs + afterMs, (atMs, lateMs) => {
              expect(atMs - beginMs - afterMs).toBeCloseTo(lateMs, 6);
              resolve(lateMs);
            }),
          ),
      ),
    );
    real.stop();
    expect(Math.min(...lates)).toBeGreaterThanOrEqual(0);
  });
});

describe('the distance of two clocks', () => {
  it('is not that of a process that lost the processor between two readings', () => {
    let nowMs = 1_000;
    let reading = 0;
    const read = (beganMs: number) => () => {
      reading += 1;
      nowMs += reading % 3 === 0 ? 0.001 : reading < 25 ? 40 : 0.001;
      return nowMs - beganMs;
    };
    expect(aheadMs(read(0), read(700))).toBeCloseTo(700, 2);
  });
});
