import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { InterfaceSelector, KoiConfig } from '../config/config.js';
import { linkManagers } from '../kernel/link-managers.js';
import { readCapabilities } from '../kernel/privileges.js';
import type { ConfKey } from '../kernel/sysctl.js';
import type { HostFacts } from './host.js';
import type { NetworkFacts } from './network.js';

/*
 * What `koi doctor` reads of this machine, without privilege and without changing anything. What cannot be read is left
 * out: the judges say so.
 */

const classNet = '/sys/class/net';
/** linux/capability.h. */
const capabilityBits = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n } as const;
/** Where the managers' own configuration lies, by manager. */
const snippets: Readonly<Record<string, readonly string[]>> = {
  'systemd-networkd': ['/etc/systemd/network', '/run/systemd/network', '/usr/lib/systemd/network'],
  NetworkManager: ['/etc/NetworkManager/conf.d', '/run/NetworkManager/conf.d', '/usr/lib/NetworkManager/conf.d'],
};

export function readHostFacts(
  config: KoiConfig,
  about: Pick<HostFacts, 'running'> & { readonly clock: Omit<HostFacts['clock'], 'synchronized'> },
): HostFacts {
  const parents = [...new Set(config.virtualRouters.map((router) => parentName(router.interface)))];
  return {
    running: about.running,
    capabilities: readNames(),
    all: {
      arp_ignore: conf('all', 'arp_ignore'),
      arp_announce: conf('all', 'arp_announce'),
      arp_filter: conf('all', 'arp_filter'),
      rp_filter: conf('all', 'rp_filter'),
    },
    parents: parents
      .filter((name) => existsSync(join(classNet, name)))
      .map((name) => ({
        name,
        arpIgnore: conf(name, 'arp_ignore'),
        arpAnnounce: conf(name, 'arp_announce'),
        rpFilter: conf(name, 'rp_filter'),
      })),
    sysctlsWritable: canWrite('/proc/sys/net/ipv4/conf/all/arp_ignore'),
    ipvs: readIpvs(config),
    wantsIpv6: config.virtualRouters.some(({ addresses }) => addresses.some(({ family }) => family === 6)),
    ipv6Disabled: readText('/proc/sys/net/ipv6/conf/all/disable_ipv6') !== '0',
    clock: { ...about.clock, synchronized: isSynchronized() },
  };
}

export function readNetworkFacts(config: KoiConfig, about: Pick<NetworkFacts, 'problems' | 'heard'>): NetworkFacts {
  const parents = [...new Set(config.virtualRouters.map((router) => parentName(router.interface)))];
  return {
    parents: parents.map((name) => ({
      name,
      present: existsSync(join(classNet, name)),
      carrier: readText(join(classNet, name, 'carrier')) === '1',
      wireless: existsSync(join(classNet, name, 'wireless')),
      managers: linkManagers(ifindexOf(name)).map((manager) => ({ name: manager, toldOfKoi: isToldOfKoi(manager) })),
    })),
    managedLinks: koiLinks().flatMap((name) => linkManagers(ifindexOf(name)).map((manager) => ({ name, manager }))),
    ...about,
  };
}

/** A selector that is no name says what it is: whoever it means now is not looked for here. */
function parentName({ by, value }: InterfaceSelector): string {
  if (by !== 'mac') return value;
  const found = names().find((name) => readText(join(classNet, name, 'address')) === value && !isKoi(name));
  return found ?? value;
}

const names = (): string[] => attempt(() => readdirSync(classNet), []);
const isKoi = (name: string): boolean => readText(join(classNet, name, 'ifalias')).startsWith('koi:');
const koiLinks = (): string[] => names().filter(isKoi);
const ifindexOf = (name: string): number => Number(readText(join(classNet, name, 'ifindex'))) || 0;

function conf(name: string, key: ConfKey): number | undefined {
  const text = readText(`/proc/sys/net/ipv4/conf/${name}/${key}`);
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function readNames(): HostFacts['capabilities'] {
  const { effective, bounding } = readCapabilities();
  const named = (set: bigint): string[] =>
    Object.entries(capabilityBits).flatMap(([name, bit]) => ((set & (1n << bit)) === 0n ? [] : [name]));
  return { effective: named(effective), bounding: named(bounding) };
}

function readIpvs(config: KoiConfig): HostFacts['ipvs'] {
  const name = 'kube-ipvs0';
  if (!existsSync(join(classNet, name))) return { present: false, holds: [] };
  const held = (networkInterfaces()[name] ?? []).map(({ address }) => address);
  const vips = config.virtualRouters.flatMap(({ addresses }) => addresses.map(({ address }) => address));
  return { present: true, holds: vips.filter((vip) => held.includes(vip)) };
}

/** systemd-timesyncd leaves a file; chrony and ntpd a socket or a pid file, by which only their presence is known. */
function isSynchronized(): boolean | undefined {
  const marks = ['/run/systemd/timesync/synchronized', '/run/chrony/chronyd.pid', '/run/ntpd.pid', '/run/ntpsec'];
  if (marks.some((file) => existsSync(file))) return true;
  // In a container the host keeps the clock.
  return existsSync('/run/systemd/system') ? false : undefined;
}

const isToldOfKoi = (manager: string): boolean =>
  (snippets[manager] ?? []).some((directory) =>
    attempt(() => readdirSync(directory), []).some((file) => readText(join(directory, file)).includes('koi')),
  );

function canWrite(file: string): boolean {
  return attempt(() => {
    accessSync(file, constants.W_OK);
    return true;
  }, false);
}

const readText = (file: string): string => attempt(() => readFileSync(file, 'utf8').trim(), '');

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
