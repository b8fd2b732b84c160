import { type ElectionRules, rulesOf } from './election-rules.js';
import { claimId, noSequence, type Term } from './identity.js';
import type { Ownership } from './ownership.js';
import type { TransitionReason } from './reasons.js';
import {
  type Effect,
  type PendingClaim,
  type Phase,
  type Standing,
  type Step,
  stateName,
  type Vr,
} from './vr-state.js';

/** The moves that the parts of the virtual-router machine share. */

/** After a failed attach, or when another program takes the link away, others get this many intervals to take over. */
export const penaltyIntervals = 5;

export type PhaseOf<Name extends Phase['name']> = Extract<Phase, { name: Name }>;

/** The protocol's part of every decision. */
export const rules = (vr: Vr): ElectionRules => rulesOf(vr.parameters.election);

export const still = (vr: Vr): Step => ({ vr, effects: [] });

/** Moves to a phase; tells of it where the state's public name changes. */
export function move(vr: Vr, phase: Phase, reason: TransitionReason, effects: readonly Effect[] = []): Step {
  const from = stateName(vr.phase);
  const to = stateName(phase);
  const moved: Vr = { ...vr, phase, lastReason: reason };
  if (from === to) return { vr: moved, effects };
  const standing = 'standing' in phase ? phase.standing?.kind : undefined;
  const term = 'term' in phase ? phase.term : vr.highestTerm;
  return { vr: moved, effects: [...effects, { type: 'transition', from, to, reason, term, standing }] };
}

export function backupPhase(atMs: number): PhaseOf<'backup'> {
  return {
    name: 'backup',
    sinceMs: atMs,
    silentSinceMs: atMs,
    prompt: undefined,
    withoutLog: false,
    unansweredTerm: undefined,
    askedAtMs: Number.NEGATIVE_INFINITY,
    challenge: undefined,
    notBeforeMs: Number.NEGATIVE_INFINITY,
  };
}

/** A backup that hears a master, or learns of one: whatever it was about to do is called off. */
export function listening(phase: PhaseOf<'backup'>, atMs: number): PhaseOf<'backup'> {
  const calledOff = { prompt: undefined, challenge: undefined, notBeforeMs: Number.NEGATIVE_INFINITY };
  return { ...phase, ...calledOff, silentSinceMs: Math.max(phase.silentSinceMs, atMs), withoutLog: false };
}

export interface MasterOf {
  readonly term: Term;
  readonly standing: Standing;
  readonly advertAtMs: number;
  readonly giver?: NonNullable<PhaseOf<'master'>['giver']>;
}

export function masterPhase(of: MasterOf): PhaseOf<'master'> {
  return { name: 'master', ...of, confirming: undefined, challenge: undefined, contests: [] };
}

/** Names the next claim of this boot, pinned to what the log says at this moment and to nothing newer. */
export function nextClaim(vr: Vr): { readonly vr: Vr; readonly claim: PendingClaim } {
  const id = claimId(`${vr.parameters.boot}.${vr.claims + 1}`);
  return {
    vr: { ...vr, claims: vr.claims + 1 },
    claim: { id, expected: vr.log.ownership?.sequence ?? noSequence },
  };
}

/** Takes the addresses off, first of all; what follows waits for `detached`. */
export function release(vr: Vr, reason: TransitionReason, next: PhaseOf<'releasing'>['next']): Step {
  const phase = vr.phase;
  if (phase.name !== 'attaching' && phase.name !== 'master' && phase.name !== 'handing') return still(vr);
  const releasing: Phase = { name: 'releasing', term: phase.term, standing: phase.standing, reason, next };
  return move(vr, releasing, reason, [{ type: 'detach' }]);
}

/** An ownership of this very boot and term: no older one of its own can be mistaken for it, since terms only grow. */
export const isOwn = (vr: Vr, ownership: Ownership, ownTerm: Term): boolean =>
  ownership.owner === vr.parameters.node &&
  ownership.boot === vr.parameters.boot &&
  ownership.term === ownTerm &&
  !ownership.released;
