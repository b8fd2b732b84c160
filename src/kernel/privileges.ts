import { readFileSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { execWithCapabilities } from './binding.js';

/** Bits of linux/capability.h. */
const capability = { setUid: 1n << 7n, netAdmin: 1n << 12n, netRaw: 1n << 13n, sysAdmin: 1n << 21n } as const;

export interface CapabilitySets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly bounding: bigint;
}

/** The capabilities of a process, from /proc/PID/status. */
export function readCapabilities(pid: number | 'self' = 'self'): CapabilitySets {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`);
  return { effective: read('CapEff'), permitted: read('CapPrm'), bounding: read('CapBnd') };
}

/** Whether another process could change an interface; undefined where it cannot be seen from here. */
export function mayChangeInterfaces(pid: number): boolean | undefined {
  try {
    return (readCapabilities(pid).effective & capability.netAdmin) !== 0n;
  } catch {
    return undefined;
  }
}

/** @throws KoiError `privilege`, naming what is missing and how to give it. */
export function demandNetworkCapabilities(): void {
  const { effective } = readCapabilities();
  const missing = [
    (effective & capability.netAdmin) === 0n ? 'CAP_NET_ADMIN' : '',
    (effective & capability.netRaw) === 0n ? 'CAP_NET_RAW' : '',
  ].filter((name) => name !== '');
  if (missing.length === 0) return;
  throw new KoiError('privilege', `the dataplane lacks ${missing.join(' and ')}`, {
    remedy: 'run koi as root, or give its unit AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW',
  });
}

/** @throws KoiError `privilege` where another network namespace could not be entered (setns(2)). */
export function demandNamespaceCapability(who: string): void {
  if ((readCapabilities().effective & capability.sysAdmin) !== 0n) return;
  throw new KoiError('privilege', `${who}: entering a network namespace needs CAP_SYS_ADMIN, which koi lacks`, {
    remedy: 'run koi as root, or add CAP_SYS_ADMIN to the AmbientCapabilities of its unit; or run koi in the namespace',
  });
}

/** Whether this process could run a command as another user: as root, and not in a container that has not the right. */
export function mayBecomeAnotherUser(): boolean {
  return process.getuid?.() === 0 && (readCapabilities().effective & capability.setUid) !== 0n;
}

const marker = 'KOI_CAPABILITIES_DROPPED';

/**
 * Gives up every capability, for good and in every thread: restarts this very command in the same process without any.
 * Returns only where there was none to give up.
 * @throws KoiError `privilege` where they cannot be given up
 */
export function runWithoutCapabilities(): void {
  const { effective, permitted } = readCapabilities();
  if (effective === 0n && permitted === 0n) return;
  if (process.env[marker] !== undefined) {
    throw new KoiError('privilege', 'the capabilities of this process could not be given up');
  }
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  execWithCapabilities(process.execPath, argv, { ...process.env, [marker]: '1' });
}
