import type { Input } from '../core/vr-state.js';

/** Handovers at a time: more would only wait for the log's disk and the other node's processor, and miss their deadlines. */
const concurrencyMax = 4;
/** A stop hands over first; a handover that takes longer than this has failed. */
const handoverDeadlineMs = 1000;
/** All of them together; whoever has not left by then releases. With what follows it is less than the supervisor waits. */
const allDeadlineMs = 3_500;
const stopDeadlineMs = 2000;
const lookMs = 1;

/** What is asked of a virtual router that leaves. */
export interface Leaver {
  readonly name: string;
  readonly stopped: boolean;
  give(input: Input): void;
}

export interface LeavingOptions {
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
  /** Those of one group leave together. */
  readonly groupOf: (name: string) => string | undefined;
}

interface Party {
  readonly leavers: readonly Leaver[];
  readonly untilMs: number;
}

/**
 * Has virtual routers leave for good: handed over where somebody can take them, a bounded number at a time, released
 * otherwise. Resolves when all have left, or have had every chance to.
 */
export async function leaveAll(leavers: readonly Leaver[], options: LeavingOptions): Promise<void> {
  const { now, pause } = options;
  const allUntilMs = now() + allDeadlineMs;
  const waiting = partiesOf(leavers, options.groupOf);
  let leaving: Party[] = [];
  while ((waiting.length > 0 || leaving.length > 0) && now() < allUntilMs) {
    while (waiting.length > 0 && leaving.length < concurrencyMax) {
      const party = waiting.shift() ?? [];
      for (const each of party) each.give({ type: 'handOver', to: undefined, stops: true, atMs: now() });
      leaving.push({ leavers: party, untilMs: now() + handoverDeadlineMs });
    }
    await pause(lookMs);
    for (const { leavers: late } of leaving.filter(({ untilMs }) => now() >= untilMs)) shutDown(late, now);
    leaving = leaving.filter(
      ({ leavers: party, untilMs }) => now() < untilMs && !party.every(({ stopped }) => stopped),
    );
  }
  shutDown(leavers, now);
  const untilMs = now() + stopDeadlineMs;
  while (!leavers.every(({ stopped }) => stopped) && now() < untilMs) await pause(lookMs);
}

function shutDown(leavers: readonly Leaver[], now: () => number): void {
  for (const each of leavers) if (!each.stopped) each.give({ type: 'shutdown', atMs: now() });
}

function partiesOf(leavers: readonly Leaver[], groupOf: LeavingOptions['groupOf']): (readonly Leaver[])[] {
  const parties = new Map<string, Leaver[]>();
  for (const leaver of leavers) {
    const group = groupOf(leaver.name);
    const key = group === undefined ? `of its own: ${leaver.name}` : `group: ${group}`;
    parties.set(key, [...(parties.get(key) ?? []), leaver]);
  }
  return [...parties.values()];
}
