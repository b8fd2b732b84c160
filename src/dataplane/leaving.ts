import type { Input } from '../core/vr-state.js';
import type { Handed, HandoverTurns } from './handover-turns.js';

/** After so many handovers that came to nothing the others are left to take over what is released. */
const attemptsMax = 4;
/** What was claimed back from a handover that failed is in the log by then. */
const againAfterMs = 100;
/**
 * While some are handed over the others wait for their turn, served as ever: on a busy node that takes its time. Once none has
 * been for so long, or after so long in all, whoever is left releases. With what follows it is less than the supervisor waits.
 */
const idleMs = 3500;
const deadlineMs = 40_000;
/**
 * Those are released a number at a time: who claims them, the log and the kernel there have to be through with some before
 * the next have nobody. All of them within `releasingMs`.
 */
const releasedAtOnce = 16;
const releaseEveryMs = 100;
const releasingMs = 1500;
const stopDeadlineMs = 2000;
const lookMs = 1;
/** Looking at many takes its time, which the handovers themselves need. */
const lookPerRouterMs = 0.05;

/** What is asked of a virtual router that leaves. */
export interface Leaver extends Handed {
  readonly stopped: boolean;
  give(input: Input): void;
}

export interface LeavingOptions {
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
  /** Those of one group leave together. */
  readonly groupOf: (name: string) => string | undefined;
  readonly turns: Pick<HandoverTurns, 'ask' | 'isBusyWith' | 'forget'>;
}

interface Party {
  readonly leavers: readonly Leaver[];
  attempts: number;
  /** When it is tried again; undefined while a handover waits or is under way. */
  againAtMs: number | undefined;
}

/**
 * Has virtual routers leave for good: handed over where somebody can take them, and served meanwhile; released otherwise.
 * Resolves when all have left, or have had every chance to.
 */
export async function leaveAll(leavers: readonly Leaver[], options: LeavingOptions): Promise<void> {
  const { now, pause, turns } = options;
  const untilMs = now() + deadlineMs;
  let handedOverAtMs = now();
  let parties = partiesOf(leavers, options.groupOf);
  while (parties.length > 0 && now() < Math.min(untilMs, handedOverAtMs + idleMs)) {
    for (const party of parties) urge(party, options);
    const left = parties.filter(hasLeft);
    if (left.some(({ attempts }) => attempts <= attemptsMax)) handedOverAtMs = now();
    if (left.length > 0) parties = parties.filter((party) => !left.includes(party));
    if (parties.length > 0) await pause(Math.ceil(Math.max(lookMs, parties.length * lookPerRouterMs)));
  }
  turns.forget(leavers);
  await releaseInLots(parties, options);
  const stoppedByMs = now() + stopDeadlineMs;
  while (!leavers.every(({ stopped }) => stopped) && now() < stoppedByMs) await pause(lookMs);
}

const hasLeft = ({ leavers }: Party): boolean => leavers.every(({ stopped }) => stopped);

function urge(party: Party, { now, turns }: LeavingOptions): void {
  const left = party.leavers.filter(({ stopped }) => !stopped);
  if (left.length === 0 || left.some(({ name }) => turns.isBusyWith(name))) return;
  if (party.attempts > 0) {
    party.againAtMs ??= now() + againAfterMs;
    if (now() < party.againAtMs) return;
  }
  party.againAtMs = undefined;
  party.attempts += 1;
  if (party.attempts > attemptsMax) shutDown(left, now);
  else turns.ask(left, { to: undefined, stops: true });
}

async function releaseInLots(parties: readonly Party[], { now, pause }: LeavingOptions): Promise<void> {
  const size = Math.max(releasedAtOnce, Math.ceil((parties.length * releaseEveryMs) / releasingMs));
  for (let index = 0; index < parties.length; index += size) {
    const nextAtMs = now() + releaseEveryMs;
    for (const { leavers } of parties.slice(index, index + size)) shutDown(leavers, now);
    while (index + size < parties.length && now() < nextAtMs) await pause(lookMs);
  }
}

function shutDown(leavers: readonly Leaver[], now: () => number): void {
  for (const each of leavers) if (!each.stopped) each.give({ type: 'shutdown', atMs: now() });
}

function partiesOf(leavers: readonly Leaver[], groupOf: LeavingOptions['groupOf']): Party[] {
  const parties = new Map<string, Leaver[]>();
  for (const leaver of leavers) {
    const group = groupOf(leaver.name);
    const key = group === undefined ? `of its own: ${leaver.name}` : `group: ${group}`;
    parties.set(key, [...(parties.get(key) ?? []), leaver]);
  }
  return [...parties.values()].map((together) => ({ leavers: together, attempts: 0, againAtMs: undefined }));
}
