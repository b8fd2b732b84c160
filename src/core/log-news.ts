import { handoverAnswered, logWhileHanding } from './handover.js';
import { higherTerm, nextTerm, noSequence, noTerm, type Term } from './identity.js';
import type { LogView, Ownership } from './ownership.js';
import { claimUnanswered, heardWithin, prompted, startAttach } from './takeover.js';
import type { ClaimAnswer, Effect, Input, Standing, Step, Vr } from './vr-state.js';
import { backupPhase, isOwn, move, nextClaim, type PhaseOf, release, still } from './vr-step.js';

/** What the log says, and what it answers: who owns, whether a claim was granted, and what that means here. */

export function onLog(before: Vr, view: LogView, atMs: number): Step {
  const ownership = view.reachable ? view.ownership : (view.ownership ?? before.log.ownership);
  const changed = ownership !== undefined && ownership.sequence !== before.log.ownership?.sequence;
  const lost = before.logSeen && !view.reachable;
  const vr: Vr = {
    ...before,
    log: { ...view, ownership },
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
      if (isOwn(vr, ownership, phase.term)) return granted(vr, phase);
      if (phase.claim === undefined || ownership.sequence <= phase.claim.expected) return still(vr);
      return ownership.released ? claimAgain(vr, atMs) : move(vr, backupPhase(atMs), 'claim_lost');
    case 'attaching':
      return logWhileOwner(vr, phase);
    case 'master':
      return view.reachable ? logWhileOwner(vr, phase) : logAway(vr, phase);
    case 'handing':
      return logWhileHanding(vr, phase, atMs);
    default:
      return still(vr);
  }
}

/** Whoever was asked may be gone together with the answer: the claim is made again when the log is back. */
function logAway(vr: Vr, phase: PhaseOf<'master'>): Step {
  const unanswered: PhaseOf<'master'> = { ...phase, confirming: undefined };
  return logWhileOwner({ ...vr, phase: unanswered }, unanswered);
}

/** The holder's own release overtook our claim: claim again, now expecting the release. */
function claimAgain(vr: Vr, atMs: number): Step {
  const lost = move(vr, backupPhase(atMs), 'claim_lost');
  const again = prompted(lost.vr, backupPhase(atMs), 'master_released', atMs);
  return { vr: again.vr, effects: [...lost.effects, ...again.effects] };
}

function logInBackup(
  vr: Vr,
  phase: PhaseOf<'backup'>,
  news: Ownership | undefined,
  before: LogView,
  atMs: number,
): Step {
  const heard: PhaseOf<'backup'> = { ...phase, withoutLog: phase.withoutLog && !vr.log.reachable };
  if (news === undefined) return still({ ...vr, phase: heard });
  if (phase.unansweredTerm !== undefined && isOwn(vr, news, phase.unansweredTerm)) {
    return grantedAfterAll(vr, heard, news.term, atMs);
  }
  if (news.handedBy !== undefined && isHandedToMe(vr, news, before)) {
    return startAttach(vr, news.term, { kind: 'logged' }, 'handover', news.handedBy);
  }
  if (news.released) {
    // What was released while the log was away, or long ago by a log that has lost what came after, says nothing about
    // who is on the LAN now: silence decides.
    const isNews = before.reachable && news.sequence > (before.ownership?.sequence ?? noSequence);
    const isAnothers = news.owner !== vr.parameters.node;
    return isNews && isAnothers ? prompted(vr, heard, 'master_released', atMs) : still({ ...vr, phase: heard });
  }
  if (news.owner === vr.parameters.node) return still({ ...vr, phase: heard });
  return still({
    ...vr,
    phase: {
      ...heard,
      silentSinceMs: Math.max(phase.silentSinceMs, atMs),
      prompt: undefined,
      unansweredTerm: undefined,
    },
  });
}

/**
 * A handover of a term that this node has been past since, without the log, is none. One that names an earlier boot is
 * meant for this one where it is news: the log may have lost the start of this boot, and the giver knows only the log.
 */
function isHandedToMe(vr: Vr, news: Ownership, before: LogView): boolean {
  if (news.released || news.owner !== vr.parameters.node || news.term < vr.highestTerm) return false;
  return before.reachable || news.boot === vr.parameters.boot;
}

/** The claim that seemed lost was stored: it is used while the master is silent, and given back otherwise. */
function grantedAfterAll(vr: Vr, phase: PhaseOf<'backup'>, grantedTerm: Term, atMs: number): Step {
  if (!heardWithin(vr, atMs)) return startAttach(vr, grantedTerm, { kind: 'logged' }, 'claim_granted');
  const settled: Vr = { ...vr, phase: { ...phase, unansweredTerm: undefined } };
  return { vr: settled, effects: [{ type: 'released', term: grantedTerm, reason: 'claim_lost', resigned: false }] };
}

function logWhileOwner(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Step {
  const { ownership } = vr.log;
  if (ownership !== undefined && isOwn(vr, ownership, phase.term)) return still(logged(vr, phase));
  const isContested = ownership !== undefined && isPreferred(vr, ownership, phase);
  if (!isContested) return confirm(forgottenByLog(vr, phase), []);
  if (vr.parameters.arbitration === 'wire') return still(vr);
  return release(vr, ownership.term > phase.term ? 'higher_term' : 'log_prefers_other', 'backup');
}

/**
 * Another node's ownership that the log has come to after this one was decided on, or in its place. One of the same term
 * is: whoever decided on a term knew of none as high. But a master by the LAN's word that has never seen the log takes
 * what it finds there for the past.
 */
function isPreferred(vr: Vr, ownership: Ownership, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): boolean {
  const { standing, term } = phase;
  if (ownership.released || ownership.owner === vr.parameters.node) return false;
  const expected = standing.kind === 'provisional' ? standing.expected : noSequence;
  if (expected === undefined && vr.parameters.arbitration === 'wire') return false;
  if (ownership.term >= term) return true;
  return standing.kind === 'provisional' && expected !== undefined && ownership.sequence > expected;
}

/** The log had this ownership and has it no more: it has lost acknowledged events, or is another. To be claimed again. */
function forgottenByLog(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Vr {
  if (phase.standing.kind === 'provisional' || !vr.log.reachable) return vr;
  const standing: Standing = { kind: 'provisional', expected: vr.log.ownership?.sequence ?? noSequence };
  return { ...vr, phase: { ...phase, standing } };
}

function logged(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Vr {
  if (phase.standing.kind === 'logged') return vr;
  const standing: Standing = { kind: 'logged' };
  return {
    ...vr,
    phase: phase.name === 'master' ? { ...phase, standing, confirming: undefined } : { ...phase, standing },
  };
}

/**
 * A master whose ownership the log does not have yet claims it, as soon as and as long as the log can be reached: with its
 * own term, or, where the log has come to that term or past it, with the next one. Where the LAN alone arbitrates, it
 * leaves another's claim alone: two that do not hear each other would claim in turns for ever.
 */
export function confirm(vr: Vr, effects: readonly Effect[]): Step {
  const { phase, log } = vr;
  if (phase.name !== 'master' || phase.standing.kind === 'logged' || phase.confirming !== undefined || !log.reachable) {
    return { vr, effects };
  }
  const { ownership } = log;
  const isWire = vr.parameters.arbitration === 'wire';
  if (isWire && ownership !== undefined && isPreferred(vr, ownership, phase)) return { vr, effects };
  const { vr: counted, claim } = nextClaim(vr);
  const isTermUsed = ownership !== undefined && ownership.term >= phase.term;
  const term = isTermUsed ? nextTerm(vr.highestTerm) : phase.term;
  const claiming: Effect = { type: 'claim', term, claim, reason: vr.lastReason };
  return {
    vr: { ...counted, highestTerm: isTermUsed ? term : vr.highestTerm, phase: { ...phase, term, confirming: claim } },
    effects: [...effects, claiming],
  };
}

export function onClaimAnswer(vr: Vr, input: Extract<Input, { type: 'claimAnswer' }>): Step {
  const phase = vr.phase;
  if (phase.name === 'claiming' && phase.claim?.id === input.claim) {
    return answerInClaiming(vr, phase, input.answer, input.atMs);
  }
  if (phase.name === 'handing' && phase.claim?.id === input.claim) return handoverAnswered(vr, phase, input);
  if (input.answer.kind === 'stored') return storedLate(vr, input.term, input.atMs);
  if (phase.name === 'master' && phase.confirming?.id === input.claim) {
    return still({ ...vr, phase: { ...phase, confirming: undefined } });
  }
  return still(vr);
}

/** The log has a claim that nobody waits for any more: it makes the present ownership sure, or is given back. */
function storedLate(vr: Vr, storedTerm: Term, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name === 'backup' && phase.unansweredTerm === storedTerm) {
    return grantedAfterAll(vr, phase, storedTerm, atMs);
  }
  if ('term' in phase && phase.term === storedTerm) {
    if (phase.name === 'attaching' || phase.name === 'master') return still(logged(vr, phase));
    if (phase.name === 'claiming') return granted(vr, phase);
    return still(vr);
  }
  return { vr, effects: [{ type: 'released', term: storedTerm, reason: 'claim_lost', resigned: false }] };
}

function answerInClaiming(vr: Vr, phase: PhaseOf<'claiming'>, answer: ClaimAnswer, atMs: number): Step {
  switch (answer.kind) {
    case 'stored':
      return granted(vr, phase);
    case 'conflict':
      return move(vr, backupPhase(atMs), 'claim_lost');
    case 'unavailable':
      return claimUnanswered(vr, phase, atMs);
  }
}

function granted(vr: Vr, phase: PhaseOf<'claiming'>): Step {
  const standing: Standing = { kind: 'logged' };
  return phase.saved
    ? startAttach(vr, phase.term, standing, 'claim_granted')
    : still({ ...vr, phase: { ...phase, standing } });
}

export function onTermSaved(vr: Vr, savedTerm: Term): Step {
  const phase = vr.phase;
  if (phase.name !== 'claiming' || savedTerm < phase.term) return still(vr);
  if (phase.standing === undefined) return still({ ...vr, phase: { ...phase, saved: true } });
  return startAttach(vr, phase.term, phase.standing, phase.cause);
}
