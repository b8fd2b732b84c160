import type { NodeId } from '../core/identity.js';
import type { ChallengeVerdict, VrParameters } from '../core/vr-state.js';
import { failpoints } from '../failpoint.js';
import type { ToAgent, ToDataplane } from '../ipc/protocol.js';
import { lanAddressesMax, type PeerAnswer, type PeerChannel, type PeerMessage } from '../log/peer-channel.js';
import type { LogTimers } from '../log/timers.js';
import type { LeaseDesk } from './lease-desk.js';
import type { LeaseRevoker } from './lease-revoker.js';

type ChallengeMessage = Extract<ToAgent, { type: 'challenge' }>;
type ReportMessage = Extract<ToAgent, { type: 'challenged' }>;
type ChallengedMessage = Extract<ToDataplane, { type: 'challenged' }>;
type Question = Extract<PeerMessage, { type: 'doYouServe' }>;
type Serving = ReportMessage['report'];

/** A thousand virtual routers, each challenged by three nodes at once. */
const openMax = 4096;
/** Two looks of a dataplane that is busy, within the time that a node which hands over waits. */
const ownLookTimeoutMs = 700;

export interface ChallengeDeskOptions {
  readonly node: NodeId;
  /** Undefined for a virtual router that this node does not have. */
  readonly arbitrationOf: (vr: string) => VrParameters['arbitration'] | undefined;
  /** The log answers, and all of it has been read. */
  readonly reachable: () => boolean;
  readonly leases: Pick<LeaseDesk, 'hasExpired'>;
  readonly revoker: Pick<LeaseRevoker, 'revoke'>;
  readonly peers: Pick<PeerChannel, 'ask'>;
  /** Asks this node's dataplane; false where there is none. */
  readonly askDataplane: (message: ChallengedMessage) => boolean;
  /** Whether the dataplane said last that it is the master. */
  readonly isMaster: (vr: string) => boolean;
  readonly timers: LogTimers;
}

/** Finds out for the dataplane what has become of a holder, and for other nodes what this one does. */
export class ChallengeDesk {
  readonly #options: ChallengeDeskOptions;
  /** Questions of others that the dataplane has yet to answer. */
  readonly #open = new Map<number, (serving: Serving) => void>();
  #asked = 0;

  constructor(options: ChallengeDeskOptions) {
    this.#options = options;
  }

  /** Takes about `timeoutMs` at most. Never says that a holder is gone for want of an answer from the log. */
  async challenge(message: ChallengeMessage): Promise<ChallengeVerdict> {
    const { arbitrationOf, reachable } = this.#options;
    if (!reachable()) return { kind: 'unasked' };
    switch (arbitrationOf(message.vr)) {
      case 'strict':
        return this.#proveGone(message);
      case 'log':
        return this.#askHolder(message);
      case 'wire':
      case undefined:
        return { kind: 'unasked' };
    }
  }

  async #proveGone({ holder, timeoutMs }: ChallengeMessage): Promise<ChallengeVerdict> {
    const { node, revoker } = this.#options;
    // An earlier dataplane of this very node: it is gone, and what it left was removed before this one began.
    if (holder === node) return { kind: 'gone', why: 'lease_expired' };
    const revocation = await revoker.revoke(holder, timeoutMs);
    if (failpoints !== undefined) await failpoints.reached('challenge.revoked');
    switch (revocation.kind) {
      case 'revoked':
        return { kind: 'gone', why: 'lease_expired' };
      case 'leased':
        return revocation;
      case 'unavailable':
        return { kind: 'unasked' };
    }
  }

  async #askHolder({ vr, holder, lanAddress, timeoutMs }: ChallengeMessage): Promise<ChallengeVerdict> {
    const { node, leases, peers, reachable } = this.#options;
    if (holder === node) return { kind: 'gone', why: 'not_serving' };
    if (leases.hasExpired(holder)) return { kind: 'gone', why: 'lease_expired' };
    const lanAddresses = (lanAddress ?? '').split(',').filter((address) => address !== '');
    const question: Question = {
      type: 'doYouServe',
      from: node,
      vr,
      lanAddresses: lanAddresses.slice(0, lanAddressesMax),
      timeoutMs,
    };
    const serving = (await peers.ask(holder, question, timeoutMs))?.serving;
    if (failpoints !== undefined) await failpoints.reached('challenge.answered');
    if (serving === 'serves') return { kind: 'serves' };
    if (serving !== undefined) return { kind: 'gone', why: serving };
    return reachable() ? { kind: 'gone', why: 'no_answer' } : { kind: 'unasked' };
  }

  // ── the challenged holder ─────────────────────────────────────────────────────────────────────────────────────────

  /** Another node asks. The dataplane looks at its carrier and sends it a frame over the LAN, and says how it stands. */
  async asked({ vr, from, lanAddresses, timeoutMs }: Question): Promise<PeerAnswer> {
    // So many at once are not worth a probe each: what is known has to do.
    if (this.#open.size >= openMax) return answer(this.#options.isMaster(vr) ? 'serves' : 'not_serving');
    return answer(await this.#askDataplane({ vr, from, lanAddresses, timeoutMs }));
  }

  /**
   * Whether the LAN would carry what this node says if it served. What is not found out in time is no reason not to try.
   *
   * @param giver addresses of the node that would hand over: it is there, and answers
   */
  async isHeardOnLan(vr: string, giver: readonly string[]): Promise<boolean> {
    if (this.#open.size >= openMax) return true;
    const lanAddresses = giver.slice(0, lanAddressesMax);
    const from = this.#options.node;
    return (await this.#askDataplane({ vr, from, lanAddresses, timeoutMs: ownLookTimeoutMs })) !== 'lan_down';
  }

  /** Nobody waits any longer than `timeoutMs`; a dataplane that does not answer serves nobody either. */
  #askDataplane(question: Pick<Question, 'vr' | 'from' | 'lanAddresses' | 'timeoutMs'>): Promise<Serving> {
    const { askDataplane, timers } = this.#options;
    this.#asked += 1;
    const id = this.#asked;
    return new Promise((resolve) => {
      const finish = (serving: Serving): void => {
        callOff();
        this.#open.delete(id);
        resolve(serving);
      };
      const callOff = timers.after(question.timeoutMs, () => finish('not_serving'));
      this.#open.set(id, finish);
      if (!askDataplane({ type: 'challenged', id, ...question })) finish('not_serving');
    });
  }

  /** The dataplane has found out. */
  reported({ id, report }: ReportMessage): void {
    this.#open.get(id)?.(report);
  }

  /** Nobody is left to find out. */
  dataplaneGone(): void {
    for (const finish of [...this.#open.values()]) finish('not_serving');
  }
}

const answer = (serving: Serving): PeerAnswer => ({
  ready: serving === 'serves',
  reason: serving,
  serving,
});
