import { type BootId, type ClaimId, type NodeId, noTerm, type Sequence, type Term } from './identity.js';

/** The newest ownership event of one virtual router, as the log has it. */
export interface Ownership {
  readonly owner: NodeId;
  readonly boot: BootId;
  readonly term: Term;
  /** The claim that made this ownership: its event's id. */
  readonly claim: ClaimId;
  /** Position of the newest event on the virtual router's ownership subject: what a compare-and-set must expect. */
  readonly sequence: Sequence;
  /** The owner has said, after reading back that its addresses are gone, that it no longer owns. */
  readonly released: boolean;
  /** The former owner that gave it away in a handover and lingers until the new one serves; undefined otherwise. */
  readonly handedBy: NodeId | undefined;
}

/** What the log says now, as far as this node can tell. */
export interface LogView {
  readonly reachable: boolean;
  readonly ownership: Ownership | undefined;
  /** This node's place among those that may claim: 0 claims at once, 1 waits one claim step, and so on. */
  readonly place: number;
  /** The best placed other node that runs: who a planned handover goes to. */
  readonly successor: NodeId | undefined;
  /** The highest term that any event speaks of, those taken without the log among them. */
  readonly highestTerm: Term;
  /** The highest term among the ownership events of the log as it is now. */
  readonly highestLoggedTerm: Term;
}

/** What a node knows of a virtual router before the log has said anything. */
export const emptyLogView: LogView = {
  reachable: false,
  ownership: undefined,
  place: 0,
  successor: undefined,
  highestTerm: noTerm,
  highestLoggedTerm: noTerm,
};

export interface Contender {
  readonly node: NodeId;
  readonly priority: number;
}

/**
 * This node's place in the order of claiming: by priority, then by node id, leaving out the last holder, which is the
 * one that is gone. All of it is known from the log, so every node computes the same order.
 */
export function claimPlace(contenders: readonly Contender[], self: Contender, holder: NodeId | undefined): number {
  return contenders.filter((other) => other.node !== self.node && other.node !== holder && isAhead(other, self)).length;
}

/** The best placed of the other nodes; undefined where there is none. */
export function successorOf(contenders: readonly Contender[], self: NodeId): NodeId | undefined {
  const others = contenders.filter(({ node }) => node !== self);
  return others.sort((a, b) => (isAhead(a, b) ? -1 : 1))[0]?.node;
}

export interface RestartedContender extends Contender {
  /** When its dataplane's present run was first heard of; milliseconds since 1970, of one clock for all. */
  readonly runsSinceMs: number;
}

/** Longer than one node of a rolling update takes, with its `minReadySeconds`. */
const updateStepMs = 30 * 60_000;

/**
 * To whom a node that is about to restart hands over, so that a rolling update moves an address once: to the one that
 * restarted last, lately. That one has been updated, if any has; whoever has not would have to hand it on. With nobody
 * updated yet, the best placed.
 *
 * @param preempt whether a better backup asks for it: then only those take part that nobody is better than
 */
export function successorAtRestart(
  contenders: readonly RestartedContender[],
  self: NodeId,
  { preempt, nowMs }: { readonly preempt: boolean; readonly nowMs: number },
): NodeId | undefined {
  const best = successorOf(contenders, self);
  const priority = contenders.find(({ node }) => node === best)?.priority;
  const fresh = contenders.filter(
    (each) => each.node !== self && nowMs - each.runsSinceMs < updateStepMs && (!preempt || each.priority === priority),
  );
  return fresh.sort((a, b) => b.runsSinceMs - a.runsSinceMs || (isAhead(a, b) ? -1 : 1))[0]?.node ?? best;
}

function isAhead(a: Contender, b: Contender): boolean {
  return a.priority === b.priority ? a.node < b.node : a.priority > b.priority;
}
