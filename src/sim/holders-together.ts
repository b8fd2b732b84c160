import { clockDriftMax } from '../core/lease.js';
import type { KoiEvent } from '../log/event.js';
import type { Contact } from './contact.js';
import { doubleMsMax, handoverMsMax, reactionMs } from './promises.js';
import type { Scene } from './scene.js';
import type { PastDouble } from './split-brain-reports.js';

/** What a guard needs to take addresses off once its machine runs again. */
const wakeMs = 3;
const never = Number.POSITIVE_INFINITY;

interface Double {
  readonly sinceMs: number;
  awakeMs: number;
  /** Of that, within an agreed handover. */
  agreedMs: number;
  lookedAtMs: number;
  /** When they last refused each other's adverts for their configuration. */
  refusedAtMs: number;
  /** One of them refused the other's. */
  wasDeaf: boolean;
}

/** Pairs of nodes that hold the same address: for how long they may, and whether they may at all. */
export class HoldersTogether {
  readonly #scene: Scene;
  readonly #contact: Contact;
  readonly #onEnded: (past: PastDouble) => void;
  /** By virtual router and pair. */
  readonly #doubles = new Map<string, Double>();
  /** By virtual router: the last one that the log has. */
  readonly #handovers = new Map<string, { readonly from: string; readonly to: string }>();
  #logResetAtMs = 0;

  constructor(scene: Scene, contact: Contact, onEnded: (past: PastDouble) => void) {
    this.#scene = scene;
    this.#contact = contact;
    this.#onEnded = onEnded;
  }

  /** The log has one more event of a virtual router. */
  stored(vr: string, { node, payload }: KoiEvent): void {
    if (payload.type === 'handoverStarted') this.#handovers.set(vr, { from: node, to: payload.to });
    else if (payload.type === 'claimed') this.#handovers.delete(vr);
  }

  logReset(): void {
    this.#handovers.clear();
    this.#logResetAtMs = this.#scene.nowMs;
  }

  look(vr: string, holders: readonly number[], advertIntervalMs: number): void {
    if (holders.length < 2 && this.#doubles.size === 0) return;
    this.#scene.forEachPair((a, b) => {
      if (holders.includes(a) && holders.includes(b)) this.#double(vr, a, b, advertIntervalMs);
      else this.#end(vr, a, b);
    });
  }

  /** Nothing comes after this. */
  finish(vr: string): void {
    this.#scene.forEachPair((a, b) => this.#end(vr, a, b));
  }

  #double(vr: string, a: number, b: number, advertIntervalMs: number): void {
    const { nowMs, tally } = this.#scene;
    const key = pairKey(vr, a, b);
    const known = this.#doubles.get(key);
    const double = known ?? {
      sinceMs: nowMs,
      awakeMs: 0,
      agreedMs: 0,
      lookedAtMs: nowMs,
      refusedAtMs: Number.NEGATIVE_INFINITY,
      wasDeaf: false,
    };
    if (known === undefined) this.#doubles.set(key, double);
    const areAwakeSince = this.#contact.awakeSince(a, b);
    if (areAwakeSince !== never) double.awakeMs += nowMs - Math.max(double.lookedAtMs, areAwakeSince);
    double.lookedAtMs = nowMs;
    const handover = this.#handovers.get(vr);
    const pair = [`n${a + 1}`, `n${b + 1}`];
    const isAgreed = handover !== undefined && pair.includes(handover.from) && pair.includes(handover.to);
    if (isAgreed && nowMs - double.sinceMs <= handoverMsMax) double.agreedMs = double.awakeMs;
    // A LAN on which neither takes the other's adverts joins them no more than a cut one. Where one does, notices tell.
    const refusals = this.#refusals(vr, a, b);
    const mode = this.#scene.settings(vr).arbitration;
    const tellsNobody = mode === 'wire' ? 1 : 2;
    if (refusals >= tellsNobody) double.refusedAtMs = nowMs;
    else if (refusals > 0) double.wasDeaf = true;
    const lanSince = Math.max(this.#contact.joinedSince(a, b), double.refusedAtMs);
    const logSince = Math.max(this.#contact.logSince(a, b), this.#logResetAtMs);
    const couldKnowSince = Math.max(
      double.sinceMs,
      Math.min(mode === 'wire' ? never : logSince, lanSince),
      areAwakeSince,
    );
    if (mode === 'strict' && !this.#isExcusedByClock(a, b)) {
      this.#scene.violated('lease', `n${a + 1} and n${b + 1} hold ${vr}, and the clock of neither stood still`);
    }
    if (couldKnowSince === never) return;
    if (isAgreed && nowMs - double.sinceMs <= handoverMsMax) return;
    const lastedMs = nowMs - Math.max(couldKnowSince, isAgreed ? double.sinceMs + handoverMsMax : 0);
    const beyondMs = lastedMs - advertIntervalMs;
    tally.longestJoinedDoubleMs = Math.max(tally.longestJoinedDoubleMs, lastedMs);
    tally.longestBeyondIntervalMs = Math.max(tally.longestBeyondIntervalMs, beyondMs);
    // Whoever is deaf has to be told twice.
    const allowedMs = doubleMsMax(advertIntervalMs) * (double.wasDeaf ? 2 : 1);
    if (lastedMs <= allowedMs) return;
    this.#scene.violated(
      'single',
      `${pair.join(' and ')} hold ${vr} for more than ${allowedMs} ms although ${Math.min(logSince, never) <= nowMs ? 'the log' : 'the LAN'} joins them`,
    );
  }

  /** How many of the two refuse the other's adverts, since they have another configuration. */
  #refusals(vr: string, a: number, b: number): 0 | 1 | 2 {
    const [one, other] = [a, b].map((index) => this.#scene.nodes[index]?.dataplane?.routers.get(vr));
    if (one === undefined || other === undefined) return 0;
    const isHeard = other.takes(one.configuration.digest);
    const hears = one.takes(other.configuration.digest);
    return isHeard && hears ? 0 : isHeard || hears ? 1 : 2;
  }

  /**
   * A lease that was got before the machine's clock stood still lasts longer than anybody else counts, where nothing tells
   * the process that it did; where the wall clock tells, it has one reaction. And a machine that stood still with its clock
   * going on may have woken with what its lease no longer allows, until the guard is there.
   */
  #isExcusedByClock(a: number, b: number): boolean {
    const { nowMs, nodes, world } = this.#scene;
    const { ttlMs } = world.lease;
    return [nodes[a], nodes[b]].some((node) => {
      if (node === undefined) return false;
      const isStale = nowMs - node.clockStoodStillUntilMs <= ttlMs * (1 + clockDriftMax);
      return isStale || nowMs - node.wokeAtMs <= (node.wokeKnowing ? reactionMs : wakeMs);
    });
  }

  #end(vr: string, a: number, b: number): void {
    const key = pairKey(vr, a, b);
    const double = this.#doubles.get(key);
    if (double === undefined) return;
    this.#doubles.delete(key);
    const { sinceMs, awakeMs, agreedMs } = double;
    this.#onEnded({ vr, pair: [a, b], sinceMs, endMs: this.#scene.nowMs, countedMs: awakeMs - agreedMs });
  }
}

const pairKey = (vr: string, a: number, b: number): string => `${vr} ${Math.min(a, b)} ${Math.max(a, b)}`;
