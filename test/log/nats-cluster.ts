import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NatsServerKeeper, type NatsServerStatus } from '../../src/log/nats-server/keeper.js';
import type { NatsAuthorization, NatsServerSettings } from '../../src/log/nats-server/settings.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from './nats-server.js';

/** Patient enough for a busy machine, quick enough for a test. */
export const testTimings = {
  restartDelaysMs: [100, 500],
  settledAfterMs: 60_000,
  lookEveryMs: 20,
  probeEveryMs: 50,
  probeDeadlineMs: 2000,
  silentMs: 3000,
  stopDeadlineMs: 5000,
  mendEveryMs: 1000,
};

/** A nats-server of a test's under Koi's keeper, with all that it said of it. */
export class KeptServer {
  readonly settings: NatsServerSettings;
  readonly directory: string;
  readonly said: NatsServerStatus[] = [];
  #keeper: NatsServerKeeper | undefined;

  constructor(settings: NatsServerSettings, directory: string) {
    this.settings = settings;
    this.directory = directory;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.settings.listen.port}`;
  }

  get status(): NatsServerStatus | undefined {
    return this.#keeper?.status;
  }

  get pid(): number {
    const pid = this.status?.pid;
    if (pid == null) throw new Error(`${this.settings.name} does not run: ${this.status?.problem}`);
    return pid;
  }

  start(settings: NatsServerSettings = this.settings): void {
    this.#keeper = new NatsServerKeeper({
      settings,
      binary: natsServerBinary,
      directory: this.directory,
      onStatus: (status) => this.said.push(status),
      timings: testTimings,
    });
    this.#keeper.start();
  }

  serves(): Promise<number> {
    return waitUntil(
      `${this.settings.name} to serve`,
      () => (this.status?.state === 'serving' ? undefined : JSON.stringify(this.status)),
      { deadlineMs: 20_000 },
    );
  }

  async stop(): Promise<void> {
    await this.#keeper?.stop();
    this.#keeper = undefined;
  }
}

/** Servers that know each other, each with a store of its own under one temporary directory. */
export class KeptCluster {
  readonly servers: readonly KeptServer[];
  readonly #root: string;
  readonly #heirs: KeptServer[] = [];

  private constructor(servers: readonly KeptServer[], root: string) {
    this.servers = servers;
    this.#root = root;
  }

  static async prepare(
    names: readonly string[],
    authorization: NatsAuthorization = { kind: 'anyone' },
  ): Promise<KeptCluster> {
    const root = mkdtempSync(join(tmpdir(), 'koi-kept-'));
    const ports = await freePorts(2 * names.length);
    const routes = names.map((_, index) => `nats://127.0.0.1:${ports[2 * index + 1]}`);
    const servers = names.map((name, index) => {
      const listen = (at: number) => ({ host: '127.0.0.1', port: ports[2 * index + at] ?? 0 });
      const cluster = {
        name: 'koi',
        listen: listen(1),
        routes: routes.filter((_, other) => other !== index),
      };
      return new KeptServer(
        {
          name,
          listen: listen(0),
          storeDir: join(root, name, 'store'),
          storeBytesMax: 2 ** 30,
          cluster: names.length === 1 ? undefined : cluster,
          authorization,
        },
        join(root, name),
      );
    });
    return new KeptCluster(servers, root);
  }

  server(name: string): KeptServer {
    const found = this.servers.find(({ settings }) => settings.name === name);
    if (found === undefined) throw new Error(`there is no server ${name}`);
    return found;
  }

  /** Another keeper of the same directory. */
  heirOf(server: KeptServer): KeptServer {
    const heir = new KeptServer(server.settings, server.directory);
    this.#heirs.push(heir);
    return heir;
  }

  async up(): Promise<void> {
    for (const server of this.servers) server.start();
    for (const server of this.servers) await server.serves();
  }

  async remove(): Promise<void> {
    await Promise.all([...this.servers, ...this.#heirs].map((server) => server.stop()));
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Ports that are free at once: each is held until all are known. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  for (let i = 0; i < count; i++) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    held.push(server);
  }
  const ports = held.map((server) => {
    const address = server.address();
    return address === null || typeof address === 'string' ? 0 : address.port;
  });
  for (const server of held) server.close();
  return ports;
}
