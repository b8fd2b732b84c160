import type { Candidacy, Election } from './election-rules.js';
import type { BootId, ClaimId, NodeId, Sequence, Term } from './identity.js';
import type { LogView } from './ownership.js';
import type { Fault, TransitionReason } from './reasons.js';

/** The states of a virtual router, as the metrics and `koi status` name them. */
export const vrStates = ['init', 'fault', 'backup', 'candidate', 'master', 'draining', 'fenced'] as const;
export type VrStateName = (typeof vrStates)[number];

/** What the operator asked for. All durations are milliseconds. */
export interface VrParameters {
  readonly node: NodeId;
  readonly boot: BootId;
  readonly election: Election;
  readonly preempt: { readonly enabled: boolean; readonly delayMs: number };
  /** No takeover for so long after the start. */
  readonly startDelayMs: number;
  readonly arbitration: 'wire' | 'log' | 'strict';
  /** The advert path is broken, not the master: leave it alone, or take over all the same. */
  readonly onPathSplit: 'hold' | 'take';
  readonly onLogLoss: 'wire' | 'hold' | 'release';
  /** How long a claim may stay unanswered before `onLogLoss` decides. */
  readonly arbitrationTimeoutMs: number;
  /** How long the recorded holder may take to answer a challenge; part of `arbitrationTimeoutMs`. */
  readonly challengeTimeoutMs: number;
  /** How long the log may be away before `onLogLoss: release` lets go. */
  readonly leaseMs: number;
}

/** What the machine needs of an advert that passed every check of the wire. */
export interface HeardAdvert {
  readonly source: string;
  /** Sign of (sender's address − ours), compared as unsigned numbers: it decides between equals. */
  readonly sourceOrder: -1 | 0 | 1;
  readonly candidacy: Candidacy;
  /** The node of this cluster that uses the source address, as the log knows it. */
  readonly node: NodeId | undefined;
}

/** What another master of the cluster says of itself, in an authenticated datagram on the LAN. */
export interface HeardNotice {
  readonly node: NodeId;
  /** Where on the LAN it came from, as its adverts do. */
  readonly source: string;
  /** The term it holds; `noTerm` for none. */
  readonly termHeld: Term;
  /** The log has the term that it holds. */
  readonly logged: boolean;
  /** The highest term that it knows the log to have. */
  readonly highestLoggedTerm: Term;
}

/** What is known of the recorded holder once it was challenged. */
export type ChallengeVerdict =
  /** It may be taken over from. In `strict` only `lease_expired`, which says that the lease was revoked as well. */
  | { readonly kind: 'gone'; readonly why: 'lease_expired' | 'no_answer' | 'not_serving' | 'lan_down' }
  /** It serves, and its LAN works. */
  | { readonly kind: 'serves' }
  /** `strict`: it may still hold, until then at least, by this node's monotonic clock. */
  | { readonly kind: 'leased'; readonly untilMs: number }
  /** It could not be asked: the log, over which challenges go, is away. */
  | { readonly kind: 'unasked' };

/** How sure an ownership is. */
export type Standing =
  /** The log has the claim. */
  | { readonly kind: 'logged' }
  /**
   * Taken without the log's word. `expected` is the position that stood when the takeover was decided, undefined where
   * this node had never seen the log. A claim sent for it carries the same term, so its arrival makes it logged.
   */
  | { readonly kind: 'provisional'; readonly expected: Sequence | undefined };

/** A claim that was sent, pinned to what stood in the log when the decision to claim was taken. */
export interface PendingClaim {
  readonly id: ClaimId;
  readonly expected: Sequence;
}

/** The recorded holder was asked whether it serves; this is the claim that follows where it does not. */
export interface Challenge {
  readonly claim: PendingClaim;
  readonly holder: NodeId;
  readonly cause: TakeoverCause;
  readonly decidedAtMs: number;
  /** When it counts as unanswered. */
  readonly dueAtMs: number;
  /** Whether the LAN carries what this node says, by its own look; undefined until it has looked. */
  readonly ownLook: boolean | undefined;
  /** What is known of the holder, where that has to wait for the own look. */
  readonly said: ChallengeVerdict | undefined;
}

/** Another master that this one hears, until one of the two has given way. */
export interface Contest {
  /** Undefined where neither the log nor a notice has said yet that the address is one of the cluster's. */
  readonly peer: NodeId | undefined;
  readonly source: string;
  readonly sinceMs: number;
  readonly heardAtMs: number;
  /** When it was last told what this node holds. */
  readonly answeredAtMs: number;
  /** Its newest advert; undefined where only a notice came so far. */
  readonly advert: HeardAdvert | undefined;
  /** What its newest notice made of it: it has to give way, or neither has the log's word and the LAN's rule decides. */
  readonly notice: 'none' | 'ours' | 'undecided';
}

/** What made a backup decide that it should take over. */
export type TakeoverCause = Extract<
  TransitionReason,
  | 'owner'
  | 'master_silent'
  | 'master_released'
  | 'master_resigned'
  | 'master_demoted'
  | 'preempting'
  | 'handover'
  | 'group_takes'
  | 'advert_path_lost'
>;

/** Why nobody waits for the master's silence. `by`: the node of this cluster that resigned. */
export interface Prompt {
  readonly atMs: number;
  readonly cause: TakeoverCause;
  readonly by?: NodeId | undefined;
}

export type Phase =
  | { readonly name: 'init'; readonly stopped: boolean }
  | { readonly name: 'fault'; readonly reason: Fault }
  | {
      readonly name: 'backup';
      readonly sinceMs: number;
      /** The silence of the master counts from here: its last advert, its claim, or the start of listening. */
      readonly silentSinceMs: number;
      /** The master is known to be gone: nobody waits for its silence. */
      readonly prompt: Prompt | undefined;
      /** The log was asked and did not answer: until it changes its mind the protocol's own rules apply. */
      readonly withoutLog: boolean;
      /** The term of a claim whose fate is unknown: a takeover without the log keeps it. */
      readonly unansweredTerm: Term | undefined;
      /** When a worse placed master was last asked to hand over. */
      readonly askedAtMs: number;
      readonly challenge: Challenge | undefined;
      /** The holder is known to serve, or to be entitled to, and is not asked again before. */
      readonly notBeforeMs: number;
    }
  | {
      readonly name: 'claiming';
      readonly cause: TakeoverCause;
      readonly term: Term;
      /** The claim under way; undefined where the takeover goes without the log. */
      readonly claim: PendingClaim | undefined;
      /** The first of the claims before it that nobody has answered: any of them may be in the log yet. */
      readonly unansweredTerm: Term | undefined;
      /** Set once it is known on what the ownership will rest. */
      readonly standing: Standing | undefined;
      /** The term is on disk. */
      readonly saved: boolean;
      readonly dueAtMs: number;
    }
  | {
      readonly name: 'attaching';
      readonly term: Term;
      readonly standing: Standing;
      /** Who lingers until this node serves, in a handover. */
      readonly handedBy: NodeId | undefined;
    }
  | {
      readonly name: 'master';
      readonly term: Term;
      readonly standing: Standing;
      readonly advertAtMs: number;
      /** The claim that would turn a provisional ownership into a logged one, while it is under way. */
      readonly confirming: PendingClaim | undefined;
      /** The log is back and names another: it is asked before it is claimed over. */
      readonly challenge: Challenge | undefined;
      readonly contests: readonly Contest[];
      /** Who handed it over, and lingers: what it says until it has heard that this node serves contests nothing. */
      readonly giver?: { readonly node: NodeId; readonly untilMs: number };
    }
  /**
   * A planned handover, make-before-break: this node serves on, with its adverts, until the other one serves. The log
   * is asked between the two: once it has `HandoverStarted`, the other node is the owner and this one only lingers. It is
   * hushed once it knows that the other one serves: where the virtual MAC is, that one shows now, alone. Not before: whoever
   * asks for an address meanwhile would be answered by nobody, for as long as the other one takes to attach.
   */
  | {
      readonly name: 'handing';
      readonly term: Term;
      readonly standing: Standing;
      readonly to: NodeId;
      readonly handedTerm: Term;
      /** `late`: it had been given up when the log turned out to have it. */
      readonly stage: 'asking' | 'starting' | 'started' | 'late';
      readonly claim: PendingClaim | undefined;
      readonly advertAtMs: number;
      /** When the present stage is given up. */
      readonly dueAtMs: number;
      /** Of the other node: it has said so, and what shows it on the LAN is still awaited; it was seen there. */
      readonly serving: 'unknown' | 'told' | 'shown';
      /** Where the log has acknowledged the handover, which it may deliver later. */
      readonly handedAt?: Sequence;
      /** This node stops once the other serves. Where the handover fails it stays the master all the same. */
      readonly stops: boolean;
    }
  | {
      readonly name: 'releasing';
      readonly term: Term;
      readonly standing: Standing;
      readonly reason: TransitionReason;
      /** Where to go when the addresses are off. */
      readonly next: 'backup' | 'init' | Fault;
      /** `strict`: who gets it once the addresses are off. */
      readonly giveTo?: NodeId;
    }
  /** `strict` breaks before it makes: the addresses are off, and the log is told who takes them. */
  | {
      readonly name: 'giving';
      readonly term: Term;
      readonly standing: Standing;
      readonly to: NodeId;
      readonly handedTerm: Term;
      readonly claim: PendingClaim;
      readonly dueAtMs: number;
      readonly next: 'backup' | 'init' | Fault;
    };

/** One virtual router: parameters, what it knows, and the phase it is in. Immutable. */
export interface Vr {
  readonly parameters: VrParameters;
  readonly phase: Phase;
  /** The highest term this node has heard of, from disk, from the log or by its own claims. */
  readonly highestTerm: Term;
  readonly log: LogView;
  /** Since when the log has been unreachable; undefined while it answers, and before it first did. */
  readonly logLostAtMs: number | undefined;
  /** This node has seen the log at least once, so the positions it knows mean something. */
  readonly logSeen: boolean;
  /** The interval of the master last heard, which a backup adopts (RFC 9568 §6.4.2). */
  readonly masterIntervalMs: number;
  readonly lastAdvertAtMs: number | undefined;
  /** Whose advert that was; undefined: of nobody that the log knows. */
  readonly lastAdvertBy: NodeId | undefined;
  /** How many claims this boot has made: with the boot id it names the next one. */
  readonly claims: number;
  /** The highest logged term that other masters have told of on the LAN since the log last spoke. */
  readonly heardLoggedTerm: Term;
  /** `strict`: until when this node may hold; undefined without a lease. */
  readonly leaseEndsAtMs: number | undefined;
  /** `strict`: from when on it proves something that the log says nothing of a holder; undefined: not as things are. */
  readonly provenFromMs: number | undefined;
  /** The claim of the holder whose adverts this node has heard: of any other it cannot say that they were lost. */
  readonly heardClaim: ClaimId | undefined;
  /** The node that serves although its adverts do not come through, and since when they have not. */
  readonly pathLost: { readonly peer: NodeId; readonly sinceMs: number } | undefined;
  /** Another master that this one hears while it serves, and when that one counts as silent. */
  readonly rival: { readonly name: string; readonly sinceMs: number; readonly silentAtMs: number } | undefined;
  /** The operator has taken this node out of service: it takes nothing over. */
  readonly drained: boolean;
  /** No takeover before this time: the penalty after a failed attach or interference. */
  readonly holdOffUntilMs: number;
  /** No takeover on the master's silence before this time: the others of the sync group still hear theirs. */
  readonly heldUntilMs: number;
  /** No claim before this time, whoever has gone: the log has others' claims to answer first. */
  readonly turnAtMs: number;
  readonly lastReason: TransitionReason;
}

/** Everything that can happen to a virtual router. `atMs` is the monotonic clock, passed in. */
export type Input = { readonly atMs: number } & (
  | { readonly type: 'parent'; readonly fault: Fault | undefined }
  /**
   * `heldUntilMs`: until when the others of its sync group hear a live master. `turnAtMs`, here and below: when it is its
   * turn to ask the log.
   */
  | { readonly type: 'tick'; readonly heldUntilMs?: number; readonly turnAtMs?: number }
  /** What the operator asks for, or what is left of it by what is tracked, is another. */
  | { readonly type: 'parameters'; readonly parameters: VrParameters }
  /** `strict`: until when this node may hold, less the margin, by its monotonic clock; undefined without a lease. */
  | { readonly type: 'ownLease'; readonly endsAtMs: number | undefined }
  /** `strict`: from when on this node has followed the log without a break for as long as a lease lasts. */
  | { readonly type: 'proof'; readonly fromMs: number | undefined }
  | { readonly type: 'challengeAnswer'; readonly claim: ClaimId; readonly verdict: ChallengeVerdict }
  /** Whether the LAN carries what this node says, as far as it has found out while it challenged the holder. */
  | { readonly type: 'ownLook'; readonly claim: ClaimId; readonly carries: boolean }
  /** A frame that a challenged holder sent to this node alone has come over the LAN. */
  | { readonly type: 'holderProbe'; readonly from: NodeId }
  | { readonly type: 'notice'; readonly notice: HeardNotice }
  /**
   * The operator takes this node out of service, or back. A drained node takes nothing over; what it holds is handed over
   * by `handOver`, or with `force` released at once.
   */
  | { readonly type: 'drain'; readonly drained: boolean; readonly force: boolean }
  /** Another virtual router of its sync group moved. `holdOff`: since it could not serve. */
  | { readonly type: 'group'; readonly move: 'take' | 'leave'; readonly holdOff: boolean }
  | { readonly type: 'advert'; readonly advert: HeardAdvert; readonly turnAtMs?: number }
  | { readonly type: 'log'; readonly view: LogView; readonly turnAtMs?: number }
  | { readonly type: 'claimAnswer'; readonly claim: ClaimId; readonly term: Term; readonly answer: ClaimAnswer }
  | { readonly type: 'termSaved'; readonly term: Term }
  | { readonly type: 'attached' }
  | { readonly type: 'attachFailed' }
  | { readonly type: 'detached' }
  | { readonly type: 'overslept' }
  | { readonly type: 'interference' }
  /** Give the mastership to `to`, or to the successor that the log names. */
  | { readonly type: 'handOver'; readonly to: NodeId | undefined; readonly stops: boolean }
  /** The other node's answer: it could attach now, or not. `highestTerm`: what it has used or heard of. */
  | { readonly type: 'peerReady'; readonly from: NodeId; readonly ready: boolean; readonly highestTerm?: Term }
  /** The other node says that it is attached and announced. */
  | { readonly type: 'peerServes'; readonly from: NodeId; readonly term: Term }
  | { readonly type: 'shutdown' }
);

export type ClaimAnswer =
  | { readonly kind: 'stored'; readonly sequence: Sequence }
  | { readonly kind: 'conflict' }
  /** `maybeStored`: the log may have the claim although it did not say so. */
  | { readonly kind: 'unavailable'; readonly maybeStored: boolean };

/** What the machine wants done, in order. */
export type Effect =
  | { readonly type: 'advert'; readonly candidacy: Candidacy }
  | { readonly type: 'saveTerm'; readonly term: Term }
  | { readonly type: 'claim'; readonly term: Term; readonly claim: PendingClaim; readonly reason: TransitionReason }
  | { readonly type: 'attach'; readonly term: Term }
  /**
   * Ask the recorded holder whether it serves, and in mode `log` look whether the LAN carries what this node says: the answers
   * are `challengeAnswer` and `ownLook`, which name the claim to follow.
   */
  | { readonly type: 'challenge'; readonly claim: PendingClaim; readonly holder: NodeId; readonly term: Term }
  /** Tell the other masters of the cluster on the LAN what this one holds. */
  | { readonly type: 'notice'; readonly termHeld: Term; readonly logged: boolean; readonly highestLoggedTerm: Term }
  /** The adverts of a peer that serves do not come through, or do again. */
  | { readonly type: 'advertPath'; readonly peer: NodeId; readonly lost: boolean; readonly durationMs: number }
  /** Another master is heard while this one serves, or no more. `rival`: its node, or its address. */
  | { readonly type: 'splitBrain'; readonly rival: string; readonly began: boolean; readonly durationMs: number }
  /** Ask another node whether it could take over; the answer is `peerReady`. */
  | { readonly type: 'askReady'; readonly to: NodeId; readonly term: Term }
  /** Append `HandoverStarted` with this expectation; the answer is a `claimAnswer`. */
  | { readonly type: 'startHandover'; readonly to: NodeId; readonly term: Term; readonly claim: PendingClaim }
  /** Tell the node that lingers that this one serves. */
  | { readonly type: 'tellServing'; readonly to: NodeId; readonly term: Term }
  /** Ask the master, a node of this cluster that is worse placed, to hand over: as soon as the LAN is seen to carry what this node says. */
  | { readonly type: 'askHandover'; readonly of: NodeId }
  | { readonly type: 'announce' }
  /**
   * Hushed, this node answers no more for the addresses and sends no frame from the virtual MAC, so that no switch looks
   * for it here; what is sent to it still arrives, and is served. Ends with `detach` at the latest.
   */
  | { readonly type: 'hush'; readonly hushed: boolean }
  /** Take the addresses off, read back that they are gone, answer `detached`; the link is made anew afterwards. */
  | { readonly type: 'detach' }
  /**
   * Say in the log that this ownership has ended; dropped where the log has a newer one. `resigned`: the LAN was told,
   * and whoever heard it claims over the ownership that stands, so the log is told only if nobody did.
   */
  | { readonly type: 'released'; readonly term: Term; readonly reason: TransitionReason; readonly resigned: boolean }
  | {
      readonly type: 'transition';
      readonly from: VrStateName;
      readonly to: VrStateName;
      readonly reason: TransitionReason;
      readonly term: Term;
      readonly standing: 'logged' | 'provisional' | undefined;
    };

export interface Step {
  readonly vr: Vr;
  readonly effects: readonly Effect[];
}

/** The phase in the words of the contract. */
export function stateName(phase: Phase): VrStateName {
  switch (phase.name) {
    case 'claiming':
    case 'attaching':
      return 'candidate';
    case 'releasing':
      return phase.reason === 'overslept' || phase.reason === 'lease_lost' ? 'fenced' : 'draining';
    case 'handing':
    case 'giving':
      return 'draining';
    default:
      return phase.name;
  }
}
