import { clockDriftMax } from '../core/lease.js';
import { guardTimeoutMs } from './guard-process.js';
import { addressesLastMs } from './kernel-addresses.js';
import type { Scene } from './scene.js';
import type { SimulatedNode } from './simulated-node.js';

/** From the dataplane's death, or the end of the guard's patience, to the addresses off. */
const guardReactionMs = 5;
/** How long a guard leaves addresses to a dataplane that is dead or frozen. */
const guardedMs = { dead: guardReactionMs, frozen: guardTimeoutMs + guardReactionMs };

interface Orphan {
  readonly why: 'dead' | 'frozen';
  readonly sinceMs: number;
  /** A guard has been there all the time. */
  isGuarded: boolean;
}

/** Addresses that no dataplane looks after, since it is dead or frozen: how long they last. */
export class Orphans {
  readonly #scene: Pick<Scene, 'nowMs' | 'violated'>;
  /** By node and virtual router. */
  readonly #known = new Map<string, Orphan>();

  constructor(scene: Pick<Scene, 'nowMs' | 'violated'>) {
    this.#scene = scene;
  }

  look(vr: string, node: SimulatedNode): void {
    const { dataplane, guard } = node;
    const key = `${node.index} ${vr}`;
    const isKept = node.isHolding(vr) && dataplane?.isRunning !== true;
    if (!isKept) {
      this.#known.delete(key);
      return;
    }
    const { nowMs } = this.#scene;
    const why: Orphan['why'] = dataplane === undefined ? 'dead' : 'frozen';
    const isGuarded = guard?.isAlive === true;
    const known = this.#known.get(key);
    const orphan = known?.why === why ? known : { why, sinceMs: nowMs, isGuarded };
    if (orphan !== known) this.#known.set(key, orphan);
    orphan.isGuarded &&= isGuarded;
    const allowedMs = orphan.isGuarded ? guardedMs[why] : addressesLastMs * (1 + clockDriftMax);
    if (nowMs - orphan.sinceMs <= allowedMs) return;
    const guarded = orphan.isGuarded ? 'a guard' : 'no guard';
    const forMs = Math.round(nowMs - orphan.sinceMs);
    this.#scene.violated('orphaned', `${node.id} has ${vr}, with a dataplane ${why} for ${forMs} ms and ${guarded}`);
  }
}
