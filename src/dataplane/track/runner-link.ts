import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { CommandOrder } from './command.js';
import { type LinePipe, openLinePipe } from './line-pipe.js';
import {
  type CommandOutcome,
  type FromRunner,
  fromRunner,
  type RunnerTrack,
  type ToRunner,
} from './runner-protocol.js';
import type { Reading } from './watching.js';

const restartDelaysMs: readonly number[] = [50, 200, 1000, 5000];
/** A runner that ran for so long has got over what made it fail before. */
const settledAfterMs = 30_000;
/** The runner kills a late command itself; this is for a runner that does not answer. */
const answerGraceMs = 1_000;
const commandsWaitingMax = 1_024;

export interface Ran {
  readonly outcome: CommandOutcome;
  readonly output: string;
  readonly durationMs: number;
}

export interface RunnerLinkOptions {
  readonly log: Logger;
  readonly onReading: (track: string, reading: Reading) => void;
  /** Program and arguments; the default is this release's runner on this Node. */
  readonly program?: readonly string[];
}

/**
 * The dataplane's end of the runner: a small process, started once, in which scripts and hooks are forked. A fork from
 * the dataplane itself holds its loop up for 3 ms (measured, 200 MB resident; up to 12). It is started again when it
 * ends, and told everything anew; meanwhile what was read last stands.
 */
export class RunnerLink {
  readonly #options: RunnerLinkOptions;
  readonly #running = new Map<number, { readonly finish: (ran: Ran) => void; readonly timer: NodeJS.Timeout }>();
  #tracks: readonly RunnerTrack[] = [];
  #child: ChildProcess | undefined;
  #pipe: LinePipe<ToRunner> | undefined;
  #wanted = false;
  #failures = 0;
  #startedMs = 0;
  #id = 0;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: RunnerLinkOptions) {
    this.#options = options;
  }

  /** Starts the runner if it does not run: before it is needed, since that takes a fork. */
  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#spawn();
  }

  /** Watches exactly these from now on. */
  watch(tracks: readonly RunnerTrack[]): void {
    this.#tracks = tracks;
    if (tracks.length > 0) this.start();
    this.#pipe?.send({ type: 'watch', tracks: [...tracks] as never });
  }

  /** Runs a command; never rejects, and always answers within its time and a little more. */
  run({ command, user, timeoutMs, environment }: CommandOrder): Promise<Ran> {
    this.start();
    const id = ++this.#id;
    const isSent =
      this.#running.size < commandsWaitingMax &&
      this.#pipe?.send({
        type: 'run',
        id,
        command: [...command],
        ...(user === undefined ? {} : { user }),
        timeoutMs,
        environment: { ...environment },
      }) === true;
    if (!isSent) return Promise.resolve(notRun('the runner is not there to run it'));
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#ran(id, notRun('the runner did not answer')), timeoutMs + answerGraceMs);
      this.#running.set(id, { finish: resolve, timer });
    });
  }

  /** Ends the runner and what it watches; commands that run are left to themselves. */
  close(): void {
    this.#wanted = false;
    clearTimeout(this.#restart);
    this.#pipe = undefined;
    this.#child?.stdin?.end();
    this.#child?.unref();
    this.#child = undefined;
    this.#giveUp('koi is stopping');
  }

  #spawn(): void {
    const main = fileURLToPath(new URL('./runner-main.js', import.meta.url));
    const [program = '', ...args] = this.#options.program ?? [process.execPath, ...process.execArgv, main];
    this.#startedMs = performance.now();
    const child = spawn(program, args, {
      // The dataplane's session comes before everybody else; what it has started does not.
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH ?? '' },
    });
    this.#child = child;
    child.once('error', (error) => this.#ended(child, error.message));
    child.once('exit', (code, signal) => this.#ended(child, signal ?? `exit code ${code}`));
    this.#pipe = openLinePipe<FromRunner, ToRunner>({
      input: child.stdout,
      output: child.stdin,
      schema: fromRunner,
      onMessage: (message) => this.#receive(message),
      onEnd: () => child.kill('SIGKILL'),
    });
    if (this.#tracks.length > 0) this.#pipe.send({ type: 'watch', tracks: [...this.#tracks] as never });
  }

  #receive(message: FromRunner): void {
    if (message.type === 'ran') {
      const { id, outcome, output, durationMs } = message;
      this.#ran(id, { outcome, output, durationMs });
      return;
    }
    if (!this.#tracks.some(({ name }) => name === message.track)) return;
    this.#options.onReading(message.track, { level: message.level, detail: message.detail });
  }

  #ran(id: number, ran: Ran): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    this.#running.delete(id);
    clearTimeout(running.timer);
    running.finish(ran);
  }

  #giveUp(why: string): void {
    for (const id of [...this.#running.keys()]) this.#ran(id, notRun(why));
  }

  #ended(child: ChildProcess, how: string): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    this.#pipe = undefined;
    this.#giveUp('the runner ended');
    if (!this.#wanted) return;
    if (performance.now() - this.#startedMs > settledAfterMs) this.#failures = 0;
    const delayMs = restartDelaysMs[Math.min(this.#failures, restartDelaysMs.length - 1)] ?? 0;
    this.#failures += 1;
    this.#options.log.error({ how, delayMs }, 'the runner of scripts and hooks ended; starting it again');
    this.#restart = setTimeout(() => this.#spawn(), delayMs);
  }
}

const notRun = (why: string): Ran => ({ outcome: { kind: 'not_started', why }, output: '', durationMs: 0 });
