import { addressLifetimeSeconds } from '../core/lease.js';
import type { NodeClock } from './node-clock.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

const lifetimeSeconds = 2;
const renewEveryMs = 500;
/** How late the kernel looks, at most. */
const lateMs = 1250;
/** How long an address outlives whoever renewed it, at most, by the machine's clock. */
export const addressesLastMs = lifetimeSeconds * 1000 + lateMs;

/** Which virtual routers' addresses a machine's kernel has: what answers for the VIP, whatever the processes believe. */
export class KernelAddresses {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #clock: NodeClock;
  readonly #present = new Set<string>();
  #life = 0;
  /** Counts every change. */
  version = 0;

  constructor(time: VirtualTime, random: Random, clock: NodeClock) {
    this.#time = time;
    this.#random = random;
    this.#clock = clock;
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

  /** Nobody renews them any more. `leaseEndsAtMs`: of what is held by a lease; undefined where none is needed. */
  expire(leaseEndsAtMs: number | undefined): void {
    const life = this.#life;
    const renewedAtMs = this.#clock.monotonicMs() - this.#random.between(0, renewEveryMs);
    const ownMs = renewedAtMs + lifetimeSeconds * 1000 + this.#random.between(0, lateMs);
    const atMs = leaseEndsAtMs === undefined ? ownMs : Math.min(ownMs, this.lastExpiryMs(leaseEndsAtMs));
    this.#time.after(this.#clock.untilMs(atMs), () => {
      if (life === this.#life) this.clear();
    });
  }

  /** When the kernel takes off what is held by a lease that is not renewed, by the machine's clock. */
  lastExpiryMs(leaseEndsAtMs: number): number {
    let renewedAtMs = leaseEndsAtMs - this.#random.between(0, renewEveryMs);
    while (addressLifetimeSeconds(leaseEndsAtMs, renewedAtMs) < 1) renewedAtMs -= renewEveryMs;
    return renewedAtMs + 1000 + this.#random.between(0, lateMs);
  }
}
