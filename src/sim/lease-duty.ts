import { ChallengeDesk } from '../agent/challenge-desk.js';
import { LeaseDesk } from '../agent/lease-desk.js';
import { LeaseRevoker } from '../agent/lease-revoker.js';
import { LogProof } from '../agent/log-proof.js';
import { type BootId, nodeId } from '../core/identity.js';
import type { ToAgent, ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import type { ObservationPayload } from '../log/event.js';
import type { PeerAnswer, PeerChannel, PeerMessage } from '../log/peer-channel.js';
import type { EventLog, StoredEvent } from '../log/port.js';
import type { LogTimers } from '../log/timers.js';
import { clusterName, type World } from './world.js';

export interface LeaseDutyOptions {
  readonly world: World;
  readonly node: string;
  readonly log: EventLog;
  readonly peers: PeerChannel;
  /** Undefined while there is no dataplane. */
  readonly boot: () => BootId | undefined;
  readonly reachable: () => boolean;
  readonly send: (message: ToDataplane) => boolean;
  readonly told: (vr: string) => VrStateMessage | undefined;
  readonly onRead: (stored: StoredEvent) => void;
  readonly observe: (payload: ObservationPayload) => void;
  readonly newEventId: () => string;
  readonly clock: () => { readonly wallMs: number; readonly monotonicMs: number };
  readonly timers: LogTimers;
}

/** The agent's desks for leases and challenges, wired as the agent wires them. */
export class LeaseDuty {
  readonly #options: LeaseDutyOptions;
  readonly #desk: LeaseDesk;
  readonly #challenges: ChallengeDesk;
  readonly #proof: LogProof;

  constructor(options: LeaseDutyOptions) {
    const { world, log, boot, clock, newEventId, timers, send } = options;
    const { names, lease, rules } = world;
    const node = nodeId(options.node);
    const arbitrationOf = (vr: string) => world.routers.find(({ name }) => name === vr)?.arbitration;
    this.#options = options;
    this.#desk = new LeaseDesk({
      log,
      names,
      node,
      boot,
      settings: () => ({ ...lease, renews: world.routers.some(({ arbitration }) => arbitration !== 'wire') }),
      newEventId,
      clock,
      timers,
      tell: (endsAtMs) => send({ type: 'lease', endsAtMs }),
      onCurrent: () => this.#proof.tell(),
      onAppend: () => undefined,
      onRead: options.onRead,
      onTrouble: (what) => world.trace.note(options.node, 'trouble', () => what),
    });
    this.#proof = new LogProof({
      clock,
      ttlMs: () => lease.ttlMs,
      leasesSinceMs: () => this.#desk.currentSinceMs,
      send,
    });
    const revoker = new LeaseRevoker({
      log,
      leases: {
        watch: (holder) => {
          const watch = this.#desk.watch(holder);
          return watch && rules.watch(watch);
        },
        noteRevocation: (holder, message) => this.#desk.noteRevocation(holder, message),
        readPast: (holder, sequence, deadlineMs) => this.#desk.readPast(holder, sequence, deadlineMs),
      },
      cluster: clusterName,
      node,
      boot: () => boot() ?? ('' as BootId),
      renewMs: () => lease.renewMs,
      newEventId,
      clock,
      onAppend: () => undefined,
      onRevoked: (holder, silentMs, revocation) => {
        world.trace.note(options.node, 'revoked', () => `${holder} after ${Math.round(silentMs)} ms`);
        options.observe({ type: 'leaseEnded', holder, silentMs, revocation });
      },
    });
    this.#challenges = new ChallengeDesk({
      node,
      arbitrationOf,
      reachable: options.reachable,
      leases: this.#desk,
      revoker: rules.revoker(revoker, this.#desk, clock),
      peers: options.peers,
      askDataplane: send,
      isMaster: (vr) => options.told(vr)?.state === 'master',
      timers,
    });
  }

  start(): void {
    this.#options.world.time.stir();
    this.#desk.start();
  }

  stop(): void {
    this.#desk.stop();
  }

  dataplaneUp(): void {
    this.#options.world.time.stir();
    this.#desk.dataplaneUp();
    this.#proof.dataplaneUp();
  }

  followsEvents(areCurrent: boolean): void {
    this.#proof.events(areCurrent);
  }

  dataplaneGone(): void {
    this.#options.world.time.stir();
    this.#challenges.dataplaneGone();
  }

  async challenge(
    message: Extract<ToAgent, { type: 'challenge' }>,
    answer: (message: Extract<ToDataplane, { type: 'challengeAnswer' }>) => void,
  ): Promise<void> {
    this.#options.world.time.stir();
    const verdict = await this.#challenges.challenge(message);
    answer({ type: 'challengeAnswer', vr: message.vr, claim: message.claim, verdict });
  }

  hasJustSpoken(spokeAtMs: number): boolean {
    return this.#desk.hasJustSpoken(spokeAtMs);
  }

  mayRun(node: string, spokeAtMs: number): boolean {
    return this.#desk.mayRun(node, spokeAtMs);
  }

  /** The dataplane answers what another node wanted to know. */
  reported(message: Extract<ToAgent, { type: 'challenged' }>): void {
    this.#options.world.time.stir();
    this.#challenges.reported(message);
  }

  asked(question: Extract<PeerMessage, { type: 'doYouServe' }>): Promise<PeerAnswer> {
    return this.#challenges.asked(question);
  }
}
