import { Worker } from 'node:worker_threads';
import type { KoiConfig } from '../config/config.js';
import type { Reread } from '../config/reread.js';
import { KoiError } from '../koi-error.js';
import type { ReadAnswer, ReadOrder } from './config-reader-worker.js';

const readTimeoutMs = 10_000;

/**
 * Reads the configuration again in a thread of its own: a large file takes longer to read and compare than an advert may
 * be late. The virtual routers that did not change are those of `current`.
 *
 * @throws KoiError as `rereadConfig`, or `timeout`
 */
export function rereadAside(file: string, current: KoiConfig): Promise<Reread> {
  return new Promise((resolve, reject) => {
    const order: ReadOrder = { file, current };
    const worker = new Worker(new URL('./config-reader-worker.js', import.meta.url), { workerData: order });
    const timer = setTimeout(() => {
      void worker.terminate();
      reject(new KoiError('timeout', `reading ${file} again took longer than ${readTimeoutMs} ms`));
    }, readTimeoutMs);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
    };
    worker.once('message', (answer: ReadAnswer) => {
      finish(() => {
        if (answer.ok) resolve(complete(answer, current));
        else
          reject(
            new KoiError(answer.code, answer.message, answer.remedy === undefined ? {} : { remedy: answer.remedy }),
          );
      });
    });
    worker.once('error', (error) => finish(() => reject(error)));
    worker.once('exit', (code) =>
      finish(() => reject(new KoiError('internal', `the reader of ${file} ended with ${code}`))),
    );
  });
}

function complete(
  { rest, changed, names, diff, changes, digest }: Extract<ReadAnswer, { ok: true }>,
  current: KoiConfig,
) {
  const known = new Map(current.virtualRouters.map((router) => [router.name, router]));
  for (const router of changed) known.set(router.name, router);
  const virtualRouters = names.flatMap((name) => known.get(name) ?? []);
  return { config: { ...rest, virtualRouters }, diff, changes, digest };
}
