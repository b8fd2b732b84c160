import { readFileSync, rmSync } from 'node:fs';
import { run } from './ip.js';

/** Removes a directory and what is mounted in it. */
export function removeDirectory(path: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${path}/`));
  for (const point of mounted) run('umount', ['-l', point]);
  rmSync(path, { recursive: true, force: true });
}
