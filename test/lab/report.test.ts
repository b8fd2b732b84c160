import { describe, expect, it } from 'vitest';
import { ownersLine, paintFor, summarize, table } from './report.js';
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
    ...{
      oneOwnerMs: outageMs,
      severalOwnersMs: 0,
      noOwnerMs: 0,
      owners: [],
      wrongFrames: [],
      checks: [],
      broken: [],
      slow: [],
      ...more,
    },
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

  it('is slow, and not broken, where a time was over its bound by what a busy machine loses', () => {
    const slow = summarize(scenario, timing, [run(12), run(36, { slow: ['outage 36.0 ms, bound 30 ms'] })]);
    expect([slow.ok, slow.slow]).toEqual([true, true]);
    expect(table([slow], paintFor({ isTTY: false }, {}))).toMatch(/ slow$/);
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

describe('the owners in a line', () => {
  it('says who held the VIP from when on', () => {
    const history = [
      { afterMs: 0, owners: ['r1'] },
      { afterMs: 850.4, owners: ['r1', 'r2'] },
      { afterMs: 3975, owners: [] },
    ];
    expect(ownersLine(history)).toBe('r1 · 0.850 s r1+r2 · 3.98 s nobody');
  });
});

describe('the table', () => {
  it('names the promises below, where there are any', () => {
    const promised = summarize({ ...scenario, promise: 'nobody may notice' }, timing, [run(12)]);
    expect(
      table([promised], paintFor({ isTTY: false }, {}))
        .split('\n')
        .at(-1),
    ).toBe('carrier lost: nobody may notice');
  });

  it('lines up, with colours only on a terminal that wants them', () => {
    const results = [summarize(scenario, timing, [run(12)])];
    const plain = table(results, paintFor({ isTTY: false }, {}));
    const [heading, row] = plain.split('\n');
    expect(heading?.length).toBe(row?.length);
    expect(row).toMatch(/^carrier lost +12\.0 ms +12\.0 ms +≤ 30 ms +0 +12\.0 ms +0\.0 ms +0 +ok$/);
    expect(table(results, paintFor({ isTTY: true }, { NO_COLOR: '1' }))).toBe(plain);
    expect(table(results, paintFor({ isTTY: true }, {}))).toContain('\u001b[32m');
  });
});
