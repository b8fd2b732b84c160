import { type ChildProcess, spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { KoiConfig } from '../config/config.js';
import type { Reread } from '../config/reread.js';
import { KoiError } from '../koi-error.js';
import type { ReadAnswer, ReadOrder } from './config-reader-main.js';

const readTimeoutMs = 10_000;

/**
 * Reads the configuration again in a process of its own: a large file takes longer to read and compare than an advert may
 * be late. Not in a thread: its allocations would stop the loop at the lock of the address space, for 10 to 30 ms on a
 * busy machine (measured), where the fork takes 3. The virtual routers that did not change are those of `current`.
 *
 * @throws KoiError as `rereadConfig`, or `timeout`
 */
export async function rereadAside(file: string, current: KoiConfig): Promise<Reread> {
  const main = fileURLToPath(new URL('./config-reader-main.js', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, main], { stdio: ['pipe', 'pipe', 'inherit'] });
  // It starts as urgent as this process, since the fork waits for it; from here on it comes after it, and is as good as others.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_NORMAL);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, readTimeoutMs);
  try {
    const answer = await ask(child, { file, current });
    if (answer.ok) return complete(answer, current);
    throw new KoiError(answer.code, answer.message, answer.remedy === undefined ? {} : { remedy: answer.remedy });
  } catch (error) {
    if (isLate) throw new KoiError('timeout', `reading ${file} again took longer than ${readTimeoutMs} ms`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function ask(child: ChildProcess, order: ReadOrder): Promise<ReadAnswer> {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new KoiError('internal', 'the reader has no pipes');
  const failed = new Promise<never>((_resolve, reject) => child.once('error', reject));
  stdin.on('error', () => undefined);
  stdin.end(JSON.stringify(order));
  const said = await Promise.race([text(stdout), failed]);
  try {
    return JSON.parse(said) as ReadAnswer;
  } catch (cause) {
    throw new KoiError('internal', 'the reader of the configuration ended without an answer', { cause });
  }
}

function complete(answer: Extract<ReadAnswer, { ok: true }>, current: KoiConfig): Reread {
  const { rest, changed, names, diff, changes, digest } = answer;
  const known = new Map(current.virtualRouters.map((router) => [router.name, router]));
  for (const router of changed) known.set(router.name, router);
  const virtualRouters = names.flatMap((name) => known.get(name) ?? []);
  return { config: { ...rest, virtualRouters }, diff, changes, digest };
}
