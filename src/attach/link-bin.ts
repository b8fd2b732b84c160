import { deleteGroupInBackground, deleteLinksInBackground, setGroups } from '../kernel/links.js';
import type { Ack, Netlink } from '../kernel/netlink.js';
import { KoiError } from '../koi-error.js';

const deadlineMs = 5000;
/**
 * Every other change of a link or address waits while the kernel deletes. Where virtual routers are released one after the
 * other, two hundred of a node that stops, there is so long a pause between deletions; a repair still takes less than 100 ms.
 */
const pauseMs = 50;
/**
 * So many that are released at once are taken over by somebody else just now, who may be on this very machine, in another
 * network namespace: deleting and making their links anew holds the same lock of the kernel, and is left until then.
 */
const manyLinks = 8;
const calmMs = 2000;

interface Discarded {
  readonly ifindex: number;
  readonly resolve: () => void;
  readonly reject: (error: KoiError) => void;
}

/**
 * Deletes links off the event loop. The kernel waits 16 to 18 ms for each link that is deleted alone, but deletes a whole
 * group of them in one such wait (200 in 41 ms), so whatever is discarded while a deletion runs goes together in the next.
 */
export class LinkBin {
  readonly #netlink: Netlink;
  /** A link group of its own, used for nothing else. */
  readonly #group: number;
  #waiting: Discarded[] = [];
  #emptying = false;
  #isHurried = false;
  #endCalm: (() => void) | undefined;
  #deletedAtMs = Number.NEGATIVE_INFINITY;

  constructor(netlink: Netlink, group: number) {
    this.#netlink = netlink;
    this.#group = group;
  }

  /**
   * Resolves when the link is gone; a link that is gone already is fine.
   * @param isPatient nobody waits for it, so that it may wait where many are discarded
   * @throws KoiError `kernel`, naming the link
   */
  discard(ifindex: number, isPatient = false): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ifindex, resolve, reject });
      if (!isPatient) this.hurry();
      if (this.#emptying) return;
      this.#emptying = true;
      void this.#empty();
    });
  }

  /** Somebody waits for one of those after all. */
  hurry(): void {
    this.#isHurried = this.#waiting.length > 0;
    this.#endCalm?.();
  }

  async #empty(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#turn();
      await this.#calm();
      const discarded = this.#waiting;
      this.#waiting = [];
      this.#isHurried = false;
      const acks = await this.#delete(discarded.map(({ ifindex }) => ifindex)).catch(String);
      this.#deletedAtMs = performance.now();
      discarded.forEach(({ ifindex, resolve, reject }, index) => {
        const ack = typeof acks === 'string' ? undefined : acks[index];
        if (ack !== undefined && (ack.ok || ack.errno === 'ENODEV')) resolve();
        else reject(new KoiError('kernel', `deleting link ${ifindex}: ${ack?.message ?? acks}`));
      });
    }
    this.#emptying = false;
  }

  /** After this turn of the loop at the earliest, so that everything released in it goes together. */
  #turn(): Promise<void> {
    const waitMs = this.#deletedAtMs + pauseMs - performance.now();
    return new Promise((resolve) => {
      if (waitMs > 0) setTimeout(resolve, waitMs);
      else setImmediate(resolve);
    });
  }

  #calm(): Promise<void> {
    if (this.#isHurried || this.#waiting.length < manyLinks) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#endCalm = undefined;
        resolve();
      };
      const timer = setTimeout(end, calmMs);
      this.#endCalm = end;
    });
  }

  async #delete(ifindexes: readonly number[]): Promise<readonly Ack[]> {
    if (ifindexes.length === 1) return deleteLinksInBackground(this.#netlink, ifindexes, deadlineMs);
    const moved = setGroups(this.#netlink, ifindexes, this.#group);
    const deleted = await deleteGroupInBackground(this.#netlink, this.#group, deadlineMs);
    return moved.map((ack) => (ack.ok ? deleted : ack));
  }
}
