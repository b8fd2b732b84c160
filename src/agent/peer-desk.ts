import type { Logger } from 'pino';
import { readyAnswerTimeoutMs } from '../core/handover.js';
import { nodeId } from '../core/identity.js';
import { failpoints } from '../failpoint.js';
import type { ToAgent } from '../ipc/protocol.js';
import type { PeerAnswer, PeerChannel, PeerMessage } from '../log/peer-channel.js';
import type { DataplanePort } from './dataplane-port.js';
import type { FoldedLog } from './folded-log.js';
import type { HandoverDesk } from './handover-desk.js';
import type { LanCheckDesk } from './lan-check-desk.js';
import type { Leases } from './leases.js';
import { addressesOf } from './log-view.js';
import type { OwnNode } from './own-node.js';
import { peerReadiness, unheard } from './peer-readiness.js';

type Request<Type extends ToAgent['type']> = Extract<ToAgent, { type: Type }>;

export interface PeerDeskOptions {
  readonly node: Pick<OwnNode, 'name' | 'told' | 'isDrained'>;
  readonly log: Pick<FoldedLog, 'state'>;
  readonly dataplane: Pick<DataplanePort, 'send' | 'up'>;
  readonly peers: Pick<PeerChannel, 'ask' | 'tell'>;
  readonly handovers: Pick<HandoverDesk, 'answer' | 'progressed'>;
  readonly leases: Pick<Leases, 'asked' | 'isHeardOnLan'>;
  readonly lanChecks: Pick<LanCheckDesk, 'answer'>;
  readonly logger: Pick<Logger, 'warn'>;
}

/** What the nodes ask and tell each other directly, past the log. */
export class PeerDesk {
  readonly #options: PeerDeskOptions;

  constructor(options: PeerDeskOptions) {
    this.#options = options;
  }

  /** The dataplane would hand over, and wants to know whether the other could take it. */
  async askReady({ vr, to, term }: Request<'askReady'>): Promise<void> {
    const { node, peers, handovers, dataplane, logger } = this.#options;
    const question = { type: 'areYouReady', from: node.name, vr, term } as const;
    const answer = await peers.ask(to, question, readyAnswerTimeoutMs);
    if (answer?.ready !== true) logger.warn({ vr, to, reason: answer?.reason ?? 'no answer' }, 'cannot hand over');
    handovers.progressed(vr, answer === undefined ? `${to} does not answer` : answer.reason);
    const ready = { ready: answer?.ready === true, highestTerm: answer?.highestTerm ?? 0 };
    dataplane.send({ type: 'peerReady', vr, from: to, ...ready });
  }

  tellServing({ to, vr, term }: Request<'tellServing'>): void {
    const { node, peers } = this.#options;
    peers.tell(to, { type: 'iServe', from: node.name, vr, term });
  }

  askHandover({ of, vr }: Request<'askHandover'>): void {
    const { node, peers } = this.#options;
    if (!node.isDrained) peers.tell(of, { type: 'handOverToMe', from: node.name, vr });
  }

  /** Another node asks or tells. What it may do here is bounded: a handover needs the log's word as well. */
  answer(message: PeerMessage): PeerAnswer | Promise<PeerAnswer> {
    const { dataplane, handovers, leases, lanChecks } = this.#options;
    const { vr, from } = message;
    switch (message.type) {
      case 'areYouReady':
        return this.#areYouReady(message);
      case 'iServe':
        dataplane.send({ type: 'peerServes', vr, from, term: message.term });
        break;
      case 'handOverToMe':
        dataplane.send({ type: 'handOver', vr, to: from });
        break;
      case 'doYouServe':
        return leases.asked(message);
      case 'doYouHear':
        return lanChecks.answer(vr, from);
      case 'handOver':
        return handovers.answer({ vr, to: message.to ?? undefined, timeoutMs: message.timeoutMs });
    }
    return { ready: true, reason: '' };
  }

  async #areYouReady({ vr, from }: Extract<PeerMessage, { type: 'areYouReady' }>): Promise<PeerAnswer> {
    if (failpoints !== undefined) await failpoints.reached('prepare.asked');
    const now = this.#readiness(vr);
    if (!now.ready) return now;
    const { log, leases } = this.#options;
    const giver = addressesOf(log.state.nodes.get(nodeId(from))?.virtualRouters ?? []);
    const isHeard = await leases.isHeardOnLan(vr, giver);
    return isHeard ? this.#readiness(vr) : { ...this.#readiness(vr), ...unheard };
  }

  #readiness(vr: string): PeerAnswer {
    const { node, dataplane, log } = this.#options;
    const told = dataplane.up ? node.told.get(vr) : undefined;
    return peerReadiness(vr, told, node.isDrained, log.state.virtualRouters.get(vr)?.highestTerm ?? 0);
  }
}
