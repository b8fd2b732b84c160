import { type BootId, bootId, claimId, type NodeId, nodeId, type Sequence, sequence, term } from '../core/identity.js';
import type { Ownership } from '../core/ownership.js';
import type { ClaimAnswer } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import type { ToAgent } from '../ipc/protocol.js';
import { encodeEvent, eventHash } from '../log/codec.js';
import type { OwnershipEvent } from '../log/event.js';
import type { AppendResult, EventLog } from '../log/port.js';
import { type LogState, ownershipOf } from '../log/projection.js';

type ClaimMessage = Extract<ToAgent, { type: 'claim' }>;
type HandoverMessage = Extract<ToAgent, { type: 'startHandover' }>;

/** A boot numbers the claims of each virtual router; the log knows a repeated event by its id, across all of them. */
const claimEventId = ({ claim, vr }: ClaimMessage | HandoverMessage): string => `${claim}.${vr}`;

const releaseDeadlineMs = 1000;
const busyForMs = 50;

export interface OwnershipDeskOptions {
  readonly log: EventLog;
  readonly cluster: string;
  readonly node: NodeId;
  readonly priorityOf: (vr: string) => number;
  /** What was found out about the holder before this claim; undefined where nobody was asked. */
  readonly holderVerdict?: (vr: string, claim: string, reason: string) => string | undefined;
  /** The log as folded so far. */
  readonly state: () => LogState;
  readonly newEventId: () => string;
  readonly clock: () => { readonly wallMs: number; readonly monotonicMs: number };
  readonly onAppend: (result: AppendResult, durationMs: number) => void;
  /** The log has an event of this node's, which is the newest of the virtual router here before it is read. */
  readonly onWritten?: (vr: string) => void;
  /** Something that is not an answer of the log went wrong; whoever asked is told that it was perhaps stored. */
  readonly onFailed: (what: string, vr: string, error: unknown) => void;
}

/** An ownership event that this node wrote and perhaps has not read back yet. */
interface OwnWrite {
  readonly ownership: Ownership;
  readonly hash: string;
}

export interface ReleaseOrder {
  readonly vr: string;
  readonly term: number;
  readonly reason: string;
  readonly boot: BootId;
}

/** Writes claims and releases, each one compare-and-set on the virtual router's ownership subject. */
export class OwnershipDesk {
  readonly #options: OwnershipDeskOptions;
  readonly #written = new Map<string, OwnWrite>();
  #underWay = 0;
  #lastAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: OwnershipDeskOptions) {
    this.#options = options;
  }

  /** The newest ownership known here: what the log delivered, or what it has acknowledged since. */
  newest(vr: string): Ownership | undefined {
    const read = ownershipOf(this.#options.state(), vr);
    const own = this.#written.get(vr)?.ownership;
    return own !== undefined && (read === undefined || own.sequence > read.sequence) ? own : read;
  }

  /** An ownership event was written or read just now, or is being written: others follow, as a rule, of many in a row. */
  get isBusy(): boolean {
    return this.#underWay > 0 || this.#options.clock().monotonicMs - this.#lastAtMs < busyForMs;
  }

  /** The log has an ownership event, whoever wrote it. */
  saw(): void {
    this.#lastAtMs = this.#options.clock().monotonicMs;
  }

  /** The log is another than the one written to. */
  forget(): void {
    this.#written.clear();
  }

  /** Never rejects. */
  claim(message: ClaimMessage, boot: BootId): Promise<ClaimAnswer> {
    return this.#answered('a claim', message.vr, () => this.#claim(message, boot));
  }

  async #claim(message: ClaimMessage, boot: BootId): Promise<ClaimAnswer> {
    const position = this.#position(message.vr);
    if (position.sequence > message.expected) return { kind: 'conflict' };
    const lagging: ClaimAnswer = { kind: 'unavailable', maybeStored: false };
    if (position.sequence < message.expected) return lagging;
    const holderVerdict = this.#options.holderVerdict?.(message.vr, message.claim, message.reason);
    const event = this.#event(message.vr, message.term, boot, {
      id: claimEventId(message),
      payload: {
        type: 'claimed',
        reason: message.reason,
        priority: this.#options.priorityOf(message.vr),
        lanAddress: message.lanAddress ?? '',
        virtualMac: message.virtualMac,
        ...(holderVerdict === undefined ? {} : { holderVerdict }),
      },
    });
    if (failpoints !== undefined) await failpoints.reached('claim.append');
    const result = await this.#append(event, position.sequence, message.timeoutMs);
    if (failpoints !== undefined) await failpoints.reached('claim.appended');
    return this.#answer(result);
  }

  /** Makes another node the owner, which attaches while this one lingers. Never rejects. */
  startHandover(message: HandoverMessage, boot: BootId): Promise<ClaimAnswer> {
    return this.#answered('a handover', message.vr, () => this.#startHandover(message, boot));
  }

  async #startHandover(message: HandoverMessage, boot: BootId): Promise<ClaimAnswer> {
    const position = this.#position(message.vr);
    if (position.sequence !== message.expected) return { kind: 'conflict' };
    const to = nodeId(message.to);
    const event = this.#event(message.vr, message.term, boot, {
      id: claimEventId(message),
      payload: { type: 'handoverStarted', to, reason: message.reason },
    });
    if (failpoints !== undefined) await failpoints.reached('handover.append');
    const result = await this.#append(event, position.sequence, message.timeoutMs);
    if (failpoints !== undefined) await failpoints.reached('handover.appended');
    return this.#answer(result);
  }

  async #answered(what: string, vr: string, ask: () => Promise<ClaimAnswer>): Promise<ClaimAnswer> {
    try {
      return await ask();
    } catch (error) {
      this.#options.onFailed(what, vr, error);
      return { kind: 'unavailable', maybeStored: true };
    }
  }

  #answer(result: AppendResult): ClaimAnswer {
    if (result.kind === 'stored') return { kind: 'stored', sequence: sequence(result.sequence) };
    return result.kind === 'conflict' ? result : { kind: 'unavailable', maybeStored: result.maybeStored };
  }

  /**
   * Ends an ownership of this node. Nothing is written where the log has no such ownership, or a newer one. False where
   * the log did not answer and the order has to be repeated. Never rejects.
   */
  async release(order: ReleaseOrder): Promise<boolean> {
    try {
      return await this.#release(order);
    } catch (error) {
      this.#options.onFailed('a release', order.vr, error);
      return false;
    }
  }

  async #release(order: ReleaseOrder): Promise<boolean> {
    const held = this.newest(order.vr);
    if (held === undefined || held.released) return true;
    const isOwn = held.owner === this.#options.node && held.boot === order.boot && held.term === order.term;
    if (!isOwn && held.handedBy !== this.#options.node) return true;
    const position = this.#position(order.vr);
    const event = this.#event(order.vr, order.term, order.boot, {
      id: this.#options.newEventId(),
      causeId: held.claim,
      payload: { type: 'released', reason: order.reason, addressesReadBackGone: true },
    });
    if (failpoints !== undefined) await failpoints.reached('release.append');
    const result = await this.#append(event, position.sequence, releaseDeadlineMs);
    if (failpoints !== undefined) await failpoints.reached('release.appended');
    return result.kind !== 'unavailable';
  }

  #position(vr: string): { readonly sequence: Sequence; readonly hash: string | undefined } {
    const read = this.#options.state().virtualRouters.get(vr);
    const own = this.#written.get(vr);
    if (own !== undefined && own.ownership.sequence > (read?.sequence ?? 0)) {
      return { sequence: own.ownership.sequence, hash: own.hash };
    }
    return { sequence: read?.sequence ?? sequence(0), hash: read?.hash };
  }

  async #append(event: OwnershipEvent, expected: number, deadlineMs: number): Promise<AppendResult> {
    const before = this.#options.clock().monotonicMs;
    this.#underWay += 1;
    const result = await this.#options.log
      .append(event, { expect: { lastSubjectSequence: expected }, deadlineMs })
      .finally(() => {
        this.#underWay -= 1;
        this.saw();
      });
    this.#options.onAppend(result, this.#options.clock().monotonicMs - before);
    if (result.kind === 'stored') {
      const ownership = this.#ownershipAfter(event, sequence(result.sequence));
      this.#written.set(event.vr, { hash: eventHash(encodeEvent(event)), ownership });
      this.#options.onWritten?.(event.vr);
    }
    return result;
  }

  /** What the log says once it has this event. */
  #ownershipAfter(event: OwnershipEvent, at: Sequence): Ownership {
    const { payload, node, boot } = event;
    const before = this.newest(event.vr);
    const claimed = { term: event.term, claim: claimId(event.id), sequence: at, released: false, handedBy: undefined };
    switch (payload.type) {
      case 'handoverStarted': {
        const target = this.#options.state().nodes.get(payload.to)?.boot ?? bootId('');
        return { ...claimed, owner: payload.to, boot: target, handedBy: node };
      }
      case 'released':
        // The one that lingered is gone: the new owner stays the owner.
        if (before !== undefined && before.owner !== node) return { ...before, sequence: at, handedBy: undefined };
        return { ...claimed, owner: node, boot, claim: before?.claim ?? claimed.claim, released: true };
      default:
        return { ...claimed, owner: node, boot };
    }
  }

  #event(
    vr: string,
    ownTerm: number,
    boot: BootId,
    what: Pick<OwnershipEvent, 'id' | 'payload'> & { readonly causeId?: string },
  ): OwnershipEvent {
    const { wallMs, monotonicMs } = this.#options.clock();
    const { hash } = this.#position(vr);
    return {
      ...what,
      cluster: this.#options.cluster,
      node: this.#options.node,
      boot,
      vr,
      term: term(ownTerm),
      wallTimeMs: wallMs,
      monotonicMs,
      ...(hash === undefined ? {} : { previousHash: hash }),
    };
  }
}
