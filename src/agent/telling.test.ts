import { beforeEach, describe, expect, it } from 'vitest';
import { Telling, wholeEveryMs } from './telling.js';

let nowMs: number;
let told: string[];
let turn: (() => void)[];
let timers: { atMs: number; act: () => void }[];
let telling: Telling;
let wholeTakesMs: number;

beforeEach(() => {
  [nowMs, told, turn, timers, wholeTakesMs] = [1000, [], [], [], 0];
  telling = new Telling({
    view: () => void told.push(`view at ${nowMs}`),
    whole: (isAll) => {
      told.push(`${isAll ? 'all' : 'whole'} at ${nowMs}`);
      nowMs += wholeTakesMs;
    },
    later: (act) => void turn.push(act),
    timers: {
      nowMs: () => nowMs,
      after: (ms, act) => {
        const timer = { atMs: nowMs + ms, act };
        timers.push(timer);
        return () => void timers.splice(timers.indexOf(timer), 1);
      },
    },
  });
});

function advance(ms: number): void {
  nowMs += ms;
  for (const act of turn.splice(0)) act();
  for (const timer of timers.filter(({ atMs }) => atMs <= nowMs)) {
    timers.splice(timers.indexOf(timer), 1);
    timer.act();
  }
}

describe('telling', () => {
  it('tells the view once for all that is heard in one turn', () => {
    for (let event = 0; event < 200; event += 1) telling.soon();
    expect(told).toEqual([]);
    advance(0);
    expect(told).toEqual(['view at 1000']);
  });

  it('looks at whole nodes at once after a quiet time, then as often as that may be', () => {
    for (let event = 0; event < 250; event += 1) {
      telling.soon(0);
      advance(1);
    }
    const whole = told.filter((line) => line.startsWith('whole'));
    expect(whole).toEqual(['whole at 1001', 'whole at 1101', 'whole at 1201']);
    expect(told.filter((line) => line.startsWith('view'))).toHaveLength(250);
    advance(wholeEveryMs);
    expect(told.at(-1)).toBe('whole at 1350');
    advance(10 * wholeEveryMs);
    expect(told.filter((line) => line.startsWith('whole'))).toHaveLength(4);
  });

  it('looks at whole nodes less often where that takes long', () => {
    wholeTakesMs = 20;
    for (let event = 0; event < 1000; event += 1) {
      telling.soon(0);
      advance(1);
    }
    expect(told.filter((line) => line.startsWith('whole'))).toEqual([
      'whole at 1001',
      'whole at 1401',
      'whole at 1801',
    ]);
  });

  it('lets a takeover have the disk first, and waits no longer than whoever is in a hurry', () => {
    telling.soon(100);
    advance(99);
    expect(told).toEqual(['view at 1099']);
    telling.soon(0);
    advance(0);
    expect(told.at(-1)).toBe('whole at 1099');
    advance(10 * wholeEveryMs);
    expect(told.filter((line) => line.startsWith('whole'))).toHaveLength(1);
  });

  it('tells everything where it is told to, and nothing twice', () => {
    telling.soon(0);
    telling.now();
    expect(told).toEqual(['all at 1000', 'view at 1000']);
    advance(10 * wholeEveryMs);
    expect(told).toHaveLength(2);
  });

  it('is silent once stopped', () => {
    telling.soon(0);
    telling.stop();
    advance(10 * wholeEveryMs);
    expect(told).toEqual([]);
  });
});
