import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { KoiProgram } from '../lab/koi.js';

/**
 * Runs a worker of this folder to its end, with the Node and the `dist/` of a Koi: what is measured is Koi's own code without
 * a loader, and not in the benchmark's process.
 *
 * @returns what it printed as JSON
 * @throws Error with what it said where it fails
 */
export async function runWorker(name: string, program: KoiProgram, args: readonly string[]): Promise<unknown> {
  const worker = fileURLToPath(new URL(name, import.meta.url));
  const { stdout } = await promisify(execFile)(program.node, [worker, program.dist, ...args], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return JSON.parse(stdout);
}
