import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FailpointName } from '../../src/failpoint.js';

/** What a trap does, once: waits, throws, or dies by SIGKILL. */
export type TrapKind = 'delay' | 'error' | 'crash';

export const trapDelayMs = 500;

/**
 * A koi whose processes have the failpoints put in by this test's own code, loaded beside what is built. A trap is a file;
 * the process that comes by renames it and acts, so that it acts once, and not again in the process that is started next.
 */
export class TrappedKoi {
  /** What node runs in place of koi's own main module. */
  readonly main: string;
  readonly #traps: string;

  constructor(builtMain: string, directory: string) {
    this.#traps = join(directory, 'traps');
    this.main = join(directory, 'trapped-main.mjs');
    mkdirSync(this.#traps, { recursive: true });
    writeFileSync(this.main, program(builtMain, this.#traps));
  }

  set(name: FailpointName, kind: TrapKind): void {
    writeFileSync(join(this.#traps, name), kind);
  }

  hasSprung(name: FailpointName): boolean {
    return existsSync(join(this.#traps, `${name}.sprung`));
  }

  clear(): void {
    rmSync(this.#traps, { recursive: true });
    mkdirSync(this.#traps);
  }
}

function program(builtMain: string, traps: string): string {
  return `
import { readFileSync, renameSync } from 'node:fs';
import { installFailpoints } from ${JSON.stringify(join(dirname(builtMain), '../failpoint.js'))};

const sleeper = new Int32Array(new SharedArrayBuffer(4));
function act(name) {
  const trap = ${JSON.stringify(traps)} + '/' + name;
  try {
    renameSync(trap, trap + '.sprung');
  } catch {
    return false;
  }
  const kind = readFileSync(trap + '.sprung', 'utf8');
  if (kind === 'crash') process.kill(process.pid, 'SIGKILL');
  if (kind === 'error') throw new Error('failpoint ' + name);
  return true;
}
installFailpoints({
  reached: async (name) => {
    if (act(name)) await new Promise((go) => setTimeout(go, ${trapDelayMs}));
  },
  passed: (name) => {
    if (act(name)) Atomics.wait(sleeper, 0, 0, ${trapDelayMs});
  },
});
await import(${JSON.stringify(builtMain)});
`;
}
