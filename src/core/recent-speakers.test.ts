import { expect, it } from 'vitest';
import { RecentSpeakers, worthAsking } from './recent-speakers.js';

const forged = (at: number): string => `172.${16 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;

it('stays as small as it is however many sources are forged', () => {
  const speakers = new RecentSpeakers(16);
  let largest = 0;
  for (let at = 0; at < 250_000; at++) {
    speakers.heard(forged(at), at / 50);
    largest = Math.max(largest, speakers.size);
  }
  expect(largest).toBe(16);
  expect(speakers.since(0)[0]).toBe(forged(249_999));
});

it('knows who was heard, the latest first, and for how long', () => {
  const speakers = new RecentSpeakers(16);
  speakers.heard('a', 1);
  speakers.heard('b', 2);
  speakers.heard('a', 3);
  expect(speakers.since(0)).toEqual(['a', 'b']);
  expect(speakers.since(3)).toEqual(['a']);
});

it('asks those whom the kernel has met also in a flood of forged sources', () => {
  const heard = Array.from({ length: 16 }, (_, at) => forged(at));
  const asked = worthAsking(heard, ['10.77.0.1', '10.77.0.2'], 16);
  expect(asked).toHaveLength(16);
  expect(asked).toEqual(expect.arrayContaining(['10.77.0.1', '10.77.0.2']));
  expect(worthAsking(['a', 'b'], ['b', 'c'], 16)).toEqual(['a', 'b', 'c']);
});
