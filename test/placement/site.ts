import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MainProcess, processTable } from '../lab/daemon.js';
import { type KoiStatus, koiStatus } from '../lab/koi-api.js';
import { waitUntil } from '../lab/wait.js';

export type Node = 'r1' | 'r2';
export type RouterLines = Readonly<Record<string, unknown>>;

export interface Twin {
  readonly main: MainProcess;
  readonly control: string;
  log(): string;
}

const nodes = ['r1', 'r2'] as const;
const deadlineMs = 15_000;
let sites = 0;

/**
 * Two routers and a client on two LANs, without a log: what is tested here is where things are put.
 *
 *     br0  10.77.0.0/24: r1.eth1 (.1)  r2.eth1 (.2)  client.eth1 (.100)
 *     br1  10.88.0.0/24: r1.eth2 (.1)  r2.eth2 (.2)  client.eth2 (.100)
 */
export class Site {
  readonly #name = `kt${process.pid}s${sites++}`;
  readonly #main: string;
  readonly directory = mkdtempSync(join(tmpdir(), 'koi-site-'));
  readonly #processes = new Map<Node, MainProcess>();
  readonly #others: string[] = [];

  constructor(main: string) {
    this.#main = main;
    try {
      for (const host of ['switch', 'client', ...nodes] as const)
        execFileSync('ip', ['netns', 'add', this.netns(host)]);
      for (const [lan, bridge] of ['br0', 'br1'].entries()) {
        this.ip('switch', `link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`);
        this.ip('switch', `link set ${bridge} up`);
        for (const [host, last] of [
          ['r1', 1],
          ['r2', 2],
          ['client', 100],
        ] as const) {
          const [port, link] = [`${host}-${lan}`, `eth${lan + 1}`];
          this.ip('switch', `link add ${port} type veth peer name ${link} netns ${this.netns(host)}`);
          this.ip('switch', `link set ${port} master ${bridge} up`);
          this.ip(host, `link set ${link} up`);
          this.ip(host, `addr add 10.${lan === 0 ? 77 : 88}.0.${last}/24 dev ${link}`);
        }
      }
      for (const host of ['client', ...nodes] as const) this.ip(host, 'link set lo up');
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  netns(host: Node | 'switch' | 'client'): string {
    return `${this.#name}${host}`;
  }

  /** iproute2 on one of the hosts, words separated by blanks. */
  ip(host: Node | 'switch' | 'client', command: string): string {
    return execFileSync('ip', ['-n', this.netns(host), ...command.split(' ')], { encoding: 'utf8', stdio: 'pipe' });
  }

  /** A program on one of the hosts; its output, or undefined where it fails. */
  run(host: Node | 'switch' | 'client', ...words: string[]): string | undefined {
    try {
      return execFileSync('ip', ['netns', 'exec', this.netns(host), ...words], { encoding: 'utf8', stdio: 'pipe' });
    } catch {
      return undefined;
    }
  }

  /** A named network namespace of the test's own, removed at the end. */
  namespace(name: string): string {
    const full = `${this.#name}${name}`;
    if (!this.#others.includes(full)) this.#others.push(full);
    return full;
  }

  /** A program in that namespace, or beside all of them; its output. */
  inNamespace(name: string | undefined, ...words: string[]): string {
    const [program = '', ...rest] = name === undefined ? words : ['ip', 'netns', 'exec', name, ...words];
    return execFileSync(program, rest, { encoding: 'utf8', stdio: 'pipe' });
  }

  configure(node: Node, virtualRouters: readonly RouterLines[], more: RouterLines = {}): void {
    const directory = join(this.directory, node);
    mkdirSync(join(directory, 'state'), { recursive: true });
    const base = { interface: 'eth1', id: 51, priority: node === 'r1' ? 200 : 100, advertInterval: '100ms' };
    const config = {
      cluster: 'site',
      node,
      log: { servers: ['nats://127.0.0.1:4222'] },
      arbitration: 'wire',
      control: this.socket(node),
      stateDir: join(directory, 'state'),
      ...more,
      virtualRouters: virtualRouters.map((lines) => ({ name: 'gw', ...base, ...lines })),
    };
    writeFileSync(this.configFile(node), JSON.stringify(config));
  }

  /** @param before what koi is run by, such as setpriv with its words */
  start(node: Node, before: readonly string[] = []): void {
    const logFile = join(this.directory, `${node}.log`);
    writeFileSync(logFile, '', { flag: 'a' });
    const main = new MainProcess(this.netns(node), logFile);
    this.#processes.set(node, main);
    const words = [...before, process.execPath, this.#main, 'run', '-c', this.configFile(node)];
    const [program = '', ...rest] = words;
    main.start(program, rest);
  }

  /** A second koi on a node, of the same configuration but for its socket and its state: as another unit may have them. */
  twin(node: Node): Twin {
    const directory = join(this.directory, `${node}-twin`);
    mkdirSync(join(directory, 'state'), { recursive: true });
    const [control, configFile, logFile] = ['koi.sock', 'koi.yaml', 'log'].map((name) => join(directory, name));
    if (control === undefined || configFile === undefined || logFile === undefined) throw new Error('unreachable');
    const config = JSON.parse(readFileSync(this.configFile(node), 'utf8')) as RouterLines;
    writeFileSync(configFile, JSON.stringify({ ...config, control, stateDir: join(directory, 'state') }));
    const main = new MainProcess(this.netns(node), logFile);
    main.start(process.execPath, [this.#main, 'run', '-c', configFile]);
    return { main, control, log: () => readFileSync(logFile, 'utf8') };
  }

  /** How koi ended by itself. */
  async ends(node: Node): Promise<number | string | undefined> {
    const main = this.#processes.get(node);
    await this.until(`koi to end on ${node}`, () => (main?.running === true ? 'it runs' : undefined));
    return main?.ended;
  }

  async stop(node: Node): Promise<number | string | undefined> {
    return this.#processes.get(node)?.stop(10_000);
  }

  /** SIGKILL to everything of koi on the node but the guard. */
  kill(node: Node, role: 'dataplane'): void {
    process.kill(this.#pidOf(node, role), 'SIGKILL');
  }

  /** From now on koi on the node may write no sysctl, as in most containers; everybody else may. */
  sealSysctls(node: Node): void {
    const seal = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys';
    // `ip netns exec` has given it a mount namespace of its own.
    execFileSync('nsenter', ['-t', `${this.#pidOf(node, 'dataplane')}`, '-m', 'sh', '-c', seal], { stdio: 'pipe' });
  }

  #pidOf(node: Node, role: 'dataplane'): number {
    const found = processTable(this.netns(node)).find(({ command }) => command.startsWith(`koi ${role}`));
    if (found === undefined) throw new Error(`no ${role} on ${node}`);
    return found.pid;
  }

  /** SIGKILL to every process on the node, at once. */
  killAll(node: Node): void {
    this.#killAll(this.netns(node));
    this.#processes.delete(node);
  }

  /** A command of koi that ends by itself: its output, or its error's. */
  koi(node: Node, command: string): string {
    try {
      const words = [process.execPath, this.#main, ...command.split(' '), '-c', this.configFile(node)];
      return execFileSync('ip', ['netns', 'exec', this.netns(node), ...words], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      return String((error as { stderr?: unknown }).stderr ?? error);
    }
  }

  status(node: Node): Promise<KoiStatus> {
    return koiStatus(this.socket(node));
  }

  /** Waits until a virtual router is in this state, and for this reason where one is given. */
  async becomes(node: Node, state: string, why = '', vr = 'gw'): Promise<void> {
    await this.until(`${vr} to be ${state} on ${node}`, async () => {
      const status = await koiStatus(this.socket(node)).catch((error: unknown) => String(error));
      if (typeof status === 'string') return status;
      const found = status.vrs.find(({ name }) => name === vr);
      if (found?.state === state && found.why.includes(why)) return undefined;
      return `it is ${found?.state}, ${found?.why}`;
    });
  }

  async until(what: string, notYet: () => string | undefined | Promise<string | undefined>): Promise<void> {
    await waitUntil(what, notYet, { deadlineMs }).catch((error: unknown) => {
      throw new Error(
        `${(error as Error).message}\n${nodes.map((node) => this.log(node).slice(-3000)).join('\n──\n')}`,
      );
    });
  }

  log(node: Node): string {
    try {
      return readFileSync(join(this.directory, `${node}.log`), 'utf8');
    } catch {
      return '';
    }
  }

  /** The MAC the client finds for an address, asking anew; undefined where nobody answers. */
  resolves(address: string, device = 'eth1'): string | undefined {
    this.run('client', 'ip', 'neigh', 'flush', 'to', address, 'dev', device);
    this.answers(address);
    return this.neighbour('client', address);
  }

  neighbour(host: Node | 'client', address: string): string | undefined {
    const found = JSON.parse(this.ip(host, `-j neigh show to ${address}`) || '[]') as { lladdr?: string }[];
    return found.find(({ lladdr }) => lladdr !== undefined)?.lladdr;
  }

  /** Whether a connection to a port where nobody listens is refused by whoever has the address. */
  answers(address: string, host: Node | 'client' = 'client'): boolean {
    const code = `
      const socket = require('node:net').connect({ host: '${address}', port: 9 });
      socket.on('error', ({ code }) => process.exit(code === 'ECONNREFUSED' ? 0 : 1));
      setTimeout(() => process.exit(1), 1500);`;
    return this.run(host, process.execPath, '-e', code) !== undefined;
  }

  /** The switch port that a MAC was last seen on. */
  portOf(mac: string, bridge = 'br0'): string | undefined {
    const table = this.run('switch', 'bridge', '-j', 'fdb', 'show', 'br', bridge) ?? '[]';
    return (JSON.parse(table) as { mac: string; ifname: string }[]).find((entry) => entry.mac === mac)?.ifname;
  }

  forgetPorts(bridge = 'br0'): void {
    for (const port of ['r1', 'r2', 'client']) {
      this.run('switch', 'bridge', 'fdb', 'flush', 'dev', `${port}-${bridge === 'br0' ? 0 : 1}`);
    }
  }

  remove(): void {
    for (let round = 0; round < 2; round += 1) {
      for (const host of nodes) this.#killAll(this.netns(host));
    }
    for (const host of ['switch', 'client', ...nodes] as const) this.#delete(this.netns(host));
    for (const name of this.#others) this.#delete(name);
    rmSync(this.directory, { recursive: true, force: true });
  }

  #killAll(netns: string): void {
    // Stopped first: whoever is killed last would else see the others end, and clean up after them.
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      for (const { pid } of this.#processesIn(netns)) {
        try {
          process.kill(pid, signal);
        } catch {
          // It ended by itself.
        }
      }
    }
  }

  #processesIn(netns: string): ReturnType<typeof processTable> {
    try {
      return processTable(netns);
    } catch {
      // There is no such namespace.
      return [];
    }
  }

  #delete(netns: string): void {
    try {
      execFileSync('ip', ['netns', 'del', netns], { stdio: 'pipe' });
    } catch {
      // It was not made, or is gone already.
    }
  }

  configFile(node: Node): string {
    return join(this.directory, node, 'koi.yaml');
  }

  socket(node: Node): string {
    return join(this.directory, node, 'koi.sock');
  }
}
