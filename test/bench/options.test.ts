import { describe, expect, it } from 'vitest';
import { parseBenchOptions } from './options.js';

describe('the command line of the benchmark', () => {
  it('has defaults', () => {
    expect(parseBenchOptions([])).toEqual({
      rounds: 3,
      intervalsMs: [1000, 100, 10],
      counts: [1, 50, 200],
      cases: ['outage', 'load'],
    });
  });

  it('takes what is asked for', () => {
    expect(parseBenchOptions(['--rounds', '1', '--case', 'load', '--counts', '2,3', '--intervals', '10'])).toEqual({
      rounds: 1,
      intervalsMs: [10],
      counts: [2, 3],
      cases: ['load'],
    });
    expect(parseBenchOptions(['-h'])).toBe('help');
  });

  it.each([
    [['--counts', '0'], /--counts 0: whole numbers from 1 to 200/],
    [['--counts', '1,,2'], /--counts/],
    [['--case', 'speed'], /--case speed: there are outage and load/],
    [['--fast'], /--fast/],
  ])('refuses %j, naming it', (args, message) => {
    expect(() => parseBenchOptions(args)).toThrow(message);
  });
});
