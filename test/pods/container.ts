import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MainProcess } from '../lab/daemon.js';
import { waitUntil } from '../lab/wait.js';
import type { ImageRoot } from './image-root.js';
import type { Container } from './manifest.js';
import { type Finished, runAsync } from './run-async.js';

export interface Mount {
  readonly from: string;
  readonly to: string;
  readonly readOnly: boolean;
}

export interface ContainerPlace {
  readonly netns: string;
  readonly image: ImageRoot;
  /** A directory of its own, for its root's mount point and its log. */
  readonly directory: string;
  readonly mounts: readonly Mount[];
  readonly environment: Readonly<Record<string, string>>;
  /** The pod's own, where the container names none. */
  readonly user: number | undefined;
  readonly group: number | undefined;
  readonly groups: readonly number[];
}

/**
 * Makes the container's root from the image, with a writable layer that is closed once its mount points are made;
 * /proc/sys and /sys read-only, a /dev of six nodes.
 */
const makeRoot = `
root=$1 lower=$2 over=$3
shift 3
mount -t tmpfs -o mode=755 koi-pod "$root"
mkdir "$root/upper" "$root/work" "$root/root"
[ -z "$over" ] || cp -a "$over/." "$root/upper"
new=$root/root
mount -t overlay -o "lowerdir=$lower,upperdir=$root/upper,workdir=$root/work" overlay "$new"
mount -t proc proc "$new/proc"
mount --bind "$new/proc/sys" "$new/proc/sys"
mount -o remount,bind,ro "$new/proc/sys"
mount -t sysfs -o ro sysfs "$new/sys"
mount -t tmpfs -o mode=755 dev "$new/dev"
for node in null zero full random urandom tty; do
  touch "$new/dev/$node"
  mount --bind "/dev/$node" "$new/dev/$node"
done
while [ "$1" != -- ]; do
  mkdir -p "$new$2"
  mount --bind "$1" "$new$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$new$2"
  shift 3
done
shift
mount -o remount,bind,ro "$new"
exec chroot "$new" "$@"
`;

/** A container as its runtime starts it: namespaces of its own, but for the network; user, groups, capabilities, root. */
export class RunningContainer {
  readonly spec: Container;
  readonly #place: ContainerPlace;
  readonly #main: MainProcess;

  constructor(spec: Container, place: ContainerPlace) {
    this.spec = spec;
    this.#place = place;
    mkdirSync(join(place.directory, 'root'), { recursive: true });
    this.#main = new MainProcess(place.netns, this.logFile);
  }

  get logFile(): string {
    return join(this.#place.directory, 'log');
  }

  get running(): boolean {
    return this.#main.running;
  }

  /** How it ended: exit code or signal; undefined while it runs. */
  get ended(): number | string | undefined {
    return this.#main.ended;
  }

  /** The container's first process, on the host. Undefined before there is one, and after. */
  get pid(): number | undefined {
    const { pid } = this.#main;
    if (pid === undefined) return undefined;
    try {
      const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      return child === undefined || child === '' ? undefined : Number(child);
    } catch {
      return undefined;
    }
  }

  start(): void {
    const { image, mounts, directory } = this.#place;
    const bound = mounts.flatMap(({ from, to, readOnly }) => [from, to, readOnly ? 'ro' : 'rw']);
    const root = join(directory, 'root');
    this.#main.start('unshare', [
      ...['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
      ...['sh', '-ec', makeRoot, 'sh', root, image.lower, image.over ?? '', ...bound, '--'],
      ...this.#asUser(this.spec.command),
    ]);
  }

  /** SIGTERM to its first process, and SIGKILL after the grace. @returns how it ended, and whether it had to be killed */
  async stop(graceMs: number): Promise<{ readonly ended: number | string; readonly killed: boolean }> {
    const kill = (signal: NodeJS.Signals): void => {
      const { pid } = this;
      if (pid !== undefined) process.kill(pid, signal);
    };
    const end = (deadlineMs: number) =>
      waitUntil('the container to end', () => (this.running ? 'it still runs' : undefined), { deadlineMs, everyMs: 5 });
    kill('SIGTERM');
    const killed = await end(graceMs).then(
      () => false,
      () => true,
    );
    if (killed) {
      kill('SIGKILL');
      await end(5_000);
    }
    return { ended: this.#main.ended ?? 'never started', killed };
  }

  /** Runs a command in the running container, as a probe or preStop does; it does not reject. */
  exec(command: readonly string[], timeoutMs = 60_000): Promise<Finished> {
    const { pid } = this;
    if (pid === undefined) return Promise.resolve({ code: -1, said: 'the container does not run' });
    const words = ['-t', String(pid), '-m', '-p', '-n', '-r', '-w', ...this.#asUser(command)];
    return runAsync('nsenter', words, process.env, timeoutMs);
  }

  #asUser(command: readonly string[]): string[] {
    const { environment, groups, user, group } = this.#place;
    const { runAsUser = user, runAsGroup = group, capabilities } = this.spec.securityContext;
    if (runAsUser === undefined || runAsGroup === undefined) throw new Error(`nobody says who runs ${this.spec.name}`);
    const kept = capabilities.add.map((name) => `,+${name.toLowerCase()}`).join('');
    return [
      ...['setpriv', `--reuid=${runAsUser}`, `--regid=${runAsGroup}`],
      groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
      ...[`--bounding-set=-all${kept}`, '--inh-caps=-all', '--no-new-privs'],
      ...['env', '-i', ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)],
      ...command,
    ];
  }
}
