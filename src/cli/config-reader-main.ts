import { text } from 'node:stream/consumers';
import type { KoiConfig, VirtualRouterConfig } from '../config/config.js';
import type { ConfigDiff } from '../config/diff.js';
import { rereadConfig } from '../config/reread.js';
import { KoiError, type KoiErrorCode } from '../koi-error.js';

/** What the reader is told on its standard input. */
export interface ReadOrder {
  readonly file: string;
  readonly current: KoiConfig;
}

/** What it answers on its standard output: only what changed, since whoever asks has the rest. */
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
  | { readonly ok: false; readonly code: KoiErrorCode; readonly message: string; readonly remedy?: string };

function read({ file, current }: ReadOrder): ReadAnswer {
  try {
    const { config, diff, changes, digest } = rereadConfig(file, current);
    const { virtualRouters, ...rest } = config;
    const moved = new Set(diff.routers.map(({ name }) => name));
    const changed = virtualRouters.filter(({ name }) => moved.has(name));
    return { ok: true, rest, names: virtualRouters.map(({ name }) => name), changed, diff, changes, digest };
  } catch (error) {
    if (!(error instanceof KoiError)) return { ok: false, code: 'internal', message: String(error) };
    const { code, message, remedy } = error;
    return { ok: false, code, message, ...(remedy === undefined ? {} : { remedy }) };
  }
}

process.title = 'koi reader';
process.stdout.write(JSON.stringify(read(JSON.parse(await text(process.stdin)) as ReadOrder)));
