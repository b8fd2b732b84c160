import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The nats-server to test with; undefined where there is none. */
export const natsServerBinary: string | undefined = findBinary();

function findBinary(): string | undefined {
  try {
    return execFileSync('scripts/nats-server-path', { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

const freezeDeadlineMs = 2000;

/** proc_pid_stat(5): the state follows the command's name, which is in parentheses and may hold any character. */
const threadState = (pid: number, thread: string): string => {
  const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
  return stat.charAt(stat.lastIndexOf(')') + 2);
};

/** A nats-server with JetStream on a free port of 127.0.0.1, its store in a temporary directory. */
export class NatsServer {
  readonly url: string;
  readonly #port: number;
  readonly #directory: string;
  readonly #backup: string;
  readonly #arguments: readonly string[];
  /** What it has said since it was started last. */
  output = '';
  #process: ChildProcess | undefined;

  private constructor(port: number, directory: string, extra: readonly string[]) {
    this.#port = port;
    this.#directory = directory;
    this.#backup = `${directory}.backup`;
    this.#arguments = extra;
    this.url = `nats://127.0.0.1:${port}`;
  }

  static async start(extra: readonly string[] = []): Promise<NatsServer> {
    const server = await NatsServer.prepare(extra);
    await server.up();
    return server;
  }

  /** Reserves port and directory without starting. */
  static async prepare(extra: readonly string[] = []): Promise<NatsServer> {
    return new NatsServer(await freePort(), await mkdtemp(join(tmpdir(), 'koi-nats-')), extra);
  }

  /** Another server on the same store, on a port of its own: for writing behind the readers' backs. */
  async twin(): Promise<NatsServer> {
    return new NatsServer(await freePort(), this.#directory, this.#arguments);
  }

  async up(): Promise<void> {
    const listen = ['-a', '127.0.0.1', '-p', String(this.#port), '-js', '-sd', this.#directory];
    const server = spawn(natsServerBinary ?? 'nats-server', [...listen, ...this.#arguments], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = server;
    this.output = '';
    await new Promise<void>((resolve, reject) => {
      server.stderr?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
        if (this.output.includes('Server is ready')) resolve();
      });
      server.once('error', reject);
      server.once('exit', () => reject(new Error(`nats-server ended: ${this.output}`)));
    });
  }

  /** SIGKILL, and gone when it resolves. */
  async kill(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  }

  /** Returns when every thread of the server stands still: the signal alone only begins that. */
  freeze(): void {
    const pid = this.#process?.pid;
    if (pid === undefined) return;
    this.#process?.kill('SIGSTOP');
    const deadlineMs = performance.now() + freezeDeadlineMs;
    const stands = (thread: string): boolean => threadState(pid, thread) === 'T';
    while (!readdirSync(`/proc/${pid}/task`).every(stands)) {
      if (performance.now() >= deadlineMs) throw new Error(`nats-server ${pid} did not stop in ${freezeDeadlineMs} ms`);
    }
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Throws the whole store away. Only while it is down. */
  async wipe(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Copies the store aside, for `restore`. Only while it is down. */
  async backUp(): Promise<void> {
    await cp(this.#directory, this.#backup, { recursive: true });
  }

  async restore(): Promise<void> {
    await this.wipe();
    await cp(this.#backup, this.#directory, { recursive: true });
  }

  async remove(): Promise<void> {
    await this.kill();
    await this.wipe();
    await rm(this.#backup, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
