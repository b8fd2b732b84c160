import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MainProcess, signal } from './daemon.js';
import { run } from './ip.js';
import { type LogHost, natsPort } from './topology.js';
import { waitUntil } from './wait.js';

/** Where servers of a cluster meet. */
export const routePort = 6222;
export const routeOf = (address: string): string => `nats://${address}:${routePort}`;
const smallDiskBytes = 32 << 20;
export const urlOf = (address: string): string => `nats://${address}:${natsPort}`;
/** Where a server of a cluster shows its state over HTTP. */
export const monitoringPort = 8222;

/** One host of the event log: a nats-server with JetStream on the management network, alone or with `peers`. */
export class LogServer {
  readonly host: LogHost;
  readonly storeDirectory: string;
  readonly #main: MainProcess;
  readonly #root: string;
  readonly #configFile: string;
  readonly #logFile: string;
  #frozen = false;

  constructor(options: {
    host: LogHost;
    peers?: readonly Pick<LogHost, 'address'>[];
    directory: string;
    logFile: string;
    root: string;
  }) {
    const { host, directory } = options;
    this.host = host;
    this.#root = options.root;
    this.#configFile = join(directory, `${host.name}.conf`);
    this.storeDirectory = join(directory, host.name);
    this.#logFile = options.logFile;
    this.#main = new MainProcess(host.netns, options.logFile);
    mkdirSync(this.storeDirectory, { recursive: true });
    writeFileSync(this.#logFile, '');
    writeFileSync(this.#configFile, configuration(host, this.storeDirectory, options.peers ?? []));
  }

  get url(): string {
    return urlOf(this.host.address);
  }

  get running(): boolean {
    return this.#main.running && !this.#frozen;
  }

  /** Starts or thaws it, and waits until it serves. */
  async start(): Promise<void> {
    if (this.#frozen) this.thaw();
    if (this.#main.running) return;
    const said = statSync(this.#logFile).size;
    // As `koi run` runs its own: behind the dataplanes, and ahead of what does not hurry.
    const ahead = 'echo -10 >/proc/self/autogroup; exec nice -n -10 "$@"';
    this.#main.start('sh', ['-c', ahead, 'sh', findNatsServer(this.#root), '-c', this.#configFile]);
    await waitUntil(
      `nats-server ${this.host.name}`,
      () => {
        if (!this.#main.running) throw new Error(`nats-server ended (${this.#main.ended}): ${this.#main.lastWords()}`);
        const now = readFileSync(this.#logFile).subarray(said).toString('utf8');
        return now.includes('Server is ready') ? undefined : 'it is not ready yet';
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

  /** Removes everything it has stored. It must not run. */
  wipe(): void {
    if (this.#main.running) throw new Error(`nats-server ${this.host.name} runs: its store cannot be wiped`);
    rmSync(join(this.storeDirectory, 'jetstream'), { recursive: true, force: true });
  }

  /** Puts a small disk of its own under the store, which is empty then. */
  mountSmallDisk(): void {
    run('mount', ['-t', 'tmpfs', '-o', `size=${smallDiskBytes}`, 'koi-lab', this.storeDirectory]);
  }

  /** Leaves no byte free on the small disk. */
  fillDisk(): void {
    const filler = openSync(join(this.storeDirectory, 'filler'), 'w');
    // Ever smaller pieces: a page that is not quite full would still take a record.
    for (let size = 1 << 20; size >= 1; size >>= 1) {
      const piece = Buffer.alloc(size);
      try {
        while (writeSync(filler, piece) > 0) {}
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
    closeSync(filler);
  }

  unmountDisk(): void {
    run('umount', ['-l', this.storeDirectory]);
  }
}

function configuration(host: LogHost, storeDirectory: string, peers: readonly Pick<LogHost, 'address'>[]): string {
  const alone = `server_name: ${host.name}
listen: "${host.address}:${natsPort}"
jetstream {
  store_dir: "${storeDirectory}"
  # The default fsync is lazy and may lose acknowledged events.
  sync_interval: always
}
`;
  if (peers.length === 0) return alone;
  const routes = peers.map(({ address }) => `"${routeOf(address)}"`).join(', ');
  return `${alone}http: "${host.address}:${monitoringPort}"
cluster {
  name: lab
  listen: "${host.address}:${routePort}"
  routes: [${routes}]
}
`;
}

/** A nats-server for Koi to run that shows its state over HTTP, which Koi's own settings do not. */
export function writeMonitoredServer(directory: string, root: string): string {
  const file = join(directory, 'nats-server');
  const script = `#!/bin/sh\nexec ${findNatsServer(root)} "$@" -m ${monitoringPort}\n`;
  writeFileSync(file, script, { mode: 0o755 });
  return file;
}

function findNatsServer(root: string): string {
  const found = spawnSync(join(root, 'scripts/nats-server-path'), { encoding: 'utf8' });
  if (found.status !== 0) throw new Error(found.stderr.trim());
  return found.stdout.trim();
}
