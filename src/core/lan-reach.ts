import type { ChallengeVerdict } from './vr-state.js';
import { silentAdverts } from './vrrp-timers.js';

/** What a challenged holder has found out about its LAN. */
export interface LanEvidence {
  /** Neighbours it has just asked for an answer; none where it knows of nobody. */
  readonly asked: number;
  readonly answered: boolean;
  /** Anything at all has come in since. */
  readonly framesCame: boolean;
  /** It had asked before, long enough ago, and nobody has answered since. */
  readonly earlierUnanswered: boolean;
}

/**
 * Whether the LAN carries what a holder says. A carrier proves the cable to the switch, not that the switch forwards: an
 * answer proves both ways. Silence condemns at once; frames that come while nobody answers may be slow neighbours, and
 * condemn the second time. Who has nobody to ask has nobody to lose.
 */
export function lanCarries({ asked, answered, framesCame, earlierUnanswered }: LanEvidence): boolean {
  if (asked === 0 || answered) return true;
  return framesCame && !earlierUnanswered;
}

/**
 * What a holder's answer is worth to who asked. A challenger whom nobody on the LAN answers either does not know whose port
 * is at fault, and would serve nobody: to it, a holder without a LAN is one that serves. Where two know nobody but each
 * other they would otherwise take over from each other for ever.
 */
export function weighedByOwnLook(verdict: ChallengeVerdict, carries: boolean): ChallengeVerdict {
  return verdict.kind === 'gone' && verdict.why === 'lan_down' && !carries ? { kind: 'serves' } : verdict;
}

/** An answer so fresh needs no question. */
export const freshAnswerMsMost = 100;

/**
 * The same where adverts that come at an interval are missed: the last that was heard came {@link silentAdverts} intervals
 * ago, the LAN may have failed until the next was due, and an answer from before says nothing of that.
 */
export const freshAnswerMs = (advertIntervalMs: number): number =>
  Math.min(freshAnswerMsMost, (silentAdverts - 1) * advertIntervalMs);

/** How long its neighbours are waited for, of the time that the challenger waits for the answer. */
export const neighboursWaitMs = (timeoutMs: number): number => Math.min(timeoutMs / 2, 200);

/** How long neighbours are waited for by a node that wants to have an address handed over, which nothing hurries. */
export const handoverLookMs = 200;
