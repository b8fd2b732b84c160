import { describe, expect, it } from 'vitest';
import { judgeOwnership, type OwnerChange, ownerHistory, ownersAt } from './ownership.js';

const gains = (atMs: number, router: string): OwnerChange => ({ atMs, router, holds: true });
const loses = (atMs: number, router: string): OwnerChange => ({ atMs, router, holds: false });

describe('ownership of the VIP', () => {
  it('is the sum of the changes so far; renewed addresses change nothing', () => {
    const changes = [gains(0, 'r1'), gains(500, 'r1'), gains(1000, 'r2'), loses(1001, 'r1')];
    expect(ownersAt(changes, 999)).toEqual(['r1']);
    expect(ownersAt(changes, 1000)).toEqual(['r1', 'r2']);
    expect(ownersAt(changes, 2000)).toEqual(['r2']);
  });

  it('has a history, told where it changes', () => {
    const changes = [gains(0, 'r1'), gains(1500, 'r1'), gains(2000, 'r2'), loses(2005, 'r1'), gains(9000, 'r1')];
    expect(ownerHistory(changes, 1000, 5000)).toEqual([
      { afterMs: 0, owners: ['r1'] },
      { afterMs: 1000, owners: ['r1', 'r2'] },
      { afterMs: 1005, owners: ['r2'] },
    ]);
  });

  it('is settled from the start where nothing happens', () => {
    expect(judgeOwnership([gains(0, 'r1')], 1000, 5000)).toEqual({
      oneOwnerAfterMs: 0,
      severalMs: 0,
      noneMs: 0,
      owners: ['r1'],
    });
  });

  it('tells a gap from an overlap', () => {
    const gap = judgeOwnership([gains(0, 'r1'), loses(1005, 'r1'), gains(1025, 'r2')], 1000, 5000);
    expect(gap).toEqual({ oneOwnerAfterMs: 25, severalMs: 0, noneMs: 20, owners: ['r2'] });
    const overlap = judgeOwnership([gains(0, 'r1'), gains(1025, 'r2'), loses(4000, 'r1')], 1000, 5000);
    expect(overlap).toEqual({ oneOwnerAfterMs: 3000, severalMs: 2975, noneMs: 0, owners: ['r2'] });
  });

  it('counts until it is settled for good, not until it first looks settled', () => {
    const flapping = [gains(0, 'r1'), loses(1010, 'r1'), gains(1020, 'r2'), gains(1500, 'r1'), loses(1600, 'r1')];
    expect(judgeOwnership(flapping, 1000, 5000).oneOwnerAfterMs).toBe(600);
  });

  it('has no answer where two hold it at the end, or nobody', () => {
    expect(judgeOwnership([gains(0, 'r1'), gains(1500, 'r2')], 1000, 5000).oneOwnerAfterMs).toBeUndefined();
    expect(judgeOwnership([gains(0, 'r1'), loses(1500, 'r1')], 1000, 5000)).toMatchObject({
      oneOwnerAfterMs: undefined,
      noneMs: 3500,
      owners: [],
    });
  });

  it('adds up a stretch that changes within it do not end', () => {
    const three = [gains(0, 'r1'), gains(1100, 'r2'), gains(1200, 'r3'), loses(1300, 'r3'), loses(1400, 'r1')];
    expect(judgeOwnership(three, 1000, 5000).severalMs).toBe(300);
  });
});
