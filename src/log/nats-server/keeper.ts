import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { KoiError } from '../../koi-error.js';
import { findNatsServer } from './binary.js';
import { hashOfSecret } from './client-secret.js';
import { openAnew, writePrivately } from './private-file.js';
import { probeServer } from './probe.js';
import {
  digestOfServer,
  isAlive,
  type ProcessRecord,
  readRecord,
  recordOf,
  removeRecord,
  writeRecord,
} from './process-record.js';
import { clientSecret, type NatsServerSettings, renderNatsServer } from './settings.js';

export interface KeeperTimings {
  /** Before the first start again, the second, and so on; the last one for all that follow. */
  readonly restartDelaysMs: readonly number[];
  /** A server that served for so long has got over what made it fail before. */
  readonly settledAfterMs: number;
  readonly lookEveryMs: number;
  readonly probeEveryMs: number;
  readonly probeDeadlineMs: number;
  /** A server that has served and then answers nobody for so long is killed. */
  readonly silentMs: number;
  /** How long it may take to end before it is killed. */
  readonly stopDeadlineMs: number;
  /** A server whose disk failed is started again at most so often. */
  readonly mendEveryMs: number;
}

const defaultTimings: KeeperTimings = {
  restartDelaysMs: [100, 500, 2_000, 10_000],
  settledAfterMs: 30_000,
  lookEveryMs: 100,
  probeEveryMs: 1_000,
  probeDeadlineMs: 1_000,
  silentMs: 15_000,
  stopDeadlineMs: 5_000,
  mendEveryMs: 10_000,
};

export interface NatsServerKeeperOptions {
  readonly settings: NatsServerSettings;
  /** Path of the program; undefined: the one found in PATH. */
  readonly binary: string | undefined;
  /** Holds its configuration, its log, and which process it is. */
  readonly directory: string;
  /** Whether it belongs to this process's session, and is ahead of others with it; default: a session of its own. */
  readonly sharesSession?: boolean;
  readonly onStatus: (status: NatsServerStatus) => void;
  readonly timings?: KeeperTimings;
}

export interface NatsServerStatus {
  /**
   * - `starting`: the process runs and does not answer yet, as while it reads a large store.
   * - `serving`: it answers.
   * - `silent`: it has answered and no longer does.
   * - `failing`: it answers, but its disk does not take what it writes; it is started again once the disk does.
   * - `down`: it has ended, or could not be started; tried again after a while.
   * - `stopped`: it was told to end.
   */
  readonly state: 'starting' | 'serving' | 'silent' | 'failing' | 'down' | 'stopped';
  readonly pid: number | null;
  readonly version: string | null;
  /** How often it was started again. */
  readonly restarts: number;
  /** Why it does not serve, with what to do, for a human. */
  readonly problem: string | null;
}

/** The server's process, a child or one that an earlier keeper left behind. */
interface Running {
  readonly record: ProcessRecord;
  readonly child: ChildProcess | undefined;
  readonly startedMs: number;
}

/** In the server's own words: what it never recovers from by itself. */
const writeErrors =
  /critical write error|failed to store a msg|JetStream out of (resources|space)|no space left on device/i;
/** Enough for the server to begin with. */
const spareBytes = 4 << 20;

const lastWordsBytesMax = 64 << 10;

/**
 * Runs a nats-server and starts it again when it ends. Its lifetime is not this process's: should this one be killed, the
 * server votes on, and the next keeper of the same directory takes it over, told by process id and start time, as long
 * as program and configuration are the same. Ctrl-C must not reach it: its session is its own, or has no terminal.
 */
export class NatsServerKeeper {
  readonly #options: NatsServerKeeperOptions;
  readonly #timings: KeeperTimings;
  readonly #files: Readonly<Record<'conf' | 'log' | 'said' | 'record', string>>;
  #running: Running | undefined;
  #status: NatsServerStatus = { state: 'starting', pid: null, version: null, restarts: 0, problem: null };
  #told: NatsServerStatus | undefined;
  #failures = 0;
  #hasServed = false;
  #heardMs = 0;
  #probedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Where in its log the present run begins. */
  #logFrom = 0;
  /** What its disk said, since it was started. */
  #writeError: string | undefined;
  #stopping = false;
  #busy: Promise<void> = Promise.resolve();

  constructor(options: NatsServerKeeperOptions) {
    const { directory } = options;
    this.#options = options;
    this.#timings = options.timings ?? defaultTimings;
    this.#files = {
      conf: join(directory, 'nats-server.conf'),
      log: join(directory, 'nats-server.log'),
      said: join(directory, 'nats-server.stderr'),
      record: join(directory, 'nats-server.json'),
    };
  }

  get status(): NatsServerStatus {
    return this.#status;
  }

  start(): void {
    this.#later(0, () => this.#begin());
  }

  /** Ends the server in order, which hands what it leads to others; kills it where it does not end in time. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.#busy;
    const running = this.#running;
    if (running !== undefined) await this.#end(running.record, running.child);
    removeRecord(this.#files.record);
    this.#running = undefined;
    this.#tell({ state: 'stopped', pid: null, problem: null });
  }

  #later(delayMs: number, step: () => Promise<void>): void {
    if (this.#stopping) return;
    this.#timer = setTimeout(() => {
      this.#busy = step();
    }, delayMs);
  }

  async #begin(): Promise<void> {
    try {
      const running = await this.#adoptOrSpawn();
      if (running === undefined) throw new Error(this.#lastWords() ?? 'it ended at once');
      this.#running = running;
      this.#hasServed = false;
      this.#writeError = undefined;
      this.#heardMs = performance.now();
      this.#probedMs = 0;
      writeRecord(this.#files.record, running.record);
      this.#tell({ state: 'starting', pid: running.record.pid, problem: null });
      this.#later(this.#timings.lookEveryMs, () => this.#look());
    } catch (error) {
      const remedy = error instanceof KoiError && error.remedy !== undefined ? `; ${error.remedy}` : '';
      const why = error instanceof Error ? error.message : String(error);
      this.#failed(`nats-server cannot be started: ${why}${remedy}`);
    }
  }

  async #adoptOrSpawn(): Promise<Running | undefined> {
    const { settings, directory, binary } = this.#options;
    const { path, version } = await findNatsServer(binary);
    const secret = clientSecret(settings.authorization);
    const clientHash = secret === undefined ? undefined : await hashOfSecret(secret, textOf(this.#files.conf));
    const { configuration, environment } = renderNatsServer(settings, { logFile: this.#files.log, clientHash });
    const digest = digestOfServer(`${path} ${version}`, configuration);
    this.#status = { ...this.#status, version };
    const left = readRecord(this.#files.record);
    if (left !== undefined && isAlive(left)) {
      if (left.digest === digest) {
        this.#logFrom = sizeOf(this.#files.log);
        return { record: left, child: undefined, startedMs: performance.now() };
      }
      await this.#end(left);
    }
    if (this.#stopping) throw new Error('it is being stopped');

    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mkdirSync(settings.storeDir, { recursive: true, mode: 0o700 });
    writePrivately(this.#files.conf, configuration);
    const said = openAnew(this.#files.said);
    this.#logFrom = sizeOf(this.#files.log);
    try {
      const child = spawn(path, ['-c', this.#files.conf], {
        detached: this.#options.sharesSession !== true,
        stdio: ['ignore', said, said],
        // Secrets of this process are none of its business.
        env: { PATH: process.env.PATH ?? '', ...environment },
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      const record = recordOf(child.pid ?? 0, digest);
      if (record === undefined) return undefined;
      child.once('exit', () => this.#exited(child));
      return { record, child, startedMs: performance.now() };
    } finally {
      closeSync(said);
    }
  }

  #exited(child: ChildProcess): void {
    if (this.#running?.child !== child || this.#stopping) return;
    clearTimeout(this.#timer);
    this.#gone(howEnded(child));
  }

  async #look(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const { child, record } = running;
    if (!isAlive(record) && child === undefined) {
      this.#gone('it was not our child, so nobody knows how');
      return;
    }
    // A child's end is told by its exit event, except where that came before anybody listened.
    if (child !== undefined && hasEnded(child)) {
      this.#gone(howEnded(child));
      return;
    }
    if (performance.now() - this.#probedMs >= this.#timings.probeEveryMs) await this.#probe(running);
    if (this.#running === running) this.#later(this.#timings.lookEveryMs, () => this.#look());
  }

  async #probe(running: Running): Promise<void> {
    const { settings } = this.#options;
    const answer = await probeServer(settings.listen, this.#timings.probeDeadlineMs);
    if (this.#running !== running) return;
    const nowMs = performance.now();
    this.#probedMs = nowMs;
    if (answer?.name === settings.name) {
      this.#heardMs = nowMs;
      this.#hasServed = true;
      this.#writeError ??= this.#findWriteError();
      if (this.#writeError !== undefined) {
        await this.#mend(running, this.#writeError);
        return;
      }
      if (nowMs - running.startedMs > this.#timings.settledAfterMs) this.#failures = 0;
      this.#tell({ state: 'serving', version: answer.version, problem: null });
      return;
    }
    if (!this.#hasServed) {
      const foreign = answer === undefined ? null : `its port is answered by another nats-server, ${answer.name}`;
      this.#tell({ state: 'starting', problem: foreign });
      return;
    }
    const silentMs = nowMs - this.#heardMs;
    this.#tell({ state: 'silent', problem: `nats-server (process ${running.record.pid}) does not answer` });
    // Stopped by a signal, out of memory, or hung: a new one reads the same store.
    if (silentMs >= this.#timings.silentMs) kill(running.record, 'SIGKILL');
  }

  /**
   * A nats-server that once failed to write a stream (a full disk above all) never tries again: it confirms nothing, with
   * space or without, until it is started anew.
   */
  async #mend(running: Running, error: string): Promise<void> {
    const { storeDir } = this.#options.settings;
    const problem = `nats-server cannot write its store: ${error}; make space in ${storeDir}`;
    this.#tell({ state: 'failing', problem });
    if (performance.now() - running.startedMs < this.#timings.mendEveryMs || !takesWrites(storeDir)) return;
    this.#running = undefined;
    await this.#end(running.record, running.child);
    this.#failed(`${problem}: there is space again`);
  }

  #findWriteError(): string | undefined {
    const line = tail(this.#files.log, this.#logFrom).findLast((each) => writeErrors.test(each));
    return line?.replace(/^.*\[(?:FTL|ERR|WRN)\] /, '');
  }

  #gone(how: string): void {
    const words = this.#lastWords();
    this.#failed(`nats-server ended (${how})${words === undefined ? '' : `: ${words}`}`);
  }

  #failed(problem: string): void {
    this.#running = undefined;
    const { restartDelaysMs } = this.#timings;
    const delayMs = restartDelaysMs[Math.min(this.#failures, restartDelaysMs.length - 1)] ?? 0;
    this.#failures += 1;
    this.#tell({ state: 'down', pid: null, problem });
    this.#later(delayMs, () => {
      this.#status = { ...this.#status, restarts: this.#status.restarts + 1 };
      return this.#begin();
    });
  }

  /**
   * SIGTERM, then SIGKILL; returns when it is gone, and collected where it is our child: until then some of its threads may
   * still run, and its entry is left to whoever inherits it.
   */
  async #end(record: ProcessRecord, child?: ChildProcess): Promise<void> {
    kill(record, 'SIGTERM');
    const deadlineMs = performance.now() + this.#timings.stopDeadlineMs;
    while (isAlive(record) || (child !== undefined && !hasEnded(child))) {
      if (performance.now() >= deadlineMs) kill(record, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** What it said last of its own failing. */
  #lastWords(): string | undefined {
    const grave = tail(this.#files.log, this.#logFrom)
      .filter((line) => /\[(FTL|ERR)\]/.test(line))
      .at(-1)
      ?.replace(/^.*\[(?:FTL|ERR)\] /, '');
    const words = tail(this.#files.said, 0).find((line) => line.trim() !== '') ?? grave;
    if (words === undefined || !words.includes('address already in use')) return words;
    return `${words}; end what listens there, or choose another address in log.embedded`;
  }

  #tell(change: Partial<NatsServerStatus>): void {
    const next = { ...this.#status, ...change };
    if (JSON.stringify(next) === JSON.stringify(this.#told)) return;
    this.#told = next;
    this.#status = next;
    this.#options.onStatus(next);
  }
}

function kill(record: ProcessRecord, signal: NodeJS.Signals): void {
  if (!isAlive(record)) return;
  try {
    process.kill(record.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The last lines of what was written after `from`. */
function tail(file: string, from: number): string[] {
  try {
    const handle = openSync(file, 'r');
    try {
      const { size } = fstatSync(handle);
      // A log that is smaller than it was has been begun anew.
      const start = Math.max(size < from ? 0 : from, size - lastWordsBytesMax);
      const bytes = Buffer.alloc(size - start);
      const count = readSync(handle, bytes, 0, bytes.length, start);
      return bytes.toString('utf8', 0, count).split('\n');
    } finally {
      closeSync(handle);
    }
  } catch {
    return [];
  }
}

/** Whether the file system takes more than what a server writes at its start, and does so durably. */
function takesWrites(directory: string): boolean {
  const file = join(directory, '.koi-space');
  try {
    const { bavail, bsize } = statfsSync(directory);
    if (bavail * bsize < spareBytes) return false;
    rmSync(file, { force: true });
    writeFileSync(file, Buffer.alloc(64 << 10), { flush: true, flag: 'wx' });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(file, { force: true });
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;
const howEnded = (child: ChildProcess): string => child.signalCode ?? `exit code ${child.exitCode}`;
