import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { LockName } from '../../src/kernel/lock.js';
import { compile } from '../lab/compile.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A process that holds locks. */
export class Holder {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  private constructor(program: string, words: readonly string[]) {
    this.#child = spawn(program, words, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no output');
    this.#lines = createInterface({ input: this.#child.stdout });
  }

  /** Koi's own. */
  static async of(names: readonly LockName[]): Promise<Holder> {
    const program = fileURLToPath(new URL('./locker.ts', import.meta.url));
    const holder = new Holder(process.execPath, ['--import', 'tsx', program, JSON.stringify(names)]);
    await holder.says('held');
    return holder;
  }

  /** A record lock on a file, as ifupdown takes it. Does not wait for it to be taken. */
  static ofFile(path: string): Holder {
    return new Holder(fileLocker(), [path]);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async says(word: string): Promise<void> {
    const [line] = (await once(this.#lines, 'line', { signal: AbortSignal.timeout(20_000) })) as [string];
    if (line !== word) throw new Error(`the holder says ${line}, not ${word}`);
  }

  /** From now on it does nothing, and lets go of nothing. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  /** Resolves when it is dead. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

export const fileLocker = (): string =>
  compile(fileURLToPath(new URL('../lab', import.meta.url)), 'file-locker', join(tmpdir(), 'koi-lab-bin'));
