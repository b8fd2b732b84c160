import { describe, expect, it } from 'vitest';
import { Turns } from './turns.js';

/** A loop that goes round when it is told to, and work that costs time. */
function bench() {
  let nowMs = 0;
  let next: (() => void)[] = [];
  const done: string[] = [];
  const turns = new Turns({ now: () => nowMs, later: (act) => next.push(act) });
  return {
    done,
    work: async (name: string, costMs: number): Promise<void> => {
      await turns.take();
      nowMs += costMs;
      done.push(name);
    },
    goRound: async (): Promise<void> => {
      const acts = next;
      next = [];
      for (const act of acts) act();
      await new Promise((resolve) => setImmediate(resolve));
    },
    workLater: async (name: string): Promise<void> => {
      await turns.takeLater();
      done.push(name);
    },
    settle: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

describe('turns', () => {
  it('come at once for who asks alone, time and again', async () => {
    const { work, done, goRound } = bench();
    await work('a', 3);
    await goRound();
    await work('b', 3);
    expect(done).toEqual(['a', 'b']);
  });

  it('are a few milliseconds long where many ask, in the order asked for', async () => {
    const { work, done, goRound, settle } = bench();
    const names = Array.from({ length: 12 }, (_, index) => `${index}`);
    for (const name of names) void work(name, 2);
    await settle();
    expect(done).toEqual(['0']);
    await goRound();
    expect(done).toEqual(['0', '1', '2', '3']);
    for (let round = 0; round < 4; round++) await goRound();
    expect(done).toEqual(names);
    await goRound();
    await work('late', 1);
    expect(done.at(-1)).toBe('late');
  });

  it('go first to what somebody waits for, and then to the rest', async () => {
    const { work, workLater, done, goRound } = bench();
    for (const name of ['link 1', 'link 2', 'link 3']) void workLater(name);
    void work('attach', 1);
    await goRound();
    expect(done).toEqual(['link 1', 'attach', 'link 2', 'link 3']);
    await goRound();
    await workLater('link 4');
    expect(done.at(-1)).toBe('link 4');
  });

  it('let one that takes long have the loop go round before the next', async () => {
    const { work, done, goRound } = bench();
    for (const name of ['a', 'b', 'c']) void work(name, 50);
    for (let round = 1; round <= 3; round++) {
      expect(done).toHaveLength(round === 1 ? 0 : round);
      await goRound();
    }
    expect(done).toEqual(['a', 'b', 'c']);
  });
});
