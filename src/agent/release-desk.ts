import type { OwnershipDesk, ReleaseOrder } from './ownership-desk.js';

const retryMs = 250;
/** One for each virtual router and boot would be enough. */
const ordersMax = 4096;
/** How long those who heard a resignation get to claim before the log is told of it as well. */
const claimGraceMs = 30;

interface Pending {
  readonly order: ReleaseOrder;
  readonly done: () => void;
}

/** Brings releases into the log, in order: now, or as soon as the log can be reached. */
export class ReleaseDesk {
  readonly #desk: Pick<OwnershipDesk, 'release'>;
  readonly #reachable: () => boolean;
  readonly #onWritten: () => void;
  readonly #pending: Pending[] = [];
  readonly #graces = new Set<NodeJS.Timeout>();
  readonly #retry = setInterval(() => void this.flush(), retryMs);
  #writing = false;

  constructor(desk: Pick<OwnershipDesk, 'release'>, reachable: () => boolean, onWritten: () => void) {
    this.#desk = desk;
    this.#reachable = reachable;
    this.#onWritten = onWritten;
  }

  /**
   * `resigned`: the LAN has been told that the master is gone, and whoever heard it claims over the ownership that stands.
   * A release written at that very moment would only make that claim start again, so it waits.
   */
  add(order: ReleaseOrder, resigned: boolean, done: () => void): void {
    if (!resigned) {
      this.#queue({ order, done });
      return;
    }
    const grace = setTimeout(() => {
      this.#graces.delete(grace);
      this.#queue({ order, done });
    }, claimGraceMs);
    this.#graces.add(grace);
  }

  /** Writes what is pending; one that the log does not answer stays, and is tried again. */
  async flush(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      while (this.#reachable() && this.#pending.length > 0) {
        const batch = [...this.#pending];
        const taken = await Promise.all(batch.map(({ order }) => this.#desk.release(order)));
        batch.forEach((pending, index) => {
          if (taken[index] !== true) return;
          this.#pending.splice(this.#pending.indexOf(pending), 1);
          pending.done();
        });
        this.#onWritten();
        if (!taken.every((each) => each)) return;
      }
    } finally {
      this.#writing = false;
    }
  }

  stop(): void {
    clearInterval(this.#retry);
    for (const grace of this.#graces) clearTimeout(grace);
  }

  #queue(pending: Pending): void {
    if (this.#pending.length >= ordersMax) this.#pending.shift();
    this.#pending.push(pending);
    void this.flush();
  }
}
