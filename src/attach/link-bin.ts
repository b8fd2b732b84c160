import { deleteGroupInBackground, deleteLinksInBackground, setGroups } from '../kernel/links.js';
import type { Ack, Netlink } from '../kernel/netlink.js';
import { KoiError } from '../koi-error.js';

const deadlineMs = 5000;
/**
 * Every other change of a link or address waits while the kernel deletes. Where virtual routers are released one after the
 * other, two hundred of a node that stops, there is so long a pause between deletions; a repair still takes less than 100 ms.
 */
const pauseMs = 50;

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
  #deletedAtMs = Number.NEGATIVE_INFINITY;

  constructor(netlink: Netlink, group: number) {
    this.#netlink = netlink;
    this.#group = group;
  }

  /**
   * Resolves when the link is gone; a link that is gone already is fine.
   * @throws KoiError `kernel`, naming the link
   */
  discard(ifindex: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ifindex, resolve, reject });
      if (this.#emptying) return;
      this.#emptying = true;
      void this.#empty();
    });
  }

  async #empty(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#turn();
      const discarded = this.#waiting;
      this.#waiting = [];
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

  async #delete(ifindexes: readonly number[]): Promise<readonly Ack[]> {
    if (ifindexes.length === 1) return deleteLinksInBackground(this.#netlink, ifindexes, deadlineMs);
    const moved = setGroups(this.#netlink, ifindexes, this.#group);
    const deleted = await deleteGroupInBackground(this.#netlink, this.#group, deadlineMs);
    return moved.map((ack) => (ack.ok ? deleted : ack));
  }
}
