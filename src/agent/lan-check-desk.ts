import type { PeerAnswer, PeerChannel } from '../log/peer-channel.js';
import { type LogState, reportedBy } from '../log/projection.js';
import type { LanFinding } from '../observe/lan-check.js';
import type { DataplaneSnapshot } from '../observe/snapshot.js';

/** A master's adverts come at least once a second or so; with VRRPv2 and CARP they may be rarer. */
const freshMs = 5000;
/** Of more than two hundred virtual routers 200 a second are told of. */
const toldMsEach = 5;
const askTimeoutMs = 1000;
/** A dataplane tells once a second whom it hears: what is not heard by then is not heard. */
const toldMs = 2000;
/** More virtual routers than this are not asked about one by one. */
const vrsMax = 50;

export interface LanCheckOptions {
  readonly node: string;
  readonly peers: Pick<PeerChannel, 'ask'>;
  readonly state: () => LogState;
  readonly snapshot: () => DataplaneSnapshot | undefined;
  /** Virtual routers whose master is lost on the LAN and serves all the same: its own MAC was heard. */
  readonly lostPaths: () => readonly { readonly vr: string; readonly peer: string }[];
  readonly wallNow: () => number;
  readonly pause: (ms: number) => Promise<void>;
}

/** Whether the LAN passes the virtual MAC: what this node hears of masters, and what the others hear of it. */
export class LanCheckDesk {
  readonly #options: LanCheckOptions;

  constructor(options: LanCheckOptions) {
    this.#options = options;
  }

  /** Takes longer where something is not heard: a master or a listener that is new is asked once more. */
  async check(): Promise<readonly LanFinding[]> {
    const first = await this.#checkAll();
    if (first.every(({ hears }) => hears !== false)) return first;
    await this.#options.pause(toldMs);
    return this.#checkAll();
  }

  async #checkAll(): Promise<readonly LanFinding[]> {
    const vrs = (this.#options.snapshot()?.vrs ?? []).slice(0, vrsMax);
    return (await Promise.all(vrs.map(({ name, state }) => this.#checkOne(name, state)))).flat();
  }

  async #checkOne(vr: string, state: string): Promise<LanFinding[]> {
    const { node, peers } = this.#options;
    if (state === 'master') {
      return Promise.all(
        this.#othersWith(vr).map(async (listener) => {
          const answer = await peers.ask(listener, { type: 'doYouHear', from: node, vr }, askTimeoutMs);
          if (answer === undefined) {
            const why = `${listener} does not answer through the log`;
            return { vr, speaker: node, listener, hears: null, parentHeard: false, why };
          }
          const parentHeard = answer.parentHeard === true;
          return { vr, speaker: node, listener, hears: answer.ready, parentHeard, why: answer.reason };
        }),
      );
    }
    const holding = this.#options.state().virtualRouters.get(vr)?.holding;
    if (holding === undefined || holding.released || holding.owner === node) return [];
    const { ready, reason, parentHeard = false } = this.answer(vr, holding.owner);
    return [{ vr, speaker: holding.owner, listener: node, hears: ready, parentHeard, why: reason }];
  }

  /** What this node hears of another. */
  answer(vr: string, speaker: string): PeerAnswer {
    const { snapshot, wallNow, lostPaths } = this.#options;
    const { vrs = [] } = snapshot() ?? {};
    const router = vrs.find(({ name }) => name === vr);
    if (router === undefined) return { ready: false, reason: `${vr} is not running here` };
    const lastMs = router.peers.find(({ peer }) => peer === speaker)?.lastSeenMs;
    const isLost = lostPaths().some((path) => path.vr === vr && path.peer === speaker);
    if (!isLost && lastMs !== undefined && wallNow() - lastMs <= freshMs + Math.max(0, vrs.length - 200) * toldMsEach)
      return { ready: true, reason: '' };
    const since = lastMs === undefined ? 'never' : `${((wallNow() - lastMs) / 1000).toFixed(0)} s ago`;
    return { ready: false, reason: `its last advert was heard ${since}`, parentHeard: isLost };
  }

  #othersWith(vr: string): string[] {
    const { node, state } = this.#options;
    return [...state().nodes.values()].flatMap((other) => {
      const hasIt = reportedBy(other, vr) !== undefined;
      return other.node === node || other.stopped || !hasIt ? [] : [other.node];
    });
  }
}
