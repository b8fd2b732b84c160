import { rulesOf } from './election-rules.js';
import {
  handOver,
  handoverAnswered,
  handoverOverdue,
  logWhileHanding,
  peerReady,
  peerServes,
  stop,
} from './handover.js';
import { type NodeId, nextTerm, noSequence, noTerm, type Sequence, type Term } from './identity.js';
import type { LogView, Ownership } from './ownership.js';
import type { Fault, TransitionReason } from './reasons.js';
import type {
  ClaimAnswer,
  Effect,
  HeardAdvert,
  Input,
  Phase,
  Standing,
  Step,
  TakeoverCause,
  Vr,
  VrParameters,
} from './vr-state.js';
import { backupPhase, isOwn, move, nextClaim, type PhaseOf, release, rules, still } from './vr-step.js';
import { silentAdverts } from './vrrp-timers.js';

/** Where the log arbitrates, each further candidate waits this much longer than the one before it. */
export const claimStepMs = 20;
/** Two masters of one cluster answer each other's adverts at most this often. */
export const answerLimitMs = 100;
/** After a failed attach, or when another program takes the link away, others get this many intervals to take over. */
export const penaltyIntervals = 5;

export function createVr(parameters: VrParameters, highestTerm: Term = noTerm): Vr {
  return {
    parameters,
    phase: { name: 'init', stopped: false },
    highestTerm,
    log: { reachable: false, ownership: undefined, place: 0, successor: undefined },
    logLostAtMs: undefined,
    logSeen: false,
    masterIntervalMs: rulesOf(parameters.election).intervalMs,
    lastAdvertAtMs: undefined,
    claims: 0,
    holdOffUntilMs: Number.NEGATIVE_INFINITY,
    heldUntilMs: Number.NEGATIVE_INFINITY,
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
  switch (input.type) {
    case 'parent':
      return onParent(vr, input.fault, input.atMs);
    case 'tick':
      return onTick(heldBack(vr, input.heldUntilMs), input.atMs);
    case 'parameters':
      return onParameters(vr, input.parameters, input.atMs);
    case 'group':
      return input.move === 'take' ? groupTakes(vr, input.atMs) : groupLeft(vr, input.holdOff, input.atMs);
    case 'advert':
      return onAdvert(vr, input.advert, input.atMs);
    case 'log':
      return onLog(vr, input.view, input.atMs);
    case 'claimAnswer':
      return onClaimAnswer(vr, input);
    case 'termSaved':
      return onTermSaved(vr, input.term);
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
    case 'handOver':
      return handOver(vr, input);
    case 'peerReady':
      return peerReady(vr, input);
    case 'peerServes':
      return peerServes(vr, input.from, input.term);
  }
}

/** When the machine next wants a `tick`; undefined while nothing is timed. */
export function dueAtMs(vr: Vr): number | undefined {
  switch (vr.phase.name) {
    case 'backup':
      return takeoverAtMs(vr, vr.phase);
    case 'claiming':
      return vr.phase.dueAtMs;
    case 'master':
      return Math.min(vr.phase.advertAtMs, logLossAtMs(vr));
    case 'handing':
      return Math.min(vr.phase.advertAtMs, vr.phase.dueAtMs);
    default:
      return undefined;
  }
}

/** How long this virtual router may go unattended before its peers count it as gone: the shortest silence they wait. */
export const peerPatienceMs = (vr: Vr): number => rules(vr).peerPatienceMs;

/** The log decides who may take over: it is asked to, and it answers. */
function logArbitrates(vr: Vr, withoutLog: boolean): boolean {
  return vr.parameters.arbitration === 'log' && vr.log.reachable && !withoutLog;
}

function takeoverAtMs(vr: Vr, phase: PhaseOf<'backup'>): number {
  const byLog = logArbitrates(vr, phase.withoutLog);
  const waitsMs = vr.log.place * claimStepMs;
  const { masterIntervalMs } = vr;
  const silenceMs = byLog ? silentAdverts * masterIntervalMs + waitsMs : rules(vr).masterDownMs(masterIntervalMs);
  const silentAtMs = Math.max(phase.silentSinceMs + silenceMs, vr.heldUntilMs);
  const promptedMs = byLog ? waitsMs : rules(vr).resignedMs(masterIntervalMs);
  const promptAtMs = phase.prompt === undefined ? silentAtMs : phase.prompt.atMs + promptedMs;
  const wantedAtMs = phase.prompt?.cause === 'owner' ? phase.prompt.atMs : Math.min(silentAtMs, promptAtMs);
  return Math.max(wantedAtMs, vr.holdOffUntilMs);
}

function logLossAtMs(vr: Vr): number {
  const lets = vr.parameters.arbitration === 'log' && vr.parameters.onLogLoss === 'release';
  return lets && vr.logLostAtMs !== undefined ? vr.logLostAtMs + vr.parameters.leaseMs : Number.POSITIVE_INFINITY;
}

const penalised = (vr: Vr, atMs: number): Vr => ({
  ...vr,
  holdOffUntilMs: atMs + penaltyIntervals * rules(vr).intervalMs,
});

// ── the parent interface ────────────────────────────────────────────────────────────────────────────────────────────

function onParent(vr: Vr, fault: Fault | undefined, atMs: number): Step {
  const phase = vr.phase;
  if (fault === undefined) {
    if (phase.name === 'fault') return listen(vr, lanWorks(phase.reason) ? 'recovered' : 'parent_ready', atMs);
    if (phase.name === 'init' && !phase.stopped) return listen(begun(vr, atMs), startReason(vr), atMs);
    if (phase.name === 'releasing' && phase.next !== 'init')
      return still({ ...vr, phase: { ...phase, next: 'backup' } });
    return still(vr);
  }
  switch (phase.name) {
    case 'attaching':
    case 'master':
    case 'handing':
      return release(vr, fault, fault);
    case 'releasing':
      return phase.next === 'init' ? still(vr) : still({ ...vr, phase: { ...phase, next: fault } });
    case 'init':
      return phase.stopped ? still(vr) : move(begun(vr, atMs), { name: 'fault', reason: fault }, fault);
    default:
      return move(vr, { name: 'fault', reason: fault }, fault);
  }
}

/** Faults that leave the LAN as it is, so that the others can be told. */
const lanWorks = (reason: PhaseOf<'releasing'>['next']): boolean =>
  reason === 'backup' || reason === 'init' || reason === 'tracking_failed' || reason === 'group_failed';

/** The start delay counts from the first that is known of the interface, whatever that is. */
const begun = (vr: Vr, atMs: number): Vr =>
  vr.parameters.startDelayMs === 0 ? vr : { ...vr, holdOffUntilMs: atMs + vr.parameters.startDelayMs };

const startReason = (vr: Vr): TransitionReason => (vr.parameters.startDelayMs === 0 ? 'started' : 'start_delay');

function listen(vr: Vr, reason: TransitionReason, atMs: number): Step {
  const fresh: Vr = { ...vr, masterIntervalMs: rules(vr).intervalMs };
  const backup = backupPhase(atMs);
  if (rules(vr).isOwner && vr.parameters.arbitration === 'wire') {
    return move(fresh, { ...backup, prompt: { atMs, cause: 'owner' } }, 'owner');
  }
  return move(fresh, backup, reason);
}

// ── what is asked for ───────────────────────────────────────────────────────────────────────────────────────────────

/** No state is left for it. A master whose standing is another says so at once. */
function onParameters(before: Vr, parameters: VrParameters, atMs: number): Step {
  const asked: Vr = { ...before, parameters };
  const { intervalMs, candidacy } = rules(asked);
  const isFirst = before.lastAdvertAtMs === undefined;
  const vr: Vr = isFirst ? { ...asked, masterIntervalMs: intervalMs } : asked;
  const { phase } = vr;
  if (phase.name !== 'master' && phase.name !== 'handing') return still(vr);
  if (JSON.stringify(candidacy) === JSON.stringify(rules(before).candidacy)) return confirm(vr, []);
  const advert: Effect = { type: 'advert', candidacy };
  return confirm({ ...vr, phase: { ...phase, advertAtMs: atMs + intervalMs } }, [advert]);
}

// ── the sync group ──────────────────────────────────────────────────────────────────────────────────────────────────

const heldBack = (vr: Vr, heldUntilMs: number | undefined): Vr =>
  heldUntilMs === undefined || heldUntilMs === vr.heldUntilMs ? vr : { ...vr, heldUntilMs };

function groupTakes(vr: Vr, atMs: number): Step {
  return vr.phase.name === 'backup' ? prompted(vr, vr.phase, 'group_takes', atMs) : still(vr);
}

function groupLeft(before: Vr, holdOff: boolean, atMs: number): Step {
  const vr = holdOff ? penalised(before, atMs) : before;
  // A claim on its way that is granted after all is given back.
  return vr.phase.name === 'claiming' ? move(vr, backupPhase(atMs), 'group_left') : release(vr, 'group_left', 'backup');
}

// ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function onTick(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  switch (phase.name) {
    case 'backup':
      return atMs < takeoverAtMs(vr, phase) ? still(vr) : takeOver(vr, phase, atMs);
    case 'claiming':
      return atMs < phase.dueAtMs ? still(vr) : claimOverdue(vr, phase, atMs);
    case 'master':
      if (atMs >= logLossAtMs(vr)) return release(vr, 'log_lost', 'backup');
      return atMs < phase.advertAtMs ? still(vr) : advertise(vr, phase, atMs);
    case 'handing':
      if (atMs >= phase.dueAtMs) return handoverOverdue(vr, phase, atMs);
      return atMs < phase.advertAtMs ? still(vr) : advertise(vr, phase, atMs);
    default:
      return still(vr);
  }
}

function advertise(vr: Vr, phase: PhaseOf<'master'> | PhaseOf<'handing'>, atMs: number): Step {
  const { intervalMs, candidacy } = rules(vr);
  const nextAtMs = phase.advertAtMs + intervalMs;
  const advertAtMs = nextAtMs > atMs ? nextAtMs : atMs + intervalMs;
  const advert: Effect = { type: 'advert', candidacy };
  return confirm({ ...vr, phase: { ...phase, advertAtMs } }, [advert]);
}

/** The master has said that it is gone. Where this node is the first in line it does not even wait for a tick. */
function prompted(vr: Vr, phase: PhaseOf<'backup'>, cause: TakeoverCause, atMs: number): Step {
  const told: PhaseOf<'backup'> = { ...phase, prompt: { atMs, cause } };
  const waiting: Vr = { ...vr, phase: told };
  return takeoverAtMs(waiting, told) <= atMs ? takeOver(waiting, told, atMs) : still(waiting);
}

/** The master is gone, as far as this backup can tell: claim it, take it without the log, or stay. */
function takeOver(vr: Vr, phase: PhaseOf<'backup'>, atMs: number): Step {
  const cause = phase.prompt?.cause ?? (heardWithin(vr, atMs) ? 'preempting' : 'master_silent');
  if (vr.parameters.arbitration === 'wire') {
    return startAttach(vr, nextTerm(vr.highestTerm), { kind: 'provisional', expected: seenSequence(vr) }, cause);
  }
  if (logArbitrates(vr, phase.withoutLog)) return sendClaim(vr, cause, atMs);
  if (vr.parameters.onLogLoss !== 'wire') {
    const listening = { ...phase, silentSinceMs: atMs, prompt: undefined, withoutLog: false };
    return still({ ...vr, phase: listening, lastReason: 'log_unreachable' });
  }
  const provisionalTerm = phase.unansweredTerm ?? nextTerm(vr.highestTerm);
  return withoutWaitingForLog(vr, provisionalTerm, cause, atMs);
}

const heardWithin = (vr: Vr, atMs: number): boolean =>
  vr.lastAdvertAtMs !== undefined && atMs - vr.lastAdvertAtMs < silentAdverts * vr.masterIntervalMs;

const seenSequence = (vr: Vr): Sequence | undefined =>
  vr.logSeen ? (vr.log.ownership?.sequence ?? noSequence) : undefined;

function sendClaim(vr: Vr, cause: TakeoverCause, atMs: number): Step {
  const { vr: counted, claim } = nextClaim(vr);
  const claimed = nextTerm(vr.highestTerm);
  const phase: PhaseOf<'claiming'> = {
    name: 'claiming',
    cause,
    term: claimed,
    claim,
    standing: undefined,
    saved: false,
    dueAtMs: atMs + vr.parameters.arbitrationTimeoutMs,
  };
  return move({ ...counted, highestTerm: claimed }, phase, cause, [
    { type: 'claim', term: claimed, claim, reason: cause },
    { type: 'saveTerm', term: claimed },
  ]);
}

function withoutWaitingForLog(vr: Vr, provisionalTerm: Term, cause: TakeoverCause, atMs: number): Step {
  const phase: PhaseOf<'claiming'> = {
    name: 'claiming',
    cause,
    term: provisionalTerm,
    claim: undefined,
    standing: { kind: 'provisional', expected: seenSequence(vr) },
    saved: false,
    dueAtMs: atMs + vr.parameters.arbitrationTimeoutMs,
  };
  const highestTerm = provisionalTerm > vr.highestTerm ? provisionalTerm : vr.highestTerm;
  return move({ ...vr, highestTerm }, phase, cause, [{ type: 'saveTerm', term: provisionalTerm }]);
}

/**
 * Neither a grant nor a refusal in time. A takeover that only waits for its term to reach the disk goes on: a stuck disk
 * must not keep the address down. One that waits for the log does as `onLogLoss` says, and keeps the claim's term.
 */
function claimOverdue(vr: Vr, phase: PhaseOf<'claiming'>, atMs: number): Step {
  if (phase.standing !== undefined) return startAttach(vr, phase.term, phase.standing, phase.cause);
  return claimUnanswered(vr, phase, atMs);
}

function claimUnanswered(vr: Vr, phase: PhaseOf<'claiming'>, atMs: number): Step {
  const claimedAtMs = phase.dueAtMs - vr.parameters.arbitrationTimeoutMs;
  const heardAtMs = vr.lastAdvertAtMs ?? Number.NEGATIVE_INFINITY;
  const isAlive = heardAtMs >= claimedAtMs;
  const backup: PhaseOf<'backup'> = {
    ...backupPhase(atMs),
    silentSinceMs: isAlive ? heardAtMs : atMs,
    prompt: isAlive ? undefined : { atMs: claimedAtMs, cause: phase.cause },
    withoutLog: true,
    unansweredTerm: phase.term,
  };
  return move(vr, backup, 'log_unreachable');
}

// ── taking and leaving the addresses ────────────────────────────────────────────────────────────────────────────────

function startAttach(vr: Vr, attachTerm: Term, standing: Standing, reason: TransitionReason, handedBy?: NodeId): Step {
  const highestTerm = attachTerm > vr.highestTerm ? attachTerm : vr.highestTerm;
  const phase: Phase = { name: 'attaching', term: attachTerm, standing, handedBy };
  return move({ ...vr, highestTerm }, phase, reason, [{ type: 'attach', term: attachTerm }]);
}

function onAttached(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name !== 'attaching') return still(vr);
  const master: PhaseOf<'master'> = {
    name: 'master',
    term: phase.term,
    standing: phase.standing,
    advertAtMs: atMs + rules(vr).intervalMs,
    confirming: undefined,
    answeredAtMs: Number.NEGATIVE_INFINITY,
  };
  const first: readonly Effect[] = [{ type: 'advert', candidacy: rules(vr).candidacy }, { type: 'announce' }];
  const told: readonly Effect[] =
    phase.handedBy === undefined ? [] : [{ type: 'tellServing', to: phase.handedBy, term: phase.term }];
  const moved = move(vr, master, 'attached', [...first, ...told]);
  return confirm(moved.vr, moved.effects);
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
]);

/** The log may still name this node as the holder, so it is told that the ownership has ended. */
function endsOwnership(reason: TransitionReason): boolean {
  return reason !== 'higher_term' && reason !== 'log_prefers_other';
}

function onDetached(vr: Vr, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name !== 'releasing') return still(vr);
  const effects: Effect[] = [];
  const resigned = !yielded.has(phase.reason) && lanWorks(phase.next);
  if (resigned) effects.push({ type: 'advert', candidacy: rules(vr).farewell });
  if (endsOwnership(phase.reason)) {
    effects.push({ type: 'released', term: phase.term, reason: phase.reason, resigned });
  }
  if (phase.next === 'backup') return move(vr, backupPhase(atMs), phase.reason, effects);
  if (phase.next === 'init') return move(vr, { name: 'init', stopped: true }, phase.reason, effects);
  return move(vr, { name: 'fault', reason: phase.next }, phase.reason, effects);
}

function onOverslept(vr: Vr, atMs: number): Step {
  switch (vr.phase.name) {
    case 'backup':
      return still({ ...vr, phase: { ...vr.phase, silentSinceMs: atMs, prompt: undefined } });
    case 'claiming':
      return move(vr, backupPhase(atMs), 'overslept');
    default:
      return release(vr, 'overslept', 'backup');
  }
}

// ── adverts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function onAdvert(vr: Vr, advert: HeardAdvert, atMs: number): Step {
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

// ── the log ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function onLog(before: Vr, view: LogView, atMs: number): Step {
  const ownership = view.reachable ? view.ownership : (view.ownership ?? before.log.ownership);
  const changed = ownership !== undefined && ownership.sequence !== before.log.ownership?.sequence;
  const lost = before.logSeen && !view.reachable;
  const vr: Vr = {
    ...before,
    log: { ...view, ownership },
    logSeen: before.logSeen || view.reachable,
    logLostAtMs: lost ? (before.logLostAtMs ?? atMs) : undefined,
    highestTerm: ownership !== undefined && ownership.term > before.highestTerm ? ownership.term : before.highestTerm,
  };
  const phase = vr.phase;
  switch (phase.name) {
    case 'backup':
      return logInBackup(vr, phase, changed ? ownership : undefined, before.log.reachable, atMs);
    case 'claiming':
      if (ownership === undefined || !changed) return still(vr);
      if (isOwn(vr, ownership, phase.term)) return granted(vr, phase);
      if (phase.claim === undefined || ownership.sequence <= phase.claim.expected) return still(vr);
      return ownership.released ? claimAgain(vr, atMs) : move(vr, backupPhase(atMs), 'claim_lost');
    case 'attaching':
    case 'master':
      return logWhileOwner(vr, phase);
    case 'handing':
      return logWhileHanding(vr, phase, atMs);
    default:
      return still(vr);
  }
}

/** The holder's own release overtook our claim: claim again, now expecting the release. */
function claimAgain(vr: Vr, atMs: number): Step {
  const lost = move(vr, backupPhase(atMs), 'claim_lost');
  const again = prompted(lost.vr, backupPhase(atMs), 'master_released', atMs);
  return { vr: again.vr, effects: [...lost.effects, ...again.effects] };
}

function logInBackup(
  vr: Vr,
  phase: PhaseOf<'backup'>,
  news: Ownership | undefined,
  wasReachable: boolean,
  atMs: number,
): Step {
  const heard: PhaseOf<'backup'> = { ...phase, withoutLog: phase.withoutLog && !vr.log.reachable };
  if (news === undefined) return still({ ...vr, phase: heard });
  if (phase.unansweredTerm !== undefined && isOwn(vr, news, phase.unansweredTerm)) {
    return grantedAfterAll(vr, heard, news.term, atMs);
  }
  if (news.handedBy !== undefined && isOwn(vr, news, news.term)) {
    return startAttach(vr, news.term, { kind: 'logged' }, 'handover', news.handedBy);
  }
  if (news.released) {
    // What was released while the log was away says nothing about who is on the LAN now: silence decides.
    const isNews = wasReachable && news.owner !== vr.parameters.node;
    return isNews ? prompted(vr, heard, 'master_released', atMs) : still({ ...vr, phase: heard });
  }
  if (news.owner === vr.parameters.node) return still({ ...vr, phase: heard });
  return still({
    ...vr,
    phase: {
      ...heard,
      silentSinceMs: Math.max(phase.silentSinceMs, atMs),
      prompt: undefined,
      unansweredTerm: undefined,
    },
  });
}

/** The claim that seemed lost was stored: it is used while the master is silent, and given back otherwise. */
function grantedAfterAll(vr: Vr, phase: PhaseOf<'backup'>, grantedTerm: Term, atMs: number): Step {
  if (!heardWithin(vr, atMs)) return startAttach(vr, grantedTerm, { kind: 'logged' }, 'claim_granted');
  const settled: Vr = { ...vr, phase: { ...phase, unansweredTerm: undefined } };
  return { vr: settled, effects: [{ type: 'released', term: grantedTerm, reason: 'claim_lost', resigned: false }] };
}

function logWhileOwner(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Step {
  const ownership = vr.log.ownership;
  if (ownership !== undefined && isOwn(vr, ownership, phase.term)) return still(logged(vr, phase));
  if (vr.parameters.arbitration === 'wire') return confirm(vr, []);
  if (ownership !== undefined && !ownership.released && ownership.owner !== vr.parameters.node) {
    if (ownership.term > phase.term) return release(vr, 'higher_term', 'backup');
    const { standing } = phase;
    const isNews = standing.kind === 'provisional' && standing.expected !== undefined;
    if (isNews && ownership.sequence > standing.expected) return release(vr, 'log_prefers_other', 'backup');
  }
  return confirm(vr, []);
}

function logged(vr: Vr, phase: PhaseOf<'attaching'> | PhaseOf<'master'>): Vr {
  if (phase.standing.kind === 'logged') return vr;
  const standing: Standing = { kind: 'logged' };
  return {
    ...vr,
    phase: phase.name === 'master' ? { ...phase, standing, confirming: undefined } : { ...phase, standing },
  };
}

/** A master whose ownership the log does not have yet claims it, as soon as and as long as the log can be reached. */
function confirm(vr: Vr, effects: readonly Effect[]): Step {
  const phase = vr.phase;
  if (
    phase.name !== 'master' ||
    phase.standing.kind === 'logged' ||
    phase.confirming !== undefined ||
    !vr.log.reachable
  ) {
    return { vr, effects };
  }
  const { vr: counted, claim } = nextClaim(vr);
  const claiming: Effect = { type: 'claim', term: phase.term, claim, reason: vr.lastReason };
  return { vr: { ...counted, phase: { ...phase, confirming: claim } }, effects: [...effects, claiming] };
}

function onClaimAnswer(vr: Vr, input: Extract<Input, { type: 'claimAnswer' }>): Step {
  const phase = vr.phase;
  if (phase.name === 'claiming' && phase.claim?.id === input.claim) {
    return answerInClaiming(vr, phase, input.answer, input.atMs);
  }
  if (phase.name === 'handing' && phase.claim?.id === input.claim) return handoverAnswered(vr, phase, input);
  if (input.answer.kind === 'stored') return storedLate(vr, input.term, input.atMs);
  if (phase.name === 'master' && phase.confirming?.id === input.claim) {
    return still({ ...vr, phase: { ...phase, confirming: undefined } });
  }
  return still(vr);
}

/** The log has a claim that nobody waits for any more: it makes the present ownership sure, or is given back. */
function storedLate(vr: Vr, storedTerm: Term, atMs: number): Step {
  const phase = vr.phase;
  if (phase.name === 'backup' && phase.unansweredTerm === storedTerm) {
    return grantedAfterAll(vr, phase, storedTerm, atMs);
  }
  if ('term' in phase && phase.term === storedTerm) {
    if (phase.name === 'attaching' || phase.name === 'master') return still(logged(vr, phase));
    if (phase.name === 'claiming') return granted(vr, phase);
    return still(vr);
  }
  return { vr, effects: [{ type: 'released', term: storedTerm, reason: 'claim_lost', resigned: false }] };
}

function answerInClaiming(vr: Vr, phase: PhaseOf<'claiming'>, answer: ClaimAnswer, atMs: number): Step {
  switch (answer.kind) {
    case 'stored':
      return granted(vr, phase);
    case 'conflict':
      return move(vr, backupPhase(atMs), 'claim_lost');
    case 'unavailable':
      return claimUnanswered(vr, phase, atMs);
  }
}

function granted(vr: Vr, phase: PhaseOf<'claiming'>): Step {
  const standing: Standing = { kind: 'logged' };
  return phase.saved
    ? startAttach(vr, phase.term, standing, 'claim_granted')
    : still({ ...vr, phase: { ...phase, standing } });
}

function onTermSaved(vr: Vr, savedTerm: Term): Step {
  const phase = vr.phase;
  if (phase.name !== 'claiming' || savedTerm < phase.term) return still(vr);
  if (phase.standing === undefined) return still({ ...vr, phase: { ...phase, saved: true } });
  return startAttach(vr, phase.term, phase.standing, phase.cause);
}
