import { type Candidacy, rulesOf } from '../core/election-rules.js';
import { peerPatienceMs } from '../core/vr-machine.js';
import type { Vr } from '../core/vr-state.js';
import type { AdvertPump, Repeated } from '../kernel/advert-pump.js';
import type { AdvertRoute } from './advert-route.js';
import type { Hush } from './hush.js';
import type { ParentPort } from './parent-port.js';
import type { ProtocolAdapter } from './protocol-adapter.js';
import type { RouterCounters } from './router-counters.js';

export interface AdvertSenderOptions {
  readonly running: { readonly adapter: Pick<ProtocolAdapter, 'sendsTheSame' | 'adverts'> };
  readonly route: Pick<AdvertRoute, 'isUnicast' | 'sources' | 'familiesOut' | 'send'>;
  readonly parent: Pick<ParentPort, 'queue' | 'repeat'>;
  readonly pump: Pick<AdvertPump, 'begin' | 'read' | 'end'>;
  readonly hush: Pick<Hush, 'adverts'>;
  readonly counters: Pick<RouterCounters, 'advertsSent'>;
  readonly now: () => number;
}

/**
 * One virtual router's adverts on their way out. A master sends the same again and again: the frames are kept until anything
 * happens, and meanwhile the sending thread may send them without the event loop.
 */
export class AdvertSender {
  readonly #options: AdvertSenderOptions;
  /** What is sent again and again. */
  #steady: { readonly frames: readonly Uint8Array[]; readonly families: number } | undefined;
  /** By this the pump knows it, which sends the adverts meanwhile. */
  #pumped: number | undefined;
  #sentAtMs = 0;

  constructor(options: AdvertSenderOptions) {
    this.#options = options;
  }

  /** Says this, now. */
  send(candidacy: Candidacy): void {
    const { route, counters, now } = this.#options;
    const frames = this.#framesOf(candidacy);
    if (frames.length === 0) return;
    this.#sentAtMs = now();
    const sent = route.send(frames);
    counters.advertsSent += Math.min(sent, route.familiesOut);
  }

  /** The same once more, with whatever else goes out in this turn. @returns false where each advert is another */
  repeat(vr: Vr, atMs: number): boolean {
    const steady = this.#framesToRepeat(vr);
    if (steady === undefined) return false;
    const { parent, counters } = this.#options;
    parent.queue(steady.frames, this.#onRefused);
    counters.advertsSent += steady.families;
    this.#sentAtMs = atMs;
    return true;
  }

  /** From its next advert on they go out by themselves. @returns false where they do not */
  leaveToPump(vr: Vr, nextAtMs: number): boolean {
    const steady = this.#framesToRepeat(vr);
    if (steady === undefined) return false;
    const { parent, pump } = this.#options;
    const { intervalMs } = rulesOf(vr.parameters.election);
    const times = { intervalMs, patienceMs: peerPatienceMs(vr), dueAtMs: nextAtMs, sentAtMs: this.#sentAtMs };
    this.#pumped = parent.repeat(pump, { ...steady, ...times });
    return this.#pumped !== undefined;
  }

  get isLeftToPump(): boolean {
    return this.#pumped !== undefined;
  }

  /** They do no more. @returns when the next would have gone out; undefined where they did not */
  takeFromPump(): number | undefined {
    const pumped = this.#pumped;
    if (pumped === undefined) return undefined;
    this.#pumped = undefined;
    const { pump, counters } = this.#options;
    const { adverts, dueAtMs, sentAtMs } = pump.end(pumped);
    counters.advertsSent += adverts;
    this.#sentAtMs = sentAtMs;
    return dueAtMs;
  }

  /** Counts what has gone out by itself. @returns why it goes on no more */
  countPumped(): Repeated['lapsed'] {
    if (this.#pumped === undefined) return undefined;
    const { pump, counters } = this.#options;
    const { adverts, lapsed } = pump.read(this.#pumped);
    counters.advertsSent += adverts;
    return lapsed;
  }

  /** The next advert may be another. */
  forgetFrames(): void {
    this.#steady = undefined;
  }

  #framesToRepeat(vr: Vr) {
    const { running, route } = this.#options;
    if (route.isUnicast) return undefined;
    if (this.#steady !== undefined || !running.adapter.sendsTheSame) return this.#steady;
    const frames = this.#framesOf(rulesOf(vr.parameters.election).candidacy);
    if (frames.length > 0) this.#steady = { frames, families: route.familiesOut };
    return this.#steady;
  }

  #framesOf(candidacy: Candidacy): readonly Uint8Array[] {
    const { running, route, hush } = this.#options;
    return hush.adverts(running.adapter.adverts(candidacy, route.sources));
  }

  /** What the kernel did not take is no advert, unless it went out in another form. */
  readonly #onRefused = (refused: number, of: number): void => {
    const families = this.#options.route.familiesOut;
    this.#options.counters.advertsSent -= families - Math.min(of - refused, families);
  };
}
