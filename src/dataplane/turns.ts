/** After so long others have a turn: timers, sockets, the guard's heartbeat. */
const sliceMs = 5;

export interface TurnsOptions {
  readonly now: () => number;
  /** Runs `act` when the loop has been round once. */
  readonly later: (act: () => void) => void;
}

/**
 * Work on the kernel that many virtual routers have at once, two hundred links to make or to bring up, is done a few
 * milliseconds at a time, in the order asked for. Between two slices the loop goes round, so that adverts are sent and
 * heard, and the guard hears that this process lives. Who asks alone does not wait.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting: (() => void)[] = [];
  readonly #patient: (() => void)[] = [];
  /** Somebody has had a turn since the loop went round last. */
  #given = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Resolves when it is the caller's turn; what he does until he waits for something else is his turn. */
  take(): Promise<void> {
    if (!this.#given) {
      this.#given = true;
      this.#options.later(() => void this.#serve());
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The same for what nobody waits for: everybody else goes first. */
  takeLater(): Promise<void> {
    if (!this.#given) return this.take();
    return new Promise((resolve) => this.#patient.push(resolve));
  }

  async #serve(): Promise<void> {
    const untilMs = this.#options.now() + sliceMs;
    while (this.#isAsked && this.#options.now() < untilMs) {
      (this.#waiting.shift() ?? this.#patient.shift())?.();
      // Whoever it was goes on before this does.
      await undefined;
    }
    if (this.#isAsked) this.#options.later(() => void this.#serve());
    else this.#given = false;
  }

  get #isAsked(): boolean {
    return this.#waiting.length + this.#patient.length > 0;
  }
}
