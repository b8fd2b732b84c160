import type { KernelEvent } from '../kernel/monitor.js';
import type { NftResult } from '../kernel/nft-message.js';
import { KoiError } from '../koi-error.js';

export interface NeighbourHushOptions {
  /** Has the kernel answer no neighbor solicitation for these addresses, and for all others. */
  readonly silence: (addresses: readonly string[]) => NftResult;
  /** Calls `listener` for every event until the returned function is called. */
  readonly listen: (listener: (event: KernelEvent) => void) => () => void;
}

/** Which IPv6 addresses are answered for by nobody, as long as the link is there that they are on. */
export class NeighbourHush {
  readonly #options: NeighbourHushOptions;
  readonly #hushed = new Map<number, readonly string[]>();
  readonly #stopListening: () => void;
  /** The kernel said no to the last change: what stands there is not known. */
  #isUncertain = false;

  constructor(options: NeighbourHushOptions) {
    this.#options = options;
    this.#stopListening = options.listen((event) => {
      if (event.type !== 'linkGone' || !this.#hushed.delete(event.link.ifindex)) return;
      // What a rule is left for is on no link of this host.
      this.#apply();
    });
  }

  /**
   * @param addresses IPv6
   * @throws KoiError `kernel` where it cannot be done; then nothing has changed, or the next change sees to it
   */
  set(ifindex: number, addresses: readonly string[], hushed: boolean): void {
    const before = this.#hushed.get(ifindex);
    if (!this.#isUncertain && (hushed ? addresses.length === 0 : before === undefined)) return;
    if (hushed) this.#hushed.set(ifindex, addresses);
    else this.#hushed.delete(ifindex);
    const done = this.#apply();
    if (done.ok) return;
    if (before === undefined) this.#hushed.delete(ifindex);
    else this.#hushed.set(ifindex, before);
    // Its answer may have been lost, and the change made.
    this.#apply();
    throw new KoiError('kernel', `neighbor solicitations for ${addresses.join(', ')} are answered: ${done.reason}`);
  }

  /** All are answered for again. */
  close(): void {
    this.#stopListening();
    if (this.#hushed.size === 0 && !this.#isUncertain) return;
    this.#hushed.clear();
    this.#apply();
  }

  #apply(): NftResult {
    const done = this.#options.silence([...new Set([...this.#hushed.values()].flat())]);
    this.#isUncertain = !done.ok;
    return done;
  }
}
