import { AdvertEar, type HeardMeanwhile, type Known } from '../kernel/advert-ear.js';
import type { PacketSocket } from '../kernel/packet.js';
import type { Scheduler } from './scheduler.js';

/** Who has judged an advert and need not judge it again. */
export interface Hearer {
  /** What came of it since it was asked about last. */
  heardMeanwhile(heard: HeardMeanwhile): void;
  /** It has been silent for too long. */
  silent(atMs: number): void;
  /** It is known no more, and the hearer waits for it by itself. */
  unknown(): void;
}

/**
 * The adverts that were accepted last on an interface, octet for octet. What has been judged once and comes again without
 * any difference is counted where it comes in (`AdvertEar`), and wakes nobody: there is one deadline for all of them, of
 * whoever has been silent for longest.
 */
export class AdvertMemory {
  readonly #timer: string;
  readonly #scheduler: Pick<Scheduler, 'set'>;
  readonly #places = new Map<Hearer, number>();
  readonly #hearers: (Hearer | undefined)[] = [];
  #ear: AdvertEar | undefined;
  #wakesAtMs = Number.POSITIVE_INFINITY;

  /** @param key tells its timer from those of other interfaces */
  constructor(key: string, scheduler: Pick<Scheduler, 'set'>) {
    this.#timer = `hearing ${key}`;
    this.#scheduler = scheduler;
  }

  /** Adverts come in through this socket from now on; undefined: they do not. What was known before is not any more. */
  bind(socket: Pick<PacketSocket, 'handle'> | undefined): void {
    this.clear();
    this.#ear = socket === undefined ? undefined : new AdvertEar(socket);
  }

  /**
   * The next time that one of these frames comes it is only counted. They are of one family and id.
   * @returns whether it is; otherwise each has to be judged
   */
  remember(known: Known, hearer: Hearer): boolean {
    this.forget(hearer);
    const place = this.#ear?.know(known);
    if (place === undefined) return false;
    const before = this.#hearers[place];
    this.#hearers[place] = hearer;
    this.#places.set(hearer, place);
    if (before !== undefined) {
      this.#places.delete(before);
      before.unknown();
    }
    const dueAtMs = Math.max(known.heardAtMs + known.silenceMs, known.notBeforeMs);
    if (dueAtMs < this.#wakesAtMs) this.#wakeAt(dueAtMs);
    return true;
  }

  knows(hearer: Hearer): boolean {
    return this.#places.has(hearer);
  }

  /** Tells what was heard until now. */
  ask(hearer: Hearer): void {
    const place = this.#places.get(hearer);
    if (place !== undefined && this.#ear !== undefined) hearer.heardMeanwhile(this.#ear.read(place));
  }

  /** The same, and the next advert has to be judged. */
  forget(hearer: Hearer): void {
    const place = this.#places.get(hearer);
    if (place === undefined || this.#ear === undefined) return;
    this.#places.delete(hearer);
    this.#hearers[place] = undefined;
    hearer.heardMeanwhile(this.#ear.forget(place));
  }

  clear(): void {
    for (const hearer of [...this.#places.keys()]) {
      this.forget(hearer);
      hearer.unknown();
    }
  }

  /** Whether it is one of those, and counted; for a frame that came behind one that was not. */
  recognise(buffer: Uint8Array, start: number, length: number, atMs: number): boolean {
    return this.#ear?.knows(buffer, start, length, atMs) ?? false;
  }

  #wakeAt(dueAtMs: number): void {
    this.#wakesAtMs = dueAtMs;
    const wakesAtMs = dueAtMs === Number.POSITIVE_INFINITY ? undefined : dueAtMs;
    this.#scheduler.set(this.#timer, wakesAtMs, this.#onTime, this.#onQuickTime);
  }

  /** As long as somebody else has been silent for longest whenever it is looked at, nobody is to be woken. */
  readonly #onQuickTime = (atMs: number): boolean => {
    const dueAtMs = this.#ear?.dueAtMs ?? Number.POSITIVE_INFINITY;
    if (dueAtMs <= atMs) return false;
    this.#wakeAt(dueAtMs);
    return true;
  };

  /** What waited in the kernel has been heard by now. */
  readonly #onTime = (atMs: number): void => {
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    for (const place of this.#ear?.silent(atMs) ?? []) this.#hearers[place]?.silent(atMs);
    this.#wakeAt(Math.min(this.#wakesAtMs, this.#ear?.dueAtMs ?? Number.POSITIVE_INFINITY));
  };
}
