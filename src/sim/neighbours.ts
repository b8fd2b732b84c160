import { LanLook } from '../core/lan-look.js';
import { RecentSpeakers } from '../core/recent-speakers.js';
import { clientAddress, type NeighbourFrame } from './lan.js';
import type { SimulatedNode } from './simulated-node.js';
import type { World } from './world.js';

const askedMost = 16;

/** What one dataplane knows of the hosts on the LAN, and its look at them. */
export class Neighbours {
  readonly #world: World;
  readonly #node: SimulatedNode;
  readonly #look: LanLook;
  readonly #speakers = new RecentSpeakers(askedMost);
  #frames = 0;

  /** @param inLoop what comes from timers waits while the process stands still */
  constructor(world: World, node: SimulatedNode, inLoop: (action: () => void) => void) {
    this.#world = world;
    this.#node = node;
    this.#look = new LanLook({
      neighbours: () => this.#neighbours(),
      ask: (addresses) => this.#ask(addresses),
      receivedFrames: () => this.#frames,
      now: () => node.clock.monotonicMs(),
      after: (ms, run) =>
        void world.time.after(ms, () =>
          inLoop(() => {
            world.time.stir();
            run();
          }),
        ),
    });
  }

  /** Something came in on the interface. */
  frameCame(): void {
    this.#frames += 1;
  }

  heard(frame: NeighbourFrame): void {
    this.#world.time.stir();
    if (frame.kind === 'isAt') this.#look.answered();
    this.#speakers.heard(frame.source, this.#node.clock.monotonicMs());
  }

  /** The kernel has spoken with the client, which this node serves. */
  served(): void {
    this.#speakers.heard(clientAddress, this.#node.clock.monotonicMs());
  }

  carries(waitMs: number, freshMs?: number): Promise<boolean> {
    this.#world.time.stir();
    return this.#look.carries(waitMs, freshMs);
  }

  isAnswered(waitMs: number, freshMs: number): Promise<boolean> {
    this.#world.time.stir();
    return this.#look.isAnswered(waitMs, freshMs);
  }

  #neighbours() {
    const lately = this.#speakers.since(this.#node.clock.monotonicMs() - this.#world.neighboursKnownMs);
    const ever = this.#speakers.since(Number.NEGATIVE_INFINITY);
    return { lately, before: ever.filter((address) => !lately.includes(address)) };
  }

  #ask(addresses: readonly string[]): number {
    const { lan } = this.#world;
    const { index, lanAddress } = this.#node;
    if (!lan.hasCarrier(index)) return 0;
    for (const target of addresses) lan.resolve({ kind: 'whoHas', from: index, source: lanAddress, target });
    return addresses.length;
  }
}
