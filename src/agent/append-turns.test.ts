import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { AppendTurns } from './append-turns.js';

let timers: ManualTimers;
let isWanted: boolean;
let had: string[];
let turns: AppendTurns;

beforeEach(() => {
  timers = new ManualTimers(1000);
  [isWanted, had] = [false, []];
  turns = new AppendTurns({
    most: 2,
    isWanted: () => isWanted,
    onTurn: (name) => {
      if (turns.mayBegin(name)) had.push(name);
    },
    timers,
  });
});

describe('the turns of appends', () => {
  it('lets so many begin, and the next one when one has ended, in the order asked', () => {
    expect(['a', 'b', 'c', 'd', 'e', 'c'].map((name) => turns.mayBegin(name))).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    turns.ended();
    expect(had).toEqual(['c']);
    turns.ended();
    turns.ended();
    expect(had).toEqual(['c', 'd', 'e']);
    turns.ended();
    turns.ended();
    expect(['f', 'g', 'h'].map((name) => turns.mayBegin(name))).toEqual([true, true, false]);
  });

  it('goes on with others where one has nothing to append any more', () => {
    const left = new AppendTurns({
      most: 1,
      isWanted: () => false,
      onTurn: (name) => void had.push(name),
      timers,
    });
    left.mayBegin('a');
    for (const name of ['b', 'c']) left.mayBegin(name);
    left.ended();
    expect(had).toEqual(['b', 'c']);
  });

  it('gives way to what others wait for, and for a bounded time', async () => {
    isWanted = true;
    expect(turns.mayBegin('a')).toBe(false);
    await timers.advance(100);
    expect(had).toEqual([]);
    isWanted = false;
    await timers.advance(10);
    expect(had).toEqual(['a']);
    turns.ended();
    isWanted = true;
    expect(turns.mayBegin('b')).toBe(false);
    await timers.advance(1990);
    expect(had).toEqual(['a']);
    await timers.advance(20);
    expect(had).toEqual(['a', 'b']);
  });

  it('is over when it is stopped', async () => {
    isWanted = true;
    turns.mayBegin('a');
    turns.stop();
    isWanted = false;
    await timers.advance(100);
    expect(had).toEqual([]);
  });
});
