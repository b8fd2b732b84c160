import type { LogTimers } from '../log/timers.js';

/** How often it is looked whether the log is free again, and for how long at most nobody begins for that. */
const courtesyMs = 10;
const courtesyMostMs = 2000;

export interface AppendTurnsOptions {
  /** So many are under way at a time at most. */
  readonly most: number;
  /** The log is wanted by claims and releases now, which others wait for. */
  readonly isWanted: () => boolean;
  /** It is this one's turn; it may ask again, or have nothing to append any more. */
  readonly onTurn: (name: string) => void;
  readonly timers: LogTimers;
}

/**
 * Appends that many have to make at once and nobody waits for, such as the first word on each of a thousand configurations:
 * a few at a time, and after what others wait for.
 */
export class AppendTurns {
  readonly #options: AppendTurnsOptions;
  /** In the order asked. */
  readonly #waiting = new Set<string>();
  #underWay = 0;
  #wantedSinceMs: number | undefined;
  #callOff: (() => void) | undefined;

  constructor(options: AppendTurnsOptions) {
    this.#options = options;
  }

  /** Whether it may begin now: then `ended` is owed. Otherwise its turn comes later. */
  mayBegin(name: string): boolean {
    if (this.#underWay < this.#options.most && !this.#givesWay()) {
      this.#waiting.delete(name);
      this.#underWay += 1;
      return true;
    }
    this.#waiting.add(name);
    return false;
  }

  ended(): void {
    this.#underWay -= 1;
    this.#serve();
  }

  stop(): void {
    this.#callOff?.();
    this.#waiting.clear();
  }

  /** Each of those that wait asks at most once. */
  #serve(): void {
    for (const name of [...this.#waiting]) {
      if (this.#underWay >= this.#options.most || this.#givesWay()) return;
      this.#waiting.delete(name);
      this.#options.onTurn(name);
    }
  }

  #givesWay(): boolean {
    const { isWanted, timers } = this.#options;
    if (!isWanted()) {
      this.#wantedSinceMs = undefined;
      return false;
    }
    this.#wantedSinceMs ??= timers.nowMs();
    if (timers.nowMs() - this.#wantedSinceMs >= courtesyMostMs) return false;
    this.#lookAgain();
    return true;
  }

  #lookAgain(): void {
    this.#callOff ??= this.#options.timers.after(courtesyMs, () => {
      this.#callOff = undefined;
      this.#serve();
    });
  }
}
