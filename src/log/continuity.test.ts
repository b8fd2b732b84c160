import { describe, expect, it } from 'vitest';
import { type Bookmark, findGap, type StreamHead } from './continuity.js';

const bookmark: Bookmark = { streamId: 's1', position: 10, last: { hash: 'h10', storedAtMs: 1000 }, acknowledged: 0 };
const head: StreamHead = {
  streamId: 's1',
  firstSequence: 1,
  lastSequence: 12,
  atPosition: { hash: 'h10', storedAtMs: 1000.4 },
};
const events = { compacted: false };
const leases = { compacted: true };

describe('findGap', () => {
  it('trusts the stream it knows', () => {
    expect(findGap(bookmark, head, events)).toBeUndefined();
    expect(findGap(bookmark, { ...head, lastSequence: 10 }, events)).toBeUndefined();
    expect(
      findGap({ streamId: undefined, position: 0, last: undefined, acknowledged: 0 }, head, events),
    ).toBeUndefined();
  });

  it.each([
    ['recreated', { ...head, streamId: 's2' }, 12],
    ['recreated', { ...head, streamId: 's2', lastSequence: 0, firstSequence: 1, atPosition: undefined }, 0],
    ['rewound', { ...head, lastSequence: 9, atPosition: undefined }, 9],
    ['diverged', { ...head, atPosition: { hash: 'other', storedAtMs: 1000 } }, 12],
    ['diverged', { ...head, atPosition: { hash: 'h10', storedAtMs: 60_000 } }, 12],
    ['diverged', { ...head, atPosition: undefined }, 12],
    ['missing', { ...head, firstSequence: 12, atPosition: undefined }, 12],
  ] as const)('finds it %s', (kind, found, foundSequence) => {
    expect(findGap(bookmark, found, events)).toEqual({ kind, expectedSequence: 10, foundSequence });
  });

  it('finds a position beyond the end even when it never saw the stream', () => {
    const resumed = { streamId: undefined, position: 20, last: undefined, acknowledged: 0 };
    expect(findGap(resumed, head, events)).toMatchObject({ kind: 'rewound' });
  });

  it('finds an acknowledged event gone that was never delivered', () => {
    const gap = findGap({ ...bookmark, acknowledged: 13 }, head, events);
    expect(gap).toEqual({ kind: 'rewound', expectedSequence: 13, foundSequence: 12 });
  });

  it('does not ask back when all events up to the position were removed at the front', () => {
    expect(findGap(bookmark, { ...head, firstSequence: 11, atPosition: undefined }, events)).toBeUndefined();
  });

  it('takes absence for granted where only the newest are kept', () => {
    expect(findGap(bookmark, { ...head, firstSequence: 12, atPosition: undefined }, leases)).toBeUndefined();
    expect(findGap(bookmark, { ...head, atPosition: { hash: 'other', storedAtMs: 1000 } }, leases)).toMatchObject({
      kind: 'diverged',
    });
    expect(findGap(bookmark, { ...head, lastSequence: 3 }, leases)).toMatchObject({ kind: 'rewound' });
  });
});
