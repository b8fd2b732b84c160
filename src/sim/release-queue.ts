import type { ReleaseOrder } from '../agent/ownership-desk.js';
import type { VirtualTime } from './virtual-time.js';
import type { Desk } from './world.js';

/** As the agent's release desk has them. */
const retryMs = 250;
const claimGraceMs = 30;

interface Pending {
  readonly order: ReleaseOrder;
  readonly done: () => void;
}

export interface ReleaseQueueOptions {
  readonly time: VirtualTime;
  readonly desk: Pick<Desk, 'release'>;
  readonly reachable: () => boolean;
  readonly onWritten: () => void;
  readonly inProcess: (action: () => void) => void;
}

/** The agent's release desk, on virtual time: releases go to the log in order, now or when it can be reached. */
export class ReleaseQueue {
  readonly #options: ReleaseQueueOptions;
  readonly #pending: Pending[] = [];
  #writing = false;
  #retrying = false;

  constructor(options: ReleaseQueueOptions) {
    this.#options = options;
  }

  /** One that the LAN was told of waits: whoever heard it claims over the ownership that stands. */
  add(order: ReleaseOrder, resigned: boolean, done: () => void): void {
    const queue = (): void => {
      this.#pending.push({ order, done });
      void this.flush();
    };
    if (resigned) this.#later(claimGraceMs, queue);
    else queue();
  }

  async flush(): Promise<void> {
    if (this.#writing) return;
    const { time, desk, reachable, onWritten } = this.#options;
    this.#writing = true;
    time.stir();
    try {
      while (reachable() && this.#pending.length > 0) {
        const batch = [...this.#pending];
        const taken = await Promise.all(batch.map(({ order }) => desk.release(order)));
        batch.forEach((pending, index) => {
          if (taken[index] !== true) return;
          this.#pending.splice(this.#pending.indexOf(pending), 1);
          pending.done();
        });
        onWritten();
        if (!taken.every((each) => each)) break;
      }
    } finally {
      this.#writing = false;
    }
    if (this.#pending.length > 0) this.#retryLater();
  }

  #retryLater(): void {
    if (this.#retrying) return;
    this.#retrying = true;
    this.#later(retryMs, () => {
      this.#retrying = false;
      void this.flush();
    });
  }

  #later(ms: number, action: () => void): void {
    this.#options.time.after(ms, () => this.#options.inProcess(action));
  }
}
