import type { PromiseName, Violation } from './promises.js';
import type { SimulatedNode } from './simulated-node.js';
import { emptyTally, type Tally } from './tally.js';
import type { RouterSettings, World } from './world.js';

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** The whole world, which no node can see, and what is found in it. */
export class Scene {
  readonly nodes: readonly SimulatedNode[];
  readonly tally: Writable<Tally> = { ...emptyTally };
  readonly #world: () => World;
  #violation: Violation | undefined;

  constructor(world: () => World, nodes: readonly SimulatedNode[]) {
    this.#world = world;
    this.nodes = nodes;
  }

  get world(): World {
    return this.#world();
  }

  get nowMs(): number {
    return this.world.time.nowMs();
  }

  /** The first one; what comes after it may be its consequence. */
  get violation(): Violation | undefined {
    return this.#violation;
  }

  violated(promise: PromiseName, text: string): void {
    this.#violation ??= { promise, atMs: this.nowMs, text };
  }

  /** The nodes that have the virtual router's addresses. */
  holders(vr: string): number[] {
    const holders: number[] = [];
    for (const node of this.nodes) if (node.isHolding(vr)) holders.push(node.index);
    return holders;
  }

  indexOf(idOrAddress: string): number | undefined {
    return this.nodes.find(({ id, lanAddress }) => id === idOrAddress || lanAddress === idOrAddress)?.index;
  }

  /** As configured, whatever a node makes of it. */
  settings(vr: string): RouterSettings {
    const settings = this.world.routers.find(({ name }) => name === vr);
    if (settings === undefined) throw new Error(`no virtual router ${vr}`);
    return settings;
  }

  forEachPair(visit: (a: number, b: number) => void): void {
    for (let a = 0; a < this.nodes.length; a++) for (let b = a + 1; b < this.nodes.length; b++) visit(a, b);
  }
}
