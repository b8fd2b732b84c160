import { lanCarries } from '../core/lan-reach.js';

/** An answer so fresh needs no question. */
const freshMs = 100;
/** A neighbour that has said nothing for so long will not answer any more. */
const unansweredAfterMs = 200;

export interface LanReachOptions {
  /** Hosts on the LAN that this one has lately spoken with, best first; none of its own addresses. */
  readonly neighbours: () => readonly string[];
  /** Asks each over the LAN for an answer; returns how many questions left. */
  readonly ask: (addresses: readonly string[]) => number;
  /** Frames that the interface has ever received; undefined where it cannot be told. */
  readonly receivedFrames: () => number | undefined;
  /** Monotonic. */
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => void;
}

interface Round {
  readonly asked: number;
  readonly framesBefore: number | undefined;
  readonly earlierUnanswered: boolean;
  readonly verdict: Promise<boolean>;
  readonly decide: (carries: boolean) => void;
}

/** Finds out, when it matters, whether the LAN behind an interface carries what this host says. */
export class LanReach {
  readonly #options: LanReachOptions;
  #round: Round | undefined;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  /** Since when questions are open that nobody has answered. */
  #openSinceMs: number | undefined;

  constructor(options: LanReachOptions) {
    this.#options = options;
  }

  /** A neighbour has answered this host. */
  answered(): void {
    this.#answeredAtMs = this.#options.now();
    this.#openSinceMs = undefined;
    this.#round?.decide(true);
  }

  /** Takes `waitMs` at most, and much less where somebody answers. Whoever asks meanwhile shares the round. */
  carries(waitMs: number): Promise<boolean> {
    const { now } = this.#options;
    if (now() - this.#answeredAtMs <= freshMs) return Promise.resolve(true);
    return (this.#round ?? this.#begin(waitMs)).verdict;
  }

  #begin(waitMs: number): Round {
    const { neighbours, ask, receivedFrames, now, after } = this.#options;
    const framesBefore = receivedFrames();
    const earlierUnanswered = this.#openSinceMs !== undefined && now() - this.#openSinceMs >= unansweredAfterMs;
    let decide = (_carries: boolean): void => undefined;
    const verdict = new Promise<boolean>((resolve) => {
      decide = (carries) => {
        this.#round = undefined;
        resolve(carries);
      };
    });
    const asked = ask(neighbours());
    const round: Round = { asked, framesBefore, earlierUnanswered, verdict, decide };
    this.#round = round;
    if (asked > 0) this.#openSinceMs ??= now();
    after(waitMs, () => {
      if (this.#round === round) decide(this.#judge(round));
    });
    return round;
  }

  #judge({ asked, framesBefore, earlierUnanswered }: Round): boolean {
    const frames = this.#options.receivedFrames();
    const framesCame = framesBefore === undefined || frames === undefined || frames > framesBefore;
    return lanCarries({ asked, answered: false, framesCame, earlierUnanswered });
  }
}
