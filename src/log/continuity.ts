import type { LogGap } from './port.js';

/** By what an event is known again: the same event, written again after the log lost it, was stored at another time. */
export interface Place {
  readonly hash: string;
  readonly storedAtMs: number;
}

/** A server tells the time in nanoseconds here and in milliseconds there, and neither fits a number exactly. */
const sameTimeMs = 2;

const isSame = (one: Place, other: Place | undefined): boolean =>
  one.hash === other?.hash && Math.abs(one.storedAtMs - other.storedAtMs) < sameTimeMs;

/** How far a reader has come, and by what it would know the place again. */
export interface Bookmark {
  /** Identity of the stream that was read; undefined before the first look at it. */
  readonly streamId: string | undefined;
  /** The last sequence delivered; 0 before the first. */
  readonly position: number;
  /** The event at `position`; undefined where none has been delivered. */
  readonly last: Place | undefined;
  /** The highest sequence the log has acknowledged an append with; 0 for none. */
  readonly acknowledged: number;
}

/** What a stream says of itself. `atPosition` is what stands at the bookmark's position now. */
export interface StreamHead {
  readonly streamId: string;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly atPosition: Place | undefined;
}

/**
 * Whether the log is still the one that the bookmark was laid into. A log may lose acknowledged events (lazy fsync, a
 * restored copy, a wiped store), and may have grown past the old position since: sequences alone do not tell.
 * `compacted`: old events go as new ones of the same subject come, so absence proves nothing.
 */
export function findGap(bookmark: Bookmark, head: StreamHead, options: { compacted: boolean }): LogGap | undefined {
  const { streamId, position, last } = bookmark;
  const known = Math.max(position, bookmark.acknowledged);
  const gap = (kind: LogGap['kind'], foundSequence: number): LogGap => ({
    kind,
    expectedSequence: known,
    foundSequence,
  });
  if (streamId !== undefined && streamId !== head.streamId) return gap('recreated', head.lastSequence);
  if (known > head.lastSequence) return gap('rewound', head.lastSequence);
  const changed = last !== undefined && !isSame(last, head.atPosition);
  if (options.compacted)
    return changed && head.atPosition !== undefined ? gap('diverged', head.lastSequence) : undefined;
  if (position > 0 && head.firstSequence > position + 1) return gap('missing', head.firstSequence);
  const removedAtFront = position < head.firstSequence;
  return changed && !removedAtFront ? gap('diverged', head.lastSequence) : undefined;
}
