import { readFileSync, statSync } from 'node:fs';

/** The running boot's id (a UUID): what was noted down in an earlier boot no longer holds. random(4). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** The inode of this process's network namespace, which names it among those that exist now. namespaces(7). */
export function netnsInode(): number {
  return statSync('/proc/self/ns/net').ino;
}
