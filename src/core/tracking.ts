/** What a tracker last found. */
export type TrackLevel =
  /** Not looked at yet. */
  | { readonly kind: 'init' }
  | { readonly kind: 'up' }
  | { readonly kind: 'down' }
  /** The number a file holds. */
  | { readonly kind: 'number'; readonly value: number };

/** One thing a virtual router watches. */
export interface TrackedItem {
  readonly name: string;
  /** Negative: added while down. Positive: added while up. 0: down is a fault. A number is multiplied by it. */
  readonly weight: number;
  readonly reverse: boolean;
  readonly level: TrackLevel;
}

export interface TrackVerdict {
  /** To add to the priority: what it takes from the standing is `demoted`'s loss with the sign turned. */
  readonly adjustment: number;
  /** What keeps the virtual router from serving at all; empty where nothing does. */
  readonly failed: readonly string[];
}

/** Nothing is tracked, or all is well and adds nothing. */
export const untracked: TrackVerdict = { adjustment: 0, failed: [] };

/**
 * What the tracked items mean for a virtual router. An item that has not been looked at changes no priority; without a
 * weight it is a fault until the first look, since nobody knows yet whether this node can serve.
 */
export function judgeTracks(items: readonly TrackedItem[]): TrackVerdict {
  let adjustment = 0;
  const failed: string[] = [];
  for (const item of items) {
    if (item.weight === 0) {
      if (!isWell(item)) failed.push(item.name);
    } else {
      adjustment += share(item);
    }
  }
  return { adjustment, failed };
}

function isWell({ level, reverse }: TrackedItem): boolean {
  switch (level.kind) {
    case 'init':
      return false;
    case 'number':
      return (level.value === 0) !== reverse;
    default:
      return (level.kind === 'up') !== reverse;
  }
}

function share({ level, reverse, weight }: TrackedItem): number {
  switch (level.kind) {
    case 'init':
      return 0;
    case 'number':
      return (reverse ? -level.value : level.value) * weight;
    default: {
      const isUp = (level.kind === 'up') !== reverse;
      return isUp === weight > 0 ? weight : 0;
    }
  }
}

/** A level that changes only after several results in a row; `run` counts those that speak against it. */
export interface Hysteresis {
  readonly level: 'init' | 'up' | 'down';
  readonly run: number;
}

export const unknownYet: Hysteresis = { level: 'init', run: 0 };

/** The level after one more result. The first one counts at once: there is nothing to change from. */
export function countResult(
  before: Hysteresis,
  isOk: boolean,
  { rise, fall }: { readonly rise: number; readonly fall: number },
): Hysteresis {
  const found = isOk ? 'up' : 'down';
  if (before.level === 'init' || before.level === found) return { level: found, run: 0 };
  const run = before.run + 1;
  return run >= (isOk ? rise : fall) ? { level: found, run: 0 } : { level: before.level, run };
}
