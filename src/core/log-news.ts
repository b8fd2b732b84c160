import { given, handoverAnswered, logWhileGiving, logWhileHanding } from './handover.js';
import { higherTerm, noSequence, noTerm, type Term } from './identity.js';
import { logged, logWhileOwner } from './owner-news.js';
import type { LogView, Ownership } from './ownership.js';
import { isStrict } from './strict.js';
import {
  awaitDisk,
  claimUnanswered,
  giveBack,
  heardWithin,
  prompted,
  startAttach,
  takeOver,
  unasked,
} from './takeover.js';
import type { ClaimAnswer, Input, Standing, Step, Vr } from './vr-state.js';
import { backupPhase, isOwn, listening, move, type PhaseOf, still } from './vr-step.js';

/** What the log says, and what it answers: who owns, whether a claim was granted, and what that means here. */

export function onLog(before: Vr, view: LogView, atMs: number): Step {
  const ownership = view.reachable ? view.ownership : (view.ownership ?? before.log.ownership);
  const changed = ownership !== undefined && ownership.sequence !== before.log.ownership?.sequence;
  const lost = before.logSeen && !view.reachable;
  const vr: Vr = {
    ...before,
    log: { ...view, ownership, highestLoggedTerm: loggedIn(before, view) },
    heardLoggedTerm: view.reachable ? noTerm : before.heardLoggedTerm,
    logSeen: before.logSeen || view.reachable,
    logLostAtMs: lost ? (before.logLostAtMs ?? atMs) : undefined,
    highestTerm: higherTerm(higherTerm(before.highestTerm, view.highestTerm), ownership?.term ?? noTerm),
  };
  const phase = vr.phase;
  switch (phase.name) {
    case 'backup':
      return logInBackup(vr, phase, changed ? ownership : undefined, before.log, atMs);
    case 'claiming':
      if (ownership === undefined || !changed) return still(vr);
      if (isOwn(vr, ownership, phase.term)) return granted(vr, phase, atMs);
      if (isUnanswered(vr, ownership, phase)) return startAttach(vr, ownership.term, byLog, 'claim_granted', atMs);
      if (phase.claim === undefined || ownership.sequence <= phase.claim.expected) return still(vr);
      if (ownership.released) return claimAgain(vr, 'master_released', atMs);
      return phase.cause === 'handover' && ownership.owner === vr.parameters.node
        ? claimAgain(vr, 'handover', atMs)
        : move(vr, backupPhase(atMs), 'claim_lost');
    case 'attaching':
      return logWhileOwner(vr, phase, atMs);
    case 'master':
      return view.reachable ? logWhileOwner(vr, phase, atMs) : logAway(vr, phase, atMs);
    case 'handing':
      return logWhileHanding(vr, phase, atMs);
    case 'giving':
      return logWhileGiving(vr, phase, atMs);
    default:
      return still(vr);
  }
}

/** Whoever was asked may be gone together with the answer: the claim is made again when the log is back. */
function logAway(vr: Vr, phase: PhaseOf<'master'>, atMs: number): Step {
  const unanswered: PhaseOf<'master'> = { ...phase, confirming: undefined, challenge: undefined };
  return logWhileOwner({ ...vr, phase: unanswered }, unanswered, atMs);
}

/** A log that is out of reach has forgotten nothing; one that answers is what it is now. */
const loggedIn = (before: Vr, view: LogView): Term =>
  view.reachable ? view.highestLoggedTerm : higherTerm(before.log.highestLoggedTerm, view.highestLoggedTerm);

/** What the holder said last, of its release or of its part in a handover, overtook our claim: claim again, expecting that. */
function claimAgain(vr: Vr, cause: 'master_released' | 'handover', atMs: number): Step {
  const lost = move(vr, backupPhase(atMs), 'claim_lost');
  const again = prompted(lost.vr, backupPhase(atMs), { atMs, cause }, atMs);
  return { vr: again.vr, effects: [...lost.effects, ...again.effects] };
}

function logInBackup(
  vr: Vr,
  phase: PhaseOf<'backup'>,
  news: Ownership | undefined,
  before: LogView,
  atMs: number,
): Step {
  // A log that is merely late may have the claim all the same: another one would only meet it there.
  const isLate = phase.unansweredTerm !== undefined && vr.parameters.onLogLoss === 'wire' && before.reachable;
  const heard: PhaseOf<'backup'> = { ...phase, withoutLog: phase.withoutLog && (!vr.log.reachable || isLate) };
  if (news === undefined) {
    const isAlone = heard.challenge !== undefined && !vr.log.reachable;
    return isAlone ? unasked(vr, heard, heard.challenge, atMs) : still({ ...vr, phase: heard });
  }
  // What was about to be claimed over is no more.
  const told: PhaseOf<'backup'> = { ...heard, challenge: undefined, notBeforeMs: Number.NEGATIVE_INFINITY };
  if (isUnanswered(vr, news, phase)) return grantedAfterAll(vr, told, news.term, atMs);
  if (news.handedBy !== undefined && isHandedToMe(vr, news, before)) {
    if (vr.drained) return giveBack({ ...vr, phase: told }, news.term, 'drained', atMs);
    if (isStrict(vr)) return takeOver(vr, { ...told, prompt: { atMs, cause: 'handover' } }, atMs);
    return startAttach({ ...vr, phase: told }, news.term, { kind: 'logged' }, 'handover', atMs, news.handedBy);
  }
  if (news.released) {
    // What was released while the log was away, or long ago by a log that has lost what came after, says nothing about
    // who is on the LAN now: silence decides.
    const isNews = before.reachable && news.sequence > (before.ownership?.sequence ?? noSequence);
    const isAnothers = news.owner !== vr.parameters.node;
    if (!isNews || !isAnothers || hearsAnother(vr, news, atMs)) return still({ ...vr, phase: told });
    return prompted(vr, told, { atMs, cause: 'master_released' }, atMs);
  }
  if (news.owner === vr.parameters.node) return takeUp(vr, told, news, atMs);
  const claimed = listening(phase, atMs);
  return still({ ...vr, phase: { ...claimed, withoutLog: heard.withoutLog, unansweredTerm: undefined } });
}

/**
 * Where the LAN alone arbitrates there may be two masters, of whom one gave way to the other: it has released, and the other
 * serves, without a word of the log's where that one cannot reach it.
 */
const hearsAnother = (vr: Vr, { owner }: Ownership, atMs: number): boolean =>
  vr.parameters.arbitration === 'wire' && heardWithin(vr, atMs) && vr.lastAdvertBy !== owner;

/**
 * The log names this very boot, which is backup. `strict`: it lost its claim to the giver's last word, and what was handed
 * over is claimed. `log`: a claim whose answer never came was under way until now, and this node has given way since to the
 * one that the log named before. That one lets go before the claim: it is told at once that the claim is given back.
 */
function takeUp(vr: Vr, phase: PhaseOf<'backup'>, news: Ownership, atMs: number): Step {
  const told: Vr = { ...vr, phase };
  if (news.boot !== vr.parameters.boot || !vr.log.reachable) return still(told);
  if (isStrict(vr)) {
    return vr.lastReason === 'claim_lost' ? prompted(vr, phase, { atMs, cause: 'handover' }, atMs) : still(told);
  }
  const isNewest = news.handedBy === undefined && news.term >= vr.highestTerm;
  return vr.parameters.arbitration === 'log' && isNewest ? giveBack(told, news.term, 'claim_lost', atMs) : still(told);
}

/**
 * A handover of a term that this node has been past since, without the log, is none. One that names an earlier boot is
 * meant for this one where it is news: the log may have lost the start of this boot, and the giver knows only the log.
 * In `strict` it is claimed on top: it may have been given to a lease that has ended since, and been claimed over.
 */
function isHandedToMe(vr: Vr, news: Ownership, before: LogView): boolean {
  if (news.released || news.owner !== vr.parameters.node || news.term < vr.highestTerm) return false;
  return before.reachable || news.boot === vr.parameters.boot;
}

const byLog: Standing = { kind: 'logged' };

/** An ownership of this boot that the log has by a claim that nobody waits for any more, and that was not given back. */
const isUnanswered = (
  vr: Vr,
  ownership: Ownership,
  { unansweredTerm }: PhaseOf<'backup'> | PhaseOf<'claiming'>,
): boolean => unansweredTerm !== undefined && ownership.term >= unansweredTerm && isOwn(vr, ownership, ownership.term);

/**
 * The claim that seemed lost was stored: it is used while the master is silent, and given back otherwise. The adverts of one
 * that has said since that it is gone are from before.
 */
function grantedAfterAll(vr: Vr, phase: PhaseOf<'backup'>, grantedTerm: Term, atMs: number): Step {
  const isWanted = phase.prompt !== undefined || !heardWithin(vr, atMs);
  if (isWanted && !vr.drained) return startAttach(vr, grantedTerm, byLog, 'claim_granted', atMs);
  const settled: Vr = { ...vr, phase: { ...phase, unansweredTerm: undefined } };
  return { vr: settled, effects: [{ type: 'released', term: grantedTerm, reason: 'claim_lost', resigned: false }] };
}

export function onClaimAnswer(vr: Vr, input: Extract<Input, { type: 'claimAnswer' }>): Step {
  const phase = vr.phase;
  if (phase.name === 'claiming' && phase.claim?.id === input.claim) {
    return answerInClaiming(vr, phase, input.answer, input.atMs);
  }
  if (phase.name === 'handing' && phase.claim?.id === input.claim) return handoverAnswered(vr, phase, input);
  if (phase.name === 'giving' && phase.claim.id === input.claim) {
    return given(vr, phase, input.atMs, input.answer.kind === 'stored');
  }
  if (input.answer.kind === 'stored') return storedLate(vr, input.term, input.atMs);
  if (phase.name === 'master' && phase.confirming?.id === input.claim) {
    return still({ ...vr, phase: { ...phase, confirming: undefined } });
  }
  return still(vr);
}

/** The log has a claim that nobody waits for any more: it makes the present ownership sure, or is given back. */
function storedLate(vr: Vr, storedTerm: Term, atMs: number): Step {
  const phase = vr.phase;
  const isWaitedFor = 'unansweredTerm' in phase && storedTerm >= (phase.unansweredTerm ?? storedTerm + 1);
  if (phase.name === 'backup' && isWaitedFor) return grantedAfterAll(vr, phase, storedTerm, atMs);
  if (phase.name === 'claiming' && isWaitedFor && storedTerm < phase.term) {
    return startAttach(vr, storedTerm, byLog, 'claim_granted', atMs);
  }
  if ('term' in phase && phase.term === storedTerm) {
    if (phase.name === 'attaching' || phase.name === 'master') return still(logged(vr, phase));
    if (phase.name === 'claiming') return granted(vr, phase, atMs);
    // Its end is told when the addresses are off.
    if (phase.name === 'releasing') return still({ ...vr, phase: { ...phase, standing: { kind: 'logged' } } });
    return still(vr);
  }
  // A handover of this node's, which the log has delivered before it answered.
  const { ownership } = vr.log;
  if (ownership?.term === storedTerm && ownership.owner !== vr.parameters.node) return still(vr);
  return { vr, effects: [{ type: 'released', term: storedTerm, reason: 'claim_lost', resigned: false }] };
}

function answerInClaiming(vr: Vr, phase: PhaseOf<'claiming'>, answer: ClaimAnswer, atMs: number): Step {
  switch (answer.kind) {
    case 'stored':
      return granted(vr, phase, atMs);
    case 'conflict':
      return claimRefused(vr, phase, atMs);
    case 'unavailable':
      return claimUnanswered(vr, phase, atMs, answer.maybeStored);
  }
}

/** What stands in its way may be a claim of before that nobody has answered: the log, which is about to tell, is waited for. */
function claimRefused(vr: Vr, { unansweredTerm, cause }: PhaseOf<'claiming'>, atMs: number): Step {
  const backup = backupPhase(atMs);
  if (unansweredTerm === undefined) return move(vr, backup, 'claim_lost');
  const notBeforeMs = atMs + vr.parameters.arbitrationTimeoutMs;
  return move(vr, { ...backup, unansweredTerm, prompt: { atMs, cause }, notBeforeMs }, 'claim_lost');
}

function granted(vr: Vr, phase: PhaseOf<'claiming'>, atMs: number): Step {
  return phase.saved
    ? startAttach(vr, phase.term, { kind: 'logged' }, 'claim_granted', atMs)
    : awaitDisk(vr, phase, atMs);
}

export function onTermSaved(vr: Vr, savedTerm: Term, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name !== 'claiming' || savedTerm < phase.term) return still(vr);
  if (phase.standing === undefined) return still({ ...vr, phase: { ...phase, saved: true } });
  return startAttach(vr, phase.term, phase.standing, phase.cause, atMs);
}
