import type { Logger } from 'pino';
import type { LogTimers } from '../log/timers.js';
import { presentAddresses } from './gone-addresses.js';
import type { ReleaseOrder } from './ownership-desk.js';
import type { ReleaseDesk } from './release-desk.js';

/** How long to wait for its addresses to go, and how often to look. */
const goneDeadlineMs = 10_000;
const goneLookMs = 5;

export interface DeadDataplaneOptions {
  readonly releases: Pick<ReleaseDesk, 'add'>;
  /** Another dataplane is there, or this process ends: it is nobody's business any more. */
  readonly isOver: () => boolean;
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly timers: LogTimers;
  /** Those of the addresses that this host still has. */
  readonly present?: (addresses: readonly string[]) => readonly string[];
}

/** The dataplane died, and its guard takes the addresses off. What it owned is released once that has been read. */
export class DeadDataplane {
  readonly #options: DeadDataplaneOptions;

  constructor(options: DeadDataplaneOptions) {
    this.#options = options;
  }

  release(order: ReleaseOrder, addresses: readonly string[]): void {
    this.#look(order, addresses, this.#options.timers.nowMs() + goneDeadlineMs);
  }

  #look(order: ReleaseOrder, addresses: readonly string[], deadlineMs: number): void {
    const { releases, isOver, log, timers, present = presentAddresses } = this.#options;
    if (isOver()) return;
    const left = present(addresses);
    if (left.length === 0) {
      releases.add(order, true, () => log.info({ vr: order.vr }, 'released on behalf of the dead dataplane'));
      return;
    }
    if (timers.nowMs() >= deadlineMs) {
      log.error({ vr: order.vr, left }, 'the addresses of the dead dataplane would not go');
      return;
    }
    timers.after(goneLookMs, () => this.#look(order, addresses, deadlineMs));
  }
}
