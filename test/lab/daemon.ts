import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { nowMs } from './clock.js';
import { processesIn, type Router } from './topology.js';
import { waitUntil } from './wait.js';

/** Which of a router's processes a scenario means. */
export type Role = 'main' | 'dataplane' | 'agent' | 'guard';

/** What a daemon says about itself. `undefined`: it does not say, or cannot be asked. */
export interface DaemonView {
  readonly state: string;
  readonly term: number | undefined;
  /** Whether the log has the ownership; undefined in a backup. */
  readonly logged: boolean | undefined;
  readonly logConnected: boolean | undefined;
  /** The kinds of the alarms that it shows. */
  readonly episodes: readonly string[];
}

/** The daemon of one router: Koi, or the one it is compared with. */
export interface Daemon {
  readonly router: Router;
  /** Starts it in its router's namespace; does not wait. */
  start(): void;
  readonly running: boolean;
  /** SIGTERM; resolves with its exit code (or the signal that ended it). */
  stop(deadlineMs: number): Promise<number | string>;
  /** The pids in a role; empty where the daemon has no such process. */
  pids(role: Role): number[];
  /** Every process of the daemon, the supervisors first. */
  allPids(): number[];
  /** Why it is not ready to be the only owner (or the backup of one), or undefined where it is. */
  notReady(expected: { owner: boolean; logRunning: boolean }): Promise<string | undefined>;
  view(): Promise<DaemonView | undefined>;
  /** Runs one of the daemon's own commands; it does not reject. */
  command(args: readonly string[]): Promise<CommandResult>;
  /** The sum of a metric over its labels; 0 where the daemon cannot be asked. */
  metric(name: string): Promise<number>;
  /** Lines of the timeline since a time, or undefined where the daemon keeps none. */
  timeline(since: Date): Promise<TimelineLine[] | undefined>;
  /** What the last failover looked like from the command line, or undefined. */
  printTimeline(since: Date): string | undefined;
}

/** How a command ended, and what it said on both streams. */
export interface CommandResult {
  readonly code: number;
  readonly said: string;
}

export interface TimelineLine {
  readonly node: string;
  readonly type: string;
  readonly text: string;
}

/** A daemon's main process in its namespace: started, watched, ended; its output goes to a file. */
export class MainProcess {
  readonly #netns: string;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #ended: number | string | undefined;

  constructor(netns: string, logFile: string) {
    this.#netns = netns;
    this.#logFile = logFile;
  }

  start(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): void {
    const output = openSync(this.#logFile, 'a');
    this.#ended = undefined;
    // `ip netns exec` becomes the command, so this pid is the daemon's. A group of its own keeps Ctrl-C away from it.
    const child = spawn('ip', ['netns', 'exec', this.#netns, command, ...args], {
      stdio: ['ignore', output, output],
      detached: true,
      env: { ...process.env, ...environment },
    });
    child.on('error', (error) => {
      this.#ended = error.message;
    });
    child.on('exit', (code, signal) => {
      this.#ended = code ?? signal ?? 'ended';
    });
    this.#child = child;
  }

  get pid(): number | undefined {
    return this.running ? this.#child?.pid : undefined;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#ended === undefined;
  }

  /** How it ended: exit code or signal; undefined while it runs. */
  get ended(): number | string | undefined {
    return this.#ended;
  }

  async stop(deadlineMs: number): Promise<number | string> {
    this.#child?.kill('SIGTERM');
    await waitUntil('the daemon to end', () => (this.running ? 'it still runs' : undefined), {
      deadlineMs,
      everyMs: 5,
    });
    return this.#ended ?? 'never started';
  }

  /** The last lines it wrote, for an error's sake. */
  lastWords(lines = 5): string {
    return readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }
}

/** A process of a namespace, as /proc shows it. */
export interface NamespaceProcess {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** The processes of a router's namespace, wherever they hang in the process tree. */
export function processTable(netns: string): NamespaceProcess[] {
  return processesIn(netns).flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      // The name in field 2 may hold blanks and parentheses; state and parent follow its last ')'.
      const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
      return state === 'Z' ? [] : [{ pid, parent: Number(parent), command }];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}

/** Sends a signal to each process; one that is gone already is no error. Returns when the first was sent. */
export function signal(pids: readonly number[], name: NodeJS.Signals): number {
  const atMs = nowMs();
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return atMs;
}
