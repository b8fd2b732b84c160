import { onAdvert } from './adverts.js';
import { challengeOverdue, onChallengeAnswer, onHolderProbe, onOwnLook } from './challenge-answer.js';
import { confirm } from './confirm.js';
import { rulesOf } from './election-rules.js';
import { give, given, handOver, handoverOverdue, peerReady, peerServes, servingTimeoutMs, stop } from './handover.js';
import { noTerm, type Term } from './identity.js';
import { onClaimAnswer, onLog, onTermSaved } from './log-news.js';
import { contestsDueMs, contestsOverdue, onNotice } from './notice.js';
import { emptyLogView } from './ownership.js';
import { settlePath } from './path-split.js';
import type { Fault, TransitionReason } from './reasons.js';
import { rivalDueMs, settleRival } from './split-brain.js';
import { enforceLease, isStrict, leaseEndMs, onOwnLease } from './strict.js';
import { claimOverdue, prompted, takeOver, takeoverAtMs } from './takeover.js';
import type { Effect, Input, Step, Vr, VrParameters } from './vr-state.js';
import {
  backupPhase,
  isOwn,
  masterPhase,
  move,
  type PhaseOf,
  penaltyIntervals,
  release,
  rules,
  still,
} from './vr-step.js';

export function createVr(parameters: VrParameters, highestTerm: Term = noTerm): Vr {
  return {
    parameters,
    phase: { name: 'init', stopped: false },
    highestTerm,
    log: emptyLogView,
    logLostAtMs: undefined,
    logSeen: false,
    masterIntervalMs: rulesOf(parameters.election).intervalMs,
    lastAdvertAtMs: undefined,
    lastAdvertBy: undefined,
    claims: 0,
    heardLoggedTerm: noTerm,
    leaseEndsAtMs: undefined,
    provenFromMs: undefined,
    heardClaim: undefined,
    pathLost: undefined,
    rival: undefined,
    drained: false,
    holdOffUntilMs: Number.NEGATIVE_INFINITY,
    heldUntilMs: Number.NEGATIVE_INFINITY,
    turnAtMs: Number.NEGATIVE_INFINITY,
    lastReason: 'started',
  };
}

/**
 * The virtual-router machine: RFC 9568 §6.4, with the log's arbitration where the parameters ask for it. Pure: the same
 * state and input give the same step, and the caller carries the effects out in order.
 *
 * The caller promises: adverts have passed every check of the wire; before a `tick`, whatever waits in the sockets has
 * been delivered (an advert that waits in the kernel counts as heard).
 */
export function step(vr: Vr, input: Input): Step {
  const enforced = enforceLease(vr, input.atMs);
  const done = react(enforced.vr, input);
  const settled = settlePath({ vr: done.vr, effects: [...enforced.effects, ...done.effects] }, input);
  return settleRival(settled, input);
}

function react(vr: Vr, input: Input): Step {
  switch (input.type) {
    case 'parent':
      return onParent(vr, input.fault, input.atMs);
    case 'tick':
      return onTick(heldBack(inTurn(vr, input), input.heldUntilMs), input.atMs);
    case 'parameters':
      return onParameters(vr, input.parameters, input.atMs);
    case 'group':
      return input.move === 'take' ? groupTakes(vr, input.atMs) : groupLeft(vr, input.holdOff, input.atMs);
    case 'advert':
      return onAdvert(inTurn(vr, input), input.advert, input.atMs);
    case 'log':
      return onLog(inTurn(vr, input), input.view, input.atMs);
    case 'claimAnswer':
      return onClaimAnswer(vr, input);
    case 'termSaved':
      return onTermSaved(vr, input.term, input.atMs);
    case 'attached':
      return onAttached(vr, input.atMs);
    case 'attachFailed':
      return onAttachFailed(vr, input.atMs);
    case 'detached':
      return onDetached(vr, input.atMs);
    case 'overslept':
      return onOverslept(vr, input.atMs);
    case 'interference':
      return vr.phase.name === 'master' ? release(penalised(vr, input.atMs), 'interference', 'backup') : still(vr);
    case 'shutdown':
      return stop(vr);
    case 'drain':
      return drain(vr, input.drained, input.force, input.atMs);
    case 'ownLease':
      return onOwnLease(vr, input.endsAtMs, input.atMs);
    case 'proof':
      return still({ ...vr, provenFromMs: input.fromMs });
    case 'challengeAnswer':
      return onChallengeAnswer(vr, input);
    case 'ownLook':
      return onOwnLook(vr, input);
    case 'holderProbe':
      return onHolderProbe(vr, input.from, input.atMs);
    case 'notice':
      return onNotice(vr, input.notice, input.atMs);
    case 'handOver':
      return handOver(vr, input);
    case 'peerReady':
      return peerReady(vr, input);
    case 'peerServes':
      return peerServes(vr, input.from, input.term, input.atMs);
  }
}

/** When the machine next wants a `tick`; undefined while nothing is timed. */
export function dueAtMs(vr: Vr): number | undefined {
  const { phase } = vr;
  switch (phase.name) {
    case 'backup':
      return phase.challenge?.dueAtMs ?? takeoverAtMs(vr, phase);
    case 'claiming':
      return Math.min(phase.dueAtMs, leaseEndMs(vr));
    case 'attaching':
      return isStrict(vr) ? leaseEndMs(vr) : undefined;
    case 'master': {
      const asked = phase.challenge?.dueAtMs ?? Number.POSITIVE_INFINITY;
      const contestedMs = Math.min(contestsDueMs(vr, phase), rivalDueMs(vr));
      return Math.min(phase.advertAtMs, logLossAtMs(vr), asked, contestedMs, leaseEndMs(vr));
    }
    case 'handing':
      return Math.min(phase.advertAtMs, phase.dueAtMs, rivalDueMs(vr), leaseEndMs(vr));
    case 'giving':
      return phase.dueAtMs;
    default:
      return undefined;
  }
}

/** How long this virtual router may go unattended before its peers count it as gone: the shortest silence they wait. */
export const peerPatienceMs = (vr: Vr): number => rules(vr).peerPatienceMs;

/** How long the process's loop was away. */
export interface Absence {
  readonly awayMs: number;
  /** The part of it in which the process did nothing at all: it was stopped, or had no processor. The rest it was busy. */
  readonly stoodStillMs: number;
}

/**
 * Whether it has missed something while the process was away. Whoever announces itself was silent all that time, whatever
 * the process did; what others wait for lay in the sockets, so that only a process that stood still may act on what has
 * passed. A node that takes over many addresses at once is busy for longer than peers bear at fast adverts: when that counted,
 * it took off again what it had just attached, and never came to an end.
 */
export const hasMissed = (vr: Vr, { awayMs, stoodStillMs }: Absence): boolean =>
  (speaks.has(vr.phase.name) ? awayMs : stoodStillMs) > peerPatienceMs(vr);

const speaks: ReadonlySet<Vr['phase']['name']> = new Set(['master', 'handing']);

function logLossAtMs(vr: Vr): number {
  const lets = vr.parameters.arbitration === 'log' && vr.parameters.onLogLoss === 'release';
  return lets && vr.logLostAtMs !== undefined ? vr.logLostAtMs + vr.parameters.leaseMs : Number.POSITIVE_INFINITY;
}

const penalised = (vr: Vr, atMs: number): Vr => ({
  ...vr,
  holdOffUntilMs: atMs + penaltyIntervals * rules(vr).intervalMs,
});

function onParent(vr: Vr, fault: Fault | undefined, atMs: number): Step {
  const phase = vr.phase;
  if (fault === undefined) {
    if (phase.name === 'fault') return faultOver(vr, phase, atMs);
    if (phase.name === 'init' && !phase.stopped) return listen(begun(vr, atMs), startReason(vr), atMs);
    if ((phase.name === 'releasing' || phase.name === 'giving') && phase.next !== 'init')
      return still({ ...vr, phase: { ...phase, next: 'backup' } });
    return still(vr);
  }
  switch (phase.name) {
    case 'attaching':
    case 'master':
    case 'handing':
      return release(vr, fault, fault);
    case 'releasing':
    case 'giving':
      return phase.next === 'init' ? still(vr) : still({ ...vr, phase: { ...phase, next: fault } });
    case 'init':
      return phase.stopped ? still(vr) : move(begun(vr, atMs), { name: 'fault', reason: fault }, fault);
    default:
      return move(vr, { name: 'fault', reason: fault }, fault);
  }
}

/** Whoever was only barred for its configuration takes over at once what the log says nobody holds any more. */
function faultOver(vr: Vr, phase: PhaseOf<'fault'>, atMs: number): Step {
  const heard = listen(vr, isWaiting(vr, atMs) ? 'start_delay' : readyReason(phase), atMs);
  const isVacant = vr.parameters.arbitration !== 'wire' && vr.log.reachable && vr.log.ownership?.released === true;
  if (phase.reason !== 'configuration_differs' || !isVacant || heard.vr.phase.name !== 'backup') return heard;
  const again = prompted(heard.vr, heard.vr.phase, { atMs, cause: 'master_released' }, atMs);
  return { vr: again.vr, effects: [...heard.effects, ...again.effects] };
}

const lanWorking: ReadonlySet<PhaseOf<'releasing'>['next']> = new Set([
  'backup',
  'init',
  'tracking_failed',
  'group_failed',
  'configuration_differs',
]);

/** Faults that leave the LAN as it is, so that the others can be told. */
const lanWorks = (reason: PhaseOf<'releasing'>['next']): boolean => lanWorking.has(reason);

/** The start delay counts from the first that is known of the interface, whatever that is. */
const begun = (vr: Vr, atMs: number): Vr =>
  vr.parameters.startDelayMs === 0 ? vr : { ...vr, holdOffUntilMs: atMs + vr.parameters.startDelayMs };

const isWaiting = (vr: Vr, atMs: number): boolean => vr.parameters.startDelayMs > 0 && atMs < vr.holdOffUntilMs;

const readyReason = ({ reason }: PhaseOf<'fault'>): TransitionReason =>
  lanWorks(reason) ? 'recovered' : 'parent_ready';

const startReason = (vr: Vr): TransitionReason => (vr.parameters.startDelayMs === 0 ? 'started' : 'start_delay');

function listen(vr: Vr, reason: TransitionReason, atMs: number): Step {
  const fresh: Vr = { ...vr, masterIntervalMs: rules(vr).intervalMs };
  const backup = backupPhase(atMs);
  if (rules(vr).isOwner && vr.parameters.arbitration === 'wire') {
    return move(fresh, { ...backup, prompt: { atMs, cause: 'owner' } }, 'owner');
  }
  return move(fresh, backup, reason);
}

/** No state is left for it. A master whose standing is another says so at once. */
function onParameters(before: Vr, parameters: VrParameters, atMs: number): Step {
  const asked: Vr = { ...before, parameters };
  const { intervalMs, candidacy } = rules(asked);
  const isFirst = before.lastAdvertAtMs === undefined;
  const vr: Vr = isFirst ? { ...asked, masterIntervalMs: intervalMs } : asked;
  const { phase } = vr;
  if (phase.name !== 'master' && phase.name !== 'handing') return still(vr);
  if (JSON.stringify(candidacy) === JSON.stringify(rules(before).candidacy)) return confirm(vr, [], atMs);
  const advert: Effect = { type: 'advert', candidacy };
  return confirm({ ...vr, phase: { ...phase, advertAtMs: atMs + intervalMs } }, [advert], atMs);
}

/** A claim on its way that is granted after all is given back. */
function drain(vr: Vr, drained: boolean, force: boolean, atMs: number): Step {
  if (!drained) {
    const lastReason = vr.lastReason === 'drained' ? 'undrained' : vr.lastReason;
    return still({ ...vr, drained, lastReason });
  }
  const told: Vr = { ...vr, drained };
  const { phase } = told;
  if (phase.name === 'backup') {
    return still({ ...told, phase: { ...phase, challenge: undefined }, lastReason: 'drained' });
  }
  if (phase.name === 'claiming') return move(told, backupPhase(atMs), 'drained');
  return force ? release(told, 'drained', 'backup') : still(told);
}

const inTurn = (vr: Vr, { turnAtMs }: { readonly turnAtMs?: number }): Vr =>
  turnAtMs === undefined || turnAtMs === vr.turnAtMs ? vr : { ...vr, turnAtMs };

const heldBack = (vr: Vr, heldUntilMs: number | undefined): Vr =>
  heldUntilMs === undefined || heldUntilMs === vr.heldUntilMs ? vr : { ...vr, heldUntilMs };

function groupTakes(vr: Vr, atMs: number): Step {
  return vr.phase.name === 'backup' ? prompted(vr, vr.phase, { atMs, cause: 'group_takes' }, atMs) : still(vr);
}

function groupLeft(before: Vr, holdOff: boolean, atMs: number): Step {
  const vr = holdOff ? penalised(before, atMs) : before;
  // A claim on its way that is granted after all is given back.
  return vr.phase.name === 'claiming' ? move(vr, backupPhase(atMs), 'group_left') : release(vr, 'group_left', 'backup');
}

function onTick(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  switch (phase.name) {
    case 'backup':
      if (phase.challenge !== undefined) {
        return atMs < phase.challenge.dueAtMs ? still(vr) : challengeOverdue(vr, phase.challenge, atMs);
      }
      return atMs < takeoverAtMs(vr, phase) ? still(vr) : takeOver(vr, phase, atMs);
    case 'claiming':
      return atMs < phase.dueAtMs ? still(vr) : claimOverdue(vr, phase, atMs);
    case 'master':
      return tickInMaster(vr, phase, atMs);
    case 'handing':
      if (atMs >= phase.dueAtMs) return handoverOverdue(vr, phase, atMs);
      return atMs < phase.advertAtMs ? still(vr) : advertise(vr, phase, atMs);
    case 'giving':
      return atMs < phase.dueAtMs ? still(vr) : given(vr, phase, atMs, false);
    default:
      return still(vr);
  }
}

function tickInMaster(vr: Vr, phase: PhaseOf<'master'>, atMs: number): Step {
  if (atMs >= logLossAtMs(vr)) return release(vr, 'log_lost', 'backup');
  if (phase.challenge !== undefined && atMs >= phase.challenge.dueAtMs) {
    return challengeOverdue(vr, phase.challenge, atMs);
  }
  if (atMs >= contestsDueMs(vr, phase)) return contestsOverdue(vr, phase, atMs);
  return atMs < phase.advertAtMs ? still(vr) : advertise(vr, phase, atMs);
}

function advertise(vr: Vr, phase: PhaseOf<'master'> | PhaseOf<'handing'>, atMs: number): Step {
  const { intervalMs, candidacy } = rules(vr);
  const nextAtMs = phase.advertAtMs + intervalMs;
  const advertAtMs = nextAtMs > atMs ? nextAtMs : atMs + intervalMs;
  const advert: Effect = { type: 'advert', candidacy };
  return confirm({ ...vr, phase: { ...phase, advertAtMs } }, [advert], atMs);
}

function onAttached(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name !== 'attaching') return still(vr);
  const { term, standing } = phase;
  const giver =
    phase.handedBy === undefined ? {} : { giver: { node: phase.handedBy, untilMs: atMs + servingTimeoutMs } };
  const master = masterPhase({ term, standing, advertAtMs: atMs + rules(vr).intervalMs, ...giver });
  const first: readonly Effect[] = [{ type: 'advert', candidacy: rules(vr).candidacy }, { type: 'announce' }];
  const told: readonly Effect[] =
    phase.handedBy === undefined ? [] : [{ type: 'tellServing', to: phase.handedBy, term: phase.term }];
  const moved = move(vr, master, 'attached', [...first, ...told]);
  const serving = confirm(moved.vr, moved.effects, atMs);
  if (!vr.drained) return serving;
  const given = handOver(serving.vr, { type: 'handOver', to: undefined, stops: false, atMs });
  return { vr: given.vr, effects: [...serving.effects, ...given.effects] };
}

function onAttachFailed(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name !== 'attaching') return still(vr);
  return move(penalised(vr, atMs), backupPhase(atMs), 'attach_failed', [
    { type: 'released', term: phase.term, reason: 'attach_failed', resigned: false },
  ]);
}

/** Reasons that leave a rightful master behind: nothing is resigned, since a third node would take that for a vacancy. */
const yielded: ReadonlySet<TransitionReason> = new Set([
  'higher_term',
  'log_prefers_other',
  'better_advert',
  'overslept',
  'handed_over',
  'lease_lost',
]);

/** The log may still name this node as the holder, so it is told that the ownership has ended. */
function endsOwnership(vr: Vr, { reason, term, standing }: PhaseOf<'releasing'>): boolean {
  if (reason === 'higher_term') return vr.log.ownership !== undefined && isOwn(vr, vr.log.ownership, term);
  return reason !== 'log_prefers_other' || standing.kind === 'logged';
}

function onDetached(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name !== 'releasing') return still(vr);
  const giving = phase.giveTo === undefined ? undefined : give(vr, phase, phase.giveTo, atMs);
  if (giving !== undefined) return giving;
  const effects: Effect[] = [];
  const resigned = !yielded.has(phase.reason) && lanWorks(phase.next);
  if (resigned) effects.push({ type: 'advert', candidacy: rules(vr).farewell });
  if (endsOwnership(vr, phase)) {
    // In `strict` nobody claims on the LAN's word: the log is told at once.
    const isHeard = resigned && !isStrict(vr);
    effects.push({ type: 'released', term: phase.term, reason: phase.reason, resigned: isHeard });
  }
  if (phase.next === 'backup') return move(vr, backupPhase(atMs), phase.reason, effects);
  if (phase.next === 'init') return move(vr, { name: 'init', stopped: true }, phase.reason, effects);
  return move(vr, { name: 'fault', reason: phase.next }, phase.reason, effects);
}

function onOverslept(vr: Vr, atMs: number): Step {
  switch (vr.phase.name) {
    case 'backup':
      return still({ ...vr, phase: { ...vr.phase, silentSinceMs: atMs, prompt: undefined, challenge: undefined } });
    case 'claiming':
      return move(vr, backupPhase(atMs), 'overslept');
    default:
      return release(vr, 'overslept', 'backup');
  }
}
