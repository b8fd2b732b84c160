import { describe, expect, it } from 'vitest';
import { parseBenchOptions } from './options.js';

describe('the command line of the benchmark', () => {
  it('has defaults', () => {
    expect(parseBenchOptions([])).toEqual({
      rounds: 3,
      intervalsMs: [1000, 100, 10],
      counts: [1, 50, 200, 1000],
      cases: ['outage', 'load', 'lateness', 'memory', 'log', 'replay'],
      events: 1_000_000,
      watchMs: 10_000,
      watched: 200,
      during: undefined,
      of: undefined,
      node: 'packaged',
    });
  });

  it('takes what is asked for', () => {
    expect(
      parseBenchOptions([
        ...['--rounds', '1', '--case', 'load', '--counts', '2,3', '--intervals', '10'],
        ...['--events', '1000', '--watch', '2', '--only', 'koi', '--during', 'busy', '--node', 'this'],
      ]),
    ).toEqual({
      rounds: 1,
      intervalsMs: [10],
      counts: [2, 3],
      cases: ['load'],
      events: 1_000,
      watchMs: 2_000,
      watched: 200,
      during: 'busy',
      of: 'koi',
      node: 'this',
    });
    expect(parseBenchOptions(['-h'])).toBe('help');
  });

  it.each([
    [['--counts', '0'], /--counts 0: whole numbers from 1 to 1000/],
    [['--counts', '1,,2'], /--counts/],
    [['--case', 'speed'], /--case speed: there are outage, load, lateness, memory, log, replay/],
    [['--only', 'frr'], /--only frr: there are keepalived, ucarp, koi/],
    [['--node', '24'], /--node 24: there are packaged, this/],
    [['--during', 'rain'], /--during rain: there are nothing, busy, scrapes, agent/],
    [['--fast'], /--fast/],
  ])('refuses %j, naming it', (args, message) => {
    expect(() => parseBenchOptions(args)).toThrow(message);
  });
});
