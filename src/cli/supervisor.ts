import { type ChildProcess, spawn } from 'node:child_process';
import type { Logger } from 'pino';
import { supervisedVariable } from './daemon.js';

/** What a process exits with when starting it again would fail the same way: wrong usage or configuration, privilege. */
const hopeless: ReadonlySet<number> = new Set([2, 3]);
const restartDelaysMs: readonly number[] = [50, 200, 1000, 5000];
/** A process that ran for so long has got over what made it fail before. */
const settledAfterMs = 30_000;
const stopDeadlineMs = 6000;

export interface SupervisedOptions {
  readonly role: 'agent' | 'dataplane';
  /** Arguments after the node binary. */
  readonly arguments: readonly string[];
  readonly log: Logger;
  /** It cannot run here; the exit code says why. */
  readonly onHopeless: (code: number) => void;
}

/** One child process of `koi run`, started again when it ends by itself. */
export class Supervised {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #failures = 0;
  #startedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#start();
  }

  /** Asks it to end and waits; at the deadline it is killed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.log.error({ role: this.#options.role }, 'it did not end in time and is killed');
      child.kill('SIGKILL');
    }, stopDeadlineMs);
    await ended;
    clearTimeout(timer);
  }

  #start(): void {
    this.#startedMs = performance.now();
    const child = spawn(process.execPath, [...process.execArgv, ...this.#options.arguments], {
      // Standard input is how a child notices that `koi run` itself is gone.
      stdio: ['pipe', 'inherit', 'inherit'],
      env: { ...process.env, [supervisedVariable]: '1' },
    });
    child.stdin?.on('error', () => undefined);
    child.once('error', (error) => this.#ended(1, error.message));
    child.once('exit', (code, signal) => this.#ended(code, signal ?? `exit code ${code}`));
    this.#child = child;
  }

  #ended(code: number | null, how: string): void {
    this.#child = undefined;
    if (this.#stopping) return;
    const { role, log, onHopeless } = this.#options;
    if (code !== null && hopeless.has(code)) {
      onHopeless(code);
      return;
    }
    if (performance.now() - this.#startedMs > settledAfterMs) this.#failures = 0;
    const delayMs = restartDelaysMs[Math.min(this.#failures, restartDelaysMs.length - 1)] ?? 0;
    this.#failures += 1;
    log.error({ role, how, delayMs }, `the ${role} ended; starting it again`);
    this.#timer = setTimeout(() => this.#start(), delayMs);
  }
}
