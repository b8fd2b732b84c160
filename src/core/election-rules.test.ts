import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Candidacy,
  type CarpElection,
  type CarpFlavor,
  type Comparison,
  demoted,
  placeOf,
  rulesOf,
  type VrrpElection,
} from './election-rules.js';

const vrrp = (over: Partial<VrrpElection> = {}): VrrpElection => ({
  protocol: 'vrrp3',
  priority: 100,
  advertIntervalMs: 1000,
  ...over,
});

const carp = (over: Partial<CarpElection> = {}): CarpElection => ({
  protocol: 'carp',
  flavor: 'openbsd',
  advbase: 1,
  advskew: 0,
  demotion: 0,
  ...over,
});

const heardVrrp = (priority: number, intervalMs = 1000): Candidacy => ({ kind: 'vrrp', priority, intervalMs });
const heardCarp = (advbase: number, advskew: number, demote = 0): Candidacy => ({
  kind: 'carp',
  advbase,
  advskew,
  demote,
});

describe('VRRP', () => {
  it('waits 3.609 s with priority 100 at 1 s, in both versions', () => {
    expect(rulesOf(vrrp()).masterDownMs(1000)).toBeCloseTo(3609.375);
    expect(rulesOf(vrrp({ protocol: 'vrrp2' })).masterDownMs(1000)).toBeCloseTo(3609.375);
  });

  it('scales skew with the interval in version 3 and keeps it at 1/256 s in version 2', () => {
    expect(rulesOf(vrrp()).masterDownMs(100)).toBeCloseTo(360.9375);
    expect(rulesOf(vrrp({ protocol: 'vrrp2', advertIntervalMs: 3000 })).masterDownMs(3000)).toBeCloseTo(9609.375);
    expect(rulesOf(vrrp()).resignedMs(100)).toBeCloseTo(60.9375);
    expect(rulesOf(vrrp({ protocol: 'vrrp2', advertIntervalMs: 3000 })).resignedMs(3000)).toBeCloseTo(609.375);
  });

  it('learns the interval of the master in version 3 only', () => {
    expect(rulesOf(vrrp()).masterIntervalMs(heardVrrp(200, 10))).toBe(10);
    expect(rulesOf(vrrp({ protocol: 'vrrp2' })).masterIntervalMs(heardVrrp(200, 7000))).toBe(1000);
  });

  it('compares priorities, and of equals lets the higher address stay', () => {
    const rules = rulesOf(vrrp());
    const found = [0, 99, 100, 101].map((priority) => rules.compare(heardVrrp(priority)));
    expect(found).toEqual(['resigned', 'worse', 'tie', 'better']);
    expect([1, 0, -1].map((order) => rules.yieldsTie(order as -1 | 0 | 1))).toEqual([true, false, false]);
  });

  it('says farewell with priority 0 and its own interval', () => {
    expect(rulesOf(vrrp({ advertIntervalMs: 10 })).farewell).toEqual(heardVrrp(0, 10));
  });
});

describe('CARP timers', () => {
  it.each<[CarpFlavor, number, number, number]>([
    ['openbsd', 1, 100, 4171.875],
    ['freebsd', 1, 100, 3390.625],
    ['openbsd', 1, 0, 3000],
    ['freebsd', 1, 0, 3000],
    ['openbsd', 0, 1, 11.71875],
    ['openbsd', 0, 0, 11.71875],
  ])('%s with advbase %i and advskew %i waits %f ms', (flavor, advbase, advskew, expectedMs) => {
    expect(rulesOf(carp({ flavor, advbase, advskew })).masterDownMs(5000)).toBeCloseTo(expectedMs);
  });

  it('sends every advbase + advskew / 256 s, and never more often than 1/256 s', () => {
    expect(rulesOf(carp({ advskew: 128 })).intervalMs).toBe(1500);
    expect(rulesOf(carp({ advbase: 0, advskew: 0 })).intervalMs).toBe(1000 / 256);
  });

  it('counts on peers that wait for three of their own intervals', () => {
    expect(rulesOf(carp({ advskew: 200 })).peerPatienceMs).toBe(3000);
    expect(rulesOf(carp({ advbase: 0, advskew: 10 })).peerPatienceMs).toBeCloseTo((30 * 1000) / 256);
  });
});

describe('CARP comparison', () => {
  it.each<[string, Partial<CarpElection>, Candidacy, Comparison]>([
    ['the shorter interval', { advskew: 100 }, heardCarp(1, 0), 'better'],
    ['an equal one', { advskew: 100 }, heardCarp(1, 100), 'tie'],
    ['a longer one', { advskew: 0 }, heardCarp(1, 100), 'worse'],
    ['the farewell', {}, heardCarp(255, 255), 'resigned'],
    ['one rarer than three of ours', {}, heardCarp(3, 1), 'failing'],
    ['one just as rare as three of ours', {}, heardCarp(3, 0), 'worse'],
    ['OpenBSD: a demoted sender, though shorter', { advskew: 100 }, heardCarp(1, 0, 1), 'failing'],
    ['OpenBSD: a sender less demoted, though longer', { demotion: 2 }, heardCarp(1, 200, 1), 'better'],
    ['OpenBSD: equally demoted', { demotion: 2 }, heardCarp(1, 200, 2), 'worse'],
    ['OpenBSD: advbase 0 asks nobody to be fast', { advbase: 0, advskew: 1 }, heardCarp(9, 0), 'worse'],
    ['FreeBSD: does not look at demote', { flavor: 'freebsd', advskew: 100 }, heardCarp(1, 0, 9), 'better'],
    ['FreeBSD: our demotion makes us slower', { flavor: 'freebsd', demotion: 240 }, heardCarp(1, 100), 'better'],
    ['FreeBSD: demotion stops at 240', { flavor: 'freebsd', demotion: 999 }, heardCarp(1, 240), 'tie'],
  ])('%s', (_, over, heard, expected) => {
    expect(rulesOf(carp(over)).compare(heard)).toBe(expected);
  });

  it('lets the lower address stay on a tie, as ucarp does', () => {
    expect([1, 0, -1].map((order) => rulesOf(carp()).yieldsTie(order as -1 | 0 | 1))).toEqual([false, false, true]);
  });

  it('sends demotion in its own octet or in the skew', () => {
    expect(rulesOf(carp({ demotion: 3 })).candidacy).toEqual(heardCarp(1, 0, 3));
    expect(rulesOf(carp({ flavor: 'freebsd', demotion: 3 })).candidacy).toEqual(heardCarp(1, 3, 0));
    expect(rulesOf(carp({ demotion: 999 })).candidacy).toEqual(heardCarp(1, 0, 255));
    expect(rulesOf(carp({ demotion: 3 })).farewell).toEqual(heardCarp(255, 255, 3));
  });
});

describe('two routers', () => {
  const elections = fc.oneof(
    fc.record({
      protocol: fc.constant('vrrp3' as const),
      priority: fc.integer({ min: 1, max: 254 }),
      advertIntervalMs: fc.constant(1000),
    }),
    fc.record({
      protocol: fc.constant('carp' as const),
      flavor: fc.constantFrom<CarpFlavor>('openbsd', 'freebsd'),
      advbase: fc.integer({ min: 1, max: 2 }),
      advskew: fc.integer({ min: 0, max: 254 }),
      demotion: fc.integer({ min: 0, max: 3 }),
    }),
  );
  const opposite: Readonly<Record<Comparison, readonly Comparison[]>> = {
    better: ['worse', 'failing'],
    worse: ['better'],
    failing: ['better'],
    tie: ['tie'],
    resigned: [],
  };

  it('never both think themselves better, nor both worse', () => {
    fc.assert(
      fc.property(elections, elections, (a, b) => {
        fc.pre(a.protocol === b.protocol && (a.protocol !== 'carp' || b.protocol !== 'carp' || a.flavor === b.flavor));
        const heardByA = rulesOf(a).compare(rulesOf(b).candidacy);
        expect(opposite[heardByA]).toContain(rulesOf(b).compare(rulesOf(a).candidacy));
      }),
    );
  });

  it('are placed in the log in the order of the wire', () => {
    fc.assert(
      fc.property(elections, elections, (a, b) => {
        fc.pre(a.protocol === 'vrrp3' && b.protocol === 'vrrp3');
        const comparison = rulesOf(a).compare(rulesOf(b).candidacy);
        expect(Math.sign(placeOf(b) - placeOf(a))).toBe(comparison === 'tie' ? 0 : comparison === 'better' ? 1 : -1);
      }),
    );
    expect(placeOf(carp())).toBeGreaterThan(placeOf(carp({ advskew: 1 })));
    expect(placeOf(carp({ advskew: 254 }))).toBeGreaterThan(placeOf(carp({ advbase: 2 })));
    expect(placeOf(carp({ advskew: 100 }))).toBeGreaterThan(placeOf(carp({ demotion: 1 })));
  });
});

describe('a loss by tracking', () => {
  it('lowers the priority within 1 to 254, and never the owner’s', () => {
    expect(demoted(vrrp(), 50)).toEqual(vrrp({ priority: 50 }));
    expect(demoted(vrrp(), 250)).toEqual(vrrp({ priority: 1 }));
    expect(demoted(vrrp(), -250)).toEqual(vrrp({ priority: 254 }));
    expect(demoted(vrrp({ priority: 255 }), 50)).toEqual(vrrp({ priority: 255 }));
  });

  it('raises the demotion in CARP', () => {
    expect(demoted(carp({ demotion: 1 }), 50)).toEqual(carp({ demotion: 51 }));
    expect(demoted(carp(), -50)).toEqual(carp());
  });
});
