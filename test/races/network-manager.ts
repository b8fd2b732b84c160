import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../lab/wait.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const have = spawnSync(join(root, 'scripts/nm-packages'), ['--have'], { encoding: 'utf8' });
/** Where it is unpacked; undefined where it was not fetched. */
export const networkManagerDirectory = have.status === 0 ? have.stdout.trim() : undefined;

const libraryPath = (directory: string): string =>
  ['usr/lib', 'lib'].map((folder) => join(directory, folder, 'x86_64-linux-gnu')).join(':');

const settings = `[main]
plugins=keyfile
dhcp=internal
no-auto-default=*
auth-polkit=false
dns=none
rc-manager=unmanaged
systemd-resolved=false
[logging]
level=INFO
`;
const connection = (name: string, address: string): string => `[connection]
id=${name}
type=ethernet
interface-name=${name}
[ipv4]
method=manual
address1=${address}
[ipv6]
method=disabled
`;
const bus = `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>`;

/** What it writes stays in mounts of its own; where /sys cannot be written it asks no udev. */
const script = `
set -e
mount --make-rprivate /
mount -t tmpfs koi /run && mkdir -p /run/dbus /run/etc
cp -a /etc/. /run/etc/ && mount --bind /run/etc /etc
mount -t tmpfs koi /var/lib && mkdir -p /var/lib/NetworkManager
mkdir -p /etc/NetworkManager/system-connections /etc/NetworkManager/conf.d
cp "$2"/*.conf /etc/NetworkManager/conf.d/ && : > /etc/NetworkManager/NetworkManager.conf
cp "$2"/*.nmconnection /etc/NetworkManager/system-connections/ && chmod 600 /etc/NetworkManager/system-connections/*
mount -o remount,ro /sys
"$1/usr/bin/dbus-daemon" --config-file="$2/bus.xml" --nofork --nopidfile &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.02; done
exec "$1/usr/sbin/NetworkManager" --debug
`;

/** Debian's NetworkManager, with a bus of its own, in a network namespace; it manages one interface of it, and has Koi's snippet. */
export class NetworkManager {
  readonly #directory: string;
  readonly #netns: string;
  readonly #home: string;
  #child: ChildProcess | undefined;
  #text = '';

  constructor(netns: string, home: string, device: string, address: string) {
    if (networkManagerDirectory === undefined) throw new Error('scripts/nm-packages has not fetched it');
    this.#directory = networkManagerDirectory;
    this.#netns = netns;
    this.#home = home;
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, '10-test.conf'), settings);
    writeFileSync(join(home, `${device}.nmconnection`), connection(device, address));
    writeFileSync(join(home, 'bus.xml'), bus);
    copyFileSync(join(root, 'packaging/systemd/koi-networkmanager.conf'), join(home, 'koi.conf'));
  }

  start(): void {
    const words = ['netns', 'exec', this.#netns, 'unshare', '--mount', 'sh', '-c', script];
    const child = spawn('ip', [...words, 'sh', this.#directory, this.#home], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // With its bus it is one group.
      detached: true,
      env: { ...process.env, LD_LIBRARY_PATH: libraryPath(this.#directory) },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text;
      });
    }
    this.#child = child;
  }

  get log(): string {
    return this.#text;
  }

  /** Its command, from within its mounts; undefined where it fails, as it does before the daemon answers. */
  ask(...words: string[]): string | undefined {
    const pid = this.#child?.pid;
    if (pid === undefined) return undefined;
    try {
      const program = ['-t', String(pid), '-m', '-n', join(this.#directory, 'usr/bin/nmcli'), ...words];
      return execFileSync('nsenter', program, {
        encoding: 'utf8',
        stdio: 'pipe',
        timeout: 20_000,
        env: { ...process.env, LD_LIBRARY_PATH: libraryPath(this.#directory) },
      });
    } catch (error) {
      this.#text += `nmcli ${words.join(' ')}: ${String((error as { stderr?: unknown }).stderr ?? error)}\n`;
      return undefined;
    }
  }

  /** `connected`, `connected (externally)`, `unmanaged`, …; undefined where it does not know the device. */
  stateOf(device: string): string | undefined {
    const line = this.ask('-t', '-f', 'DEVICE,STATE', 'device')
      ?.split('\n')
      .find((each) => each.startsWith(`${device}:`));
    return line?.slice(device.length + 1);
  }

  async manages(device: string): Promise<void> {
    const notYet = (): string | undefined =>
      this.stateOf(device)?.startsWith('connected') === true ? undefined : this.#text.slice(-1500);
    await waitUntil(`NetworkManager to manage ${device}`, notYet, { deadlineMs: 30_000, everyMs: 100 });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    process.kill(-child.pid, 'SIGKILL');
    await gone;
  }
}
