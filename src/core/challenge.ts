import { type NodeId, nextTerm } from './identity.js';
import { isStrict } from './strict.js';
import type { Challenge, Effect, Prompt, TakeoverCause, Vr } from './vr-state.js';
import { nextClaim } from './vr-step.js';

/*
 * Before an ownership that stands is claimed over, its holder is asked whether it serves. The claim that follows expects
 * what stood in the log when the question was asked, and the two together take no longer than a claim alone may.
 */

/** Of the time that the log has for its answer, a challenge leaves this much to the claim. */
const challengeShareMax = 0.6;
/** A holder that serves though its adverts are lost, or may still hold, is asked again at most this often. */
export const challengeAgainMs = 250;

/** Causes that say of the holder itself that it is gone, or that the whole group goes. */
const unquestioned: ReadonlySet<TakeoverCause> = new Set(['master_released', 'group_takes', 'handover']);

/** The holder that has to be asked first; undefined where the claim can be made at once. */
export function holderToAsk(vr: Vr, cause: TakeoverCause, prompt: Prompt | undefined): NodeId | undefined {
  const { ownership } = vr.log;
  if (ownership === undefined || ownership.released || ownership.owner === vr.parameters.node) return undefined;
  if (isStrict(vr)) return ownership.owner;
  if (unquestioned.has(cause)) return undefined;
  const hasResigned = cause === 'master_resigned' && (prompt?.by === undefined || prompt.by === ownership.owner);
  return hasResigned ? undefined : ownership.owner;
}

export interface Asked {
  readonly vr: Vr;
  readonly challenge: Challenge;
  readonly effect: Effect;
}

/** The decision to claim is taken here: whatever the log says later is not what the claim expects. */
export function askHolder(vr: Vr, holder: NodeId, cause: TakeoverCause, atMs: number): Asked {
  const { arbitrationTimeoutMs, challengeTimeoutMs } = vr.parameters;
  const { vr: counted, claim } = nextClaim(vr);
  // In `strict` the answer takes a revocation in the log, and nobody takes over without one: there is no hurry.
  const patienceMs = isStrict(vr)
    ? arbitrationTimeoutMs
    : Math.min(challengeTimeoutMs, challengeShareMax * arbitrationTimeoutMs);
  const dueAtMs = atMs + patienceMs;
  const challenge: Challenge = {
    claim,
    holder,
    cause,
    decidedAtMs: atMs,
    dueAtMs,
    ownLook: undefined,
    said: undefined,
  };
  return { vr: counted, challenge, effect: { type: 'challenge', claim, holder, term: nextTerm(vr.highestTerm) } };
}
