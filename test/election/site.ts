import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PortRecorder, type Recorded } from '../interop/port-recorder.js';
import { serves } from '../interop/segment.js';
import { MainProcess, processTable, signal } from '../lab/daemon.js';
import { type KoiStatus, koiStatus } from '../lab/koi-api.js';
import { LogServer } from '../lab/log-server.js';
import { createTopology, type Router, type Topology, vip } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const settleDeadlineMs = 20_000;

export type VrStatus = KoiStatus['vrs'][number];
/** Lines of the configuration beyond what all nodes have. */
export type ConfigLines = Readonly<Record<string, unknown>>;

/** One node: a router with `koi run`, and the record of what it says on its port of the LAN's switch. */
export class Node {
  readonly name: string;
  readonly router: Router;
  readonly recorder: PortRecorder;
  readonly #main: MainProcess;
  readonly #command: readonly string[];
  readonly #logFile: string;
  readonly socket: string;
  readonly configFile: string;

  constructor(site: Site, router: Router, koi: string, lines: ConfigLines, routerLines: ConfigLines) {
    const directory = join(site.directory, router.name);
    mkdirSync(join(directory, 'state'), { recursive: true });
    this.name = router.name;
    this.router = router;
    this.socket = join(directory, 'koi.sock');
    const configFile = join(directory, 'koi.yaml');
    this.configFile = configFile;
    const config = {
      cluster: 'election',
      node: router.name,
      log: { servers: [site.log.url] },
      lanKeyFile: site.keyFile,
      http: { listen: '127.0.0.1:9650' },
      control: this.socket,
      stateDir: join(directory, 'state'),
      ...lines,
      virtualRouters: [
        {
          name: 'gw',
          protocol: 'vrrp3',
          interface: 'eth1',
          id: 51,
          advertInterval: '100ms',
          preempt: { enabled: false },
          addresses: [`${vip}/24`],
          ...routerLines,
        },
      ],
    };
    writeFileSync(configFile, JSON.stringify(config));
    this.#logFile = join(directory, 'koi.log');
    writeFileSync(this.#logFile, '');
    this.#main = new MainProcess(router.netns, this.#logFile);
    this.#command = [koi, 'run', '-c', configFile];
    this.recorder = new PortRecorder(
      site.topology.switchNetns,
      router.switchPort,
      join(directory, 'pcap'),
      site.recorded,
    );
  }

  start(): void {
    this.#main.start(process.execPath, this.#command);
  }

  /** SIGTERM; resolves with its exit code. */
  stop(): Promise<number | string> {
    return this.#main.stop(settleDeadlineMs);
  }

  lastWords(lines: number): string {
    return this.#main.lastWords(lines);
  }

  get hasVip(): boolean {
    return serves(this.router, [vip]) === 'all';
  }

  async vr(): Promise<VrStatus | undefined> {
    return (await koiStatus(this.socket)).vrs[0];
  }

  /** Waits until its only virtual router is so; `notYet` says why it is not. */
  async until(
    what: string,
    notYet: (vr: VrStatus) => string | undefined,
    deadlineMs = settleDeadlineMs,
  ): Promise<void> {
    const look = async (): Promise<string | undefined> => {
      try {
        const vr = await this.vr();
        return vr === undefined ? 'it has no virtual router' : notYet(vr);
      } catch (error) {
        return (error as Error).message;
      }
    };
    await waitUntil(`${this.name} ${what}`, look, { deadlineMs, everyMs: 20 }).catch((error: Error) => {
      throw new Error([error.message, this.#main.lastWords(25), ...this.recorder.lastFrames()].join('\n'));
    });
  }

  isMaster(standing: 'logged' | 'provisional'): Promise<void> {
    return this.until(`to be master, ${standing}`, (vr) =>
      vr.state === 'master' && vr.standing === standing ? undefined : `${vr.state} ${vr.standing}: ${vr.why}`,
    );
  }

  /** Waits until it knows by which address another node is heard on the LAN: until then that one is a stranger. */
  async knows({ name, router }: Node): Promise<void> {
    const known = async (): Promise<string | undefined> => {
      const { nodes } = await koiStatus(this.socket);
      const isKnown = nodes.some((node) => node.name === name && node.lanAddress?.includes(router.lanAddress));
      return isKnown ? undefined : `it knows ${JSON.stringify(nodes)}`;
    };
    await waitUntil(`${this.name} to know ${name}`, known, { deadlineMs: settleDeadlineMs });
  }

  /** Waits until it knows that it cannot reach the log. */
  async missesLog(): Promise<void> {
    const connected = async (): Promise<string | undefined> =>
      (await koiStatus(this.socket)).log.connected ? 'it takes itself for connected' : undefined;
    await waitUntil(`${this.name} to miss the log`, connected, { deadlineMs: settleDeadlineMs });
  }

  isBackup(): Promise<void> {
    return this.until('to be backup', (vr) => (vr.state === 'backup' ? undefined : `${vr.state}: ${vr.why}`));
  }

  /** Waits until a line of its log has all of these words. */
  async says(...words: readonly string[]): Promise<void> {
    const said = (): string | undefined => {
      const lines = readFileSync(this.#logFile, 'utf8').split('\n');
      const isSaid = lines.some((line) => words.every((word) => line.includes(word)));
      return isSaid ? undefined : `it said:\n${lines.slice(-15).join('\n')}`;
    };
    await waitUntil(`${this.name} to say ${words.join(', ')}`, said, { deadlineMs: settleDeadlineMs });
  }

  /** Sends a signal to its dataplane alone; returns its pid. */
  signalDataplane(name: NodeJS.Signals): number {
    const isDataplane = (command: string): boolean => /\bkoi dataplane\b|\bmain\.js dataplane\b/.test(command);
    const pids = processTable(this.router.netns).flatMap(({ pid, command }) => (isDataplane(command) ? [pid] : []));
    const [pid] = pids;
    if (pid === undefined) throw new Error(`${this.name} has no dataplane`);
    signal(pids, name);
    return pid;
  }
}

/** Two routers and a client on one LAN, and a log that each router reaches over a network of its own. */
export class Site {
  readonly topology: Topology;
  readonly log: LogServer;
  readonly directory: string;
  readonly keyFile: string;
  readonly key: Uint8Array;
  readonly recorded: Recorded;
  readonly #nodes: Node[] = [];

  private constructor(topology: Topology, recorded: Recorded) {
    this.topology = topology;
    this.recorded = recorded;
    this.directory = mkdtempSync(join(tmpdir(), 'koi-election-'));
    const [host] = topology.logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    this.log = new LogServer({ host, directory: this.directory, logFile: join(this.directory, 'nats.log'), root });
    this.keyFile = join(this.directory, 'lan.key');
    const key = randomBytes(32).toString('hex');
    writeFileSync(this.keyFile, key, { mode: 0o600 });
    this.key = new TextEncoder().encode(key);
  }

  /** @param recorded of what each node says on its port */
  static async begin(routerCount = 2, recorded: Recorded = 'everything'): Promise<Site> {
    const site = new Site(createTopology({ routerCount, logHostCount: 1 }), recorded);
    try {
      await site.log.start();
      return site;
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  /** The first router as the master, with the log's word, and the second as its backup. @param lines of the virtual router */
  async pair(koi: string, lines: ConfigLines = {}): Promise<{ readonly master: Node; readonly backup: Node }> {
    const master = await this.node(0, koi, { priority: 200, ...lines });
    const backup = await this.node(1, koi, { priority: 100, ...lines });
    master.start();
    await master.isMaster('logged');
    backup.start();
    await backup.isBackup();
    return { master, backup };
  }

  /** @param lines of the whole file, of the virtual router */
  async node(index: number, koi: string, routerLines: ConfigLines, lines: ConfigLines = {}): Promise<Node> {
    const router = this.topology.routers[index];
    if (router === undefined) throw new Error(`the topology has no router ${index}`);
    const node = new Node(this, router, koi, lines, routerLines);
    this.#nodes.push(node);
    await node.recorder.ready();
    return node;
  }

  /** @throws Error where a record is not complete */
  async close(): Promise<void> {
    try {
      for (const { recorder } of this.#nodes) await recorder.stop();
    } finally {
      this.topology.remove();
      rmSync(this.directory, { recursive: true, force: true });
    }
  }
}
