import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MainProcess, signal } from './daemon.js';
import { logServer } from './topology.js';
import { waitUntil } from './wait.js';

/** The event log's host: a nats-server with JetStream on the management network. */
export class LogServer {
  readonly #main: MainProcess;
  readonly #root: string;
  readonly #configFile: string;
  readonly #logFile: string;
  #frozen = false;

  constructor(options: { netns: string; directory: string; logFile: string; root: string }) {
    this.#root = options.root;
    this.#configFile = join(options.directory, 'nats.conf');
    this.#logFile = options.logFile;
    this.#main = new MainProcess(options.netns, options.logFile);
    writeFileSync(
      this.#configFile,
      `server_name: lab
listen: "${logServer.address}:${logServer.port}"
jetstream {
  store_dir: "${join(options.directory, 'nats')}"
  # The default fsync is lazy and may lose acknowledged events.
  sync_interval: always
}
`,
    );
  }

  get running(): boolean {
    return this.#main.running && !this.#frozen;
  }

  /** Starts or thaws it, and waits until it serves. */
  async start(): Promise<void> {
    if (this.#frozen) this.thaw();
    if (this.#main.running) return;
    writeFileSync(this.#logFile, '');
    this.#main.start(findNatsServer(this.#root), ['-c', this.#configFile]);
    await waitUntil(
      'nats-server',
      () => {
        if (!this.#main.running) throw new Error(`nats-server ended (${this.#main.ended}): ${this.#main.lastWords()}`);
        return readFileSync(this.#logFile, 'utf8').includes('Server is ready') ? undefined : 'it is not ready yet';
      },
      { deadlineMs: 10_000 },
    );
  }

  /** Ends it at once: connections are reset, nobody listens. */
  async kill(): Promise<void> {
    if (this.#main.pid !== undefined) signal([this.#main.pid], 'SIGKILL');
    this.#frozen = false;
    await waitUntil('nats-server to end', () => (this.#main.running ? 'it still runs' : undefined), {
      deadlineMs: 5_000,
    });
  }

  /** Stops it in its tracks: connections stay open and silent, the worst way for a log to go away. */
  freeze(): void {
    if (this.#main.pid !== undefined) signal([this.#main.pid], 'SIGSTOP');
    this.#frozen = true;
  }

  thaw(): void {
    if (this.#main.pid !== undefined) signal([this.#main.pid], 'SIGCONT');
    this.#frozen = false;
  }
}

function findNatsServer(root: string): string {
  const found = spawnSync(join(root, 'scripts/nats-server-path'), { encoding: 'utf8' });
  if (found.status !== 0) throw new Error(found.stderr.trim());
  return found.stdout.trim();
}
