import { parseConfig } from '../config/load.js';
import type { ConfigProblem } from '../config/problem.js';
import type { FindProgram } from './command.js';
import { type Imported, mapKeepalived, type Refusals } from './keepalived-mapping.js';
import { type Directive, parseKeepalived } from './keepalived-parser.js';
import type { ConfigFiles, SyntaxProblem } from './keepalived-text.js';
import type { Why } from './ledger.js';
import { renderImported } from './render.js';

export interface ImportOptions {
  readonly files: ConfigFiles;
  readonly findProgram: FindProgram;
  /** What keepalived is started with as `-i`. */
  readonly configId: string;
  readonly node?: string | undefined;
}

export type KeepalivedImport =
  | { readonly ok: false; readonly problems: readonly SyntaxProblem[] }
  | {
      readonly ok: true;
      readonly directives: readonly Directive[];
      readonly imported: Imported;
      /** What `koi check` accepts; empty where there is no virtual router. */
      readonly config: string;
      /** What `koi check` has against it nevertheless: the name of the node. */
      readonly errors: readonly ConfigProblem[];
    };

/** Reads a keepalived.conf with all that it includes, and says the same in Koi's configuration. */
export function importKeepalived(
  path: string,
  { files, findProgram, configId, node }: ImportOptions,
): KeepalivedImport {
  const parsed = parseKeepalived(path, configId, files);
  if (!parsed.ok) return parsed;
  const render = (imported: Imported) => renderImported(imported, path, node);
  const imported = mapKeepalived(parsed.directives, findProgram, (result) => refusalsOf(check(render(result))));
  if (imported.routers.length === 0) return { ...parsed, imported, config: '', errors: [] };
  const config = render(imported);
  return { ...parsed, imported, config, errors: check(config) };
}

function check(config: string): readonly ConfigProblem[] {
  const checked = parseConfig(config, { environment: {} });
  return checked.ok ? [] : checked.errors;
}

function refusalsOf(errors: readonly ConfigProblem[]): Refusals {
  const of = (list: string): ReadonlyMap<number, Why> =>
    new Map(
      errors.flatMap(({ path, message, remedy }): [number, Why][] => {
        const parts = new RegExp(`^${list}\\[(\\d+)\\]\\.?(.*)$`).exec(path);
        if (parts === null) return [];
        return [[Number(parts[1]), { reason: `koi check refuses ${parts[2] || 'it'}: ${message}`, remedy }]];
      }),
    );
  return { routers: of('virtualRouters'), tracks: of('track') };
}
