import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { processTable } from '../lab/daemon.js';
import { kernelDifferences, readKernelState } from '../lab/kernel-state.js';
import { type KoiStatus, type KoiTimeline, koiStatus, koiTimeline } from '../lab/koi-api.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';

export const isRoot = process.getuid?.() === 0;
export const vip = '10.77.0.254';
// Generous: a machine that is busy otherwise starts a process in seconds.
const startDeadlineMs = 30_000;
const endDeadlineMs = 20_000;

let hosts = 0;

/** What may differ from one configuration to the next; each is a line of YAML. */
export interface ConfigLines {
  readonly node?: string;
  readonly log?: string;
  readonly http?: string;
  readonly control?: string;
  readonly stateDir?: string;
  readonly virtualRouters?: string;
  readonly more?: string;
}

/** A process of koi, or what one became. */
export class Running {
  readonly child: ChildProcess;
  output = '';
  readonly #startedMs = performance.now();
  #ended: { readonly how: number | NodeJS.Signals; readonly atMs: number } | undefined;

  constructor(child: ChildProcess) {
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    child.once('exit', (code, signal) => {
      this.#ended = { how: code ?? signal ?? 'SIGKILL', atMs: performance.now() };
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return this.#ended === undefined;
  }

  /** Sends a signal, to the process or to its whole group. */
  signal(name: NodeJS.Signals, whom: 'process' | 'group' = 'process'): void {
    process.kill(whom === 'group' ? -this.pid : this.pid, name);
  }

  /** How it ended, and after how long. */
  async end(sinceMs = this.#startedMs): Promise<{ readonly how: number | NodeJS.Signals; readonly afterMs: number }> {
    await waitUntil('the process to end', () => (this.running ? `it still runs:\n${this.output}` : undefined), {
      deadlineMs: endDeadlineMs,
      everyMs: 2,
    });
    if (this.#ended === undefined) throw new Error('unreachable');
    // The pipes are read to their end, unless a child that lives on holds them.
    await Promise.race([pause(100), new Promise((resolve) => this.child.once('close', resolve))]);
    return { how: this.#ended.how, afterMs: this.#ended.atMs - sinceMs };
  }

  async says(text: string): Promise<void> {
    await waitUntil(`"${text}"`, () => (this.output.includes(text) ? undefined : `it said:\n${this.output}`), {
      deadlineMs: startDeadlineMs,
    });
  }
}

/** A router in a network namespace: eth1, 10.77.0.1/24, with a silent peer at the other end of the wire. */
export class Host {
  readonly netns: string;
  readonly directory: string;
  readonly configFile: string;
  readonly socket: string;
  /** The namespace at the other end of its wires. */
  readonly peer: string;
  readonly #main: string;
  readonly #started: Running[] = [];

  constructor(main: string) {
    const name = `kt${process.pid}d${hosts++}`;
    [this.netns, this.peer] = [`${name}r`, `${name}p`];
    this.#main = main;
    this.directory = mkdtempSync(join(tmpdir(), 'koi-host-'));
    chmodSync(this.directory, 0o755);
    this.configFile = join(this.directory, 'koi.yaml');
    this.socket = join(this.directory, 'koi.sock');
    try {
      for (const namespace of [this.netns, this.peer]) execFileSync('ip', ['netns', 'add', namespace]);
      this.ip('link set lo up');
      this.addLan('eth1', '10.77.0.1/24');
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** iproute2 in this host's namespace, words separated by blanks. */
  ip(command: string): string {
    return execFileSync('ip', ['-n', this.netns, ...command.split(' ')], { encoding: 'utf8' });
  }

  addLan(name: string, address: string): void {
    this.ip(`link add ${name} type veth peer name ${name} netns ${this.peer}`);
    execFileSync('ip', ['-n', this.peer, 'link', 'set', name, 'up']);
    // Without IPv6, whose address appears by itself a second or two later.
    this.ip(`link set ${name} addrgenmode none`);
    this.ip(`addr add ${address} dev ${name}`);
    this.ip(`link set ${name} up`);
  }

  /** The state of the kernel, once what was plugged in last has settled. */
  async settled(): Promise<ReturnType<typeof readKernelState>> {
    const down = (): string | undefined => /^.*\b(DOWN|LOWERLAYERDOWN)\b.*$/m.exec(this.ip('-br link'))?.[0];
    await waitUntil('every link to be up', down, { deadlineMs: 5000 });
    return this.kernel();
  }

  /** Writes the configuration file; everything not given is right. */
  configure(lines: ConfigLines = {}): void {
    const text = [
      'cluster: edge',
      `node: ${lines.node ?? 'r1'}`,
      `log: ${lines.log ?? '{servers: ["nats://127.0.0.1:4222"]}'}`,
      `http: ${lines.http ?? '{listen: "127.0.0.1:9650"}'}`,
      `control: ${lines.control ?? this.socket}`,
      `stateDir: ${lines.stateDir ?? join(this.directory, 'state')}`,
      `virtualRouters: ${lines.virtualRouters ?? `[${router()}]`}`,
      lines.more ?? '',
    ].join('\n');
    writeFileSync(this.configFile, text);
  }

  /** A command of koi in this host's namespace, in a process group of its own. */
  koi(command: string, options: { readonly configFile?: string; readonly before?: readonly string[] } = {}): Running {
    const words = [process.execPath, this.#main, ...command.split(' '), '-c', options.configFile ?? this.configFile];
    return this.spawn([...(options.before ?? []), ...words]);
  }

  spawn(words: readonly string[]): Running {
    const { KOI_LOG_LEVEL: _, NO_COLOR: __, FORCE_COLOR: ___, ...env } = process.env;
    const child = spawn('ip', ['netns', 'exec', this.netns, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env,
    });
    const running = new Running(child);
    this.#started.push(running);
    return running;
  }

  async startLog(): Promise<void> {
    const words = [natsServerBinary ?? 'nats-server', '-a', '127.0.0.1', '-p', '4222', '-js'];
    await this.spawn([...words, '-sd', join(this.directory, 'nats')]).says('Server is ready');
  }

  /** Asks until the daemon says what is wanted; `notYet` gives the reason why it is not. */
  async until(
    what: string,
    notYet: (status: KoiStatus) => string | undefined,
    socket = this.socket,
  ): Promise<KoiStatus> {
    let last: KoiStatus | undefined;
    const ask = async (): Promise<string | undefined> => {
      try {
        last = await koiStatus(socket);
        return notYet(last);
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    await waitUntil(what, ask, { deadlineMs: startDeadlineMs }).catch((error: unknown) => {
      const outputs = this.#started.map(({ output }) => output).join('\n');
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${outputs}`);
    });
    if (last === undefined) throw new Error('unreachable');
    return last;
  }

  becomesMaster(standing: 'logged' | 'provisional' = 'logged'): Promise<KoiStatus> {
    return this.until('this node to be master', ({ vrs: [vr] }) =>
      vr?.state === 'master' && vr.standing === standing ? undefined : `${vr?.state} ${vr?.standing}: ${vr?.why}`,
    );
  }

  timeline(since: Date, socket = this.socket): Promise<KoiTimeline> {
    return koiTimeline(socket, since);
  }

  /** Process ids by their names in the process list. */
  pids(name: 'koi run' | 'koi agent' | 'koi dataplane' | 'koi-guard'): number[] {
    return processTable(this.netns)
      .filter(({ command }) => command === name || command.startsWith(`${name} `))
      .map(({ pid }) => pid);
  }

  pid(name: Parameters<Host['pids']>[0]): number {
    const [pid, ...others] = this.pids(name);
    if (pid === undefined || others.length > 0) throw new Error(`${others.length + (pid ? 1 : 0)} processes ${name}`);
    return pid;
  }

  /** Every process of koi that is left. */
  processes(): string[] {
    return processTable(this.netns)
      .map(({ command }) => command)
      .filter((command) => command.startsWith('koi') || command.includes(this.#main));
  }

  hasVip(): boolean {
    return this.ip('-br addr').includes(`${vip}/`);
  }

  kernel(): ReturnType<typeof readKernelState> {
    return readKernelState(this.netns);
  }

  /** What is not as it was, one sentence each. */
  changesSince(before: ReturnType<typeof readKernelState>): string[] {
    return kernelDifferences(before, this.kernel());
  }

  /** Ends what this host started and waits until nothing of koi is left. */
  async endAll(): Promise<void> {
    for (const running of this.#started.splice(0)) {
      if (!running.running) continue;
      running.signal('SIGTERM');
      await running.end();
    }
  }

  remove(): void {
    for (let round = 0; round < 2; round += 1) {
      for (const { pid } of existsSync(`/run/netns/${this.netns}`) ? processTable(this.netns) : []) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
    }
    for (const namespace of [this.netns, this.peer].filter((name) => existsSync(`/run/netns/${name}`))) {
      execFileSync('ip', ['netns', 'del', namespace]);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A file of this host's directory. */
  file(name: string, content?: string): string {
    const path = join(this.directory, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  }

  makeDirectory(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  read(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8');
  }
}

/** One virtual router in flow style. */
export function router(over: Readonly<Record<string, string>> = {}): string {
  const fields = {
    name: 'gw',
    protocol: 'vrrp3',
    interface: 'eth1',
    id: '51',
    priority: '200',
    advertInterval: '100ms',
    addresses: `[${vip}/24]`,
    ...over,
  };
  return `{${Object.entries(fields)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ')}}`;
}

/** Sets of capabilities in every thread of a process, as /proc tells them. */
export function capabilitiesOf(pid: number): Record<string, string>[] {
  const tasks = execFileSync('sh', ['-c', `cat /proc/${pid}/task/*/status`], { encoding: 'utf8' });
  return tasks
    .split(/^Name:/m)
    .slice(1)
    .map((status) =>
      Object.fromEntries(
        [...status.matchAll(/^(Cap\w+|NoNewPrivs):\s*(\S+)$/gm)].map(([, key = '', value = '']) => [key, value]),
      ),
    );
}
