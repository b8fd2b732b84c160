import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Status, TimelineEntry } from '../../src/observe/status.js';
import { carpKey, decodeCarp, verifyCarp } from '../../src/wire/carp.js';
import { PcapReader } from '../interop/pcap.js';
import { compile } from '../lab/compile.js';
import { MainProcess } from '../lab/daemon.js';
import { LogServer } from '../lab/log-server.js';
import { Prober } from '../lab/prober.js';
import { createTopology, type Router, type Topology, vip } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const vhid = 51;

/** What a router's file says of the virtual router, besides its name and place. */
export interface Content {
  readonly addresses: readonly string[];
  readonly password: string;
  readonly onLogLoss?: 'wire' | 'hold';
}

/** An advert on a router's switch port: when, and what it says. */
interface Seen {
  readonly atMs: number;
  readonly payload: Uint8Array;
}

interface Node {
  readonly router: Router;
  readonly main: MainProcess;
  readonly directory: string;
  readonly configFile: string;
  readonly socket: string;
  readonly logFile: string;
  readonly tap: AdvertTap;
}

/** Every advert that a router sends, as its switch port has it. */
class AdvertTap {
  readonly seen: Seen[] = [];
  readonly #tcpdump: ChildProcess;
  readonly #reader = new PcapReader();
  #said = '';

  constructor(netns: string, port: string) {
    const words = ['tcpdump', '-i', port, '-Q', 'in', '-n', '-s', '256', '-U', '--immediate-mode', '-Z', 'root'];
    this.#tcpdump = spawn('ip', ['netns', 'exec', netns, ...words, '-w', '-', 'ip proto 112'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#tcpdump.stdout?.on('data', (piece: Buffer) => {
      for (const { bytes, atSeconds } of this.#reader.take(piece)) {
        const at = 14 + ((bytes[14] ?? 0) & 0x0f) * 4;
        const length = ((bytes[16] ?? 0) << 8) | (bytes[17] ?? 0);
        this.seen.push({ atMs: atSeconds * 1000, payload: bytes.subarray(at, 14 + length) });
      }
    });
    this.#tcpdump.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
  }

  async ready(): Promise<void> {
    const listening = () => (/listening on/.test(this.#said) ? undefined : `tcpdump says: ${this.#said.trim()}`);
    await waitUntil('tcpdump to listen', listening, { deadlineMs: 5_000 });
  }

  end(): void {
    this.#tcpdump.kill('SIGINT');
  }
}

/** Two Koi routers and a log, with a client that probes the virtual IP a thousand times a second. */
export class ConfiguredPair {
  readonly topology: Topology;
  readonly log: LogServer;
  readonly prober: Prober;
  readonly #nodes: readonly Node[];
  readonly #directory: string;
  readonly #main: string;
  readonly #protocol: 'carp' | 'vrrp3';

  private constructor(main: string, protocol: 'carp' | 'vrrp3') {
    this.#main = main;
    this.#protocol = protocol;
    this.#directory = mkdtempSync(join(tmpdir(), 'koi-conf-'));
    this.topology = createTopology({ routerCount: 2, logHostCount: 1 });
    const { switchNetns, logHosts, clientNetns, routers } = this.topology;
    const [host] = logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    const logFile = join(this.#directory, 'nats.log');
    this.log = new LogServer({ host, directory: this.#directory, logFile, root });
    this.#nodes = routers.map((router) => {
      const directory = join(this.#directory, router.name);
      mkdirSync(join(directory, 'state'), { recursive: true });
      const file = join(directory, 'koi.log');
      writeFileSync(file, '');
      return {
        router,
        main: new MainProcess(router.netns, file),
        directory,
        configFile: join(directory, 'koi.yaml'),
        socket: join(directory, 'koi.sock'),
        logFile: file,
        tap: new AdvertTap(switchNetns, router.switchPort),
      };
    });
    const probe = compile(join(root, 'test/lab'), 'probe', join(root, '.lab/bin'));
    this.prober = new Prober(probe, clientNetns, vip);
  }

  /** Both run, the first one is the master, and the log has it. */
  static async begin(main: string, protocol: 'carp' | 'vrrp3', content: Content): Promise<ConfiguredPair> {
    const pair = new ConfiguredPair(main, protocol);
    try {
      for (const { tap } of pair.#nodes) await tap.ready();
      await pair.log.start();
      for (const index of [0, 1] as const) pair.write(index, content);
      pair.start(0);
      await pair.until(0, 'the first to be the master', ({ vrs: [vr] }) =>
        vr?.state === 'master' && vr.standing === 'logged' ? undefined : `${vr?.state} ${vr?.standing}: ${vr?.why}`,
      );
      pair.start(1);
      await pair.agreed(1);
      await waitUntil('the client to be served', () => pair.prober.answering(300), { deadlineMs: 10_000 });
      return pair;
    } catch (error) {
      const said = pair.#nodes.map(({ main: each }) => each.lastWords(25)).join('\n──\n');
      pair.close();
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${said}`);
    }
  }

  node(index: number): Node {
    const node = this.#nodes[index];
    if (node === undefined) throw new Error(`there is no router ${index}`);
    return node;
  }

  /** Writes a router's file, and its key. */
  write(index: number, { addresses, password, onLogLoss }: Content): void {
    const { directory, configFile, router, socket } = this.node(index);
    const passwordFile = join(directory, 'password');
    writeFileSync(passwordFile, password, { mode: 0o600 });
    const protocol =
      this.#protocol === 'carp'
        ? { protocol: 'carp', carp: { flavor: 'openbsd', advbase: 0, advskew: index === 0 ? 25 : 50, passwordFile } }
        : { protocol: 'vrrp3', priority: index === 0 ? 200 : 100, advertInterval: '100ms' };
    const config = {
      cluster: 'pair',
      node: router.name,
      log: { servers: [this.log.url] },
      arbitration: 'log',
      onLogLoss: onLogLoss ?? 'wire',
      http: { listen: '127.0.0.1:9650' },
      control: socket,
      stateDir: join(directory, 'state'),
      virtualRouters: [
        {
          name: 'gw',
          interface: 'eth1',
          id: vhid,
          preempt: { enabled: false },
          addresses: addresses.map((one) => `${one}/24`),
          ...protocol,
        },
      ],
    };
    writeFileSync(configFile, JSON.stringify(config));
  }

  start(index: number): void {
    const { main, configFile } = this.node(index);
    main.start(process.execPath, [this.#main, 'run', '-c', configFile]);
  }

  stop(index: number): Promise<number | string> {
    return this.node(index).main.stop(10_000);
  }

  /** A command of koi on a router, to its end. */
  koi(index: number, ...words: readonly string[]): { readonly status: number | null; readonly out: string } {
    const { router, configFile } = this.node(index);
    const all = ['netns', 'exec', router.netns, process.execPath, this.#main, ...words, '-c', configFile];
    const done = spawnSync('ip', all, { encoding: 'utf8', timeout: 60_000 });
    return { status: done.status, out: `${done.stdout}${done.stderr}` };
  }

  async status(index: number): Promise<Status> {
    return JSON.parse(await this.#get(index, '/api/v1/status')) as Status;
  }

  async timeline(index: number, sinceMs: number): Promise<TimelineEntry[]> {
    const text = await this.#get(index, `/api/v1/timeline?since=${Math.floor(sinceMs)}`);
    return (JSON.parse(text) as { entries: TimelineEntry[] }).entries;
  }

  /** Adverts that a router has refused since it runs, for whatever reason. */
  async refused(index: number): Promise<number> {
    const text = await this.#get(index, '/metrics');
    const counts = [...text.matchAll(/^koi_adverts?_(?:rejected|refused)_total\{[^}]*\} (\d+)/gm)];
    return counts.reduce((sum, [, count = '0']) => sum + Number(count), 0);
  }

  /** The virtual IPs on a router. */
  addresses(index: number): string[] {
    const { netns } = this.node(index).router;
    const { stdout } = spawnSync('ip', ['-n', netns, '-4', '-o', 'addr'], { encoding: 'utf8' });
    return [...stdout.matchAll(/inet (10\.77\.0\.2\d\d)\/32/g)].map(([, address = '']) => address).sort();
  }

  async until(index: number, what: string, notYet: (status: Status) => string | undefined): Promise<void> {
    const ask = async (): Promise<string | undefined> => {
      try {
        return notYet(await this.status(index));
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    await waitUntil(what, ask, { deadlineMs: 40_000, everyMs: 30 }).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${this.lastWords()}`);
    });
  }

  lastWords(): string {
    return this.#nodes
      .map(({ logFile, router }) => `${router.name}:\n${readFileSync(logFile, 'utf8').slice(-4000)}`)
      .join('\n');
  }

  /** Both run what is in force, in this version. */
  async agreed(version: number): Promise<void> {
    for (const index of [0, 1] as const) {
      await this.until(index, `version ${version} on both`, ({ vrs: [vr] }) => {
        const { configuration, state } = vr ?? {};
        const isIt = configuration?.version === version && configuration.digest === configuration.inForce;
        return isIt && configuration.prepared === null && state === (index === 0 ? 'master' : 'backup')
          ? undefined
          : `${state} ${JSON.stringify(configuration)}`;
      });
    }
  }

  /** When each router's dataplane switched, by its log. */
  async switchedAtMs(sinceMs: number): Promise<number[]> {
    const read = (): number[] =>
      this.#nodes.flatMap(({ logFile }) =>
        [...readFileSync(logFile, 'utf8').matchAll(/"time":"([^"]+)".*"msg":"switching to the configuration/g)]
          .map(([, at = '']) => Date.parse(at))
          .filter((atMs) => atMs >= sinceMs),
      );
    const both = (): string | undefined => (read().length === 2 ? undefined : `${read().length} have said so`);
    await waitUntil('both to say that they switched', both, { deadlineMs: 5000 });
    return read();
  }

  /** A router's CARP adverts since a time: which of the given contents each was made with, by its HMAC. */
  carpAdverts(
    index: number,
    sinceMs: number,
    contents: Readonly<Record<string, Content>>,
  ): { name: string; atMs: number }[] {
    const hmac = (key: Uint8Array, data: Uint8Array): Uint8Array => createHmac('sha1', key).update(data).digest();
    return this.node(index)
      .tap.seen.filter(({ atMs }) => atMs >= sinceMs)
      .map(({ atMs, payload }) => {
        const advert = decodeCarp(payload);
        const name = Object.entries(contents).find(
          ([, { addresses, password }]) =>
            advert.ok && verifyCarp(advert.value, { key: carpKey(password), vhid, addresses }, hmac).ok,
        )?.[0];
        return { name: name ?? 'neither', atMs };
      });
  }

  /** The address lists of a router's VRRPv3 adverts since a time. */
  vrrpAdverts(index: number, sinceMs: number): { name: string; atMs: number }[] {
    return this.node(index)
      .tap.seen.filter(({ atMs }) => atMs >= sinceMs)
      .map(({ atMs, payload }) => {
        const count = payload[3] ?? 0;
        const list = Array.from({ length: count }, (_, each) =>
          payload.subarray(8 + each * 4, 12 + each * 4).join('.'),
        );
        return { name: list.join('+'), atMs };
      });
  }

  close(): void {
    for (const { tap } of this.#nodes) tap.end();
    this.topology.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #get(index: number, path: string): Promise<string> {
    const { socket } = this.node(index);
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: socket, path, timeout: 2000, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new Error(body))));
      });
      asked.on('timeout', () => asked.destroy(new Error(`${path}: no answer within 2 s`)));
      asked.on('error', reject);
      asked.end();
    });
  }
}
