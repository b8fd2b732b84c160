import { holderToAsk } from './challenge.js';
import { peerShows } from './handover.js';
import type { ClaimId, NodeId } from './identity.js';
import { contested, contestedByStranger, peerAt, yieldTo } from './notice.js';
import type { TransitionReason } from './reasons.js';
import { isBetter, isFailing, isWorse, resigns } from './rivals.js';
import { isStrict } from './strict.js';
import { prompted } from './takeover.js';
import type { Effect, HeardAdvert, Step, TakeoverCause, Vr } from './vr-state.js';
import { backupPhase, listening, move, type PhaseOf, penaltyIntervals, release, rules, still } from './vr-step.js';

/** What adverts mean in each state: who is alive, who is better, and who gives way. */

export function onAdvert(vr: Vr, advert: HeardAdvert, atMs: number): Step {
  switch (vr.phase.name) {
    case 'backup':
      return advertInBackup(vr, vr.phase, advert, atMs);
    case 'claiming':
      return advertInClaiming(vr, vr.phase, advert, atMs);
    case 'attaching':
      return advertInAttaching(vr, vr.phase, advert);
    case 'master':
      return advertInMaster(vr, vr.phase, advert, atMs);
    case 'handing':
      return advert.node === vr.phase.to && !resigns(vr, advert)
        ? peerShows(vr, vr.phase.to, vr.phase.handedTerm, atMs)
        : still(vr);
    default:
      return still(vr);
  }
}

function advertInBackup(vr: Vr, phase: PhaseOf<'backup'>, advert: HeardAdvert, atMs: number): Step {
  if (resigns(vr, advert)) return resignedInBackup(vr, phase, advert, atMs);
  const heard: Vr = {
    ...vr,
    lastAdvertAtMs: atMs,
    lastAdvertBy: advert.node,
    heardClaim: claimHeard(vr, advert),
  };
  if (isWorse(vr, advert) && mayPreempt(vr, phase, advert, atMs)) {
    if (rules(vr).preemptsAt === 'timeout') return still(heard);
    return prompted(heard, phase, { atMs, cause: isFailing(vr, advert) ? 'master_demoted' : 'preempting' }, atMs);
  }
  const masterIntervalMs = rules(vr).masterIntervalMs(advert.candidacy);
  const hears = listening(phase, atMs);
  const lastReason = provisos.has(vr.lastReason) ? 'master_heard' : vr.lastReason;
  return askHandover({ ...heard, masterIntervalMs, lastReason, phase: hears }, hears, advert, atMs);
}

/** The claim of the holder that the log names, where this is its advert. */
export function claimHeard({ heardClaim, log: { ownership } }: Vr, { node }: HeardAdvert): ClaimId | undefined {
  return ownership !== undefined && !ownership.released && ownership.owner === node ? ownership.claim : heardClaim;
}

/** Why a takeover was put off: no longer true once the master is heard. */
export const provisos: ReadonlySet<TransitionReason> = new Set([
  'advert_path_lost',
  'holder_leased',
  'log_unproven',
  'lease_lost',
  'log_unreachable',
]);

/** In `strict` what is said on the LAN proves nothing: the log is told at once, and silence counts on. */
function resignedInBackup(vr: Vr, phase: PhaseOf<'backup'>, { node: by }: HeardAdvert, atMs: number): Step {
  const cause = 'master_resigned';
  if (isStrict(vr) && holderToAsk(vr, cause, undefined) !== undefined) return still(vr);
  return prompted(vr, phase, { atMs, cause, by }, atMs);
}

/**
 * Preemption between nodes of one cluster: the worse placed master is asked to hand over, which loses nothing, and is
 * never driven out by adverts.
 */
function askHandover(vr: Vr, phase: PhaseOf<'backup'>, advert: HeardAdvert, atMs: number): Step {
  const { preempt, arbitration } = vr.parameters;
  const wants = isFailing(vr, advert) || (preempt.enabled && isWorse(vr, advert));
  const mayAsk = arbitration !== 'wire' && vr.log.reachable && wants;
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
  const heard: Vr = { ...vr, lastAdvertAtMs: atMs, lastAdvertBy: advert.node };
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

/** A node of this cluster that the log is to choose from, not the priority. */
const peerOf = (vr: Vr, { node }: HeardAdvert): NodeId | undefined =>
  vr.parameters.arbitration === 'wire' || node === vr.parameters.node ? undefined : node;

/** The false alarm of a takeover without the log; what the log has granted, only the log or a notice takes away. */
function advertInAttaching(vr: Vr, phase: PhaseOf<'attaching'>, advert: HeardAdvert): Step {
  const isGranted = phase.standing.kind === 'logged' && peerOf(vr, advert) !== undefined;
  return isBetter(vr, advert) && !isGranted ? release(vr, 'better_advert', 'backup') : still(vr);
}

/** A master without the log's word hears the one that the log names: it gives way, whatever the priorities. */
function isOutranked(vr: Vr, { standing }: PhaseOf<'master'>, peer: NodeId): boolean {
  const { ownership, reachable } = vr.log;
  if (standing.kind === 'logged' || !reachable) return false;
  return ownership !== undefined && !ownership.released && ownership.owner === peer;
}

function advertInMaster(vr: Vr, phase: PhaseOf<'master'>, advert: HeardAdvert, atMs: number): Step {
  if (vr.parameters.arbitration === 'wire') return advertOnWire(vr, phase, advert, atMs);
  const peer = peerOf(vr, advert) ?? peerAt(phase, advert.source);
  if (peer === undefined) return contestedByStranger(vr, phase, advert, atMs);
  const isOver = !resigns(vr, advert) && isOutranked(vr, phase, peer);
  return isOver ? release(vr, 'log_prefers_other', 'backup') : contested(vr, phase, advert, peer, atMs);
}

function advertOnWire(vr: Vr, phase: PhaseOf<'master'>, advert: HeardAdvert, atMs: number): Step {
  const { intervalMs, candidacy } = rules(vr);
  const answered: Vr = { ...vr, phase: { ...phase, advertAtMs: atMs + intervalMs } };
  const answer: Effect = { type: 'advert', candidacy };
  if (resigns(vr, advert)) return { vr: answered, effects: [answer] };
  if (isBetter(vr, advert)) return yieldTo(vr, advert, atMs);
  return { vr: answered, effects: [answer, { type: 'announce' }] };
}
