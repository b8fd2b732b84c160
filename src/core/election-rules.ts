import { carpTicks } from './carp-timers.js';
import { CarpRules } from './election-rules-carp.js';
import { VrrpRules } from './election-rules-vrrp.js';

/** How one virtual router takes part in the election: what the operator asked for, by protocol. */
export type Election = VrrpElection | CarpElection;

export interface VrrpElection {
  readonly protocol: 'vrrp2' | 'vrrp3';
  /** 1 to 254; 255 for the owner of the addresses. */
  readonly priority: number;
  readonly advertIntervalMs: number;
}

/** Which BSD's timers and way of demotion. */
export type CarpFlavor = 'openbsd' | 'freebsd';

export interface CarpElection {
  readonly protocol: 'carp';
  readonly flavor: CarpFlavor;
  /** Seconds, 0 to 254. */
  readonly advbase: number;
  /** 1/256 s, 0 to 254. */
  readonly advskew: number;
  /** 0 while all is well. OpenBSD carries it in the advert, FreeBSD adds it to advskew. */
  readonly demotion: number;
}

/** What an advert says of its sender's place in the election. */
export type Candidacy = VrrpCandidacy | CarpCandidacy;

export interface VrrpCandidacy {
  readonly kind: 'vrrp';
  /** 0: the master stops. */
  readonly priority: number;
  readonly intervalMs: number;
}

export interface CarpCandidacy {
  readonly kind: 'carp';
  readonly advbase: number;
  readonly advskew: number;
  readonly demote: number;
}

/**
 * Another router's candidacy against one's own: it resigns; it is worse, and on its way out whatever preemption says;
 * worse; equal; better.
 */
export type Comparison = 'resigned' | 'failing' | 'worse' | 'tie' | 'better';

/**
 * What the protocols of the LAN do not have in common, for one virtual router. Pure. All durations are milliseconds.
 */
export interface ElectionRules {
  /** How often the master sends. */
  readonly intervalMs: number;
  /** What this router's adverts say. */
  readonly candidacy: Candidacy;
  /** What its last advert says, so that the others need not wait. */
  readonly farewell: Candidacy;
  /** VRRP's owner of the addresses: it starts as master, and preempts whatever the configuration says. */
  readonly isOwner: boolean;
  /** The shortest silence that any peer waits before it counts this router as gone. */
  readonly peerPatienceMs: number;
  /** A better backup waits until the master that it ignores has timed out, or takes over on the spot. */
  readonly preemptsAt: 'timeout' | 'advert';
  /** The interval to count a master's silence in, once an advert of it was heard. */
  masterIntervalMs(heard: Candidacy): number;
  /** How long a master may be silent where the protocol alone decides. */
  masterDownMs(masterIntervalMs: number): number;
  /** How long to wait after a resignation where the protocol alone decides. */
  resignedMs(masterIntervalMs: number): number;
  compare(heard: Candidacy): Comparison;
  /**
   * Whether a master gives way to one with the same candidacy.
   * @param sourceOrder sign of (sender's address − own), compared as unsigned numbers
   */
  yieldsTie(sourceOrder: -1 | 0 | 1): boolean;
}

/** The rules of one virtual router. They are asked for at every advert, so they are kept with what they follow from. */
export function rulesOf(election: Election): ElectionRules {
  const known = rulesKnown.get(election);
  if (known !== undefined) return known;
  const rules = election.protocol === 'carp' ? new CarpRules(election) : new VrrpRules(election);
  rulesKnown.set(election, rules);
  return rules;
}

const rulesKnown = new WeakMap<Election, ElectionRules>();

/**
 * The same election with `loss` taken off this router's standing by what it tracks: from the priority in VRRP, added to
 * the demotion in CARP. A negative loss is a gain. The owner's priority never changes, and nobody becomes the owner.
 */
export function demoted(election: Election, loss: number): Election {
  if (loss === 0) return election;
  if (election.protocol === 'carp') return { ...election, demotion: Math.max(0, election.demotion + loss) };
  if (election.priority === 255) return election;
  return { ...election, priority: Math.min(254, Math.max(1, election.priority - loss)) };
}

/**
 * One number for what the log, metrics and `koi status` compare the nodes of a cluster by: the higher, the better placed.
 * VRRP's priority; for CARP, whose shortest interval wins, 65,280 (the longest one) less the interval in 1/256 s, a
 * demotion of OpenBSD's counting a second each.
 */
export function placeOf(election: Election): number {
  const { candidacy } = rulesOf(election);
  if (candidacy.kind === 'vrrp') return candidacy.priority;
  const { advbase, advskew, demote } = candidacy;
  return Math.max(0, carpTicks(255, 0) - carpTicks(advbase + demote, advskew));
}
