import { clockDriftMax } from '../core/lease.js';
import type { Vr } from '../core/vr-state.js';
import type { Contact } from './contact.js';
import type { Scene } from './scene.js';
import type { SimulatedNode } from './simulated-node.js';

/** A handover that is under way when the log has been away for a lease is brought to its end first. */
const letsGoAfterMs = 1500;

/** Who takes and who keeps an address without the log, where `onLogLoss` says that nobody may. */
export class LogLoss {
  readonly #scene: Scene;
  readonly #contact: Contact;
  /** By node and virtual router: since when it holds without a break. */
  readonly #heldSinceMs = new Map<string, number>();

  constructor(scene: Scene, contact: Contact) {
    this.#scene = scene;
    this.#contact = contact;
  }

  attaching(node: number, vr: string, { phase }: Vr): void {
    const { arbitration, onLogLoss } = this.#scene.settings(vr);
    const isAlone = phase.name === 'attaching' && phase.standing.kind === 'provisional';
    if (isAlone && arbitration === 'log' && onLogLoss !== 'wire') {
      this.#scene.violated('logLoss', `n${node + 1} takes ${vr} without the log, under onLogLoss ${onLogLoss}`);
    }
  }

  look(vr: string, { index, id, isAwake, addresses }: SimulatedNode): void {
    const { arbitration, onLogLoss, leaseMs } = this.#scene.settings(vr);
    if (arbitration !== 'log' || onLogLoss !== 'release') return;
    const { nowMs } = this.#scene;
    const key = `${index} ${vr}`;
    const holds = isAwake && addresses.has(vr);
    const heldSinceMs = this.#heldSinceMs.get(key) ?? nowMs;
    if (holds) this.#heldSinceMs.set(key, heldSinceMs);
    else this.#heldSinceMs.delete(key);
    // A handover that the log delivers while it counts as away may be taken.
    const alone = nowMs - Math.max(heldSinceMs, this.#contact.deafSince(index));
    if (alone <= leaseMs * (1 + clockDriftMax) + letsGoAfterMs) return;
    this.#scene.violated(
      'logLoss',
      `${id} holds ${vr} although it has been without the log for ${Math.round(alone)} ms`,
    );
  }
}
