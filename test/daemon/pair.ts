import { execFile, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processTable } from '../lab/daemon.js';
import { type KoiStatus, koiStatus } from '../lab/koi-api.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { Running } from './host.js';

let pairs = 0;

export type Node = 'r1' | 'r2';
export const nodes: readonly Node[] = ['r1', 'r2'];

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const settleDeadlineMs = 15_000;
const commandDeadlineMs = 20_000;

/** Two routers with a LAN (eth1) and a management network (eth0) between them; the log's server runs beside the first. */
export class DaemonPair {
  readonly directory: string;
  readonly #name: string;
  readonly #main: string;
  readonly #running = new Map<string, Running>();

  constructor(main: string) {
    this.#main = main;
    this.#name = `kt${process.pid}c${pairs++}`;
    this.directory = mkdtempSync(join(tmpdir(), 'koi-commands-'));
    chmodSync(this.directory, 0o755);
    try {
      for (const node of nodes) {
        execFileSync('ip', ['netns', 'add', this.netns(node)]);
        this.ip(node, 'link set lo up');
        mkdirSync(join(this.directory, node));
      }
      for (const [name, net] of [
        ['eth0', '10.99.0'],
        ['eth1', '10.77.0'],
      ] as const) {
        this.ip('r1', `link add ${name} type veth peer name ${name} netns ${this.netns('r2')}`);
        nodes.forEach((node, index) => {
          this.ip(node, `link set ${name} addrgenmode none`);
          this.ip(node, `addr add ${net}.${index + 1}/24 dev ${name}`);
          this.ip(node, `link set ${name} up`);
        });
      }
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  netns = (node: Node): string => `${this.#name}${node}`;
  file = (node: Node, name: string): string => join(this.directory, node, name);

  ip(node: Node, command: string): string {
    return execFileSync('ip', ['-n', this.netns(node), ...command.split(' ')], { encoding: 'utf8' });
  }

  /** Writes both configuration files: these virtual routers, r1 the better placed. */
  configure(routers: readonly Record<string, unknown>[], more: Record<string, unknown> = {}): void {
    for (const node of nodes) {
      const priority = node === 'r1' ? 200 : 100;
      const config = {
        cluster: 'edge',
        node,
        log: { servers: ['nats://10.99.0.1:4222'] },
        http: { listen: '127.0.0.1:9650' },
        control: this.file(node, 'koi.sock'),
        stateDir: this.file(node, 'state'),
        virtualRouters: routers.map((router) => ({ interface: 'eth1', priority, advertInterval: '100ms', ...router })),
        ...more,
      };
      writeFileSync(this.file(node, 'koi.yaml'), JSON.stringify(config));
    }
  }

  async startLog(): Promise<void> {
    const words = [natsServerBinary ?? 'nats-server', '-a', '10.99.0.1', '-p', '4222', '-js'];
    await this.#spawn('r1', 'log', [...words, '-sd', join(this.directory, 'nats')]).says('Server is ready');
  }

  start(node: Node): void {
    const words = [process.execPath, this.#main, 'run', '-c', this.file(node, 'koi.yaml')];
    this.#spawn(node, node, words);
  }

  async stop(what: Node | 'log'): Promise<void> {
    const running = this.#running.get(what);
    running?.signal('SIGTERM');
    await running?.end();
  }

  /** One command of koi on a node, which is asked about its own daemon. */
  koi(node: Node, ...words: readonly string[]): Promise<Said> {
    const all = ['netns', 'exec', this.netns(node), process.execPath, this.#main, ...words];
    return new Promise((resolve) => {
      const options = { encoding: 'utf8', timeout: commandDeadlineMs } as const;
      const child = execFile('ip', [...all, '-c', this.file(node, 'koi.yaml')], options, (_error, stdout, stderr) => {
        resolve({ code: child.exitCode ?? -1, stdout, stderr });
      });
    });
  }

  status(node: Node): Promise<KoiStatus> {
    return koiStatus(this.file(node, 'koi.sock'));
  }

  /** Waits until one node says so of its virtual routers. */
  async until(what: string, node: Node, notYet: (status: KoiStatus) => string | undefined): Promise<void> {
    const ask = async (): Promise<string | undefined> => {
      try {
        return notYet(await this.status(node));
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    await waitUntil(what, ask, { deadlineMs: settleDeadlineMs }).catch((error: unknown) => {
      const outputs = [...this.#running].map(([name, { output }]) => `── ${name}:\n${output.slice(-4000)}`).join('\n');
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${outputs}`);
    });
  }

  /** Waits until a node is in this state with every virtual router, by the log's word where it is the master. */
  allAre(node: Node, state: string): Promise<void> {
    return this.until(`${node} to be ${state}`, node, ({ vrs, log }) => {
      const other = vrs.find((vr) => vr.state !== state || (state === 'master' && vr.standing !== 'logged'));
      if (!log.connected) return 'it has no log';
      return other === undefined ? undefined : `${other.name} is ${other.state} ${other.standing}: ${other.why}`;
    });
  }

  holds(node: Node, address: string): boolean {
    return this.ip(node, '-br addr').includes(`${address}/`);
  }

  #spawn(node: Node, name: string, words: readonly string[]): Running {
    const { KOI_LOG_LEVEL: _, NO_COLOR: __, FORCE_COLOR: ___, ...env } = process.env;
    const child = spawn('ip', ['netns', 'exec', this.netns(node), ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env,
    });
    const running = new Running(child);
    this.#running.set(name, running);
    return running;
  }

  async endAll(): Promise<void> {
    for (const node of nodes) if (this.#running.get(node)?.running === true) await this.stop(node);
    if (this.#running.get('log')?.running === true) await this.stop('log');
  }

  remove(): void {
    for (const node of nodes) {
      if (!existsSync(`/run/netns/${this.netns(node)}`)) continue;
      for (const { pid } of processTable(this.netns(node))) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
      execFileSync('ip', ['netns', 'del', this.netns(node)]);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
