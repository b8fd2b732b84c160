import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Logger } from 'pino';
import { putAhead } from '../kernel/precedence.js';
import { supervisedVariable } from './daemon.js';

/** What a process exits with when starting it again would fail the same way: wrong usage or configuration, privilege. */
const hopeless: ReadonlySet<number> = new Set([2, 3]);

export interface SupervisorTimings {
  /** Before the first start again, the second, and so on; the last one for all that follow. */
  readonly restartDelaysMs: readonly number[];
  /** A process that ran for so long has shown that it can run here, and has got over what made it fail before. */
  readonly settledAfterMs: number;
  /**
   * How long a process may take to end before it is killed: a dataplane hands over what it holds first, and a nats-server
   * waits for the agent's end and then writes to disk what it has.
   */
  readonly stopDeadlineMs: number;
}

export const defaultTimings: SupervisorTimings = {
  restartDelaysMs: [50, 200, 1000, 5000],
  settledAfterMs: 30_000,
  stopDeadlineMs: 46_000,
};

export interface SupervisedOptions {
  readonly role: 'agent' | 'dataplane' | 'log-server';
  /** Arguments after the node binary. */
  readonly arguments: readonly string[];
  readonly log: Logger;
  /** It cannot run here; the exit code says why. */
  readonly onHopeless: (code: number) => void;
  readonly timings?: SupervisorTimings;
}

/** Adverts are due to the millisecond, and takeovers wait for all of them: ahead of ordinary ones on a busy machine. */
const niceOf: Readonly<Record<SupervisedOptions['role'], number>> = {
  dataplane: constants.priority.PRIORITY_HIGHEST,
  agent: -10,
  'log-server': -10,
};

/**
 * Young objects get little room: by default V8 lets it grow to three times 16 MiB in each process, for throughput that
 * nobody needs here. So little is collected sooner by the thread itself than by others that it has to wait for, where the
 * processors are taken: 7 % less of them for a takeover of many. What node was started with goes before it.
 */
const heapArguments = ['--max-semi-space-size=2', '--no-parallel-scavenge'];

/** One child process of `koi run`, started again when it ends by itself. */
export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #timings: SupervisorTimings;
  #child: ChildProcess | undefined;
  #failures = 0;
  #hasSettled = false;
  #startedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #retired = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#timings = options.timings ?? defaultTimings;
    this.#start();
  }

  /** It may go on, but is not started again: whoever ends everything at once ends it too. */
  retire(): void {
    this.#retired = true;
    clearTimeout(this.#timer);
  }

  /** Passes a signal on, where it runs. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /**
   * Asks it to end and waits; at the deadline it is killed.
   * @returns whether it ended in order: false where it was not running, or did not end with success
   */
  async stop(): Promise<boolean> {
    this.retire();
    const child = this.#child;
    if (child === undefined) return false;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.log.error({ role: this.#options.role }, 'it did not end in time and is killed');
      child.kill('SIGKILL');
    }, this.#timings.stopDeadlineMs);
    const code = await ended;
    clearTimeout(timer);
    return code === 0;
  }

  #start(): void {
    this.#startedMs = performance.now();
    const child = spawn(process.execPath, [...heapArguments, ...process.execArgv, ...this.#options.arguments], {
      // Standard input is how a child notices that `koi run` itself is gone.
      stdio: ['pipe', 'inherit', 'inherit'],
      // A session of its own, which is put ahead as a whole: not that of whoever started `koi run`.
      detached: true,
      env: { ...process.env, [supervisedVariable]: '1' },
    });
    child.stdin?.on('error', () => undefined);
    child.on('error', (error) => {
      // Without a pid it never ran; an error later on is one of signalling it, and its exit comes all the same.
      if (child.pid === undefined) this.#ended(1, error.message);
    });
    child.once('exit', (code, signal) => this.#ended(code, signal ?? `exit code ${code}`));
    this.#child = child;
    if (child.pid !== undefined) putAhead(child.pid, niceOf[this.#options.role]);
  }

  #ended(code: number | null, how: string): void {
    this.#child = undefined;
    if (this.#retired) return;
    const { role, log, onHopeless } = this.#options;
    if (performance.now() - this.#startedMs > this.#timings.settledAfterMs) {
      this.#failures = 0;
      this.#hasSettled = true;
    }
    // One that has run here is kept trying: a file edited wrongly must not end the other, which serves on.
    if (code !== null && hopeless.has(code) && !this.#hasSettled) {
      onHopeless(code);
      return;
    }
    const { restartDelaysMs } = this.#timings;
    const delayMs = restartDelaysMs[Math.min(this.#failures, restartDelaysMs.length - 1)] ?? 0;
    this.#failures += 1;
    log.error({ role, how, delayMs }, `the ${role} ended; starting it again`);
    this.#timer = setTimeout(() => this.#start(), delayMs);
  }
}
