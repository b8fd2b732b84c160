import type { Scene } from './scene.js';

const never = Number.POSITIVE_INFINITY;

/** Since when nodes have been awake, have heard the log and each other, without a break; `Infinity`: they do not now. */
export class Contact {
  readonly #scene: Scene;
  readonly #awakeSince: number[];
  readonly #hearsSince: number[];
  readonly #deafSince: number[];
  readonly #joinedSince: number[][];

  constructor(scene: Scene, nodeCount: number) {
    this.#scene = scene;
    const each = (): number[] => Array.from({ length: nodeCount }, () => never);
    this.#awakeSince = each();
    this.#hearsSince = each();
    this.#deafSince = each();
    this.#joinedSince = Array.from({ length: nodeCount }, each);
  }

  /** Both run. */
  awakeSince(a: number, b: number): number {
    return Math.max(this.#awakeSince[a] ?? never, this.#awakeSince[b] ?? never);
  }

  /** Both hear the log. */
  logSince(a: number, b: number): number {
    return Math.max(this.#hearsSince[a] ?? never, this.#hearsSince[b] ?? never);
  }

  /** The LAN joins them. */
  joinedSince(a: number, b: number): number {
    return this.#joinedSince[Math.min(a, b)]?.[Math.max(a, b)] ?? never;
  }

  /** Its dataplane has been told that the log is away. */
  deafSince(node: number): number {
    return this.#deafSince[node] ?? never;
  }

  get isLogWell(): boolean {
    const { stalled, losesAnswers, losesRequests } = this.#scene.world.logServer.faults;
    return !stalled && !losesAnswers && !losesRequests;
  }

  look(): void {
    const { nodes, nowMs, world } = this.#scene;
    const { isLogWell } = this;
    nodes.forEach((node, index) => {
      keepSince(this.#awakeSince, index, node.isAwake, nowMs);
      keepSince(this.#hearsSince, index, isLogWell && node.hearsLog, nowMs);
      keepSince(this.#deafSince, index, node.isAwake && node.knowsLogAway, nowMs);
    });
    const { lan } = world;
    if (!lan.changed) return;
    lan.changed = false;
    this.#scene.forEachPair((a, b) => {
      const row = this.#joinedSince[a];
      if (row !== undefined) keepSince(row, b, lan.joins(a, b), nowMs);
    });
  }
}

function keepSince(since: number[], index: number, is: boolean, nowMs: number): void {
  if (!is) since[index] = never;
  else if (since[index] === never) since[index] = nowMs;
}
