import { higherTerm, type NodeId, nextTerm, noSequence, type Term } from './identity.js';
import { logWhileOwner } from './owner-news.js';
import { isStrict } from './strict.js';
import type { Effect, Input, Phase, Standing, Step, Vr } from './vr-state.js';
import { backupPhase, isOwn, masterPhase, move, nextClaim, type PhaseOf, release, still } from './vr-step.js';

/**
 * How long another node may take to say whether it could attach. Nothing is lost meanwhile, for this one serves as ever; and
 * a node that has just started, or that others hand a lot to, is slow to answer.
 */
export const readyTimeoutMs = 1000;
/** Whoever asks for the machine gives up before it does, so that it hears that there was no answer. */
export const readyAnswerTimeoutMs = readyTimeoutMs - 50;
/**
 * How long the other node may be silent, on the LAN and through the log, before the handover is given up. This one serves as
 * before, but leaves questions for the addresses to the other; one that is merely busy with many would fail for nothing.
 */
export const servingTimeoutMs = 1000;
/** The other node says that it serves: how long its frames may take over the LAN until this one lets go without them. */
export const shownTimeoutMs = 50;
/**
 * The other node is seen to serve: how long this one, hushed, still serves what switches send here, since it may have spoken
 * from the virtual MAC a moment ago. The other one shows itself several times meanwhile.
 */
export const settleMs = 20;

type HandOver = Extract<Input, { type: 'handOver' }>;
type PeerReady = Extract<Input, { type: 'peerReady' }>;
type ClaimAnswered = Extract<Input, { type: 'claimAnswer' }>;

/**
 * Begins a planned handover. It takes the log's word on both sides, so a node that holds without the log's word, or
 * cannot reach it, or knows no other node, only releases where it stops.
 */
export function handOver(vr: Vr, input: HandOver): Step {
  const { phase } = vr;
  if (phase.name === 'handing') return still({ ...vr, phase: { ...phase, stops: phase.stops || input.stops } });
  if (phase.name === 'giving' && input.stops) return still({ ...vr, phase: { ...phase, next: 'init' } });
  if (phase.name !== 'master') return input.stops ? stop(vr) : still(vr);
  const to = input.to ?? vr.log.successor;
  const isAgreed = vr.parameters.arbitration !== 'wire' && vr.log.reachable && phase.standing.kind === 'logged';
  if (!isAgreed || to === undefined || to === vr.parameters.node) return input.stops ? stop(vr) : still(vr);
  const handedTerm = nextTerm(vr.highestTerm);
  const handing: PhaseOf<'handing'> = {
    name: 'handing',
    term: phase.term,
    standing: phase.standing,
    to,
    handedTerm,
    stage: 'asking',
    claim: undefined,
    advertAtMs: phase.advertAtMs,
    dueAtMs: input.atMs + readyTimeoutMs,
    serving: 'unknown',
    stops: input.stops,
  };
  return move(vr, handing, 'handover', [{ type: 'askReady', to, term: handedTerm }]);
}

/** Ends what this node does, without anybody to hand over to. */
export function stop(vr: Vr): Step {
  switch (vr.phase.name) {
    case 'attaching':
    case 'master':
    case 'handing':
      return release(vr, 'shutdown', 'init');
    case 'releasing':
    case 'giving':
      return still({ ...vr, phase: { ...vr.phase, next: 'init' } });
    default:
      return move(vr, { name: 'init', stopped: true }, 'shutdown');
  }
}

export function peerReady(vr: Vr, input: PeerReady): Step {
  const { phase } = vr;
  if (phase.name !== 'handing' || phase.stage !== 'asking' || input.from !== phase.to) return still(vr);
  // What is given away is what the log names as this node's: nothing newer, whoever made it.
  const { ownership } = vr.log;
  const isOwner = ownership !== undefined && isOwn(vr, ownership, phase.term);
  if (!input.ready || !isOwner) return giveUp(vr, phase, input.atMs);
  if (isStrict(vr)) return breakFirst(vr, phase, input.highestTerm);
  const { vr: counted, claim } = nextClaim(vr);
  const dueAtMs = input.atMs + vr.parameters.arbitrationTimeoutMs;
  const handedTerm = nextTerm(higherTerm(vr.highestTerm, input.highestTerm ?? vr.highestTerm));
  const starting: Phase = { ...phase, stage: 'starting', handedTerm, claim, dueAtMs };
  return {
    vr: { ...counted, phase: starting, highestTerm: handedTerm },
    effects: [{ type: 'startHandover', to: phase.to, term: handedTerm, claim }],
  };
}

/** `strict`: the addresses go off first, and only then is the log told who takes them. */
function breakFirst(before: Vr, phase: PhaseOf<'handing'>, highestTerm: Term | undefined): Step {
  const vr: Vr = { ...before, highestTerm: higherTerm(before.highestTerm, highestTerm ?? before.highestTerm) };
  const next = phase.stops ? 'init' : 'backup';
  const { term, standing, to } = phase;
  const releasing: Phase = { name: 'releasing', term, standing, reason: 'handed_over', next, giveTo: to };
  return move(vr, releasing, 'handed_over', [{ type: 'detach' }]);
}

/** The addresses are off: where the log still names this node, it is told who takes them. */
export function give(vr: Vr, phase: PhaseOf<'releasing'>, to: NodeId, atMs: number): Step | undefined {
  const { ownership, reachable } = vr.log;
  if (!reachable || ownership === undefined || !isOwn(vr, ownership, phase.term)) return undefined;
  const { vr: counted, claim } = nextClaim(vr);
  const handedTerm = nextTerm(vr.highestTerm);
  const giving: PhaseOf<'giving'> = {
    name: 'giving',
    term: phase.term,
    standing: phase.standing,
    to,
    handedTerm,
    claim,
    dueAtMs: atMs + vr.parameters.arbitrationTimeoutMs,
    next: phase.next,
  };
  return {
    vr: { ...counted, highestTerm: handedTerm, phase: giving },
    effects: [{ type: 'startHandover', to, term: handedTerm, claim }],
  };
}

/**
 * Whatever the log made of it: it is told that this node's part is over, which frees the address where it has nothing. One
 * that has the handover is told no more: that would only overtake the claim of whoever takes over.
 */
export function given(vr: Vr, phase: PhaseOf<'giving'>, atMs: number, isStored: boolean): Step {
  const { term, next } = phase;
  const after: Phase =
    next === 'backup'
      ? backupPhase(atMs)
      : next === 'init'
        ? { name: 'init', stopped: true }
        : { name: 'fault', reason: next };
  const reason = next === 'backup' || next === 'init' ? 'handed_over' : next;
  const freed: Effect = { type: 'released', term, reason: 'handed_over', resigned: false };
  return move(vr, after, reason, isStored ? [] : [freed]);
}

export function logWhileGiving(vr: Vr, phase: PhaseOf<'giving'>, atMs: number): Step {
  const { ownership } = vr.log;
  if (ownership === undefined || ownership.term <= phase.term) return still(vr);
  return given(vr, phase, atMs, ownership.owner === phase.to && ownership.term >= phase.handedTerm);
}

export function handoverAnswered(vr: Vr, phase: PhaseOf<'handing'>, { answer, atMs }: ClaimAnswered): Step {
  if (phase.stage !== 'starting') return still(vr);
  // One that is perhaps stored counts as stored: the other node, the log or the deadline will tell.
  const isStarted = answer.kind === 'stored' || (answer.kind === 'unavailable' && answer.maybeStored);
  if (!isStarted) return giveUp(vr, phase, atMs);
  return started(vr, answer.kind === 'stored' ? { ...phase, handedAt: answer.sequence } : phase, atMs);
}

function started(vr: Vr, phase: PhaseOf<'handing'>, atMs: number): Step {
  return still({ ...vr, phase: { ...phase, stage: 'started', dueAtMs: atMs + servingTimeoutMs } });
}

/**
 * The other node is known to serve, so it alone may show where the virtual MAC is. Until then this one answers whoever asks:
 * nobody else does.
 */
function hushed(vr: Vr, phase: PhaseOf<'handing'>, serving: 'told' | 'shown', dueAtMs: number): Step {
  const effects: readonly Effect[] = isHushed(vr) ? [] : [{ type: 'hush', hushed: true }];
  return { vr: { ...vr, phase: { ...phase, stage: 'started', serving, dueAtMs } }, effects };
}

/** Whether it shows the virtual MAC to nobody. */
export const isHushed = ({ phase }: Vr): boolean =>
  phase.name === 'handing' && (phase.stage === 'late' || phase.serving !== 'unknown');

/** The other node is seen to serve, on the LAN: the addresses go in a moment, and nobody has missed a packet. */
export function peerShows(vr: Vr, from: NodeId, servedTerm: Term, atMs: number): Step {
  const phase = handedTo(vr, from, servedTerm);
  if (phase === undefined || phase.serving === 'shown') return still(vr);
  const settledAtMs = atMs + settleMs;
  return hushed(vr, phase, 'shown', phase.serving === 'told' ? Math.min(phase.dueAtMs, settledAtMs) : settledAtMs);
}

/**
 * The other node says that it serves, by a way that may be faster than the LAN: until its frame is here, switches on the
 * way to this node may not have it either.
 */
export function peerServes(vr: Vr, from: NodeId, servedTerm: Term, atMs: number): Step {
  const phase = handedTo(vr, from, servedTerm);
  if (phase === undefined || phase.serving !== 'unknown') return still(vr);
  return hushed(vr, phase, 'told', atMs + shownTimeoutMs);
}

function handedTo({ phase }: Vr, from: NodeId, servedTerm: Term): PhaseOf<'handing'> | undefined {
  if (phase.name !== 'handing' || phase.stage === 'asking') return undefined;
  return from === phase.to && servedTerm === phase.handedTerm ? phase : undefined;
}

const letGo = (vr: Vr, { stops }: PhaseOf<'handing'>): Step => release(vr, 'handed_over', stops ? 'init' : 'backup');

export function logWhileHanding(vr: Vr, phase: PhaseOf<'handing'>, atMs: number): Step {
  const { ownership, reachable } = vr.log;
  const isTaken = ownership?.owner === phase.to && ownership.term === phase.handedTerm;
  switch (phase.stage) {
    case 'asking': {
      const isLost = reachable && (ownership === undefined || !isOwn(vr, ownership, phase.term));
      return isLost ? giveUp(vr, phase, atMs) : still(vr);
    }
    case 'late': {
      const isMeant = isTaken && !ownership.released && ownership.handedBy === vr.parameters.node;
      return isMeant || !reachable ? still(vr) : giveUp(vr, phase, atMs);
    }
    case 'starting':
    case 'started':
      if (ownership === undefined || ownership.term <= phase.term) return still(vr);
      if (isTaken && ownership.released) return giveUp(vr, { ...phase, stage: 'started' }, atMs);
      // A claim of the other node's own has the same owner and perhaps the same term: then nobody lingers.
      if (!isTaken || ownership.handedBy !== vr.parameters.node) {
        return release(vr, 'higher_term', phase.stops ? 'init' : 'backup');
      }
      return phase.stage === 'starting' ? started(vr, phase, atMs) : still(vr);
  }
}

export function handoverOverdue(vr: Vr, phase: PhaseOf<'handing'>, atMs: number): Step {
  if (phase.serving !== 'unknown') return letGo(vr, phase);
  if (phase.stage === 'starting') return started(vr, phase, atMs);
  if (phase.stage !== 'late') return giveUp(vr, phase, atMs);
  // What the log names is no longer news: whoever it is gets asked, and may not serve.
  return giveUp(vr, { ...phase, standing: { kind: 'provisional', expected: vr.log.ownership?.sequence } }, atMs);
}

/**
 * The other node cannot, or says nothing: this one, still attached, stays the master, also where it is to stop: whoever
 * stops it tries again, or has it release. Where the log has, or may have, the handover, it claims again with the next term.
 */
function giveUp(vr: Vr, phase: PhaseOf<'handing'>, atMs: number): Step {
  return phase.stage === 'started' ? reclaim(vr, phase, atMs) : keep(vr, phase, atMs);
}

const advertAfter = ({ advertAtMs }: PhaseOf<'handing'>, atMs: number): number => Math.max(advertAtMs, atMs);

/** Whoever asked meanwhile has been waiting, and switches may have seen the virtual MAC at the other node. */
const heardAgain = (before: Vr): readonly Effect[] =>
  isHushed(before) ? [{ type: 'hush', hushed: false }, { type: 'announce' }] : [{ type: 'announce' }];

/** What this node held before it holds on, as far as the log still has it. */
function keep(vr: Vr, phase: PhaseOf<'handing'>, atMs: number): Step {
  const { term, standing } = phase;
  const master = masterPhase({ term, standing, advertAtMs: advertAfter(phase, atMs) });
  const kept = move(vr, master, 'handover_failed');
  const judged = logWhileOwner(kept.vr, master, atMs);
  const isHeardAgain = phase.stage !== 'asking' && judged.vr.phase.name === 'master';
  return { vr: judged.vr, effects: [...(isHeardAgain ? heardAgain(vr) : []), ...kept.effects, ...judged.effects] };
}

/** The log may have acknowledged the handover and not delivered it yet: what is claimed over is the handover, not what stood before. */
function reclaim(vr: Vr, phase: PhaseOf<'handing'>, atMs: number): Step {
  const read = vr.log.ownership?.sequence;
  const expected = phase.handedAt !== undefined && phase.handedAt > (read ?? noSequence) ? phase.handedAt : read;
  const standing: Standing = { kind: 'provisional', expected };
  const master = masterPhase({
    term: nextTerm(vr.highestTerm),
    standing,
    advertAtMs: advertAfter(phase, atMs),
  });
  const kept = move({ ...vr, highestTerm: master.term }, master, 'handover_failed', heardAgain(vr));
  if (!vr.log.reachable) return kept;
  const { vr: counted, claim: next } = nextClaim(kept.vr);
  const claim = { ...next, expected: expected ?? next.expected };
  return {
    vr: { ...counted, phase: { ...master, confirming: claim } },
    effects: [...kept.effects, { type: 'claim', term: master.term, claim, reason: 'handover_failed' }],
  };
}
