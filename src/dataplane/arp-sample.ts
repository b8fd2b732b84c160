import { RateLimit } from '../core/detect/rate.js';

/** About one percent of a processor at most, whatever an attacker sends. */
const rate = { perSecond: 2000, burst: 512 };

/** Of ARP and neighbour discovery that comes in, the frames that are looked at; in a storm the others are passed over. */
export class ArpSample {
  readonly #rate = new RateLimit(rate);
  #passedOver = 0;

  /** Whether the next frame is looked at. */
  take(nowMs: number): boolean {
    if (this.#rate.take(nowMs)) return true;
    this.#passedOver += 1;
    return false;
  }

  get passedOver(): number {
    return this.#passedOver;
  }
}
