import { spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';

/** A socket file whose listener died without removing it, as SIGKILL leaves it. */
export function leaveStaleSocket(path: string): void {
  const listenAndDie = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listenAndDie, path]);
  if (!lstatSync(path).isSocket()) throw new Error(`${path} is no socket`);
}
