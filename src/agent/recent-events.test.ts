import { describe, expect, it } from 'vitest';
import { transition } from '../../test/log/events.js';
import type { StoredEvent } from '../log/port.js';
import { RecentEvents } from './recent-events.js';

const stored = (sequence: number, bytes = 200): StoredEvent => ({
  sequence,
  subject: '',
  storedAtMs: sequence,
  bytes,
  hash: '',
  event: transition('r1', 'attached'),
});

function reads(from: number, to: number, bytes?: number): RecentEvents {
  const recent = new RecentEvents();
  for (let at = from; at <= to; at++) recent.add(stored(at, bytes));
  recent.caughtUp();
  return recent;
}

const ends = (recent: RecentEvents): unknown => {
  const events = recent.held?.events ?? [];
  return [events[0]?.sequence, events.at(-1)?.sequence, recent.held?.isWhole];
};

describe('the events that an agent holds', () => {
  it('are none until everything was read, nor while another log is read from its beginning', () => {
    const recent = new RecentEvents();
    recent.add(stored(1));
    expect(recent.held).toBeUndefined();
    recent.caughtUp();
    recent.add(stored(2));
    expect(ends(recent)).toEqual([1, 2, true]);
    recent.forget();
    recent.add(stored(1));
    expect(recent.held).toBeUndefined();
    recent.caughtUp();
    expect(ends(recent)).toEqual([1, 1, true]);
  });

  it('are the newest 5,000, or fewer that are heavy', () => {
    expect(ends(reads(1, 5_000))).toEqual([1, 5_000, true]);
    expect(ends(reads(1, 5_001))).toEqual([2, 5_001, false]);
    expect(ends(reads(1, 23_456))).toEqual([18_457, 23_456, false]);
    expect(ends(reads(1, 100, 100_000))).toEqual([81, 100, false]);
    const recent = reads(1, 100, 100_000);
    recent.forget();
    for (let at = 1; at <= 20; at++) recent.add(stored(at, 100_000));
    recent.caughtUp();
    expect(ends(recent)).toEqual([1, 20, true]);
  });
});
