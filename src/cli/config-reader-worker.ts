import { parentPort, workerData } from 'node:worker_threads';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import type { ConfigDiff } from '../config/diff.js';
import { rereadConfig } from '../config/reread.js';
import { KoiError, type KoiErrorCode } from '../koi-error.js';

export interface ReadOrder {
  readonly file: string;
  readonly current: KoiConfig;
}

/** Only what changed crosses to the other thread, which has the rest. */
export type ReadAnswer =
  | {
      readonly ok: true;
      readonly rest: Omit<KoiConfig, 'virtualRouters'>;
      readonly names: readonly string[];
      readonly changed: readonly VirtualRouterConfig[];
      readonly diff: ConfigDiff;
      readonly changes: readonly string[];
      readonly digest: string;
    }
  | { readonly ok: false; readonly code: KoiErrorCode; readonly message: string; readonly remedy: string | undefined };

function read({ file, current }: ReadOrder): ReadAnswer {
  try {
    const { config, diff, changes, digest } = rereadConfig(file, current);
    const { virtualRouters, ...rest } = config;
    const moved = new Set(diff.routers.map(({ name }) => name));
    const changed = virtualRouters.filter(({ name }) => moved.has(name));
    return { ok: true, rest, names: virtualRouters.map(({ name }) => name), changed, diff, changes, digest };
  } catch (error) {
    if (error instanceof KoiError) {
      return { ok: false, code: error.code, message: error.message, remedy: error.remedy };
    }
    return { ok: false, code: 'internal', message: String(error), remedy: undefined };
  }
}

parentPort?.postMessage(read(workerData as ReadOrder));
