import { describe, expect, it } from 'vitest';
import { paintFor, summarize, table } from './report.js';
import type { RunResult } from './run-scenario.js';
import type { Scenario } from './scenario.js';

const timing = { advertIntervalMs: 1000, skewMs: 300 };
const scenario: Scenario = {
  name: 'carrier-lost',
  title: 'carrier lost',
  vip: 'moves',
  bound: () => ({ outageMs: 30 }),
  begin: () => ({ inject: () => {} }),
};

function run(outageMs: number, more: Partial<RunResult> = {}): RunResult {
  return {
    ...{ scenario: 'carrier-lost', run: 1, victim: 'r1', successor: 'r2', at: '', outageMs, lost: 0, late: 0, sent: 1 },
    ...{ oneOwnerMs: outageMs, severalOwnersMs: 0, noOwnerMs: 0, wrongFrames: [], checks: [], broken: [], ...more },
  };
}

describe('the sum of the runs', () => {
  it('shows the worst and the median', () => {
    expect(summarize(scenario, timing, [run(12), run(28), run(9)])).toMatchObject({
      worstOutageMs: 28,
      medianOutageMs: 12,
      worstOneOwnerMs: 28,
      ok: true,
    });
  });

  it('is broken by one broken run, and by none at all', () => {
    expect(summarize(scenario, timing, [run(12), run(28, { broken: ['exit 1'] })]).ok).toBe(false);
    expect(summarize(scenario, timing, []).ok).toBe(false);
  });

  it('says never where one run never had exactly one owner', () => {
    const { worstOneOwnerMs } = summarize(scenario, timing, [run(12), run(28, { oneOwnerMs: undefined })]);
    expect(worstOneOwnerMs).toBeUndefined();
  });
});

describe('the table', () => {
  it('lines up, with colours only on a terminal that wants them', () => {
    const results = [summarize(scenario, timing, [run(12)])];
    const plain = table(results, paintFor({ isTTY: false }, {}));
    const [heading, row] = plain.split('\n');
    expect(heading?.length).toBe(row?.length);
    expect(row).toMatch(/^carrier lost +12\.0 ms +12\.0 ms +≤ 30 ms +0 +12\.0 ms +0 +ok$/);
    expect(table(results, paintFor({ isTTY: true }, { NO_COLOR: '1' }))).toBe(plain);
    expect(table(results, paintFor({ isTTY: true }, {}))).toContain('\u001b[32m');
  });
});
