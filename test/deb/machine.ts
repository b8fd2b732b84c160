import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../lab/wait.js';
import { type Finished, runAsync } from '../pods/run-async.js';

const boot = fileURLToPath(new URL('boot', import.meta.url));

export interface MachineOptions {
  /** Its host name. */
  readonly name: string;
  /** The network namespace that its network is. */
  readonly netns: string;
  /** A Debian root; it is only read. */
  readonly root: string;
  /** A folder that is there, and is the machine's own. */
  readonly directory: string;
}

/** Debian with systemd as its first process, in namespaces of its own over a root that is thrown away. Needs root. */
export class Machine {
  readonly #options: MachineOptions;
  readonly #cgroup: string;
  #child: ChildProcess | undefined;
  #init = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#cgroup = join(cgroupRoot(), `koi-deb-${process.pid}-${options.name}`);
  }

  get name(): string {
    return this.#options.name;
  }

  get netns(): string {
    return this.#options.netns;
  }

  /** Where a path of the machine is on this one. */
  path(within: string): string {
    return join(`/proc/${this.#init}/root`, within);
  }

  /** Starts it, and waits until systemd has finished starting. */
  async start(): Promise<void> {
    const { root, directory, netns, name } = this.#options;
    mkdirSync(this.#cgroup);
    const namespaces = ['--mount', '--uts', '--ipc', '--pid', '--cgroup', '--propagation', 'private'];
    // Its first process ends with the test, and everything in it with its first process.
    const words = [...namespaces, '--fork', '--kill-child', boot, root, directory, name];
    const enter = 'echo $$ >"$1/cgroup.procs"\nnetns=$2\nshift 2\nexec ip netns exec "$netns" unshare "$@"';
    this.#child = spawn('sh', ['-ec', enter, 'sh', this.#cgroup, netns, ...words], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await waitUntil(
      `the first process of ${name}`,
      () => {
        if (this.#child?.exitCode !== null) throw new Error(`${name} did not start: ${said}`);
        this.#init = Number(childrenOf(this.#child.pid ?? 0)[0] ?? 0);
        return this.#init > 0 && existsSync(this.path('run/systemd/private'))
          ? undefined
          : `systemd is not there: ${said}`;
      },
      { deadlineMs: 30_000 },
    );
    const { said: state } = await this.run('systemctl is-system-running --wait');
    if (!/^(running|degraded)\n$/.test(state)) throw new Error(`${name} is ${state}`);
  }

  /** Runs lines of bash as root in it, until the first that fails; on both streams what they said. */
  run(lines: string): Promise<Finished> {
    const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
    return runAsync(
      'nsenter',
      [`--target=${this.#init}`, ...namespaces, '--root', '--wd', 'bash', '-ec', `cd /root\n${lines}`],
      {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/root',
        LC_ALL: 'C',
        DEBIAN_FRONTEND: 'noninteractive',
      },
    );
  }

  /** As `run`. @returns what was said, without the last line's end @throws Error with it where a line fails */
  async do(lines: string): Promise<string> {
    const { code, said } = await this.run(lines);
    if (code === 0) return said.replace(/\n$/, '');
    throw new Error(`${this.name}: ${lines}: exit ${code}\n${said}`);
  }

  put(path: string, content: string): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), content);
  }

  /** Copies a file of this machine into it. */
  copy(from: string, to: string): void {
    copyFileSync(from, this.path(to));
  }

  read(path: string): string {
    return readFileSync(this.path(path), 'utf8');
  }

  /** Ends every process in it at once, as a power failure does. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    await waitUntil(`${this.name}'s control groups`, () => removeCgroup(this.#cgroup), { deadlineMs: 10_000 });
  }
}

/** Where control groups of version 2 are; beside those of version 1 they hold no controllers, which is enough. */
function cgroupRoot(): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const place = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1];
  if (place === undefined) throw new Error('control groups of version 2 are not mounted: mount -t cgroup2 cgroup2 DIR');
  return place;
}

const childrenOf = (pid: number): string[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  } catch {
    return [];
  }
};

/** Removes a group and those in it; a reason where processes are still ending. */
function removeCgroup(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const reason = entry.isDirectory() ? removeCgroup(join(path, entry.name)) : undefined;
    if (reason !== undefined) return reason;
  }
  try {
    rmdirSync(path);
    return undefined;
  } catch (error) {
    return String(error);
  }
}
