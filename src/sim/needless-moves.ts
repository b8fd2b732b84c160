import type { Contact } from './contact.js';
import type { Scene } from './scene.js';

/** One release may be misunderstood: a node that serves again tells late of having let go before. */
const toAndFroIntervals = 10;
const soonMs = 100;

/** Takeovers beside a master that serves: because another resigned, or since the log has a release. */
export class NeedlessMoves {
  readonly #scene: Scene;
  readonly #contact: Contact;
  readonly #resignedAtMs = new Map<string, number>();
  /** By virtual router: when a release in the log last let a node take over beside a master that it heard. */
  readonly #tookBesideMasterAtMs = new Map<string, number>();

  constructor(scene: Scene, contact: Contact) {
    this.#scene = scene;
    this.#contact = contact;
  }

  /** The node has sent priority 0. */
  resigned(node: number, vr: string): void {
    const { nodes, tally, nowMs } = this.#scene;
    if (!this.#scene.holders(vr).some((holder) => holder !== node && nodes[holder]?.isAwake === true)) return;
    tally.needlessResignations += 1;
    this.#resignedAtMs.set(vr, nowMs);
  }

  /** The node would take the virtual router over. */
  candidate(node: number, vr: string, reason: string): void {
    const { tally, nowMs } = this.#scene;
    if (reason === 'master_resigned') {
      const resignedAtMs = this.#resignedAtMs.get(vr) ?? Number.NEGATIVE_INFINITY;
      if (nowMs - resignedAtMs < soonMs) tally.needlessClaims += 1;
    }
    if (reason === 'master_released' && this.#hearsMaster(node, vr)) {
      tally.needlessTakeovers += 1;
      this.#tookBesideMaster(node, vr);
    }
  }

  #tookBesideMaster(node: number, vr: string): void {
    const { nowMs } = this.#scene;
    const { arbitration, advertIntervalMs } = this.#scene.settings(vr);
    const lastMs = this.#tookBesideMasterAtMs.get(vr) ?? Number.NEGATIVE_INFINITY;
    this.#tookBesideMasterAtMs.set(vr, nowMs);
    if (arbitration !== 'wire' || nowMs - lastMs > toAndFroIntervals * advertIntervalMs) return;
    const again = `again, after ${Math.round(nowMs - lastMs)} ms`;
    this.#scene.violated(
      'released',
      `n${node + 1} takes ${vr} since the log has a release, beside a master that it hears, ${again}`,
    );
  }

  /** Another node serves, and has been joined with this one by the LAN for long enough to be heard. */
  #hearsMaster(node: number, vr: string): boolean {
    const { nodes, nowMs } = this.#scene;
    const { advertIntervalMs } = this.#scene.settings(vr);
    return this.#scene.holders(vr).some((holder) => {
      const joinedSince = this.#contact.joinedSince(node, holder);
      return holder !== node && nodes[holder]?.isAwake === true && nowMs - joinedSince > 3 * advertIntervalMs;
    });
  }
}
