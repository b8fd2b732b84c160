import type { World } from './world.js';

const heartbeatMs = 50;
/** From the pipe's end to the first address off: one poll, one batch of netlink. */
const fenceMs = [0.1, 2] as const;

export interface Guarded {
  /** Addresses off, then the prepared priority-0 adverts of whatever is registered. */
  readonly fence: (vrs: readonly string[]) => void;
  /** SIGKILL to a hung dataplane: it never speaks again. */
  readonly kill: () => void;
}

/** Watches one dataplane: fences when it dies, fences and kills it when its heartbeat stays away. */
export class GuardProcess {
  readonly #world: World;
  readonly #guarded: Guarded;
  readonly #timeoutMs: number;
  readonly #registered = new Set<string>();
  #isAlive = true;
  #isPaused = false;
  #fenceWaits = false;
  #impatience: () => void = () => undefined;

  constructor(world: World, timeoutMs: number, guarded: Guarded) {
    this.#world = world;
    this.#timeoutMs = timeoutMs;
    this.#guarded = guarded;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  put(vr: string): void {
    this.#registered.add(vr);
  }

  drop(vr: string): void {
    this.#registered.delete(vr);
  }

  /** The heartbeat stopped: the last one was up to one beat ago. */
  heartbeatStopped(): void {
    const sinceMs = this.#world.random.between(0, heartbeatMs);
    this.#impatience = this.#world.time.after(this.#timeoutMs - sinceMs, () => {
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
    if (this.#fenceWaits) this.#fence();
    if (!this.#isAlive || pausedMs < this.#timeoutMs || this.#world.random.chance(0.5)) return false;
    this.#hung();
    return true;
  }

  paused(): void {
    this.#isPaused = true;
    this.#impatience();
  }

  /** It ends in order, or is killed; it touches nothing. */
  end(): void {
    this.#isAlive = false;
    this.#impatience();
  }

  #hung(): void {
    this.#guarded.kill();
    this.#fence();
  }

  #fence(): void {
    this.#fenceWaits = this.#isPaused;
    if (!this.#isAlive || this.#isPaused) return;
    this.#isAlive = false;
    this.#guarded.fence([...this.#registered]);
  }
}
