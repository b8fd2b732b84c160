import { challengeAgainMs } from './challenge.js';
import { claimOwn } from './confirm.js';
import type { NodeId } from './identity.js';
import { pathLost } from './path-split.js';
import { isStrict, postponed } from './strict.js';
import { heardWithin, sendClaim, unasked } from './takeover.js';
import type { Challenge, ChallengeVerdict, Input, Step, Vr } from './vr-state.js';
import { listening, type PhaseOf, release, still } from './vr-step.js';

/** What becomes of a takeover once the recorded holder has answered, or has not. */

type Answered = Extract<Input, { type: 'challengeAnswer' }>;

export function onChallengeAnswer(vr: Vr, { claim, verdict, atMs }: Answered): Step {
  const challenge = underWay(vr);
  return challenge?.claim.id === claim ? answered(vr, challenge, verdict, atMs) : still(vr);
}

/** The LAN has carried a frame of the holder, made for this question: it serves, and only its adverts are lost. */
export function onHolderProbe(vr: Vr, from: NodeId, atMs: number): Step {
  const challenge = underWay(vr);
  return challenge?.holder === from ? answered(vr, challenge, { kind: 'serves' }, atMs) : still(vr);
}

/** Nobody has said anything: in `strict` that proves nothing, otherwise the holder is gone. */
export function challengeOverdue(vr: Vr, challenge: Challenge, atMs: number): Step {
  return answered(vr, challenge, { kind: 'gone', why: 'no_answer' }, atMs);
}

function underWay({ phase }: Vr): Challenge | undefined {
  return phase.name === 'backup' || phase.name === 'master' ? phase.challenge : undefined;
}

function answered(vr: Vr, challenge: Challenge, verdict: ChallengeVerdict, atMs: number): Step {
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
  if (vr.parameters.onPathSplit === 'take' && !isStrict(vr)) {
    const taken = sendClaim(lost.vr, 'advert_path_lost', atMs, challenge);
    return { vr: taken.vr, effects: [...lost.effects, ...taken.effects] };
  }
  const held = postponed(lost.vr, 'advert_path_lost', atMs);
  const again: PhaseOf<'backup'> = { ...listening(phase, atMs), notBeforeMs: atMs + challengeAgainMs };
  return { vr: { ...held.vr, phase: again }, effects: lost.effects };
}

function masterVerdict(vr: Vr, phase: PhaseOf<'master'>, { claim }: Challenge, verdict: ChallengeVerdict): Step {
  switch (verdict.kind) {
    case 'unasked':
      return still({ ...vr, phase: { ...phase, challenge: undefined } });
    case 'serves':
      return vr.parameters.onPathSplit === 'hold'
        ? release(vr, 'log_prefers_other', 'backup')
        : claimOwn(vr, phase, [], claim);
    case 'leased':
    case 'gone':
      return claimOwn(vr, phase, [], claim);
  }
}
