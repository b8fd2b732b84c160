import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { bootId, nodeId } from '../core/identity.js';
import type { ObservationEvent } from '../log/event.js';
import { Journal, type Observed, recordAfterMs } from './journal.js';

let timers: ManualTimers;
let isWanted: boolean;
let added: ObservationEvent[];
let taken: number[];
let journal: Journal;

const repaired = (number: number): Observed => ({
  type: 'repaired',
  vr: 'gw',
  kind: 'link_deleted',
  object: 'koi51',
  number,
  wallMs: 5000,
  monotonicMs: 10,
});

beforeEach(() => {
  timers = new ManualTimers(1000);
  isWanted = false;
  added = [];
  taken = [];
  journal = new Journal({
    cluster: 'lan',
    node: nodeId('r1'),
    boot: () => bootId('b'),
    ownership: () => undefined,
    newEventId: () => `event ${added.length}`,
    clock: () => ({ wallMs: 6000, monotonicMs: 1010 }),
    add: (event) => added.push(event),
    onTaken: (number) => taken.push(number),
    isWanted: () => isWanted,
    timers,
  });
});

describe('the journal', () => {
  it('records what the dataplane told after a moment, with the time at which it happened, and has taken it then', async () => {
    journal.record(repaired(7));
    await timers.advance(recordAfterMs - 1);
    expect([added, taken]).toEqual([[], []]);
    await timers.advance(1);
    expect(added.map(({ wallTimeMs }) => wallTimeMs)).toEqual([5000]);
    expect(taken).toEqual([7]);
  });

  it('leaves the log to claims and releases as long as they want it', async () => {
    isWanted = true;
    journal.record(repaired(1));
    await timers.advance(3 * recordAfterMs);
    journal.record(repaired(2));
    expect(taken).toEqual([]);
    isWanted = false;
    await timers.advance(recordAfterMs);
    expect(taken).toEqual([1, 2]);
  });

  it('does so for a second at most', async () => {
    isWanted = true;
    journal.record(repaired(1));
    await timers.advance(999);
    expect(taken).toEqual([]);
    await timers.advance(1);
    expect(taken).toEqual([1]);
    journal.record(repaired(2));
    await timers.advance(999);
    expect(taken).toEqual([1]);
  });

  it('does not where a virtual router stops: that waits for it', async () => {
    isWanted = true;
    journal.record(repaired(1));
    await timers.advance(recordAfterMs);
    journal.record({
      type: 'transition',
      vr: 'gw',
      from: 'draining',
      to: 'init',
      reason: 'shutdown',
      term: 3,
      standing: null,
      number: 2,
      wallMs: 5000,
      monotonicMs: 10,
    });
    expect(taken).toEqual([]);
    await timers.advance(recordAfterMs);
    expect(taken).toEqual([1, 2]);
  });

  it('records at once where it is told to, and nothing twice', async () => {
    isWanted = true;
    journal.record(repaired(1));
    journal.flush();
    expect(taken).toEqual([1]);
    await timers.advance(5000);
    expect(taken).toEqual([1]);
  });
});
