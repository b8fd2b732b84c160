import { closeSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { binding, kernelError } from './binding.js';
import { type ErrnoName, errnoName } from './errno.js';
import type { Netns } from './netns.js';

/** Keys below /proc/sys/net/ipv4/conf/<interface>/ that Koi reads or sets (Documentation/networking/ip-sysctl). */
const confKeys = ['arp_ignore', 'arp_announce', 'arp_notify', 'arp_filter', 'rp_filter', 'accept_local'] as const;
export type ConfKey = (typeof confKeys)[number];

export const isConfKey = (text: string): text is ConfKey => (confKeys as readonly string[]).includes(text);

/** `net/ipv4/conf/eth1.5/arp_ignore`: with slashes, since interface names contain dots. */
export const confPath = (interfaceName: string, key: ConfKey): string => `net/ipv4/conf/${interfaceName}/${key}`;

/** Elsewhere where a container's own is read-only and the host's is mounted beside it. */
const root = process.env.KOI_SYSCTL_ROOT ?? '/proc/sys';

const file = (path: string): string => {
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw new KoiError('internal', `not a sysctl: ${path}`);
  }
  return `${root}/${path}`;
};

/**
 * @param netns another network namespace: each has its own net.ipv4 and net.ipv6
 * @throws KoiError naming the sysctl: `privilege`, or `kernel` (ENOENT when the interface or the key is not there).
 */
export function readSysctl(path: string, netns?: Netns): string {
  const name = file(path);
  try {
    return read(name, netns);
  } catch (cause) {
    throw sysctlError('reading', path, cause);
  }
}

/** As {@link readSysctl}, but undefined where there is no such interface or key. */
export function readSysctlIfPresent(path: string, netns?: Netns): string | undefined {
  const name = file(path);
  try {
    return read(name, netns);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return undefined;
    throw sysctlError('reading', path, cause);
  }
}

/** @throws KoiError naming the sysctl and the value. In a container /proc/sys is often read-only (EROFS). */
export function writeSysctl(path: string, value: string, netns?: Netns): void {
  const name = file(path);
  try {
    if (netns === undefined) writeFileSync(name, value);
    else within(netns, name, constants.O_WRONLY, (fd) => writeFileSync(fd, value));
  } catch (cause) {
    throw sysctlError(`setting to ${value}`, path, cause);
  }
}

function read(name: string, netns: Netns | undefined): string {
  if (netns === undefined) return readFileSync(name, 'utf8').trim();
  return within(netns, name, constants.O_RDONLY, (fd) => readFileSync(fd, 'utf8')).trim();
}

function within<T>(netns: Netns, name: string, flags: number, act: (fd: number) => T): T {
  const fd = binding().openFileIn(netns.fd, name, flags);
  if (fd < 0) throw Object.assign(new Error(`in network namespace ${netns.name}`), { code: errnoName(fd) });
  try {
    return act(fd);
  } finally {
    closeSync(fd);
  }
}

function errnoOf(cause: unknown): ErrnoName {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && code.startsWith('E') ? (code as ErrnoName) : 'EIO';
}

function sysctlError(what: string, path: string, cause: unknown): KoiError {
  const errno = errnoOf(cause);
  const name = path.replaceAll('/', '.');
  if (errno !== 'EROFS') return kernelError(`sysctl ${name}: ${what}`, errno);
  return new KoiError('privilege', `sysctl ${name}: ${what}: /proc/sys is read-only`, {
    remedy: `set it outside (docker run --sysctl, or securityContext.sysctls), or mount the host's /proc/sys/net below a directory named by KOI_SYSCTL_ROOT`,
    cause,
  });
}
