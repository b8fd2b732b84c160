import type { VirtualTime } from './virtual-time.js';

/** Which virtual routers' addresses a machine's kernel has: what answers for the VIP, whatever the processes believe. */
export class KernelAddresses {
  readonly #time: VirtualTime;
  readonly #present = new Set<string>();
  #life = 0;
  /** Counts every change. */
  version = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  has(vr: string): boolean {
    return this.#present.has(vr);
  }

  add(vr: string): void {
    this.#life += 1;
    this.#present.add(vr);
    this.version += 1;
  }

  remove(vr: string): void {
    if (this.#present.delete(vr)) this.version += 1;
  }

  clear(): void {
    this.#life += 1;
    if (this.#present.size > 0) this.version += 1;
    this.#present.clear();
  }

  /** Nobody renews them any more. */
  expireAfter(ms: number): void {
    const life = this.#life;
    this.#time.after(ms, () => {
      if (life === this.#life) this.clear();
    });
  }
}
