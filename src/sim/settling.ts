import type { LogState } from '../log/projection.js';
import { handoverMsMax } from './promises.js';
import type { Scene } from './scene.js';

/** Who serves in the end: with all faults gone one, whom the log names; while nothing changes, always the same. */
export class Settling {
  readonly #scene: Scene;
  readonly #unheldSinceMs = new Map<string, number>();
  readonly #unservedSinceMs = new Map<string, number>();
  /** By virtual router, once it has to be at rest. */
  readonly #atRest = new Map<string, { holders: readonly number[]; moves: number }>();
  #isDue = false;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  /** There has to be one holder, always. */
  get isDue(): boolean {
    return this.#isDue;
  }

  mustSettle(): void {
    this.#isDue = true;
  }

  /** The LAN is broken for good: there may be two, or nobody that anybody hears. */
  needNotSettle(): void {
    this.#isDue = false;
  }

  /** From now on nothing changes any more, and no address should either. */
  mustRest(): void {
    const { world } = this.#scene;
    for (const { name } of world.routers) this.#atRest.set(name, { holders: this.#scene.holders(name), moves: 0 });
  }

  look(vr: string, holders: readonly number[]): void {
    this.#lookAtService(vr, holders);
    this.#lookAtRest(vr, holders);
    if (this.#isDue) this.#demandHolder(vr, holders.length > 0);
  }

  /** Nothing comes after this; `log` is what it says in the end. */
  finish(vr: string, log: LogState | undefined): void {
    if (!this.#isDue) return;
    const { nodes } = this.#scene;
    const [holder] = this.#scene.holders(vr);
    if (holder === undefined) return;
    const node = nodes[holder];
    const phase = node?.dataplane?.routers.get(vr)?.machine.phase;
    const holding = log?.virtualRouters.get(vr)?.holding;
    const standing = phase !== undefined && 'standing' in phase ? phase.standing?.kind : undefined;
    const isLogged = standing === 'logged' && holding?.owner === node?.id && holding?.released === false;
    if (isLogged) return;
    // Where the LAN alone arbitrates, a claim whose owner died unheard stands: nobody contests it.
    const isWire = this.#scene.settings(vr).arbitration === 'wire';
    if (isWire && holding !== undefined && !holding.released && holding.owner !== node?.id) return;
    const said =
      holding === undefined
        ? 'nobody'
        : `${holding.owner} (term ${holding.term}, ${holding.released ? 'released' : 'holding'})`;
    const has = `${node?.id} holds ${vr} ${standing ?? 'without a standing'}`;
    this.#scene.violated('settles', `${has}, and the log names ${said}`);
  }

  #lookAtService(vr: string, holders: readonly number[]): void {
    const { nowMs, world, nodes, tally } = this.#scene;
    const port = world.lan.portOf(vr, holders);
    const isServed = port !== undefined && holders.includes(port) && world.lan.passes(port, nodes.length);
    const sinceMs = this.#unservedSinceMs.get(vr) ?? nowMs;
    if (isServed) this.#unservedSinceMs.delete(vr);
    else this.#unservedSinceMs.set(vr, sinceMs);
    tally.longestOutageMs = Math.max(tally.longestOutageMs, nowMs - sinceMs);
  }

  #lookAtRest(vr: string, holders: readonly number[]): void {
    const rest = this.#atRest.get(vr);
    if (rest === undefined) return;
    rest.moves += holders.filter((node) => !rest.holders.includes(node)).length;
    rest.holders = holders;
    // What a node knows of its neighbours may just have grown too old: it takes over, and each better placed one after it.
    if (rest.moves > this.#scene.nodes.length)
      this.#scene.violated('rests', `${vr} has moved ${rest.moves} times, and nothing changes`);
  }

  /** `strict` breaks before it makes: an instant without a holder is part of a handover. */
  #demandHolder(vr: string, isHeld: boolean): void {
    const { nowMs } = this.#scene;
    if (isHeld) {
      this.#unheldSinceMs.delete(vr);
      return;
    }
    const sinceMs = this.#unheldSinceMs.get(vr) ?? nowMs;
    this.#unheldSinceMs.set(vr, sinceMs);
    const gapMs = this.#scene.settings(vr).arbitration === 'strict' ? handoverMsMax : 0;
    if (nowMs - sinceMs >= gapMs) this.#scene.violated('settles', `nobody holds ${vr}`);
  }
}
