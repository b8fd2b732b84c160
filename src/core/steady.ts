import { provisos } from './adverts.js';
import { noTerm } from './identity.js';
import { isFailing, isWorse, resigns } from './rivals.js';
import { isStrict, leaseEndMs, mayHold } from './strict.js';
import type { HeardAdvert, Vr } from './vr-state.js';
import { isOwn, type PhaseOf, rules } from './vr-step.js';

/*
 * The steady state, in which all but a few of the inputs come: a master sends the advert it sent before, a backup hears
 * the advert it heard before. What `step` makes of them is known beforehand; here it is made without going through it.
 * Whatever is not as steady as that is for `step`, and `steady.test.ts` holds the two against each other.
 */

/** What else a master waits for, its next advert apart, keeps it from being steady. */
const isQuiet = (vr: Vr, phase: PhaseOf<'master'>): boolean =>
  phase.challenge === undefined &&
  phase.contests.length === 0 &&
  vr.pathLost === undefined &&
  vr.rival === undefined &&
  !(vr.parameters.arbitration === 'log' && vr.parameters.onLogLoss === 'release' && vr.logLostAtMs !== undefined) &&
  (phase.standing.kind === 'logged' || phase.confirming !== undefined || !vr.log.reachable || isStrict(vr));

/**
 * A tick in which a master does nothing but send its advert again.
 * @returns the machine after it; undefined where it is not as simple as that, or nothing is due
 */
export function steadyTick(vr: Vr, atMs: number): Vr | undefined {
  const { phase } = vr;
  if (phase.name !== 'master' || atMs < phase.advertAtMs || !isQuiet(vr, phase)) return undefined;
  if (!mayHold(vr, atMs) || atMs >= leaseEndMs(vr)) return undefined;
  const { intervalMs } = rules(vr);
  const nextAtMs = phase.advertAtMs + intervalMs;
  return { ...vr, phase: { ...phase, advertAtMs: nextAtMs > atMs ? nextAtMs : atMs + intervalMs } };
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
  return vr.masterIntervalMs === rules(vr).masterIntervalMs(advert.candidacy);
}

/** The machine after that advert; it must be {@link isHeardSteadily}. */
export function heardSteadily(vr: Vr, phase: PhaseOf<'backup'>, atMs: number): Vr {
  return { ...vr, lastAdvertAtMs: atMs, phase: { ...phase, silentSinceMs: Math.max(phase.silentSinceMs, atMs) } };
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
  if (phase.name !== 'master' || phase.standing.kind !== 'logged' || log.ownership === undefined) return false;
  return isOwn(vr, log.ownership, phase.term);
}
