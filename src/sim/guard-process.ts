import type { NodeClock } from './node-clock.js';
import type { World } from './world.js';

const heartbeatMs = 50;
/** Silence of the dataplane after which it is fenced. */
export const guardTimeoutMs = 300;
/** From the pipe's end to the first address off: one poll, one batch of netlink. */
const fenceMs = [0.1, 2] as const;

export interface Guarded {
  readonly clock: NodeClock;
  /** Addresses off, then the prepared priority-0 adverts of whatever is registered. */
  readonly fence: (vrs: readonly string[]) => void;
  /** The same for virtual routers whose lease has ended, while the dataplane may go on. */
  readonly leaseEnded: (vrs: readonly string[]) => void;
  /** SIGKILL to a hung dataplane: it never speaks again. */
  readonly kill: () => void;
}

/**
 * Watches one dataplane: fences when it dies, fences and kills it when its heartbeat stays away, and takes the addresses
 * off when a lease ends, whatever the dataplane does.
 */
export class GuardProcess {
  readonly #world: World;
  readonly #guarded: Guarded;
  readonly #registered = new Set<string>();
  #isAlive = true;
  #isPaused = false;
  #fenceWaits = false;
  #impatience: () => void = () => undefined;
  /** By the machine's monotonic clock; undefined where nothing that is held depends on a lease. */
  #leaseEndsAtMs: number | undefined;
  #leaseTimer: () => void = () => undefined;

  constructor(world: World, guarded: Guarded) {
    this.#world = world;
    this.#guarded = guarded;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  put(vr: string): void {
    this.#registered.add(vr);
    this.#planLeaseEnd();
  }

  drop(vr: string): void {
    this.#registered.delete(vr);
  }

  /** Until when what is registered may be held; undefined: as long as the dataplane says. */
  lease(endsAtMs: number | undefined): void {
    this.#leaseEndsAtMs = endsAtMs;
    this.#planLeaseEnd();
  }

  #planLeaseEnd(): void {
    this.#leaseTimer();
    const endsAtMs = this.#leaseEndsAtMs;
    if (endsAtMs === undefined || !this.#isAlive || this.#isPaused) return;
    const { clock } = this.#guarded;
    const lateMs = this.#world.random.between(...fenceMs);
    this.#leaseTimer = this.#world.time.after(clock.untilMs(endsAtMs) + lateMs, () => {
      if (!this.#isAlive || this.#isPaused || this.#registered.size === 0) return;
      const ended = [...this.#registered];
      this.#registered.clear();
      this.#guarded.leaseEnded(ended);
    });
  }

  /** The heartbeat stopped: the last one was up to one beat ago. */
  heartbeatStopped(): void {
    const sinceMs = this.#world.random.between(0, heartbeatMs);
    this.#impatience = this.#world.time.after(guardTimeoutMs - sinceMs, () => {
      if (this.#isAlive && !this.#isPaused) this.#hung();
    });
  }

  heartbeatAgain(): void {
    this.#impatience();
  }

  dataplaneDied(): void {
    this.#impatience();
    if (!this.#isAlive) return;
    this.#world.time.after(this.#world.random.between(...fenceMs), () => this.#fence());
  }

  /** The machine stood still with everything on it. Whether the guard or the dataplane is quicker afterwards is chance. */
  resumed(pausedMs: number): boolean {
    this.#isPaused = false;
    this.#planLeaseEnd();
    if (this.#fenceWaits) this.#fence();
    if (!this.#isAlive || pausedMs < guardTimeoutMs || this.#world.random.chance(0.5)) return false;
    this.#hung();
    return true;
  }

  paused(): void {
    this.#isPaused = true;
    this.#impatience();
    this.#leaseTimer();
  }

  /** It ends in order, or is killed; it touches nothing. */
  end(): void {
    this.#isAlive = false;
    this.#impatience();
    this.#leaseTimer();
  }

  #hung(): void {
    if (!this.#world.rules.guardFences) return;
    this.#guarded.kill();
    this.#fence();
  }

  #fence(): void {
    this.#fenceWaits = this.#isPaused;
    if (!this.#isAlive || this.#isPaused || !this.#world.rules.guardFences) return;
    this.#isAlive = false;
    this.#leaseTimer();
    this.#guarded.fence([...this.#registered]);
  }
}
