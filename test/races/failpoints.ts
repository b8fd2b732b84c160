import { type FailpointName, installFailpoints } from '../../src/failpoint.js';

/** What happens at a failpoint. */
export type Mischief =
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'error' }
  /** SIGKILL: no handler runs, nothing is tidied up. */
  | { readonly kind: 'crash' };

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Stops the whole process, as when the kernel runs something else between two system calls. */
const stall = (ms: number): void => void Atomics.wait(sleeper, 0, 0, ms);

/** Does this at one place from now on. */
export class Trap {
  #sprung = 0;

  constructor(name: FailpointName, mischief: Mischief) {
    const act = (reached: FailpointName): boolean => {
      if (reached !== name) return false;
      this.#sprung += 1;
      if (mischief.kind === 'crash') process.kill(process.pid, 'SIGKILL');
      if (mischief.kind === 'error') throw new Error(`failpoint ${name}`);
      return true;
    };
    installFailpoints({
      reached: async (reached) => {
        if (act(reached) && mischief.kind === 'delay') await new Promise((go) => setTimeout(go, mischief.ms));
      },
      passed: (reached) => {
        if (act(reached) && mischief.kind === 'delay') stall(mischief.ms);
      },
    });
  }

  /** How often the code came by. */
  get sprung(): number {
    return this.#sprung;
  }

  remove(): void {
    installFailpoints(undefined);
  }
}
