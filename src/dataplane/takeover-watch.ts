import type { Receipt } from '../attach/receipt.js';
import type { Vr } from '../core/vr-state.js';
import type { RouterCounters } from './router-counters.js';
import type { RouterMachine } from './router-machine.js';
import type { RouterNews } from './router-news.js';
import { TakeoverTiming } from './takeover-timing.js';

export interface TakeoverWatchOptions {
  readonly vr: string;
  readonly machine: Pick<RouterMachine, 'vr'>;
  readonly counters: Pick<RouterCounters, 'takeover'>;
  readonly news: Pick<RouterNews, 'keep'>;
  readonly now: () => number;
}

/** The takeover that is under way, told of when its first frame is seen leaving. */
export class TakeoverWatch {
  readonly #options: TakeoverWatchOptions;
  #timing: TakeoverTiming | undefined;

  constructor(options: TakeoverWatchOptions) {
    this.#options = options;
  }

  /** `before` is the state that the decision was taken in. */
  decided(before: Vr, atMs: number): void {
    this.#timing = new TakeoverTiming(before, atMs);
  }

  attachBegan(atMs: number): void {
    this.#timing?.attachBegan(atMs);
  }

  attached(receipts: readonly Receipt[]): void {
    this.#timing?.attached(receipts, this.#options.now());
  }

  announced(): void {
    const { vr, machine, counters, news, now } = this.#options;
    const timing = this.#timing;
    const { phase } = machine.vr;
    if (timing === undefined || phase.name !== 'master') return;
    this.#timing = undefined;
    const { phasesMs, steps, phases } = timing.finish(now());
    counters.takeover(phasesMs);
    news.keep({ type: 'masterActive', vr, term: phase.term, steps, phases });
  }
}
