import { readFileSync, writeFileSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { kernelError } from './binding.js';
import type { ErrnoName } from './errno.js';

/** Keys below /proc/sys/net/ipv4/conf/<interface>/ that Koi reads or sets (Documentation/networking/ip-sysctl). */
export type ConfKey = 'arp_ignore' | 'arp_announce' | 'arp_notify' | 'arp_filter' | 'rp_filter' | 'accept_local';

/** `net/ipv4/conf/eth1.5/arp_ignore`: with slashes, since interface names contain dots. */
export const confPath = (interfaceName: string, key: ConfKey): string => `net/ipv4/conf/${interfaceName}/${key}`;

const file = (path: string): string => {
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw new KoiError('internal', `not a sysctl: ${path}`);
  }
  return `/proc/sys/${path}`;
};

/** @throws KoiError naming the sysctl: `privilege`, or `kernel` (ENOENT when the interface or the key is not there). */
export function readSysctl(path: string): string {
  const name = file(path);
  try {
    return readFileSync(name, 'utf8').trim();
  } catch (cause) {
    throw sysctlError('reading', path, cause);
  }
}

/** As {@link readSysctl}, but undefined where there is no such interface or key. */
export function readSysctlIfPresent(path: string): string | undefined {
  try {
    return readFileSync(file(path), 'utf8').trim();
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return undefined;
    throw sysctlError('reading', path, cause);
  }
}

/** @throws KoiError naming the sysctl and the value. In a container /proc/sys is often read-only (EROFS). */
export function writeSysctl(path: string, value: string): void {
  const name = file(path);
  try {
    writeFileSync(name, value);
  } catch (cause) {
    throw sysctlError(`setting to ${value}`, path, cause);
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
    remedy: `set it outside (docker run --sysctl, or securityContext.sysctls), or mount /proc/sys writable`,
    cause,
  });
}
