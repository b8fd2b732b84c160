import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { sh } from './shell.js';
import { parent } from './site.js';

const program = '/lib/systemd/systemd-networkd';
const logFile = '/run/networkd.log';

/** The same bond and VLAN as ifupdown makes; the last file takes whatever no other one does. */
const files: Readonly<Record<string, string>> = {
  '10-bond0.netdev': '[NetDev]\nName=bond0\nKind=bond\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n',
  '10-vlan.netdev': `[NetDev]\nName=${parent}\nKind=vlan\n[VLAN]\nId=100\n`,
  '20-cables.network': '[Match]\nName=eth0 eth1\n[Network]\nBond=bond0\n',
  '20-bond0.network': `[Match]\nName=bond0\n[Network]\nVLAN=${parent}\nLinkLocalAddressing=no\n`,
  '20-vlan.network': `[Match]\nName=${parent}\n[Network]\nAddress=10.77.0.1/24\nLinkLocalAddressing=no\n`,
  '99-rest.network': '[Match]\nName=*\n[Network]\nAddress=192.0.2.1/24\n',
};

/** systemd-networkd without systemd: it needs its user, and no udev where /sys cannot be written. */
export class Networkd {
  #child: ChildProcess | undefined;

  constructor() {
    writeFileSync('/etc/passwd', 'root:x:0:0::/root:/bin/sh\nsystemd-network:x:998:998::/:/bin/sh\n');
    writeFileSync('/etc/group', 'root:x:0:\nsystemd-network:x:998:\n');
    writeFileSync('/etc/machine-id', '0123456789abcdef0123456789abcdef\n');
    mkdirSync('/etc/systemd/network', { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(`/etc/systemd/network/${name}`, text);
    // Where systemd would make it for the service.
    sh('mkdir -p /run/systemd/netif/links && busybox chown -R 998:998 /run/systemd/netif');
    // As the package installs it.
    cpSync('/koi/packaging/05-koi.network', '/etc/systemd/network/05-koi.network');
    sh('busybox mount -o remount,ro /sys');
  }

  static get isHere(): boolean {
    return existsSync(program);
  }

  start(): void {
    const log = openSync(logFile, 'a');
    this.#child = spawn(program, [], { stdio: ['ignore', log, log], env: { SYSTEMD_LOG_LEVEL: 'info' } });
  }

  stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    return new Promise((resolve) => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once('exit', () => resolve());
      child.kill('SIGTERM');
    });
  }

  /**
   * What it says of an interface: `configured`, `unmanaged`; undefined before it says anything, and while the interface is
   * not there: Koi deletes its link after each release, and makes it anew.
   */
  stateOf(name: string): string | undefined {
    const index = sh(`cat /sys/class/net/${name}/ifindex 2>/dev/null || :`).trim();
    if (index === '') return undefined;
    const file = `/run/systemd/netif/links/${index}`;
    return existsSync(file) ? /^ADMIN_STATE=(.*)$/m.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
  }

  lastWords(): string {
    return existsSync(logFile) ? readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n') : 'it said nothing';
  }
}
