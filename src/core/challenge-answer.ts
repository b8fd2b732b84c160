import { challengeAgainMs } from './challenge.js';
import { claimOwn } from './confirm.js';
import type { NodeId } from './identity.js';
import { weighedByOwnLook } from './lan-reach.js';
import { pathLost } from './path-split.js';
import { isStrict, postponed } from './strict.js';
import { heardWithin, sendClaim, unasked } from './takeover.js';
import type { Challenge, ChallengeVerdict, Input, Step, Vr } from './vr-state.js';
import { listening, type PhaseOf, release, still } from './vr-step.js';

/** What becomes of a takeover once the recorded holder has answered, or has not. */

type Answered = Extract<Input, { type: 'challengeAnswer' }>;
type Looked = Extract<Input, { type: 'ownLook' }>;

export function onChallengeAnswer(vr: Vr, { claim, verdict, atMs }: Answered): Step {
  const challenge = underWay(vr);
  return challenge?.claim.id === claim ? heardOf(vr, challenge, verdict, atMs) : still(vr);
}

/** The LAN has carried a frame of the holder, made for this question: it serves, and only its adverts are lost. */
export function onHolderProbe(vr: Vr, from: NodeId, atMs: number): Step {
  const challenge = underWay(vr);
  return challenge?.holder === from ? heardOf(vr, challenge, { kind: 'serves' }, atMs) : still(vr);
}

/** Whether the LAN carries what this node says, which it looks at while it asks. */
export function onOwnLook(vr: Vr, { claim, carries, atMs }: Looked): Step {
  const challenge = underWay(vr);
  if (challenge?.claim.id !== claim) return still(vr);
  const looked: Challenge = { ...challenge, ownLook: carries };
  return looked.said === undefined ? still(asking(vr, looked)) : answered(vr, looked, looked.said, atMs);
}

/** Nobody has said anything: in `strict` that proves nothing, otherwise the holder is gone. */
export function challengeOverdue(vr: Vr, challenge: Challenge, atMs: number): Step {
  return answered(vr, challenge, challenge.said ?? { kind: 'gone', why: 'no_answer' }, atMs);
}

/** What the own look may change waits for it; what was known first stands. */
function heardOf(vr: Vr, challenge: Challenge, verdict: ChallengeVerdict, atMs: number): Step {
  if (challenge.said !== undefined) return still(vr);
  const waits = challenge.ownLook === undefined && needsOwnLook(vr, verdict);
  return waits ? still(asking(vr, { ...challenge, said: verdict })) : answered(vr, challenge, verdict, atMs);
}

function needsOwnLook(vr: Vr, verdict: ChallengeVerdict): boolean {
  if (isStrict(vr)) return false;
  return verdict.kind === 'gone' ? verdict.why === 'lan_down' : verdict.kind === 'serves' && isTaking(vr);
}

const isTaking = (vr: Vr): boolean => vr.parameters.onPathSplit === 'take' && !isStrict(vr);

/** A look that has not come to an end in time has seen nobody. */
const carriesOwn = ({ ownLook }: Challenge): boolean => ownLook ?? false;

function asking(vr: Vr, challenge: Challenge): Vr {
  const { phase } = vr;
  return phase.name === 'backup' || phase.name === 'master' ? { ...vr, phase: { ...phase, challenge } } : vr;
}

function underWay({ phase }: Vr): Challenge | undefined {
  return phase.name === 'backup' || phase.name === 'master' ? phase.challenge : undefined;
}

function answered(vr: Vr, challenge: Challenge, said: ChallengeVerdict, atMs: number): Step {
  const verdict = isStrict(vr) ? said : weighedByOwnLook(said, carriesOwn(challenge));
  switch (vr.phase.name) {
    case 'backup':
      return isStrict(vr)
        ? strictVerdict(vr, vr.phase, challenge, verdict, atMs)
        : backupVerdict(vr, vr.phase, challenge, verdict, atMs);
    case 'master':
      return masterVerdict(vr, vr.phase, challenge, verdict);
    default:
      return still(vr);
  }
}

function backupVerdict(
  vr: Vr,
  phase: PhaseOf<'backup'>,
  challenge: Challenge,
  verdict: ChallengeVerdict,
  atMs: number,
): Step {
  switch (verdict.kind) {
    case 'unasked':
      return unasked(vr, phase, challenge, atMs);
    case 'serves':
      return holderServes(vr, phase, challenge, atMs);
    // A lease alone keeps nobody from taking over here.
    case 'leased':
    case 'gone':
      return sendClaim(vr, challenge.cause, atMs, challenge);
  }
}

/** Only a revocation that is stored proves that the holder has stopped. */
function strictVerdict(
  vr: Vr,
  phase: PhaseOf<'backup'>,
  challenge: Challenge,
  verdict: ChallengeVerdict,
  atMs: number,
): Step {
  switch (verdict.kind) {
    case 'unasked':
      return unasked(vr, phase, challenge, atMs);
    case 'serves':
      return holderServes(vr, phase, challenge, atMs);
    case 'leased':
      return notBefore(vr, phase, Math.max(verdict.untilMs, atMs + challengeAgainMs));
    case 'gone':
      return verdict.why === 'lease_expired'
        ? sendClaim(vr, challenge.cause, atMs, challenge)
        : notBefore(vr, phase, atMs + challengeAgainMs);
  }
}

/** The master's silence still stands: the holder is asked again at that time. */
function notBefore(vr: Vr, phase: PhaseOf<'backup'>, notBeforeMs: number): Step {
  return still({ ...vr, phase: { ...phase, challenge: undefined, notBeforeMs }, lastReason: 'holder_leased' });
}

function holderServes(vr: Vr, phase: PhaseOf<'backup'>, challenge: Challenge, atMs: number): Step {
  const { holder } = challenge;
  // Somebody else's adverts made this node ask, and those of the holder are not missing.
  if (heardWithin(vr, atMs)) return still({ ...vr, phase: listening(phase, atMs) });
  const lost = pathLost(vr, holder, phase.silentSinceMs, atMs);
  if (mayTake(vr, challenge)) {
    const taken = sendClaim(lost.vr, 'advert_path_lost', atMs, challenge);
    return { vr: taken.vr, effects: [...lost.effects, ...taken.effects] };
  }
  const held = postponed(lost.vr, 'advert_path_lost', atMs);
  const again: PhaseOf<'backup'> = { ...listening(phase, atMs), notBeforeMs: atMs + challengeAgainMs };
  return { vr: { ...held.vr, phase: again }, effects: lost.effects };
}

/**
 * A holder that serves is taken over from where this node could serve instead, and has heard that holder: a path that never
 * carried its adverts was not lost under it, and who lost the address over that path would take it back, and lose it again.
 */
function mayTake(vr: Vr, challenge: Challenge): boolean {
  return isTaking(vr) && carriesOwn(challenge) && vr.heardClaim === vr.log.ownership?.claim;
}

function masterVerdict(vr: Vr, phase: PhaseOf<'master'>, challenge: Challenge, verdict: ChallengeVerdict): Step {
  const { claim } = challenge;
  switch (verdict.kind) {
    case 'unasked':
      return still({ ...vr, phase: { ...phase, challenge: undefined } });
    case 'serves':
      return isTaking(vr) && carriesOwn(challenge)
        ? claimOwn(vr, phase, [], claim)
        : release(vr, 'log_prefers_other', 'backup');
    case 'leased':
    case 'gone':
      return claimOwn(vr, phase, [], claim);
  }
}
