import { claimOwn, confirm, isPreferred } from './confirm.js';
import { noSequence } from './identity.js';
import { isLateHandover, lingerAgain } from './late-handover.js';
import { isStrict } from './strict.js';
import type { Standing, Step, Vr } from './vr-state.js';
import { isOwn, type PhaseOf, release, still } from './vr-step.js';

/** What the log says of an ownership of this node's: it has it, has another in its place, or has lost it. */

export function logWhileOwner(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>, atMs: number): Step {
  const { ownership, reachable } = vr.log;
  if (ownership !== undefined && isOwn(vr, ownership, phase.term)) return still(logged(vr, phase));
  const isContested = ownership !== undefined && isPreferred(vr, ownership, phase);
  if (isContested && vr.parameters.arbitration === 'wire') return still(vr);
  if (isContested && phase.name === 'master' && isLateHandover(vr, phase, ownership)) {
    return lingerAgain(vr, phase, ownership, atMs);
  }
  if (isContested) return release(vr, ownership.term > phase.term ? 'higher_term' : 'log_prefers_other', 'backup');
  // Whatever the log has in its place, others may claim over without a word of this node.
  if (isStrict(vr) && reachable) return release(vr, 'log_prefers_other', 'backup');
  if (phase.standing.kind === 'provisional' || !reachable) return confirm(vr, [], atMs);
  const forgotten = forgottenByLog(vr, phase);
  return forgotten.phase.name === 'master' ? claimOwn(forgotten, forgotten.phase) : still(forgotten);
}

/**
 * The log had this ownership and has it no more: it has lost acknowledged events, or is another. To be claimed again, and
 * nobody is asked, since whoever the log names now was deposed by it.
 */
function forgottenByLog(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Vr {
  const standing: Standing = { kind: 'provisional', expected: vr.log.ownership?.sequence ?? noSequence };
  return { ...vr, phase: { ...phase, standing } };
}

export function logged(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Vr {
  if (phase.standing.kind === 'logged') return vr;
  const standing: Standing = { kind: 'logged' };
  return {
    ...vr,
    phase:
      phase.name === 'master'
        ? { ...phase, standing, confirming: undefined, challenge: undefined }
        : { ...phase, standing },
  };
}
