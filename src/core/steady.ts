import { claimHeard, provisos } from './adverts.js';
import { noTerm } from './identity.js';
import { isFailing, isWorse, resigns } from './rivals.js';
import { isStrict, leaseEndMs, mayHold } from './strict.js';
import { type Patience, patienceOf } from './takeover.js';
import type { HeardAdvert, Input, Vr } from './vr-state.js';
import { isOwn, type PhaseOf, rules } from './vr-step.js';

/*
 * The steady state, in which all but a few of the inputs come: a master sends the advert it sent before, a backup hears
 * the advert it heard before. What `step` makes of them is known beforehand; here it is made without going through it.
 * Whatever is not as steady as that is for `step`, and `steady.test.ts` holds the two against each other.
 */

/** What else a master waits for, its next advert and the answer of whom it has asked apart, keeps it from being steady. */
const isQuiet = (vr: Vr, phase: PhaseOf<'master'>): boolean =>
  phase.contests.length === 0 &&
  vr.pathLost === undefined &&
  vr.rival === undefined &&
  !(vr.parameters.arbitration === 'log' && vr.parameters.onLogLoss === 'release' && vr.logLostAtMs !== undefined) &&
  (phase.standing.kind === 'logged' || isConfirming(phase) || !vr.log.reachable || isStrict(vr));

/** It is about to have the log's word; otherwise it tries to get that with each advert. */
const isConfirming = ({ confirming, challenge }: PhaseOf<'master'>): boolean =>
  confirming !== undefined || challenge !== undefined;

/** A machine that nobody else knows: its times are moved in place, since what goes on all the time makes nothing new. */
export type OwnVr = Vr & { readonly [owned]: true };
declare const owned: unique symbol;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** To be given to nobody who keeps it, as long as its times are moved. */
export const ownCopy = (vr: Vr): OwnVr => ({ ...vr, phase: { ...vr.phase } }) as OwnVr;

/** Whether a tick finds a master that has nothing to do but to send its advert again; false where nothing is due. */
export function isSteadyTick(vr: Vr, atMs: number): boolean {
  const { phase } = vr;
  if (phase.name !== 'master' || atMs < phase.advertAtMs || !isQuiet(vr, phase)) return false;
  return mayHold(vr, atMs) && atMs < Math.min(leaseEndMs(vr), elseDueAtMs(phase) ?? Number.POSITIVE_INFINITY);
}

/** Makes it the machine after that tick; it must be {@link isSteadyTick}. */
export function tickSteadily(vr: OwnVr, atMs: number): void {
  const phase = vr.phase as Mutable<PhaseOf<'master'>>;
  const { intervalMs } = rules(vr);
  const nextAtMs = phase.advertAtMs + intervalMs;
  phase.advertAtMs = nextAtMs > atMs ? nextAtMs : atMs + intervalMs;
}

/** Whether it sends its advert again and again until {@link elseDueAtMs}, for as long as nothing happens: then others may. */
export const isLeftToItself = (vr: Vr): vr is Vr & { readonly phase: PhaseOf<'master'> } =>
  vr.phase.name === 'master' && isQuiet(vr, vr.phase) && !isStrict(vr);

/** When a master that is left to itself does anything else than send its advert; undefined: never. */
export const elseDueAtMs = ({ challenge }: PhaseOf<'master'>): number | undefined => challenge?.dueAtMs;

/** Others have sent it meanwhile, and would again at this time. */
export function advertsAgainAt(vr: OwnVr, advertAtMs: number): void {
  (vr.phase as Mutable<PhaseOf<'master'>>).advertAtMs = advertAtMs;
}

/** Whether this very advert, heard once more, would change nothing but the time at which the master was heard. */
export function isHeardSteadily(vr: Vr, advert: HeardAdvert): boolean {
  const { phase, parameters } = vr;
  if (phase.name !== 'backup' || vr.pathLost !== undefined || vr.rival !== undefined) return false;
  const isCalm =
    phase.prompt === undefined &&
    phase.challenge === undefined &&
    (phase.unansweredTerm === undefined || !isStrict(vr)) &&
    !phase.withoutLog &&
    phase.notBeforeMs === Number.NEGATIVE_INFINITY;
  if (!isCalm || provisos.has(vr.lastReason)) return false;
  if (resigns(vr, advert) || isFailing(vr, advert) || rules(vr).isOwner) return false;
  if (isWorse(vr, advert) && parameters.preempt.enabled) return false;
  if (claimHeard(vr, advert) !== vr.heardClaim || advert.node !== vr.lastAdvertBy) return false;
  return vr.masterIntervalMs === rules(vr).masterIntervalMs(advert.candidacy);
}

/** For how long nothing but that advert has to happen until it does something by itself; it must be {@link isHeardSteadily}. */
export const patienceSteadily = (vr: Vr): Patience & { readonly heardAtMs: number } => {
  const phase = vr.phase as PhaseOf<'backup'>;
  return { ...patienceOf(vr, phase), heardAtMs: phase.silentSinceMs };
};

/** Makes it the machine after that advert; it must be {@link isHeardSteadily}. */
export function hearSteadily(vr: OwnVr, atMs: number): void {
  const phase = vr.phase as Mutable<PhaseOf<'backup'>>;
  (vr as Mutable<OwnVr>).lastAdvertAtMs = atMs;
  phase.silentSinceMs = Math.max(phase.silentSinceMs, atMs);
}

/**
 * Whether a log that can be reached, and says of this virtual router what it said before, changes nothing: where many are
 * on one node, most of what the log says concerns one of them.
 */
export function isUnmovedByLog(vr: Vr): boolean {
  const { phase, log } = vr;
  const isKnown = log.reachable && vr.logSeen && vr.logLostAtMs === undefined && vr.heardLoggedTerm === noTerm;
  if (!isKnown || vr.rival !== undefined || vr.pathLost !== undefined) return false;
  if (phase.name === 'backup') return !phase.withoutLog;
  if (phase.name === 'claiming') return !isStrict(vr);
  if (phase.name === 'attaching' && isStrict(vr)) return false;
  if (
    (phase.name !== 'master' && phase.name !== 'attaching') ||
    phase.standing.kind !== 'logged' ||
    log.ownership === undefined
  )
    return false;
  return isOwn(vr, log.ownership, phase.term);
}

/** Whether this goes on record and does nothing else: nobody is bound by a lease, or waits for a proof, but in `strict`. */
export const isOnlyNoted = (vr: Vr, input: Input): boolean =>
  (input.type === 'ownLease' || input.type === 'proof') &&
  !isStrict(vr) &&
  vr.rival === undefined &&
  vr.pathLost === undefined;
