import { peerServes } from './handover.js';
import { prompted } from './takeover.js';
import type { Effect, HeardAdvert, Step, TakeoverCause, Vr } from './vr-state.js';
import { backupPhase, isOwn, move, type PhaseOf, penaltyIntervals, release, rules, still } from './vr-step.js';

/** What adverts mean in each state: who is alive, who is better, and who gives way. */

/** Two masters of one cluster answer each other's adverts at most this often. */
export const answerLimitMs = 100;

export function onAdvert(vr: Vr, advert: HeardAdvert, atMs: number): Step {
  switch (vr.phase.name) {
    case 'backup':
      return advertInBackup(vr, vr.phase, advert, atMs);
    case 'claiming':
      return advertInClaiming(vr, vr.phase, advert, atMs);
    case 'attaching':
      return yieldsTo(vr, advert) ? release(vr, 'better_advert', 'backup') : still(vr);
    case 'master':
      return advertInMaster(vr, vr.phase, advert, atMs);
    case 'handing':
      return advert.node === vr.phase.to && !resigns(vr, advert)
        ? peerServes(vr, vr.phase.to, vr.phase.handedTerm)
        : still(vr);
    default:
      return still(vr);
  }
}

function advertInBackup(vr: Vr, phase: PhaseOf<'backup'>, advert: HeardAdvert, atMs: number): Step {
  if (resigns(vr, advert)) return prompted(vr, phase, 'master_resigned', atMs);
  const heard: Vr = { ...vr, lastAdvertAtMs: atMs };
  if (isWorse(vr, advert) && mayPreempt(vr, phase, advert, atMs)) {
    if (rules(vr).preemptsAt === 'timeout') return still(heard);
    return prompted(heard, phase, isFailing(vr, advert) ? 'master_demoted' : 'preempting', atMs);
  }
  const masterIntervalMs = rules(vr).masterIntervalMs(advert.candidacy);
  const listening = { ...phase, silentSinceMs: atMs, prompt: undefined, withoutLog: false };
  return askHandover({ ...heard, masterIntervalMs, phase: listening }, listening, advert, atMs);
}

/**
 * Preemption between nodes of one cluster: the worse placed master is asked to hand over, which loses nothing, and is
 * never driven out by adverts.
 */
function askHandover(vr: Vr, phase: PhaseOf<'backup'>, advert: HeardAdvert, atMs: number): Step {
  const { preempt, arbitration } = vr.parameters;
  const wants = isFailing(vr, advert) || (preempt.enabled && isWorse(vr, advert));
  const mayAsk = arbitration === 'log' && vr.log.reachable && wants;
  const askAtMs = Math.max(
    phase.sinceMs + preempt.delayMs,
    phase.askedAtMs + penaltyIntervals * rules(vr).intervalMs,
    vr.holdOffUntilMs,
  );
  if (!mayAsk || advert.node === undefined || atMs < askAtMs) return still(vr);
  return { vr: { ...vr, phase: { ...phase, askedAtMs: atMs } }, effects: [{ type: 'askHandover', of: advert.node }] };
}

/** Takeovers that the master's adverts do not call off: they are the reason for it. */
const decidedCauses: ReadonlySet<TakeoverCause> = new Set(['preempting', 'master_demoted', 'owner', 'group_takes']);

/** A false alarm, unless the log has already decided: a claim that was sent is waited for, a takeover without is not. */
function advertInClaiming(vr: Vr, phase: PhaseOf<'claiming'>, advert: HeardAdvert, atMs: number): Step {
  if (resigns(vr, advert)) return still(vr);
  const heard: Vr = { ...vr, lastAdvertAtMs: atMs };
  const isDecided = phase.claim !== undefined || decidedCauses.has(phase.cause);
  if (isDecided) return still(heard);
  return move(heard, { ...backupPhase(atMs), unansweredTerm: phase.term }, 'better_advert');
}

/**
 * Whether a worse master is taken over: in VRRP by ignoring its adverts, so that the master-down timer runs out (RFC 9568
 * §6.4.2), in CARP at once. A node of this cluster is never preempted this way where the log arbitrates, nor anybody
 * while the log cannot say who is who. CARP asks for no leave where the master demotes itself.
 */
function mayPreempt(vr: Vr, phase: PhaseOf<'backup'>, advert: HeardAdvert, atMs: number): boolean {
  const { preempt, arbitration } = vr.parameters;
  const isPatient = !preempt.enabled || atMs < phase.sinceMs + preempt.delayMs;
  if (isPatient && !isFailing(vr, advert) && !rules(vr).isOwner) return false;
  return arbitration === 'wire' || (vr.log.reachable && advert.node === undefined);
}

const resigns = (vr: Vr, advert: HeardAdvert): boolean => rules(vr).compare(advert.candidacy) === 'resigned';

const isFailing = (vr: Vr, advert: HeardAdvert): boolean => rules(vr).compare(advert.candidacy) === 'failing';

const isWorse = (vr: Vr, advert: HeardAdvert): boolean => {
  const comparison = rules(vr).compare(advert.candidacy);
  return comparison === 'worse' || comparison === 'failing';
};

function isBetter(vr: Vr, advert: HeardAdvert): boolean {
  const comparison = rules(vr).compare(advert.candidacy);
  return comparison === 'better' || (comparison === 'tie' && rules(vr).yieldsTie(advert.sourceOrder));
}

/** Whether the protocol's rule, or the log's word, makes this node give way to the sender of an advert. */
function yieldsTo(vr: Vr, advert: HeardAdvert): boolean {
  return isBetter(vr, advert) && !holdsByLog(vr, advert);
}

/** The log is reachable and names this node: a master of the same cluster that does not know it yet will, by the log. */
function holdsByLog(vr: Vr, advert: HeardAdvert): boolean {
  const { phase, parameters, log } = vr;
  if (parameters.arbitration !== 'log' || advert.node === undefined || !log.reachable) return false;
  if (phase.name !== 'master' && phase.name !== 'attaching') return false;
  return phase.standing.kind === 'logged' && log.ownership !== undefined && isOwn(vr, log.ownership, phase.term);
}

/** A master without the log's word hears the one that the log names: it gives way, whatever the priorities. */
function isOutranked(vr: Vr, { standing }: PhaseOf<'master'>, { node }: HeardAdvert): boolean {
  const { ownership, reachable } = vr.log;
  if (vr.parameters.arbitration !== 'log' || standing.kind === 'logged' || !reachable || node === undefined)
    return false;
  return ownership !== undefined && !ownership.released && ownership.owner === node;
}

function advertInMaster(vr: Vr, phase: PhaseOf<'master'>, advert: HeardAdvert, atMs: number): Step {
  const { intervalMs, candidacy } = rules(vr);
  const advertAtMs = atMs + intervalMs;
  const answer: Effect = { type: 'advert', candidacy };
  if (resigns(vr, advert)) return { vr: { ...vr, phase: { ...phase, advertAtMs } }, effects: [answer] };
  if (isOutranked(vr, phase, advert)) return release(vr, 'log_prefers_other', 'backup');
  if (yieldsTo(vr, advert)) {
    const masterIntervalMs = rules(vr).masterIntervalMs(advert.candidacy);
    return release({ ...vr, masterIntervalMs, lastAdvertAtMs: atMs }, 'better_advert', 'backup');
  }
  if (isBetter(vr, advert) && atMs < phase.answeredAtMs + answerLimitMs) return still(vr);
  return {
    vr: { ...vr, phase: { ...phase, advertAtMs, answeredAtMs: atMs } },
    effects: [answer, { type: 'announce' }],
  };
}
