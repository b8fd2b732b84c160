import type { Logger } from 'pino';
import type { ChallengeVerdict } from '../core/vr-state.js';
import type { ToAgent } from '../ipc/protocol.js';
import type { ObservationPayload } from '../log/event.js';
import type { JetStreamLogs } from '../log/jetstream.js';
import type { PeerAnswer, PeerMessage } from '../log/peer-channel.js';
import type { AppendResult, StoredEvent } from '../log/port.js';
import { realTimers } from '../log/timers.js';
import type { StatusLease } from '../observe/status.js';
import { ChallengeDesk } from './challenge-desk.js';
import type { DataplanePort } from './dataplane-port.js';
import type { FoldedLog } from './folded-log.js';
import { LeaseDesk } from './lease-desk.js';
import { LeaseRevoker } from './lease-revoker.js';
import { LogProof } from './log-proof.js';
import type { OwnNode } from './own-node.js';

export interface LeasesOptions {
  readonly node: Pick<OwnNode, 'name' | 'config' | 'boot' | 'told' | 'router'>;
  readonly logs: Pick<JetStreamLogs, 'leases' | 'names' | 'peers'>;
  readonly events: Pick<FoldedLog, 'reachable'>;
  readonly dataplane: Pick<DataplanePort, 'send' | 'up'>;
  /** Of a challenge that this node makes before it claims. */
  readonly onAsked: (vr: string, claim: string) => void;
  readonly onVerdict: (vr: string, claim: string, verdict: ChallengeVerdict) => void;
  readonly observe: (payload: ObservationPayload) => void;
  readonly onAppend: (result: AppendResult, durationMs: number) => void;
  /** Something was read of the leases. */
  readonly onRead: (stored: StoredEvent) => void;
  readonly log: Logger;
  readonly newEventId: () => string;
  readonly clock: () => { readonly wallMs: number; readonly monotonicMs: number };
}

/** The agent's leases and challenges: what the desks need of it, and what it needs of them. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #desk: LeaseDesk;
  readonly #challenges: ChallengeDesk;
  readonly #proof: LogProof;

  constructor(options: LeasesOptions) {
    this.#options = options;
    const { node, logs, events, dataplane, observe, log, newEventId, clock, onAppend } = options;
    const send: DataplanePort['send'] = (message) => dataplane.send(message);
    this.#desk = new LeaseDesk({
      log: logs.leases,
      names: logs.names,
      node: node.name,
      boot: () => (dataplane.up ? node.boot : undefined),
      settings: () => ({
        ...node.config.lease,
        renews: node.config.virtualRouters.some(({ arbitration }) => arbitration !== 'wire'),
      }),
      newEventId,
      clock,
      timers: realTimers,
      tell: (endsAtMs) => send({ type: 'lease', endsAtMs }),
      onCurrent: () => this.#proof.tell(),
      onAppend,
      onTrouble: (what) => log.error(what),
      onRead: options.onRead,
    });
    this.#proof = new LogProof({
      clock,
      ttlMs: () => node.config.lease.ttlMs,
      leasesSinceMs: () => this.#desk.currentSinceMs,
      send,
    });
    const revoker = new LeaseRevoker({
      log: logs.leases,
      leases: this.#desk,
      cluster: logs.names.cluster,
      node: node.name,
      boot: () => node.boot,
      renewMs: () => node.config.lease.renewMs,
      newEventId,
      clock,
      onAppend,
      onRevoked: (holder, silentMs, revocation) => {
        log.warn({ holder, silentMs }, 'revoked the lease of a node that does not renew it');
        observe({ type: 'leaseEnded', holder, silentMs, revocation });
      },
    });
    this.#challenges = new ChallengeDesk({
      node: node.name,
      arbitrationOf: (vr) => node.router(vr)?.arbitration,
      reachable: () => events.reachable,
      leases: this.#desk,
      revoker,
      peers: logs.peers,
      askDataplane: send,
      isMaster: (vr) => node.told.get(vr)?.state === 'master',
      timers: realTimers,
    });
  }

  start(): void {
    this.#desk.start();
  }

  stop(): void {
    this.#desk.stop();
  }

  dataplaneUp(): void {
    this.#desk.dataplaneUp();
    this.#proof.dataplaneUp();
  }

  /** The event stream can be read to its end, or not. */
  followsEvents(areCurrent: boolean): void {
    this.#proof.events(areCurrent);
  }

  dataplaneGone(): void {
    this.#challenges.dataplaneGone();
  }

  /** The dataplane wants to know of a holder, or answers what another node wanted to know. */
  fromDataplane(message: Extract<ToAgent, { type: 'challenge' | 'challenged' }>): void {
    if (message.type === 'challenged') this.#challenges.reported(message);
    else void this.#challenge(message);
  }

  /** Another node asks whether this one serves. */
  asked(question: Extract<PeerMessage, { type: 'doYouServe' }>): Promise<PeerAnswer> {
    return this.#challenges.asked(question);
  }

  hasJustSpoken(spokeAtMs: number): boolean {
    return this.#desk.hasJustSpoken(spokeAtMs);
  }

  mayRun(node: string, spokeAtMs: number): boolean {
    return this.#desk.mayRun(node, spokeAtMs);
  }

  /** Whether the LAN would carry what this node says if it served; at these addresses is a node that is there. */
  isHeardOnLan(vr: string, lanAddresses: readonly string[]): Promise<boolean> {
    return this.#challenges.isHeardOnLan(vr, lanAddresses);
  }

  report(node: string): StatusLease {
    return this.#desk.report(node);
  }

  /** Until this node's own lease ends; 0 without one. */
  get remainingMs(): number {
    const { state, remainingMs } = this.#desk.report(this.#options.node.name);
    return state === 'held' ? remainingMs : 0;
  }

  /** How long a renewal lasts; 0 where no virtual router asks the log, and none is renewed. */
  get durationMs(): number {
    const { virtualRouters, lease } = this.#options.node.config;
    return virtualRouters.some(({ arbitration }) => arbitration !== 'wire') ? lease.ttlMs : 0;
  }

  /** What is wrong with the lease stream alone, for people. */
  get notice(): string | undefined {
    const { problem } = this.#desk;
    return problem === undefined || !this.#options.events.reachable ? undefined : `leases: ${problem}`;
  }

  async #challenge(message: Extract<ToAgent, { type: 'challenge' }>): Promise<void> {
    const { vr, claim, holder } = message;
    this.#options.onAsked(vr, claim);
    const verdict = await this.#challenges.challenge(message).catch((error: unknown): ChallengeVerdict => {
      this.#options.log.error({ vr, holder, err: error }, 'the holder could not be challenged');
      return { kind: 'unasked' };
    });
    this.#options.onVerdict(vr, claim, verdict);
    this.#options.log.debug({ vr, holder, verdict }, 'challenged the holder');
    this.#options.dataplane.send({ type: 'challengeAnswer', vr, claim, verdict });
  }
}
