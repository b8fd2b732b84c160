import { freshAnswerMsMost, lanCarries } from './lan-reach.js';

/** A neighbour that has said nothing for so long will not answer any more. */
const unansweredAfterMs = 200;

export interface Neighbours {
  /** Those that have lately spoken, best first: their silence tells. */
  readonly lately: readonly string[];
  /** Those that have spoken before: an answer proves as much, and silence nothing. */
  readonly before: readonly string[];
}

export interface LanLookOptions {
  /** Hosts on the LAN, none of them this one. */
  readonly neighbours: () => Neighbours;
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
  /** Whoever waits for an answer, each as long as it can. */
  readonly waiting: Set<(carries: boolean) => void>;
}

/** Finds out, when it matters, whether the LAN behind an interface carries what this host says. */
export class LanLook {
  readonly #options: LanLookOptions;
  #round: Round | undefined;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  /** Since when questions are open that nobody has answered. */
  #openSinceMs: number | undefined;

  constructor(options: LanLookOptions) {
    this.#options = options;
  }

  /** A neighbour has answered this host. */
  answered(): void {
    this.#answeredAtMs = this.#options.now();
    this.#openSinceMs = undefined;
    for (const decide of [...(this.#round?.waiting ?? [])]) decide(true);
  }

  /**
   * Takes `waitMs` at most, and much less where somebody answers. Whoever asks meanwhile shares the questions.
   *
   * @param freshMs an answer that came so long ago will do
   * @param besides hosts that are there, as the caller knows: their silence tells as well
   */
  carries(waitMs: number, freshMs = freshAnswerMsMost, besides: readonly string[] = []): Promise<boolean> {
    return this.#look(waitMs, freshMs, besides, true);
  }

  /** The same for who would take over: frames without an answer prove no way out, and it can ask again. */
  isAnswered(waitMs: number, freshMs: number): Promise<boolean> {
    return this.#look(waitMs, freshMs, [], false);
  }

  #look(waitMs: number, freshMs: number, besides: readonly string[], framesCount: boolean): Promise<boolean> {
    const { now, after } = this.#options;
    if (now() - this.#answeredAtMs <= freshMs) return Promise.resolve(true);
    this.#round ??= this.#begin(besides);
    const round = this.#round;
    return new Promise<boolean>((resolve) => {
      const decide = (carries: boolean): void => {
        round.waiting.delete(decide);
        if (round.waiting.size === 0) this.#round = undefined;
        resolve(carries);
      };
      round.waiting.add(decide);
      after(waitMs, () => {
        if (round.waiting.has(decide)) decide(this.#judge(round, framesCount));
      });
    });
  }

  /**
   * The same for what nothing hurries: where frames come and nobody answers, everybody is asked once more, and nobody is
   * taken for slow. Takes twice `waitMs` at most, which is no less than after what silence counts.
   */
  isHeard(waitMs: number, besides: readonly string[]): Promise<boolean> {
    const longEnoughMs = Math.max(waitMs, unansweredAfterMs + 5);
    return this.carries(longEnoughMs, freshAnswerMsMost, besides).then((carries) => {
      const isAnswered = this.#openSinceMs === undefined;
      return !carries || isAnswered ? carries : this.carries(longEnoughMs, freshAnswerMsMost, besides);
    });
  }

  #begin(besides: readonly string[]): Round {
    const { neighbours, ask, receivedFrames, now } = this.#options;
    const framesBefore = receivedFrames();
    const earlierUnanswered = this.#openSinceMs !== undefined && now() - this.#openSinceMs >= unansweredAfterMs;
    const { lately, before } = neighbours();
    const asked = ask([...new Set([...besides, ...lately])]);
    if (before.length > 0) ask(before);
    if (asked > 0) this.#openSinceMs ??= now();
    return { asked, framesBefore, earlierUnanswered, waiting: new Set() };
  }

  #judge({ asked, framesBefore, earlierUnanswered }: Round, framesCount: boolean): boolean {
    const frames = this.#options.receivedFrames();
    const framesCame = framesBefore === undefined || frames === undefined || frames > framesBefore;
    return lanCarries({ asked, answered: false, framesCame: framesCount && framesCame, earlierUnanswered });
  }
}
