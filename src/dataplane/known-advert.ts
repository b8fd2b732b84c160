import type { Patience } from '../core/takeover.js';
import type { HeardMeanwhile } from '../kernel/advert-ear.js';
import type { AdvertMemory, Hearer } from './advert-memory.js';
import type { AdvertPacket, ProtocolAdapter } from './protocol-adapter.js';

export interface KnownAdvertOptions {
  readonly memory: AdvertMemory;
  readonly adapter: () => ProtocolAdapter;
  /** `lastAtMs`: when any of its frames came last; `adverts` of them, repetitions apart, the last at `heardAtMs`. */
  readonly onHeard: (heard: { adverts: number; heardAtMs: number; lastAtMs: number }) => void;
  /** It has been silent for too long. */
  readonly onSilent: (atMs: number) => void;
  /** It is known no more, although nobody has forgotten it. */
  readonly onUnknown: () => void;
}

interface Form {
  readonly packet: AdvertPacket;
  readonly octets: Uint8Array;
}

/** The advert that one virtual router hears again and again, in one form of checksum or two. */
export class KnownAdvert implements Hearer {
  readonly #options: KnownAdvertOptions;
  #forms: readonly Form[] = [];

  constructor(options: KnownAdvertOptions) {
    this.#options = options;
  }

  /** Whether it is counted by itself, and its silence noticed. */
  get isKnown(): boolean {
    return this.#options.memory.knows(this);
  }

  /**
   * It was judged, and heard, or is the twin of the one that was: the same once more need not be.
   * @returns whether it is so
   */
  remember(
    packet: AdvertPacket,
    octets: Uint8Array,
    patience: Patience & { heardAtMs: number },
    isTwin: boolean,
  ): boolean {
    const { memory, adapter } = this.#options;
    memory.forget(this);
    const twin = adapter().twinOf(packet);
    this.#forms = [...(isTwin ? this.#forms.slice(-1) : []), { packet, octets: octets.slice() }];
    const frames = this.#forms.map((form) => form.octets);
    return memory.remember({ ...patience, frames, twinMs: twin?.withinMs ?? 0, singleAtMs: twin?.singleAtMs }, this);
  }

  /** Tells what was heard until now. */
  ask(): void {
    this.#options.memory.ask(this);
  }

  /** The same, and the next advert has to be judged. */
  forget(): void {
    this.#options.memory.forget(this);
    this.#forms = [];
  }

  heardMeanwhile({ adverts, heardAtMs, frames, single }: HeardMeanwhile): void {
    const heard = this.#forms.map(({ packet }, index) => ({ packet, count: 0, lastAtMs: 0, ...frames[index] }));
    const times = heard.flatMap(({ count, lastAtMs }) => (count === 0 ? [] : [lastAtMs]));
    if (times.length === 0) return;
    const waits = single && heard[single.frame];
    const { adapter, onHeard } = this.#options;
    adapter().heardMeanwhile(heard, waits && { ...waits, lastAtMs: single.atMs });
    onHeard({ adverts, heardAtMs, lastAtMs: Math.max(...times) });
  }

  silent(atMs: number): void {
    this.#options.onSilent(atMs);
  }

  unknown(): void {
    this.#options.onUnknown();
  }
}
