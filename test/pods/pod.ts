import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MainProcess } from '../lab/daemon.js';
import { type Finished, runAsync } from './run-async.js';

const image = fileURLToPath(new URL('../../packaging/image', import.meta.url));

/** The user of the image, and the group that its daemons share. */
const koiUser = 65_532;

export type Role = 'agent' | 'dataplane';

export interface PodSite {
  readonly netns: string;
  readonly directory: string;
  /** What `koi` is, as a command line. */
  readonly koi: readonly string[];
}

/**
 * The containers of one node as the chart has them run: koi-node as the command, a root that is read-only, /proc/sys as a
 * container has it, no new privileges, the user, the group and the capabilities of the manifests.
 */
export class Pod {
  readonly #site: PodSite;
  readonly #mains: Record<Role, MainProcess>;

  constructor(site: PodSite, configuration: string) {
    this.#site = site;
    for (const name of ['config', 'run', 'state', 'sysctl/net', 'bin']) {
      mkdirSync(join(site.directory, name), { recursive: true });
    }
    chmodSync(site.directory, 0o755);
    writeFileSync(this.#path('config/koi.yaml'), configuration);
    const koi = `#!/bin/sh\nexec ${site.koi.join(' ')} "$@"\n`;
    writeFileSync(this.#path('bin/koi'), koi, { mode: 0o755 });
    // What `koi-node prepare` does, whose test is elsewhere.
    for (const name of ['run', 'state']) {
      chownSync(this.#path(name), 0, koiUser);
      chmodSync(this.#path(name), 0o2770);
    }
    const main = (role: Role): MainProcess => new MainProcess(site.netns, this.logFile(role));
    this.#mains = { agent: main('agent'), dataplane: main('dataplane') };
  }

  logFile(role: Role): string {
    return this.#path(`${role}.log`);
  }

  get socket(): string {
    return this.#path('run/koi.sock');
  }

  get main(): Readonly<Record<Role, MainProcess>> {
    return this.#mains;
  }

  start(role: Role): void {
    const [command, ...words] = this.#contained(role, [join(image, 'koi-node'), role]);
    this.#mains[role].start(command ?? '', words, this.#environment());
  }

  /** preStop, then SIGTERM, as the kubelet does it. */
  async stop(role: Role): Promise<Finished | undefined> {
    const before = role === 'dataplane' ? await this.run('dataplane', ['koi', 'drain', '--until-restart']) : undefined;
    await this.#mains[role].stop(20_000);
    return before;
  }

  /** Runs a command in the container. */
  run(role: Role, command: readonly string[]): Promise<Finished> {
    const [program = '', ...words] = command;
    const path = program === 'koi' ? this.#path('bin/koi') : program;
    const socket = program === 'koi' ? ['--socket', this.socket] : [];
    const [first = '', ...rest] = this.#contained(role, [path, ...words, ...socket]);
    return runAsync('ip', ['netns', 'exec', this.#site.netns, first, ...rest], {
      ...process.env,
      ...this.#environment(),
    });
  }

  #environment(): NodeJS.ProcessEnv {
    return {
      PATH: `${this.#path('bin')}:${process.env.PATH ?? ''}`,
      KOI_NODE: this.#site.netns,
      KOI_CONFIG_DIRECTORY: this.#path('config'),
      KOI_RUN_DIRECTORY: this.#path('run'),
      KOI_STATE_DIRECTORY: this.#path('state'),
      KOI_SYSCTL_ROOT: this.#path('sysctl'),
    };
  }

  #contained(role: Role, command: readonly string[]): string[] {
    const rights =
      role === 'dataplane'
        ? ['--reuid=0', `--regid=${koiUser}`, '--clear-groups', '--bounding-set=-all,+net_admin,+net_raw']
        : [`--reuid=${koiUser}`, `--regid=${koiUser}`, '--clear-groups', '--bounding-set=-all'];
    const mounts = [
      // The host's network sysctls beside a /proc/sys that is read-only, then everything else read-only but the volumes.
      `mount --bind /proc/sys/net ${this.#path('sysctl/net')}`,
      'mount --bind /proc/sys /proc/sys',
      'mount -o remount,bind,ro /proc/sys',
      ...['run', 'state'].map((name) => `mount --bind ${this.#path(name)} ${this.#path(name)}`),
      'mount -o remount,bind,ro /',
      'exec "$@"',
    ];
    const setpriv = ['setpriv', ...rights, '--inh-caps=-all', '--no-new-privs'];
    return [
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-ec',
      mounts.join('\n'),
      'sh',
      ...setpriv,
      ...command,
    ];
  }

  #path(name: string): string {
    return join(this.#site.directory, name);
  }
}
