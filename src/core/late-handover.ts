import type { Ownership } from './ownership.js';
import type { Step, Vr } from './vr-state.js';
import { move, type PhaseOf } from './vr-step.js';

/*
 * A handover that the log turns out to have although this node has given it up and serves on without the log's word: the
 * answer was lost, or the reader was behind. Whoever let go at once would leave nobody, since the other node reads of it
 * at the same time and has yet to attach.
 */

/** How long this node lingers once more. Then it asks whether the other one serves, as after any loss of the log. */
export const lateLingerMs = 50;

/** The log's newest is this node's own handover, of a term below the one that it went on with. */
export function isLateHandover(
  { parameters }: Vr,
  { standing, term }: PhaseOf<'master'>,
  ownership: Ownership,
): boolean {
  const { owner, handedBy, released } = ownership;
  const isOwnHandover = handedBy === parameters.node && owner !== parameters.node && !released;
  return isOwnHandover && standing.kind === 'provisional' && ownership.term < term;
}

export function lingerAgain(vr: Vr, phase: PhaseOf<'master'>, ownership: Ownership, atMs: number): Step {
  const handing: PhaseOf<'handing'> = {
    name: 'handing',
    term: phase.term,
    standing: phase.standing,
    to: ownership.owner,
    handedTerm: ownership.term,
    stage: 'late',
    claim: undefined,
    advertAtMs: phase.advertAtMs,
    dueAtMs: atMs + lateLingerMs,
    stops: false,
    serving: 'unknown',
  };
  return move(vr, handing, 'handover', [{ type: 'hush', hushed: true }]);
}
