import { peerShows } from './handover.js';
import { higherTerm, type NodeId, noTerm, type Term } from './identity.js';
import { isBetter, resigns } from './rivals.js';
import { isStrict } from './strict.js';
import type { Contest, Effect, HeardAdvert, HeardNotice, Step, Vr } from './vr-state.js';
import { isOwn, type PhaseOf, release, rules, still } from './vr-step.js';
import { silentAdverts } from './vrrp-timers.js';

/*
 * Two masters of one cluster that hear each other. Not the priority decides but the notice: each tells the other which
 * term it holds, whether the log has it, and the highest term that it knows the log to have. Whose logged term is below
 * that one gives way, and who has no logged term gives way to who has. Between two without the log's word, and between
 * two that cannot tell each other, the LAN's rule decides, the second after a while: nobody keeps answering for ever.
 *
 * A master whose address the log does not have may be a node that the log has not heard of yet. It is told the same, and
 * whoever has the log's word waits for its notice before the LAN's rule decides.
 */

/** Two masters of one cluster answer each other's adverts at most this often. */
export const answerLimitMs = 100;
/** A notice comes along with an advert. One that has not come by then will not: no key, or a peer that knows none. */
export const noticeWaitMs = 50;
/** Anybody can make up addresses: the oldest are forgotten. */
const contestsMax = 16;
/** The LAN's rule applies after this long even to who is named by the log, where the other never says what it holds. */
export const standoffMs = 3000;

/** The highest term that this node knows the log to have. */
export function highestLoggedTerm(vr: Vr): Term {
  const { log, phase, heardLoggedTerm } = vr;
  const own = 'standing' in phase && phase.standing?.kind === 'logged' ? phase.term : noTerm;
  const known = higherTerm(log.highestLoggedTerm, log.ownership?.term ?? noTerm);
  return higherTerm(higherTerm(known, heardLoggedTerm), own);
}

/** Another master of the cluster is heard. */
export function contested(vr: Vr, phase: PhaseOf<'master'>, advert: HeardAdvert, peer: NodeId, atMs: number): Step {
  if (resigns(vr, advert)) return resigned(vr, phase, advert, peer, atMs);
  const { source } = advert;
  const before = contestWith(vr, phase, { peer, source }, atMs);
  const contest: Contest = { ...before, peer, source, advert, heardAtMs: atMs };
  if (isLost(vr, phase, contest, atMs)) return yieldTo(vr, advert, atMs);
  if (atMs < contest.answeredAtMs + answerLimitMs) return still(withContest(vr, phase, contest));
  const told = { ...contest, answeredAtMs: atMs };
  return answer(vr, phase, told, [noticeOf(vr, phase), { type: 'announce' }], atMs);
}

/**
 * A master is heard of which nobody knows whether it is of the cluster. A worse one is answered each time, as the protocol
 * wants it; a better one is obeyed, by whoever has the log's word only once it has had the time to say what it holds.
 */
export function contestedByStranger(vr: Vr, phase: PhaseOf<'master'>, advert: HeardAdvert, atMs: number): Step {
  if (resigns(vr, advert)) return resigned(vr, phase, advert, undefined, atMs);
  const { source } = advert;
  const before = contestWith(vr, phase, { peer: undefined, source }, atMs);
  const contest: Contest = { ...before, advert, heardAtMs: atMs };
  if (isLost(vr, phase, contest, atMs)) return yieldTo(vr, advert, atMs);
  const isDue = atMs >= contest.answeredAtMs + answerLimitMs;
  if (isBetter(vr, advert)) {
    if (!isDue) return still(withContest(vr, phase, contest));
    return answer(vr, phase, { ...contest, answeredAtMs: atMs }, [noticeOf(vr, phase)], atMs);
  }
  const told = isDue ? { ...contest, answeredAtMs: atMs } : contest;
  return answer(vr, phase, told, [...(isDue ? [noticeOf(vr, phase)] : []), { type: 'announce' }], atMs);
}

/** The node that has said by a notice that it uses this address. */
export const peerAt = ({ contests }: PhaseOf<'master'>, source: string): NodeId | undefined =>
  contests.find((contest) => contest.source === source)?.peer;

function resigned(
  vr: Vr,
  phase: PhaseOf<'master'>,
  { source }: HeardAdvert,
  peer: NodeId | undefined,
  atMs: number,
): Step {
  const { intervalMs, candidacy } = rules(vr);
  const over = phase.contests.filter((contest) => !isWith(contest, { peer, source }));
  const answered = { ...phase, contests: over, advertAtMs: atMs + intervalMs };
  return { vr: { ...vr, phase: answered }, effects: [{ type: 'advert', candidacy }] };
}

function answer(vr: Vr, phase: PhaseOf<'master'>, contest: Contest, more: readonly Effect[], atMs: number): Step {
  const { intervalMs, candidacy } = rules(vr);
  const answered: PhaseOf<'master'> = { ...phase, advertAtMs: atMs + intervalMs };
  return { vr: withContest(vr, answered, contest), effects: [{ type: 'advert', candidacy }, ...more] };
}

const noticeOf = (vr: Vr, { term, standing }: PhaseOf<'master'> | PhaseOf<'handing'>): Effect => ({
  type: 'notice',
  termHeld: term,
  logged: standing.kind === 'logged',
  highestLoggedTerm: highestLoggedTerm(vr),
});

export function onNotice(before: Vr, notice: HeardNotice, atMs: number): Step {
  const { node, arbitration } = before.parameters;
  if (arbitration === 'wire' || notice.node === node) return still(before);
  const told = higherTerm(notice.highestLoggedTerm, notice.logged ? notice.termHeld : noTerm);
  const vr: Vr = {
    ...before,
    heardLoggedTerm: higherTerm(before.heardLoggedTerm, told),
    highestTerm: higherTerm(higherTerm(before.highestTerm, notice.termHeld), told),
  };
  const { phase } = vr;
  switch (phase.name) {
    case 'attaching':
      return judge(vr, phase, notice) === 'theirs' ? giveWay(vr, phase) : still(vr);
    case 'master':
      return noticeInMaster(vr, phase, notice, atMs);
    case 'handing':
      return noticeInHanding(vr, phase, notice, atMs);
    default:
      return still(vr);
  }
}

function noticeInMaster(vr: Vr, phase: PhaseOf<'master'>, notice: HeardNotice, atMs: number): Step {
  const judgement = judge(vr, phase, notice);
  if (judgement === 'theirs') return giveWay(vr, phase);
  const { node: peer, source } = notice;
  const before = contestWith(vr, phase, { peer, source }, atMs);
  if (judgement === 'undecided' && isDeaf(before, atMs)) return release(vr, 'better_advert', 'backup');
  const contest: Contest = { ...before, peer, heardAtMs: atMs, notice: judgement };
  if (contest.advert !== undefined && isLost(vr, phase, contest, atMs)) return yieldTo(vr, contest.advert, atMs);
  if (judgement === 'undecided' || atMs < contest.answeredAtMs + answerLimitMs) {
    return still(withContest(vr, phase, contest));
  }
  // Its adverts may not be heard here, and what is to depose it may be known to nobody else on the LAN.
  return { vr: withContest(vr, phase, { ...contest, answeredAtMs: atMs }), effects: [noticeOf(vr, phase)] };
}

/**
 * The other one hears this node's adverts and stays, again, and none of its own can be taken here: it has another
 * configuration. Whoever hears is to judge, and whoever does not gives way.
 */
const isDeaf = ({ advert, notice, sinceMs }: Contest, atMs: number): boolean =>
  advert === undefined && notice === 'undecided' && atMs >= sinceMs + noticeWaitMs;

/** Who lingers in a handover holds a term below that of the node it waits for, and knows it; who is below both is told. */
function noticeInHanding(vr: Vr, phase: PhaseOf<'handing'>, notice: HeardNotice, atMs: number): Step {
  const isHanded = phase.stage !== 'asking' && notice.node === phase.to && notice.termHeld === phase.handedTerm;
  if (isHanded) return peerShows(vr, phase.to, phase.handedTerm, atMs);
  const ownTerm = phase.stage === 'asking' ? phase.term : phase.handedTerm;
  const highest = highestLoggedTerm(vr);
  if (phase.standing.kind !== 'logged') return still(vr);
  if (highest > ownTerm) return release(vr, 'higher_term', phase.stops ? 'init' : 'backup');
  const isBelow = !notice.logged || notice.termHeld < highest;
  return isBelow ? { vr, effects: [noticeOf(vr, phase)] } : still(vr);
}

function judge(
  vr: Vr,
  { standing, term }: PhaseOf<'attaching'> | PhaseOf<'master'>,
  { logged, termHeld }: HeardNotice,
): 'ours' | 'theirs' | 'undecided' {
  const highest = highestLoggedTerm(vr);
  if (standing.kind === 'logged') {
    if (term < highest) return 'theirs';
    // Only a log that lost its end gives one term twice.
    return logged && termHeld === term ? 'undecided' : 'ours';
  }
  if (!logged) return 'undecided';
  return termHeld >= highest ? 'theirs' : 'ours';
}

function giveWay(vr: Vr, { standing }: PhaseOf<'attaching'> | PhaseOf<'master'>): Step {
  return release(vr, standing.kind === 'logged' ? 'higher_term' : 'log_prefers_other', 'backup');
}

/** The LAN's rule, where the notices leave it to that. */
function isLost(vr: Vr, phase: PhaseOf<'master'>, contest: Contest, atMs: number): boolean {
  if (contest.advert === undefined || contest.notice === 'ours' || !isBetter(vr, contest.advert)) return false;
  if (contest.notice === 'undecided') return true;
  if (contest.peer === undefined) return phase.standing.kind !== 'logged' || atMs >= contest.sinceMs + noticeWaitMs;
  // A lease that is valid needs no leave of the LAN.
  if (isStrict(vr)) return false;
  return atMs >= contest.sinceMs + (isNamed(vr, phase) || isGivers(phase, contest) ? standoffMs : noticeWaitMs);
}

/**
 * Who lingers in a handover says no notice: it serves until it has heard that this node does. Its last adverts may come
 * when the log is away, or names an earlier boot of this node; whoever gave way to them would leave the address to nobody.
 */
const isGivers = ({ giver }: PhaseOf<'master'>, { peer, sinceMs }: Contest): boolean =>
  giver !== undefined && peer === giver.node && sinceMs < giver.untilMs;

/** The log is reachable and names this node: a master of the same cluster that does not know it yet will, by the log. */
export function isNamed({ log, ...vr }: Vr, { standing, term }: PhaseOf<'attaching'> | PhaseOf<'master'>): boolean {
  if (!log.reachable || standing.kind !== 'logged' || log.ownership === undefined) return false;
  return isOwn({ ...vr, log }, log.ownership, term);
}

/** When the LAN's rule is to decide without another advert; infinity while there is nothing to decide. */
export function contestsDueMs(vr: Vr, phase: PhaseOf<'master'>): number {
  const waiting = phase.contests.filter(
    ({ advert, notice }) => advert !== undefined && notice === 'none' && isBetter(vr, advert),
  );
  const isEntitled = isStrict(vr) || isNamed(vr, phase);
  const decided = waiting.filter((contest) => contest.peer === undefined || (!isEntitled && !isGivers(phase, contest)));
  return Math.min(Number.POSITIVE_INFINITY, ...decided.map(({ sinceMs }) => sinceMs + noticeWaitMs));
}

/** Decides what is due, and forgets the peers that are no longer heard. */
export function contestsOverdue(vr: Vr, phase: PhaseOf<'master'>, atMs: number): Step {
  const contests = phase.contests.filter((contest) => isOn(vr, contest, atMs));
  const current: PhaseOf<'master'> = { ...phase, contests };
  const lost = contests.find((contest) => isLost(vr, current, contest, atMs));
  if (lost?.advert === undefined) return still({ ...vr, phase: current });
  return yieldTo({ ...vr, phase: current }, lost.advert, atMs);
}

export function yieldTo(vr: Vr, { candidacy, node }: HeardAdvert, atMs: number): Step {
  const masterIntervalMs = rules(vr).masterIntervalMs(candidacy);
  return release({ ...vr, masterIntervalMs, lastAdvertAtMs: atMs, lastAdvertBy: node }, 'better_advert', 'backup');
}

/** A peer that has been silent for so long that it may start over. */
function isOn(vr: Vr, { advert, heardAtMs }: Contest, atMs: number): boolean {
  const intervalMs = advert === undefined ? rules(vr).intervalMs : rules(vr).masterIntervalMs(advert.candidacy);
  return atMs < heardAtMs + silentAdverts * intervalMs + answerLimitMs;
}

type Rival = Pick<Contest, 'peer' | 'source'>;

/** By its name; by its address where that is all that is known of one of the two. */
const isWith = (contest: Rival, { peer, source }: Rival): boolean =>
  contest.peer === undefined || peer === undefined ? contest.source === source : contest.peer === peer;

function contestWith(vr: Vr, phase: PhaseOf<'master'>, rival: Rival, atMs: number): Contest {
  const known = phase.contests.find((contest) => isWith(contest, rival));
  if (known !== undefined && isOn(vr, known, atMs)) return known;
  const answeredAtMs = known?.answeredAtMs ?? Number.NEGATIVE_INFINITY;
  return { ...rival, sinceMs: atMs, heardAtMs: atMs, answeredAtMs, advert: undefined, notice: 'none' };
}

function withContest(vr: Vr, phase: PhaseOf<'master'>, contest: Contest): Vr {
  const others = phase.contests.filter((other) => !isWith(other, contest));
  return { ...vr, phase: { ...phase, contests: [...others.slice(1 - contestsMax), contest] } };
}
