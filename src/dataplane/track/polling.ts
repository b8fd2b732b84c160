import { countResult, unknownYet } from '../../core/tracking.js';
import type { OnReading, Watching } from './watching.js';

export interface PollOptions {
  readonly intervalMs: number;
  readonly rise: number;
  readonly fall: number;
  /** One look. A rejection counts as a failure. */
  readonly look: () => Promise<Look> | Look;
  readonly onReading: OnReading;
  /** A look is followed by a pause of so many times its length, where looking is work: it must not become the load. */
  readonly restFactor?: number;
}

export interface Look {
  readonly isOk: boolean;
  readonly detail: string;
}

/** Looks again and again, never twice at a time, and tells when the level has changed. */
export function poll({ intervalMs, rise, fall, look, onReading, restFactor = 0 }: PollOptions): Watching {
  let state = unknownYet;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;

  const turn = async (): Promise<void> => {
    const startedMs = performance.now();
    const found = await Promise.resolve()
      .then(look)
      .catch(
        (error: unknown): Look => ({ isOk: false, detail: error instanceof Error ? error.message : String(error) }),
      );
    if (isStopped) return;
    const before = state;
    state = countResult(before, found.isOk, { rise, fall });
    if (state.level !== before.level && state.level !== 'init') {
      onReading({ level: state.level, detail: found.detail });
    }
    const tookMs = performance.now() - startedMs;
    timer = setTimeout(() => void turn(), Math.max(intervalMs - tookMs, tookMs * restFactor));
  };
  void turn();
  return {
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
