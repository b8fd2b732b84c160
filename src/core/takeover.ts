import { askHolder, challengeAgainMs, holderToAsk } from './challenge.js';
import { type NodeId, nextTerm, noSequence, type Sequence, type Term } from './identity.js';
import type { TransitionReason } from './reasons.js';
import { hasLease, isProven, isStrict, mayHold, postponed } from './strict.js';
import type { Challenge, Effect, Phase, Prompt, Standing, Step, TakeoverCause, Vr } from './vr-state.js';
import { backupPhase, move, nextClaim, type PhaseOf, penaltyIntervals, rules, still } from './vr-step.js';
import { silentAdverts } from './vrrp-timers.js';

/** When and how a backup takes over: by the log's word, by the protocol's rules, or not at all. */

/** Where the log arbitrates, each further candidate waits this much longer than the one before it. */
export const claimStepMs = 20;

/** The log decides who may take over: it is asked to, and it answers. */
function logArbitrates(vr: Vr, withoutLog: boolean): boolean {
  return vr.parameters.arbitration !== 'wire' && vr.log.reachable && !withoutLog;
}

export function takeoverAtMs(vr: Vr, phase: PhaseOf<'backup'>): number {
  if (vr.drained) return Number.POSITIVE_INFINITY;
  const byLog = logArbitrates(vr, phase.withoutLog);
  const { masterIntervalMs } = vr;
  const silentAtMs = Math.max(phase.silentSinceMs + silenceMs(vr, byLog), vr.heldUntilMs);
  const promptedMs = byLog ? waitsMs(vr) : rules(vr).resignedMs(masterIntervalMs);
  const promptAtMs = phase.prompt === undefined ? silentAtMs : phase.prompt.atMs + promptedMs;
  const wantedAtMs = phase.prompt?.cause === 'owner' ? phase.prompt.atMs : Math.min(silentAtMs, promptAtMs);
  return Math.max(wantedAtMs, mayAtMs(vr, phase, byLog));
}

const waitsMs = (vr: Vr): number => vr.log.place * claimStepMs;

function silenceMs(vr: Vr, byLog: boolean): number {
  const { masterIntervalMs } = vr;
  return byLog ? silentAdverts * masterIntervalMs + waitsMs(vr) : rules(vr).masterDownMs(masterIntervalMs);
}

/** No takeover before that, whatever calls for it. */
const mayAtMs = (vr: Vr, { notBeforeMs }: PhaseOf<'backup'>, byLog: boolean): number =>
  Math.max(vr.holdOffUntilMs, notBeforeMs, byLog ? vr.turnAtMs : Number.NEGATIVE_INFINITY);

/** How long a master may be silent, whenever it is heard last; and before when nothing is done about it. */
export interface Patience {
  readonly silenceMs: number;
  readonly notBeforeMs: number;
}

/** That of a backup which nothing prompts: as {@link takeoverAtMs}, for every time at which the master may be heard yet. */
export function patienceOf(vr: Vr, phase: PhaseOf<'backup'>): Patience {
  const byLog = logArbitrates(vr, phase.withoutLog);
  return {
    silenceMs: vr.drained ? Number.POSITIVE_INFINITY : silenceMs(vr, byLog),
    notBeforeMs: Math.max(vr.heldUntilMs, mayAtMs(vr, phase, byLog)),
  };
}

/** The master has said that it is gone. Where this node is the first in line it does not even wait for a tick. */
export function prompted(vr: Vr, phase: PhaseOf<'backup'>, prompt: Prompt, atMs: number): Step {
  const notBeforeMs = Number.NEGATIVE_INFINITY;
  const told: PhaseOf<'backup'> = { ...phase, prompt, challenge: undefined, notBeforeMs };
  const waiting: Vr = { ...vr, phase: told };
  return takeoverAtMs(waiting, told) <= atMs ? takeOver(waiting, told, atMs) : still(waiting);
}

/** The master is gone, as far as this backup can tell: claim it, take it without the log, or stay. */
export function takeOver(vr: Vr, phase: PhaseOf<'backup'>, atMs: number): Step {
  const cause = phase.prompt?.cause ?? (heardWithin(vr, atMs) ? 'preempting' : 'master_silent');
  if (vr.parameters.arbitration === 'wire') {
    return startAttach(vr, nextTerm(vr.highestTerm), { kind: 'provisional', expected: seenSequence(vr) }, cause, atMs);
  }
  if (logArbitrates(vr, phase.withoutLog)) return takeOverByLog(vr, phase, cause, atMs);
  if (isStrict(vr) || vr.parameters.onLogLoss !== 'wire') return postponed(vr, 'log_unreachable', atMs);
  const provisionalTerm = phase.unansweredTerm ?? nextTerm(vr.highestTerm);
  return withoutWaitingForLog(vr, provisionalTerm, cause, atMs);
}

function takeOverByLog(vr: Vr, phase: PhaseOf<'backup'>, cause: TakeoverCause, atMs: number): Step {
  if (isStrict(vr) && !hasLease(vr, atMs)) return postponed(vr, 'lease_lost', atMs);
  if (isStrict(vr) && !isProven(vr, cause, atMs)) {
    return still({ ...vr, phase: { ...phase, notBeforeMs: atMs + challengeAgainMs }, lastReason: 'log_unproven' });
  }
  const holder = holderToAsk(vr, cause, phase.prompt);
  if (holder === undefined) return sendClaim(vr, cause, atMs);
  const { vr: asking, challenge, effect } = askHolder(vr, holder, cause, atMs);
  return { vr: { ...asking, phase: { ...phase, challenge } }, effects: [effect] };
}

export const heardWithin = (vr: Vr, atMs: number): boolean =>
  vr.lastAdvertAtMs !== undefined && atMs - vr.lastAdvertAtMs < silentAdverts * vr.masterIntervalMs;

const seenSequence = (vr: Vr): Sequence | undefined =>
  vr.logSeen ? (vr.log.ownership?.sequence ?? noSequence) : undefined;

/** `asked`: the holder was challenged first, when this claim was decided on. */
export function sendClaim(vr: Vr, cause: TakeoverCause, atMs: number, asked?: Challenge): Step {
  const { vr: counted, claim } = asked === undefined ? nextClaim(vr) : { vr, claim: asked.claim };
  const decidedAtMs = asked === undefined || isStrict(vr) ? atMs : asked.decidedAtMs;
  const claimed = nextTerm(vr.highestTerm);
  const phase: PhaseOf<'claiming'> = {
    name: 'claiming',
    cause,
    term: claimed,
    claim,
    unansweredTerm: vr.phase.name === 'backup' ? vr.phase.unansweredTerm : undefined,
    standing: undefined,
    saved: false,
    dueAtMs: decidedAtMs + vr.parameters.arbitrationTimeoutMs,
  };
  return move({ ...counted, highestTerm: claimed }, phase, cause, [
    { type: 'claim', term: claimed, claim, reason: cause },
    { type: 'saveTerm', term: claimed },
  ]);
}

function withoutWaitingForLog(vr: Vr, provisionalTerm: Term, cause: TakeoverCause, atMs: number): Step {
  const phase: PhaseOf<'claiming'> = {
    name: 'claiming',
    cause,
    term: provisionalTerm,
    claim: undefined,
    unansweredTerm: undefined,
    standing: { kind: 'provisional', expected: seenSequence(vr) },
    saved: false,
    dueAtMs: atMs + vr.parameters.arbitrationTimeoutMs,
  };
  const highestTerm = provisionalTerm > vr.highestTerm ? provisionalTerm : vr.highestTerm;
  return move({ ...vr, highestTerm }, phase, cause, [{ type: 'saveTerm', term: provisionalTerm }]);
}

/**
 * Neither a grant nor a refusal in time. A takeover that only waits for its term to reach the disk goes on: a stuck disk
 * must not keep the address down. In `strict`, where two are worse than none, it gives the claim back, and others have
 * their turn. One that waits for the log does as `onLogLoss` says, and keeps the claim's term.
 */
export function claimOverdue(vr: Vr, phase: PhaseOf<'claiming'>, atMs: number): Step {
  if (phase.standing === undefined) return claimUnanswered(vr, phase, atMs, true);
  if (!isStrict(vr)) return startAttach(vr, phase.term, phase.standing, phase.cause, atMs);
  const holdOffUntilMs = atMs + penaltyIntervals * rules(vr).intervalMs;
  return giveBack({ ...vr, holdOffUntilMs }, phase.term, 'attach_failed', atMs);
}

/** The log has granted a claim whose term is not on disk yet. In `strict` that is waited for, for as long as a lease lasts. */
export function awaitDisk(vr: Vr, phase: PhaseOf<'claiming'>, atMs: number): Step {
  const dueAtMs = isStrict(vr) ? atMs + vr.parameters.leaseMs : phase.dueAtMs;
  return still({ ...vr, phase: { ...phase, standing: { kind: 'logged' }, dueAtMs } });
}

export function claimUnanswered(vr: Vr, phase: PhaseOf<'claiming'>, atMs: number, maybeStored: boolean): Step {
  const unansweredTerm = phase.unansweredTerm ?? (maybeStored ? phase.term : undefined);
  if (isStrict(vr)) return move(vr, { ...backupPhase(atMs), unansweredTerm }, 'log_unreachable');
  const claimedAtMs = phase.dueAtMs - vr.parameters.arbitrationTimeoutMs;
  const heardAtMs = vr.lastAdvertAtMs ?? Number.NEGATIVE_INFINITY;
  const isAlive = heardAtMs >= claimedAtMs;
  const backup: PhaseOf<'backup'> = {
    ...backupPhase(atMs),
    silentSinceMs: isAlive ? heardAtMs : atMs,
    prompt: isAlive ? undefined : { atMs: claimedAtMs, cause: phase.cause },
    withoutLog: true,
    unansweredTerm,
  };
  return move(vr, backup, 'log_unreachable');
}

/** The holder could not be asked, since the log is away: from here on as `onLogLoss` says. */
export function unasked(vr: Vr, phase: PhaseOf<'backup'>, { cause, decidedAtMs }: Challenge, atMs: number): Step {
  if (isStrict(vr)) return postponed(vr, 'log_unreachable', atMs);
  const prompt: Prompt = { atMs: decidedAtMs, cause };
  const alone: PhaseOf<'backup'> = { ...phase, challenge: undefined, withoutLog: true, prompt };
  return still({ ...vr, phase: alone, lastReason: 'log_unreachable' });
}

export function startAttach(
  vr: Vr,
  attachTerm: Term,
  standing: Standing,
  reason: TransitionReason,
  atMs: number,
  handedBy?: NodeId,
): Step {
  if (!mayHold(vr, atMs)) return giveBack(vr, attachTerm, 'lease_lost', atMs);
  const highestTerm = attachTerm > vr.highestTerm ? attachTerm : vr.highestTerm;
  const phase: Phase = { name: 'attaching', term: attachTerm, standing, handedBy };
  return move({ ...vr, highestTerm }, phase, reason, [{ type: 'attach', term: attachTerm }]);
}

/** The log names this node, which does not take it. */
export function giveBack(vr: Vr, ownTerm: Term, reason: TransitionReason, atMs: number): Step {
  const released: Effect = { type: 'released', term: ownTerm, reason, resigned: false };
  if (vr.phase.name !== 'backup') return move(vr, backupPhase(atMs), reason, [released]);
  return { vr: { ...vr, lastReason: reason }, effects: [released] };
}
