import { describe, expect, it } from 'vitest';
import { judgeServer } from './server-version.js';

describe('judgeServer', () => {
  it.each(['2.10.0', '2.10.23', '2.15.2', '3.0.0', '2.14.0-RC.1'])('takes a cluster of %s', (version) => {
    expect(judgeServer({ version, clustered: true })).toEqual({});
  });

  it.each(['2.9.20', '2.9.10', '2.8.99', '1.99.99'])('refuses a cluster of %s with a remedy', (version) => {
    expect(judgeServer({ version, clustered: true }).unfit).toContain('upgrade');
    expect(judgeServer({ version, clustered: false })).toEqual({ warning: expect.stringContaining(version) });
  });

  it.each([
    ['2.9.21', 'power failure'],
    ['2.10.20', 'may lose a stream'],
    ['2.10.22', 'may lose a stream'],
  ])('warns of %s: it may lose what it confirmed', (version, why) => {
    for (const clustered of [true, false]) {
      expect(judgeServer({ version, clustered })).toEqual({ warning: expect.stringContaining(why) });
    }
  });

  it('warns of a version it cannot read', () => {
    expect(judgeServer({ version: 'dev', clustered: true })).toEqual({ warning: expect.stringContaining('dev') });
  });
});
