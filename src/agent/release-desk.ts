import { type LogTimers, realTimers } from '../log/timers.js';
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

export interface ReleaseDeskOptions {
  readonly desk: Pick<OwnershipDesk, 'release'>;
  /** The log answers, and all of it has been read. */
  readonly reachable: () => boolean;
  readonly onWritten: () => void;
  readonly timers?: LogTimers;
}

/** Brings releases into the log, in order: now, or as soon as the log can be reached. */
export class ReleaseDesk {
  readonly #options: ReleaseDeskOptions;
  readonly #timers: LogTimers;
  readonly #pending: Pending[] = [];
  readonly #graces = new Set<() => void>();
  #retry: (() => void) | undefined;
  #writing = false;
  #stopped = false;

  constructor(options: ReleaseDeskOptions) {
    this.#options = options;
    this.#timers = options.timers ?? realTimers;
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
    const callOff = this.#timers.after(claimGraceMs, () => {
      this.#graces.delete(callOff);
      this.#queue({ order, done });
    });
    this.#graces.add(callOff);
  }

  /** Writes what is pending; one that the log does not answer stays, and is tried again. */
  async flush(): Promise<void> {
    if (this.#writing) return;
    const { desk, reachable, onWritten } = this.#options;
    this.#writing = true;
    try {
      while (!this.#stopped && reachable() && this.#pending.length > 0) {
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

  stop(): void {
    this.#stopped = true;
    this.#retry?.();
    for (const callOff of this.#graces) callOff();
  }

  #queue(pending: Pending): void {
    if (this.#pending.length >= ordersMax) this.#pending.shift();
    this.#pending.push(pending);
    void this.flush();
  }

  #retryLater(): void {
    if (this.#stopped) return;
    this.#retry ??= this.#timers.after(retryMs, () => {
      this.#retry = undefined;
      void this.flush();
    });
  }
}
