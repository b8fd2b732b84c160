import type { TransitionReason } from './reasons.js';
import type { Step, TakeoverCause, Vr } from './vr-state.js';
import { backupPhase, listening, move, release, still } from './vr-step.js';

/*
 * Arbitration `strict`: who holds has a lease, and does nothing at or after its end; nobody may take over before that end
 * is proven. An ownership belongs to one unbroken lease: what was claimed before a gap is void.
 */

export const isStrict = (vr: Vr): boolean => vr.parameters.arbitration === 'strict';

export const hasLease = (vr: Vr, atMs: number): boolean => vr.leaseEndsAtMs !== undefined && atMs < vr.leaseEndsAtMs;

/** Whether this node may hold an address at this time, as far as leases go. */
export const mayHold = (vr: Vr, atMs: number): boolean => !isStrict(vr) || hasLease(vr, atMs);

/**
 * Whether what the log says of a holder, or does not say, can be relied on. A log may lose what it has acknowledged, is
 * restored from an old copy, or is wiped: then a holder lives on of which it knows nothing. Whoever has followed the log
 * without a break for as long as a lease lasts has outlived every such holder. A release or a handover that was just read
 * needs no such proof.
 */
export const isProven = (vr: Vr, cause: TakeoverCause, atMs: number): boolean =>
  cause === 'master_released' || cause === 'handover' || (vr.provenFromMs !== undefined && atMs >= vr.provenFromMs);

/** When a holder stops whatever the log says; infinity where no lease binds it. */
export const leaseEndMs = (vr: Vr): number =>
  isStrict(vr) ? (vr.leaseEndsAtMs ?? Number.NEGATIVE_INFINITY) : Number.POSITIVE_INFINITY;

/** Comes before everything else that happens: whatever a lease carried ends with it. */
export function enforceLease(vr: Vr, atMs: number): Step {
  if (mayHold(vr, atMs)) return still(vr);
  const { phase } = vr;
  switch (phase.name) {
    case 'attaching':
    case 'master':
      return release(vr, 'lease_lost', 'backup');
    case 'handing':
      return release(vr, 'lease_lost', phase.stops ? 'init' : 'backup');
    case 'claiming':
      return move(vr, backupPhase(atMs), 'lease_lost');
    case 'backup':
      if (phase.challenge === undefined && phase.unansweredTerm === undefined) return still(vr);
      return still({ ...vr, phase: { ...phase, challenge: undefined, unansweredTerm: undefined } });
    default:
      return still(vr);
  }
}

/** A lease, a renewal, or its loss. What an ended one carried has been let go of by then. */
export function onOwnLease(vr: Vr, endsAtMs: number | undefined, atMs: number): Step {
  return enforceLease({ ...vr, leaseEndsAtMs: endsAtMs }, atMs);
}

/** A takeover that is not to be now; the silence is counted anew. */
export function postponed(vr: Vr, reason: TransitionReason, atMs: number): Step {
  const { phase } = vr;
  if (phase.name !== 'backup') return still(vr);
  return still({ ...vr, phase: listening(phase, atMs), lastReason: reason });
}
