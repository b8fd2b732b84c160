interface Entry {
  readonly slot: number;
  /** Registrations that the guard has not answered. */
  asked: number;
  /** The guard has stored one of them. */
  isStored: boolean;
}

/** A registration that is under way. One of the two is called, once. */
export interface SlotUse {
  readonly slot: number;
  stored(): void;
  /** The guard has stored nothing of it. */
  refused(): void;
}

/**
 * The numbers by which the guard knows virtual routers. One is taken with the first registration and free again when the
 * virtual router is dropped, or when nothing of it was ever stored: on every way out, or the guard would be full one day.
 */
export class GuardSlots {
  readonly #entries = new Map<string, Entry>();
  readonly #free: number[];

  constructor(count: number) {
    this.#free = Array.from({ length: count }, (_, index) => index).reverse();
  }

  get free(): number {
    return this.#free.length;
  }

  of(vr: string): number | undefined {
    return this.#entries.get(vr)?.slot;
  }

  /** The virtual router's own, or a free one; undefined where none is left. */
  use(vr: string): SlotUse | undefined {
    const entry = this.#entries.get(vr) ?? this.#take(vr);
    if (entry === undefined) return undefined;
    entry.asked += 1;
    return {
      slot: entry.slot,
      stored: () => {
        entry.asked -= 1;
        entry.isStored = true;
      },
      refused: () => {
        entry.asked -= 1;
        // One that is asked for meanwhile may still be stored, and the number be used then.
        if (!entry.isStored && entry.asked === 0 && this.#entries.get(vr) === entry) this.release(vr);
      },
    };
  }

  /** The guard obeys in order, so whoever has the number next is registered after this one was dropped. */
  release(vr: string): void {
    const entry = this.#entries.get(vr);
    if (entry === undefined) return;
    this.#entries.delete(vr);
    this.#free.push(entry.slot);
  }

  #take(vr: string): Entry | undefined {
    const slot = this.#free.pop();
    if (slot === undefined) return undefined;
    const entry = { slot, asked: 0, isStored: false };
    this.#entries.set(vr, entry);
    return entry;
  }
}
