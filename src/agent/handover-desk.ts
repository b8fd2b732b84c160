import { didYouMean } from '../config/did-you-mean.js';
import { type NodeId, nodeId, noTerm } from '../core/identity.js';
import { type Ownership, successorOf } from '../core/ownership.js';
import { failpoints } from '../failpoint.js';
import type { ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import { KoiError, type KoiErrorCode } from '../koi-error.js';
import type { PeerAnswer, PeerChannel } from '../log/peer-channel.js';
import { contendersFor, type LogState } from '../log/projection.js';
import { sentenceOf, whyNotCandidate } from './node-reason.js';

/** Others may be handed over first. A dataplane that does not even begin within this share of the time will not. */
const beginShare = 0.5;
/** What the answer of another node may take on its way, beyond the handover itself. */
const peerMarginMs = 500;
/** A log that begins anew elects first, and then has to be read. What is left of the time is the handover's. */
const agreeShare = 0.5;
const lookEveryMs = 10;
export const handoverTimeoutMs = 5000;

/** What the desk needs of the agent. */
export interface HandoverPlace {
  readonly node: NodeId;
  readonly state: () => LogState;
  readonly reachable: () => boolean;
  /** What the dataplane said last; undefined without one. */
  readonly told: (vr: string) => VrStateMessage | undefined;
  readonly newest: (vr: string) => Ownership | undefined;
  /** Undefined for a virtual router that is not in this node's configuration. */
  readonly arbitrationOf: (vr: string) => 'wire' | 'log' | 'strict' | undefined;
  readonly ownRouters: () => readonly string[];
  readonly send: (message: ToDataplane) => boolean;
  readonly peers: Pick<PeerChannel, 'ask'>;
  readonly now: () => number;
}

export interface HandoverOrder {
  readonly vr: string;
  /** Undefined: the successor that the log names. */
  readonly to: string | undefined;
  readonly timeoutMs: number;
  /** Who has not taken it lately: the successor is another one, where there is one. */
  readonly passOver?: ReadonlySet<NodeId>;
}

export type HandoverOutcome =
  | {
      readonly kind: 'moved';
      readonly vr: string;
      readonly from: string;
      readonly to: string;
      readonly term: number;
      readonly tookMs: number;
    }
  /** The one that was to take over has it already. */
  | { readonly kind: 'there'; readonly vr: string; readonly to: string; readonly term: number }
  | {
      readonly kind: 'failed';
      readonly vr: string;
      readonly code: KoiErrorCode;
      readonly why: string;
      readonly remedy: string;
      /** Another try, a moment later, may do. */
      readonly mayPass: boolean;
      /** Who was asked to take it, and has not. */
      readonly by?: NodeId;
    };

interface Pending {
  readonly to: NodeId;
  begun: boolean;
  /** What is known of why it will come to nothing. */
  refusal: string | undefined;
  /** With which term the log was asked to name the other; undefined before. */
  handedTerm: number | undefined;
  readonly settle: (outcome: 'left' | 'kept' | { readonly for: string }) => void;
}

/** Hands virtual routers over at the operator's wish, wherever in the cluster they are, and says how that ended. */
export class HandoverDesk {
  readonly #place: HandoverPlace;
  readonly #pending = new Map<string, Pending>();

  constructor(place: HandoverPlace) {
    this.#place = place;
  }

  /**
   * From any node: done here where this node is the master, passed on to the master otherwise. A log that cannot be asked
   * yet is waited for, for half of the time. Never rejects.
   */
  async handOver(asked: HandoverOrder): Promise<HandoverOutcome> {
    const { vr, to } = asked;
    const order = this.#canAgree(vr) ? asked : await this.#untilAgreed(asked);
    const wrong = this.#wrongUse(vr, to);
    if (wrong !== undefined) return wrong;
    if (this.#place.told(vr)?.state === 'master') return this.handOverHere(order);
    if (this.#place.arbitrationOf(vr) === 'wire') return this.#wire(vr);
    if (!this.#place.reachable()) return this.#logAway(vr);
    const holder = this.#place.newest(vr);
    if (holder === undefined || holder.released || holder.owner === this.#place.node) {
      const remedy = 'koi status says why each node is not the master';
      return failed(
        vr,
        'protocol',
        `nobody is the master of ${vr} now, so there is nothing to hand over`,
        remedy,
        true,
      );
    }
    if (holder.owner === to) return { kind: 'there', vr, to, term: holder.term };
    return this.#passOn(order, holder.owner);
  }

  /** Another node's operator asks. */
  async answer(order: HandoverOrder): Promise<PeerAnswer> {
    const outcome = await this.handOverHere(this.#canAgree(order.vr) ? order : await this.#untilAgreed(order));
    switch (outcome.kind) {
      case 'moved': {
        const { to: owner, term, tookMs } = outcome;
        return { ready: true, reason: '', handover: { owner, term, tookMs } };
      }
      case 'there':
        return { ready: true, reason: '', handover: { owner: outcome.to, term: outcome.term, tookMs: 0 } };
      case 'failed':
        return { ready: false, reason: outcome.why.slice(0, 1024) };
    }
  }

  /** On this node, which has to be the master. Never rejects. */
  async handOverHere(order: HandoverOrder): Promise<HandoverOutcome> {
    const { vr } = order;
    const { node } = this.#place;
    const told = this.#place.told(vr);
    if (told?.state !== 'master') {
      const now = told === undefined ? 'its dataplane is not running' : `it is ${told.state} here`;
      return failed(vr, 'protocol', `${node} is not the master of ${vr}: ${now}`, 'ask again', true);
    }
    if (order.to === node) return { kind: 'there', vr, to: node, term: told.term };
    if (this.#place.arbitrationOf(vr) === 'wire') return this.#wire(vr);
    if (!this.#place.reachable()) return this.#logAway(vr);
    if (told.standing !== 'logged') {
      const remedy = 'wait until it is: koi status says so';
      return failed(vr, 'log', `the log does not have ${node}'s ownership of ${vr} yet`, remedy, true);
    }
    if (this.#pending.has(vr)) {
      return failed(vr, 'protocol', `a handover of ${vr} is under way`, 'wait for its end', true);
    }
    const contenders = contendersFor(this.#place.state(), vr);
    const others = contenders.filter((each) => order.passOver?.has(each.node) !== true);
    const successor = successorOf(others, node) ?? successorOf(contenders, node);
    const to = order.to === undefined ? successor : nodeId(order.to);
    if (to === undefined) return this.#nobody(vr);
    const unable = contenders.some((contender) => contender.node === to)
      ? undefined
      : whyNotCandidate(this.#place.state(), to, vr);
    if (unable !== undefined) {
      return failed(vr, 'protocol', `${to} cannot take ${vr} over: ${unable}`, 'name another node with --to', false);
    }
    try {
      return await this.#give(order, to);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#pending.get(vr)?.settle({ for: why });
      return failed(
        vr,
        'internal',
        `the handover of ${vr} to ${to} was begun, its end is not known: ${why}`,
        look,
        true,
      );
    }
  }

  /** The log answers and, where this node is the master, has its ownership; without either no handover can be agreed. */
  #canAgree(vr: string): boolean {
    const { arbitrationOf, reachable, told } = this.#place;
    if (arbitrationOf(vr) === 'wire') return true;
    const here = told(vr);
    return reachable() && (here?.state !== 'master' || here.standing === 'logged');
  }

  /** @returns the order with what is left of its time */
  async #untilAgreed(order: HandoverOrder): Promise<HandoverOrder> {
    const { now } = this.#place;
    const beganMs = now();
    while (!this.#canAgree(order.vr) && now() - beganMs < order.timeoutMs * agreeShare) await pause(lookEveryMs);
    return { ...order, timeoutMs: Math.max(order.timeoutMs * agreeShare, order.timeoutMs - (now() - beganMs)) };
  }

  async #give({ vr, timeoutMs }: HandoverOrder, to: NodeId): Promise<HandoverOutcome> {
    const { node, now } = this.#place;
    const beganMs = now();
    const ended = this.#follow(vr, to, timeoutMs);
    if (!this.#place.send({ type: 'handOver', vr, to })) {
      this.#pending.get(vr)?.settle({ for: 'the dataplane is not connected' });
    }
    if (failpoints !== undefined) await failpoints.reached('handover.sent');
    const end = await ended;
    if (failpoints !== undefined) await failpoints.reached('handover.left');
    const serves = `${node} goes on serving it`;
    if (end.outcome === 'kept') {
      const why = `${to} did not take ${vr} over: ${end.refusal ?? silent(to)}; ${serves}`;
      return { ...failed(vr, 'protocol', why, look, true), by: to };
    }
    if (typeof end.outcome === 'object') return failed(vr, 'timeout', `${vr}: ${end.outcome.for}`, look, true);
    if (!(await this.#isServed(vr, to, beganMs + timeoutMs))) {
      return failed(vr, 'timeout', `${node} let go of ${vr}, and ${to} does not serve it yet`, look, false);
    }
    return { kind: 'moved', vr, from: node, ...this.#ownerAfter(vr, to, end.handedTerm), tookMs: now() - beganMs };
  }

  /** Make-before-break ends when the other serves. Where it breaks first, that is waited for. */
  async #isServed(vr: string, to: NodeId, deadlineMs: number): Promise<boolean> {
    if (this.#place.arbitrationOf(vr) !== 'strict') return true;
    const serves = (): boolean => this.#place.state().virtualRouters.get(vr)?.standings.get(to)?.state === 'master';
    while (!serves() && this.#place.now() < deadlineMs) await pause(lookEveryMs);
    return serves();
  }

  /** What this node has read may still be from before the handover. */
  #ownerAfter(vr: string, to: NodeId, handedTerm: number = noTerm): { readonly to: NodeId; readonly term: number } {
    const held = this.#place.newest(vr);
    if (held === undefined || held.term < handedTerm) return { to, term: handedTerm };
    return { to: held.released || held.owner === this.#place.node ? to : held.owner, term: held.term };
  }

  #follow(
    vr: string,
    to: NodeId,
    timeoutMs: number,
  ): Promise<
    { readonly outcome: 'left' | 'kept' | { readonly for: string } } & Readonly<Pick<Pending, 'refusal' | 'handedTerm'>>
  > {
    return new Promise((resolve) => {
      const pending: Pending = {
        to,
        begun: false,
        refusal: undefined,
        handedTerm: undefined,
        settle: (outcome) => {
          clearTimeout(late);
          clearTimeout(beginning);
          this.#pending.delete(vr);
          resolve({ outcome, refusal: pending.refusal, handedTerm: pending.handedTerm });
        },
      };
      const beginWithinMs = timeoutMs * beginShare;
      const beginning = setTimeout(() => {
        if (!pending.begun) pending.settle({ for: `the dataplane did not begin within ${beginWithinMs} ms` });
      }, beginWithinMs);
      const late = setTimeout(() => {
        pending.settle({ for: `the handover to ${to} has not ended within ${timeoutMs} ms` });
      }, timeoutMs);
      this.#pending.set(vr, pending);
    });
  }

  /** The dataplane says where a virtual router is now. */
  stateChanged({ vr, state, reason }: VrStateMessage): void {
    const pending = this.#pending.get(vr);
    if (pending === undefined) return;
    if (state === 'draining') pending.begun = true;
    else if (state === 'master') {
      if (pending.begun && reason === 'handover_failed') pending.settle('kept');
    } else if (reason === 'handed_over') pending.settle('left');
    else pending.settle({ for: `this node left it for another cause: ${sentenceOf(reason)}` });
  }

  /**
   * What the other node, or the log, said to a handover under way; `problem` undefined where that was a yes.
   * @param handedTerm with which term the log was asked
   */
  progressed(vr: string, problem: string | undefined, handedTerm?: number): void {
    const pending = this.#pending.get(vr);
    if (pending === undefined) return;
    pending.refusal = problem;
    pending.handedTerm = handedTerm ?? pending.handedTerm;
  }

  /** Without a dataplane nothing is handed over any more. */
  dataplaneGone(): void {
    for (const pending of [...this.#pending.values()]) pending.settle({ for: 'the dataplane is gone' });
  }

  async #passOn({ vr, to, timeoutMs }: HandoverOrder, master: NodeId): Promise<HandoverOutcome> {
    const { node, peers, now } = this.#place;
    const beganMs = now();
    const question = { type: 'handOver', from: node, vr, to: to ?? null, timeoutMs } as const;
    const answer = await peers.ask(master, question, timeoutMs + peerMarginMs);
    if (answer === undefined) {
      const why = `${master}, the master of ${vr}, did not answer within ${Math.round(now() - beganMs)} ms`;
      return failed(vr, 'unreachable', why, `see that koi runs there; koi handover ${vr} can be asked there too`, true);
    }
    const { handover } = answer;
    if (!answer.ready || handover === undefined) {
      return failed(vr, 'protocol', answer.reason === '' ? `${master} refused` : answer.reason, look, true);
    }
    return { kind: 'moved', vr, from: master, to: handover.owner, term: handover.term, tookMs: handover.tookMs };
  }

  // ── what is wrong ─────────────────────────────────────────────────────────────────────────────────────────────────

  #wrongUse(vr: string, to: string | undefined): HandoverOutcome | undefined {
    const state = this.#place.state();
    const routers = [...new Set([...this.#place.ownRouters(), ...state.virtualRouters.keys()])];
    if (!routers.includes(vr)) {
      return failed(vr, 'usage', `there is no virtual router '${vr}'`, meant(vr, routers, 'virtual routers'), false);
    }
    if (to === undefined || to === this.#place.node) return undefined;
    const nodes = [...new Set([this.#place.node, ...state.nodes.keys()])];
    if (!nodes.includes(nodeId(to))) {
      return failed(vr, 'usage', `--to: the log knows no node '${to}'`, meant(to, nodes, 'nodes'), false);
    }
    const unable = whyNotCandidate(state, nodeId(to), vr);
    if (unable === undefined) return undefined;
    return failed(vr, 'protocol', `${to} cannot take ${vr} over: ${unable}`, 'name another node with --to', false);
  }

  #nobody(vr: string): HandoverOutcome {
    const state = this.#place.state();
    const each = [...state.nodes.values()]
      .flatMap(({ node }) =>
        node === this.#place.node ? [] : `${node}: ${whyNotCandidate(state, node, vr) ?? 'it could'}`,
      )
      .join('; ');
    const why = each === '' ? 'the log knows no other node' : each;
    return failed(vr, 'protocol', `there is nobody to hand ${vr} over to (${why})`, look, false);
  }

  #wire(vr: string): HandoverOutcome {
    const remedy = 'lower its priority and koi reload, or stop koi on the master: SIGTERM releases it';
    const why = `${vr} has arbitration: wire, so the protocol alone decides, and it knows no handover`;
    return failed(vr, 'protocol', why, remedy, false);
  }

  #logAway(vr: string): HandoverOutcome {
    const remedy = 'see that a NATS server answers at log.servers; koi status says how it stands';
    return failed(vr, 'log', `the log cannot be reached, and a handover of ${vr} is agreed there`, remedy, true);
  }
}

type Failed = Extract<HandoverOutcome, { kind: 'failed' }>;

const look = 'koi status says how each node stands';
const silent = (to: NodeId): string => `${to} did not serve in time`;

function meant(typed: string, known: readonly string[], what: string): string {
  const guess = didYouMean(typed, known);
  return guess === undefined ? `the ${what} are ${known.join(', ') || 'none yet'}` : `did you mean '${guess}'?`;
}

const failed = (vr: string, code: KoiErrorCode, why: string, remedy: string, mayPass: boolean): Failed => ({
  kind: 'failed',
  vr,
  code,
  why,
  remedy,
  mayPass,
});

/** What was asked for, or the error that says why not. @throws KoiError */
export function demandMoved(outcome: HandoverOutcome): Exclude<HandoverOutcome, { kind: 'failed' }> {
  if (outcome.kind !== 'failed') return outcome;
  throw new KoiError(outcome.code, outcome.why, { remedy: outcome.remedy });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
