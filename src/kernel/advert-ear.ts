import { binding, type SocketHandle } from './binding.js';

/** An advert and how long it may be silent; milliseconds of the monotonic clock. */
export interface Known {
  /** The frame, or two that say the same in different words; the one that was heard last comes last. */
  readonly frames: readonly Uint8Array[];
  /** It is due so long after it was heard last, and not before `notBeforeMs`. */
  readonly silenceMs: number;
  readonly notBeforeMs: number;
  readonly heardAtMs: number;
  /** The other frame within this time only repeats what this one said; 0: each says it anew. */
  readonly twinMs: number;
  /** When the last of the frames was heard; undefined where it was a repetition already. */
  readonly singleAtMs: number | undefined;
}

/** What came of it since it was asked for last. */
export interface HeardMeanwhile {
  /** Repetitions apart. */
  readonly adverts: number;
  /** When it was heard last, repetitions apart. */
  readonly heardAtMs: number;
  /** How often each of the frames came, and when last: only of those that came at all that means anything. */
  readonly frames: readonly { readonly count: number; readonly lastAtMs: number }[];
  /** Which of the frames may be repeated yet by the other, and when that one came. */
  readonly single: { readonly frame: number; readonly atMs: number } | undefined;
}

const numbersOfOne = 8;
const placesMax = 512;

/**
 * Adverts that come octet for octet as they were judged before, counted by the addon where they come in: the event loop
 * hears of one only when it is asked about, or has been silent for too long. Whatever differs in a single bit goes the
 * whole way.
 */
export class AdvertEar {
  readonly #socket: SocketHandle;
  readonly #out = new Float64Array(numbersOfOne);
  readonly #times = new Float64Array(5);
  readonly #places = new Uint32Array(placesMax);

  constructor({ handle }: { readonly handle: SocketHandle }) {
    this.#socket = handle;
  }

  /**
   * From now on it is known; what was before in its place, that of its family and id, is not any more.
   * @returns its place; undefined where it cannot be known
   */
  know({ frames, ...times }: Known): number | undefined {
    const { silenceMs, notBeforeMs, heardAtMs, twinMs, singleAtMs = Number.NaN } = times;
    this.#times.set([silenceMs, notBeforeMs, heardAtMs, twinMs, singleAtMs]);
    const lengths = Uint32Array.from(frames, ({ length }) => length);
    const place = binding().earPut(this.#socket, Buffer.concat(frames), lengths, this.#times);
    return place < 0 ? undefined : place;
  }

  read(place: number): HeardMeanwhile {
    return this.#read(place, false);
  }

  /** It is known no more: the next one that comes goes to the event loop. */
  forget(place: number): HeardMeanwhile {
    return this.#read(place, true);
  }

  #read(place: number, ends: boolean): HeardMeanwhile {
    const out = this.#out;
    if (!binding().earRead(this.#socket, place, ends, out)) out.fill(0);
    const [adverts = 0, heardAtMs = 0, first = 0, firstAtMs = 0, second = 0, secondAtMs = 0, frame = -1, atMs = 0] =
      out;
    return {
      adverts,
      heardAtMs,
      frames: [
        { count: first, lastAtMs: firstAtMs },
        { count: second, lastAtMs: secondAtMs },
      ],
      single: frame < 0 ? undefined : { frame, atMs },
    };
  }

  /** Whether it is known, and counted with that. For a frame that came behind one that was not. */
  knows(buffer: Uint8Array, start: number, length: number, atMs: number): boolean {
    return binding().earKnows(this.#socket, buffer, start, length, atMs);
  }

  /** When the first of all is due; Infinity: never. */
  get dueAtMs(): number {
    return binding().earDue(this.#socket);
  }

  /** Those that are due. */
  silent(nowMs: number): readonly number[] {
    const count = binding().earSilent(this.#socket, nowMs, this.#places);
    return [...this.#places.subarray(0, count)];
  }
}
