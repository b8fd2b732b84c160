import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { KoiError } from '../koi-error.js';
import type { DaemonOptions } from './daemon.js';
import type { RunPlan } from './run-inspection-main.js';

/** Long enough for another Koi that is about to end, and for a thousand virtual routers on a machine that is busy. */
const deadlineMs = 60_000;

export type Inspected = { readonly plan: RunPlan } | { readonly exitCode: number };

/**
 * Reads the configuration, looks at this machine, and refuses what cannot run, in a process of its own: what that takes,
 * 25 MiB for 200 virtual routers, would stay with `koi run` for as long as it watches the others. What is wrong is on
 * standard error when this resolves.
 *
 * @param ended ends the looking: it may wait for another Koi to end
 */
export async function inspectRun(options: DaemonOptions, ended: Promise<unknown>): Promise<Inspected> {
  const main = fileURLToPath(new URL('./run-inspection-main.js', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, main, JSON.stringify(options)], {
    // The last is `answerFd`.
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const said = text(child.stdio[3] as Readable);
  const exitCode = await new Promise<number | undefined>((resolve, reject) => {
    setTimeout(() => reject(tooLate(options.config)), deadlineMs).unref();
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
    void ended.then(() => resolve(undefined));
  }).finally(() => child.kill('SIGKILL'));
  if (exitCode === undefined) return { exitCode: 0 };
  if (exitCode !== 0) return { exitCode };
  try {
    return { plan: JSON.parse(await said) as RunPlan };
  } catch (cause) {
    throw new KoiError('internal', 'whoever looked at the configuration ended without an answer', { cause });
  }
}

const tooLate = (file: string): KoiError =>
  new KoiError('timeout', `reading ${file} and looking at this machine took longer than ${deadlineMs} ms`, {
    remedy: `koi check -c ${file} does the same, and shows where it stops`,
  });
