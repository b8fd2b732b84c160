import { expect, test } from 'vitest';
import { errnoName, errnoSentence } from './errno.js';

test('numbers of either sign have the names of errno(3)', () => {
  for (const [number, name] of [
    [1, 'EPERM'],
    [11, 'EAGAIN'],
    [17, 'EEXIST'],
    [19, 'ENODEV'],
    [95, 'EOPNOTSUPP'],
    [97, 'EAFNOSUPPORT'],
    [98, 'EADDRINUSE'],
    [99, 'EADDRNOTAVAIL'],
    [100, 'ENETDOWN'],
    [105, 'ENOBUFS'],
    [110, 'ETIMEDOUT'],
    [524, 'ENOTSUPP'],
    [4000, 'E4000'],
  ] as const) {
    expect(errnoName(number)).toBe(name);
    expect(errnoName(-number)).toBe(name);
  }
});

test('known ones have a sentence, the others their name', () => {
  expect(errnoSentence('EADDRINUSE')).toBe('the address is in use');
  expect(errnoSentence('E4000')).toBe('E4000');
});
