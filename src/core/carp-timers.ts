import type { CarpFlavor } from './election-rules.js';

/** CARP counts intervals in 1/256 s: advbase is 256 of them, advskew one (carp(4)). */
export const ticksPerSecond = 256;
/** FreeBSD lets demotion raise advskew up to here, so that 255 is left to the farewell (CARP_MAXSKEW). */
export const demotedSkewMax = 240;
const silentIntervals = 3;

const ticksToMs = (ticks: number): number => (ticks * 1000) / ticksPerSecond;

export const carpTicks = (advbase: number, advskew: number): number => advbase * ticksPerSecond + advskew;

/** What the advert says: FreeBSD adds the demotion to its skew, OpenBSD leaves it alone. */
export function sentAdvskew(flavor: CarpFlavor, advskew: number, demotion: number): number {
  if (flavor === 'openbsd' || demotion === 0) return advskew;
  return Math.max(0, Math.min(demotedSkewMax, advskew + demotion));
}

/** Interval between adverts; where advbase and advskew are both 0 the shortest there is, 1/256 s (OpenBSD). */
export function carpIntervalMs(advbase: number, advskew: number): number {
  return ticksToMs(Math.max(1, carpTicks(advbase, advskew)));
}

/**
 * How long a backup waits for the master: 3 × (advbase + advskew / 256) s in OpenBSD, 3 × advbase + advskew / 256 s in
 * FreeBSD and ucarp. Its own configured values, whatever the master's are.
 */
export function carpMasterDownMs(flavor: CarpFlavor, advbase: number, advskew: number): number {
  if (flavor === 'openbsd') return silentIntervals * carpIntervalMs(advbase, advskew);
  return ticksToMs(Math.max(silentIntervals, carpTicks(silentIntervals * advbase, advskew)));
}

/**
 * Whether a master sends so rarely that it is bound to time out: rarer than three of the backup's own intervals. OpenBSD
 * does not ask where its own advbase is 0.
 */
export function isTooSlow(flavor: CarpFlavor, advbase: number, advskew: number, heardTicks: number): boolean {
  if (flavor === 'openbsd' && advbase === 0) return false;
  return heardTicks > carpTicks(silentIntervals * advbase, advskew);
}
