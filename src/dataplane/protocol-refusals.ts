import type { Logger } from 'pino';
import type { MacAddress } from '../wire/mac.js';
import { explainRefusal, type RefusalReason } from '../wire/reasons.js';

/** The same refusal of the same sender is told again after this long, with the number of those between. */
const repeatMs = 60_000;
const kindsMax = 64;

export interface RefusedAdvert {
  readonly what: 'advert' | 'notice';
  /** The virtual router it would have been for, if there is one. */
  readonly vr?: string;
  readonly interface: string;
  readonly source: string;
  readonly mac: MacAddress;
  readonly id: number;
  readonly reason: RefusalReason;
  /** What is known beyond the reason's own sentence. */
  readonly detail?: string;
}

interface Told {
  readonly atMs: number;
  since: number;
}

/** Explains refused adverts and notices in the log, without letting a sender fill it. */
export class RefusalLog {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #told = new Map<string, Told>();

  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  refused(advert: RefusedAdvert): void {
    const { what, vr, source, reason, detail } = advert;
    const key = `${what} ${vr ?? ''} ${source} ${advert.id} ${reason}`;
    const atMs = this.#now();
    const before = this.#told.get(key);
    if (before !== undefined && atMs - before.atMs < repeatMs) {
      before.since += 1;
      return;
    }
    if (before === undefined && this.#told.size >= kindsMax) {
      this.#forget(atMs);
      // A flood of invented senders is counted, and not written down.
      if (this.#told.size >= kindsMax) return;
    }
    this.#told.set(key, { atMs, since: 0 });
    const known = detail === undefined ? '' : ` (${detail})`;
    const repeated = before === undefined || before.since === 0 ? {} : { repeated: before.since };
    this.#log.warn({ ...advert, ...repeated }, `${what} from ${source} refused: ${explainRefusal(reason)}${known}`);
  }

  #forget(atMs: number): void {
    for (const [key, told] of this.#told) if (atMs - told.atMs >= repeatMs) this.#told.delete(key);
  }
}
