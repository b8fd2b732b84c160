import { askHolder, holderToAsk } from './challenge.js';
import { higherTerm, nextTerm, noSequence, noTerm } from './identity.js';
import type { Ownership } from './ownership.js';
import { isStrict } from './strict.js';
import type { Effect, PendingClaim, Step, Vr } from './vr-state.js';
import { nextClaim, type PhaseOf } from './vr-step.js';

/** How a master without the log's word comes by it. */

/**
 * Another node's ownership that the log has come to after this one was decided on, or in its place. One of the same term
 * is: whoever decided on a term knew of none as high. But a master by the LAN's word that has never seen the log takes
 * what it finds there for the past.
 */
export function isPreferred(vr: Vr, ownership: Ownership, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): boolean {
  const { standing, term } = phase;
  if (ownership.released || ownership.owner === vr.parameters.node) return false;
  const expected = standing.kind === 'provisional' ? standing.expected : noSequence;
  if (expected === undefined && vr.parameters.arbitration === 'wire') return false;
  if (ownership.term >= term) return true;
  return standing.kind === 'provisional' && expected !== undefined && ownership.sequence > expected;
}

/**
 * A master whose ownership the log does not have yet claims it, as soon as and as long as the log can be reached: with its
 * own term, or, where the log has come to that term or past it, with the next one. Like a backup that has lost the
 * adverts it asks the recorded holder first. Where the LAN alone arbitrates, it asks nobody and leaves another's claim
 * alone: two that do not hear each other would claim in turns for ever.
 */
export function confirm(vr: Vr, effects: readonly Effect[], atMs: number): Step {
  const { phase, log } = vr;
  const isWaiting = phase.name === 'master' && (phase.confirming !== undefined || phase.challenge !== undefined);
  if (phase.name !== 'master' || phase.standing.kind === 'logged' || isWaiting || !log.reachable || isStrict(vr)) {
    return { vr, effects };
  }
  if (vr.parameters.arbitration === 'wire') {
    const { ownership } = log;
    return ownership !== undefined && isPreferred(vr, ownership, phase)
      ? { vr, effects }
      : claimOwn(vr, phase, effects);
  }
  const holder = holderToAsk(vr, 'master_silent', undefined);
  if (holder === undefined) return claimOwn(vr, phase, effects);
  const asked = askHolder(vr, holder, 'master_silent', atMs);
  const asking: Vr = { ...asked.vr, phase: { ...phase, challenge: asked.challenge } };
  return { vr: asking, effects: [...effects, asked.effect] };
}

/** Claims what this node holds. `pinned`: the claim that was decided on when the holder was asked. */
export function claimOwn(
  vr: Vr,
  phase: PhaseOf<'master'>,
  effects: readonly Effect[] = [],
  pinned?: PendingClaim,
): Step {
  const { vr: counted, claim } = pinned === undefined ? nextClaim(vr) : { vr, claim: pinned };
  const { ownership, highestLoggedTerm } = vr.log;
  const isTermUsed = higherTerm(ownership?.term ?? noTerm, highestLoggedTerm) >= phase.term;
  const term = isTermUsed ? nextTerm(vr.highestTerm) : phase.term;
  const claiming: Effect = { type: 'claim', term, claim, reason: vr.lastReason };
  const claimed = { ...phase, term, confirming: claim, challenge: undefined };
  return {
    vr: { ...counted, highestTerm: isTermUsed ? term : vr.highestTerm, phase: claimed },
    effects: [...effects, claiming],
  };
}
