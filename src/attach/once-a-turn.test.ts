import { expect, it } from 'vitest';
import { onceATurn } from './once-a-turn.js';

it('reads once for all in one turn, each key for itself, and again in the next', () => {
  const reads: number[] = [];
  const ends: (() => void)[] = [];
  const read = onceATurn(
    (key: number) => {
      reads.push(key);
      return `${key} read ${reads.length}`;
    },
    (act) => void ends.push(act),
  );
  expect([read(1), read(1), read(2), read(1)]).toEqual(['1 read 1', '1 read 1', '2 read 2', '1 read 1']);
  expect(ends).toHaveLength(1);
  for (const end of ends.splice(0)) end();
  expect(read(1)).toBe('1 read 3');
  expect(reads).toEqual([1, 2, 1]);
});

it('ends the turn when the loop goes round', async () => {
  let reads = 0;
  const read = onceATurn(() => ++reads);
  expect([read('a'), read('a')]).toEqual([1, 1]);
  await Promise.resolve();
  expect(read('a')).toBe(1);
  await new Promise((resolve) => setImmediate(resolve));
  expect(read('a')).toBe(2);
});

it('remembers no failure', () => {
  let isBroken = true;
  const read = onceATurn((key: string) => {
    if (isBroken) throw new Error('not now');
    return key;
  });
  expect(() => read('a')).toThrow('not now');
  isBroken = false;
  expect(read('a')).toBe('a');
});
