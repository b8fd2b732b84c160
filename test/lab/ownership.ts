/** A router began or ceased to hold the VIP. */
export interface OwnerChange {
  readonly atMs: number;
  readonly router: string;
  readonly holds: boolean;
}

/** Who holds the VIP at a time, after all changes up to it. */
export function ownersAt(changes: readonly OwnerChange[], atMs: number): string[] {
  const holders = new Set<string>();
  for (const change of changes) {
    if (change.atMs > atMs) break;
    if (change.holds) holders.add(change.router);
    else holders.delete(change.router);
  }
  return [...holders].sort();
}

/** How ownership went after an event. */
export interface OwnershipView {
  /** From the event until exactly one router held the VIP for good; undefined where it never came to that. */
  readonly oneOwnerAfterMs: number | undefined;
  /** The longest stretch with more than one, and with no holder. */
  readonly severalMs: number;
  readonly noneMs: number;
  /** Who held it at the end. */
  readonly owners: readonly string[];
}

/** Who held the VIP from when on, in milliseconds after an event; the first entry is the time of the event itself. */
export interface OwnersSince {
  readonly afterMs: number;
  readonly owners: readonly string[];
}

export function ownerHistory(changes: readonly OwnerChange[], fromMs: number, untilMs: number): OwnersSince[] {
  const marks = [fromMs, ...changes.map((c) => c.atMs).filter((atMs) => atMs > fromMs && atMs < untilMs)];
  const history: OwnersSince[] = [];
  for (const atMs of marks) {
    const owners = ownersAt(changes, atMs);
    if (history.at(-1)?.owners.join() !== owners.join()) history.push({ afterMs: atMs - fromMs, owners });
  }
  return history;
}

/** Judges the changes between an event and the end of its observation; `changes` in the order of their times. */
export function judgeOwnership(changes: readonly OwnerChange[], fromMs: number, untilMs: number): OwnershipView {
  const marks = [fromMs, ...changes.map((c) => c.atMs).filter((atMs) => atMs > fromMs && atMs < untilMs), untilMs];
  let oneSinceMs: number | undefined;
  let [severalMs, noneMs, stretchMs] = [0, 0, 0];
  let previous: 'one' | 'several' | 'none' | undefined;
  for (const [index, atMs] of marks.slice(0, -1).entries()) {
    const count = ownersAt(changes, atMs).length;
    const state = count === 1 ? 'one' : count === 0 ? 'none' : 'several';
    const lengthMs = (marks[index + 1] ?? untilMs) - atMs;
    stretchMs = state === previous ? stretchMs + lengthMs : lengthMs;
    if (state === 'one') oneSinceMs ??= atMs;
    else oneSinceMs = undefined;
    if (state === 'several') severalMs = Math.max(severalMs, stretchMs);
    if (state === 'none') noneMs = Math.max(noneMs, stretchMs);
    previous = state;
  }
  return {
    oneOwnerAfterMs: oneSinceMs === undefined ? undefined : oneSinceMs - fromMs,
    severalMs,
    noneMs,
    owners: ownersAt(changes, untilMs),
  };
}
