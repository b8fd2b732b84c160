import { type OwnVr, ownCopy } from '../core/steady.js';
import { step } from '../core/vr-machine.js';
import type { Effect, Input, Phase, Vr } from '../core/vr-state.js';

/** The machine of one virtual router, as it stands. */
export class RouterMachine {
  #vr: Vr;
  /** The same, where nobody else knows it. */
  #own: OwnVr | undefined;

  constructor(vr: Vr) {
    this.#vr = vr;
  }

  get vr(): Vr {
    return this.#vr;
  }

  get phase(): Phase['name'] {
    return this.#vr.phase.name;
  }

  /** It serves, is about to, or lingers in a handover. */
  get holdsAddresses(): boolean {
    return this.phase === 'master' || this.phase === 'attaching' || this.phase === 'handing';
  }

  /** It has left for good. */
  get isStopped(): boolean {
    const { phase } = this.#vr;
    return phase.name === 'init' && phase.stopped;
  }

  /** Its times may be moved in place until the next {@link take}: the steady state makes nothing new. */
  own(): OwnVr {
    this.#own ??= ownCopy(this.#vr);
    this.#vr = this.#own;
    return this.#own;
  }

  /** Something happened. @returns what is to be done about it */
  take(input: Input): readonly Effect[] {
    this.#own = undefined;
    const { vr, effects } = step(this.#vr, input);
    this.#vr = vr;
    return effects;
  }
}
