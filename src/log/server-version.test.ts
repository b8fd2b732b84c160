import { describe, expect, it } from 'vitest';
import { judgeServer } from './server-version.js';

describe('judgeServer', () => {
  it.each(['2.9.21', '2.10.0', '2.15.2', '3.0.0', '2.14.0-RC.1'])('takes a cluster of %s', (version) => {
    expect(judgeServer({ version, clustered: true })).toEqual({});
  });

  it.each(['2.9.20', '2.9.10', '2.8.99', '1.99.99'])('refuses a cluster of %s with a remedy', (version) => {
    expect(judgeServer({ version, clustered: true }).unfit).toContain('upgrade');
    expect(judgeServer({ version, clustered: false })).toEqual({ warning: expect.stringContaining(version) });
  });

  it('warns of a version it cannot read', () => {
    expect(judgeServer({ version: 'dev', clustered: true })).toEqual({ warning: expect.stringContaining('dev') });
  });
});
