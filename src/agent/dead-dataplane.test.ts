import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { bootId } from '../core/identity.js';
import { DeadDataplane } from './dead-dataplane.js';
import type { ReleaseOrder } from './ownership-desk.js';

const order: ReleaseOrder = { vr: 'gw', term: 4, reason: 'dataplane_lost', boot: bootId('b1') };
let timers: ManualTimers;
let left: string[];
let isOver: boolean;
let released: unknown[];
let errors: unknown[];
let dead: DeadDataplane;

beforeEach(() => {
  timers = new ManualTimers();
  [left, isOver, released, errors] = [['10.77.0.254'], false, [], []];
  dead = new DeadDataplane({
    releases: { add: (what, resigned) => released.push([what, resigned]) },
    isOver: () => isOver,
    log: { info: () => undefined, error: (report: object) => void errors.push(report) },
    timers,
    present: (addresses) => addresses.filter((address) => left.includes(address)),
  });
  dead.release(order, ['10.77.0.253', '10.77.0.254']);
});

describe('what a dead dataplane owned', () => {
  it('is released once none of its addresses is left', async () => {
    await timers.advance(1000);
    expect(released).toEqual([]);
    left = [];
    await timers.advance(5);
    expect(released).toEqual([[order, true]]);
    await timers.advance(20_000);
    expect([released.length, errors]).toEqual([1, []]);
  });

  it('is not where they would not go', async () => {
    await timers.advance(10_000);
    left = [];
    await timers.advance(10_000);
    expect([released, errors]).toEqual([[], [{ vr: 'gw', left: ['10.77.0.254'] }]]);
  });

  it('is the next one’s, where that is there before', async () => {
    isOver = true;
    left = [];
    await timers.advance(20_000);
    expect([released, errors]).toEqual([[], []]);
  });
});
