import type { TransitionReason } from '../reasons.js';

/**
 * A master that gives way to another tells a split brain only where the other was one already: a better router that
 * preempts, or a node that the log has chosen, has just become one. Who knows is the log, where each node says since when.
 */

/** What two clocks may differ by, and what a change of masters takes. */
const overlapMsMin = 1500;

/** Reasons for which a master leaves because of another. */
export const isYielding = (reason: TransitionReason): boolean =>
  reason === 'better_advert' || reason === 'log_prefers_other' || reason === 'higher_term';

/** For how long both served, in milliseconds; undefined where that was but a change of masters, or nobody knows. */
export function servedTogetherMs(times: {
  /** Since when each has been master, by its own clock; undefined where it has not said so. */
  readonly ownSinceMs: number | undefined;
  readonly otherSinceMs: number | undefined;
  readonly atMs: number;
}): number | undefined {
  const { ownSinceMs, otherSinceMs, atMs } = times;
  if (ownSinceMs === undefined || otherSinceMs === undefined) return undefined;
  const overlapMs = atMs - Math.max(ownSinceMs, otherSinceMs);
  return overlapMs < overlapMsMin ? undefined : overlapMs;
}
