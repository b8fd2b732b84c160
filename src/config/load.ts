import { hostname } from 'node:os';
import { KoiError } from '../koi-error.js';
import { buildConfig } from './build.js';
import type { KoiConfig, LogConfig } from './config.js';
import { crossCheck } from './cross-checks.js';
import { type Environment, expandEnvironment } from './environment.js';
import { checkFiles, checkPrograms } from './file-checks.js';
import { checkHost, type HostView } from './host-checks.js';
import { type ConfigPath, formatPath, isMap, valueAt } from './path.js';
import { type ConfigProblem, formatProblem } from './problem.js';
import { type ReadDocument, readDocument } from './read-document.js';
import { readConfigText } from './read-text.js';
import { rightParts } from './right-parts.js';
import { configSchema } from './schema.js';
import { schemaPlace } from './schema-navigation.js';
import { describeIssues, type PlacedProblem } from './schema-problems.js';
import { parseYaml, type YamlProblem } from './yaml-document.js';

export interface LoadOptions {
  readonly environment?: Environment;
  /** The node's name where the file gives none. */
  readonly hostname?: string;
  /** This machine, to compare the configuration with; without it nothing is compared. */
  readonly host?: HostView;
}

export interface LoadFileOptions extends LoadOptions {
  /** Also looks at the files and programs that the configuration names. */
  readonly files?: boolean;
}

export type ParsedConfig =
  | {
      readonly ok: true;
      readonly config: KoiConfig;
      readonly warnings: readonly ConfigProblem[];
      readonly document: ReadDocument;
    }
  | {
      readonly ok: false;
      readonly errors: readonly ConfigProblem[];
      readonly warnings: readonly ConfigProblem[];
      /** Undefined where the file could not be read as YAML. */
      readonly document: ReadDocument | undefined;
      /** The section `log`, where that is right in itself. */
      readonly log?: LogConfig | undefined;
    };

/** What the parser refuses, as a problem of the file. */
export const syntaxProblem = ({ line, message, code }: YamlProblem): ConfigProblem => ({
  path: '',
  line,
  message,
  remedy:
    code === 'TAB_AS_INDENT' ? 'indent with spaces' : 'correct the YAML; values that contain ": " or " #" need quotes',
});

/**
 * Reads the text of a configuration: YAML, environment, schema, and rules between fields.
 * Reports every error at once, sorted by line; never throws for a wrong text. The machine is compared with what is right in
 * itself: one wrong virtual router does not hide what is wrong with another.
 */
export function parseConfig(text: string, options: LoadOptions = {}): ParsedConfig {
  const yaml = parseYaml(text);
  const syntax = yaml.problems.map(syntaxProblem);
  if (yaml.problems.some(({ harmless }) => !harmless))
    return { ok: false, errors: syntax, warnings: [], document: undefined };

  if (!isMap(yaml.value)) {
    const message = yaml.value === null ? 'the file is empty' : 'the file is not a map of keys and values';
    const remedy = 'begin with `cluster: NAME`; `koi schema` lists every key';
    const errors = [...syntax, { path: '', line: 1, message, remedy }];
    return { ok: false, errors, warnings: [], document: undefined };
  }

  const { value: root, missing, expanded } = expandEnvironment(yaml.value, options.environment ?? process.env);
  for (const path of expanded) readScalar(root, path);
  const parsed = configSchema.safeParse(root);
  const crossed = crossCheck(root);
  const node = parsed.success ? (parsed.data.node ?? options.hostname ?? hostname()) : '';
  const placed: PlacedProblem[] = [
    ...missing.map(({ path, name }) => ({
      path,
      message: `the environment variable ${name} is not set`,
      remedy: `set ${name}, or write $\${${name}} where the text itself is meant`,
    })),
    ...(parsed.success ? nodeProblems(node) : describeIssues(configSchema, root, parsed.error.issues)).filter(
      ({ path }) => !missing.some((variable) => formatPath(variable.path) === formatPath(path)),
    ),
    ...crossed.errors,
  ];

  // What is missing has no line of its own; a missing section has none at all.
  const lineOf = (path: ConfigPath): number | undefined =>
    valueAt(yaml.value, path.slice(0, 1)) === undefined ? undefined : yaml.lineOf(path);
  const locate = ({ path, message, remedy }: PlacedProblem): ConfigProblem => ({
    path: formatPath(path),
    line: lineOf(path),
    message,
    remedy,
  });
  const refused = placed.map(({ path }) => path);
  const document = readDocument(root, lineOf, refused);
  const config = parsed.success && placed.length === 0 ? buildConfig(parsed.data, node) : undefined;
  const right = config ?? rightParts(root, refused);
  const host = options.host === undefined ? undefined : checkHost(right.virtualRouters, options.host, lineOf);
  const warnings = [...crossed.warnings.map(locate), ...(host?.warnings ?? [])];
  const errors = withoutRepeats([...syntax, ...placed.map(locate), ...(host?.errors ?? [])]);
  if (errors.length > 0 || config === undefined) return { ok: false, errors, warnings, document, log: right.log };
  return { ok: true, config, warnings, document };
}

/** A variable's value is text; where the schema wants a number or a truth value, it is read as one. */
function readScalar(root: unknown, path: ConfigPath): void {
  const holder = valueAt(root, path.slice(0, -1));
  const last = path.at(-1);
  const value = valueAt(root, path);
  const kinds = schemaPlace(configSchema, path)?.kinds ?? [];
  if (last === undefined || typeof value !== 'string' || typeof holder !== 'object' || holder === null) return;
  if (kinds.includes('number') && /^-?\d{1,9}$/.test(value)) Object.assign(holder, { [last]: Number(value) });
  if (kinds.includes('boolean') && /^(true|false)$/.test(value)) Object.assign(holder, { [last]: value === 'true' });
}

function nodeProblems(node: string): PlacedProblem[] {
  if (configSchema.shape.node.safeParse(node).success) return [];
  const message = `the host name '${node}' cannot name a node`;
  return [{ path: ['node'], message, remedy: `add node: ${schemaPlace(configSchema, ['node'])?.description ?? ''}` }];
}

/** By line. The schema and a rule may see the same problem; the first to name it wins. */
export function withoutRepeats(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const unique = new Map<string, ConfigProblem>();
  for (const problem of problems) {
    const key = `${problem.path}\0${problem.line}\0${problem.message}`;
    if (!unique.has(key)) unique.set(key, problem);
  }
  return [...unique.values()].sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
}

/**
 * Reads and checks a configuration file.
 *
 * @throws KoiError 'config' whose message lists every error with line, path and remedy; as `readConfigText` besides
 */
export function loadConfig(
  file: string,
  options: LoadFileOptions = {},
): { readonly config: KoiConfig; readonly warnings: readonly ConfigProblem[]; readonly document: ReadDocument } {
  const parsed = parseConfig(readConfigText(file), options);
  const { document } = parsed;
  const files = options.files === true && document !== undefined ? checkFiles(document) : { errors: [], warnings: [] };
  if (!parsed.ok) throw invalidConfig(file, withoutRepeats([...parsed.errors, ...files.errors]));
  if (files.errors.length > 0) throw invalidConfig(file, files.errors);
  // Without a hook's or a check's program the addresses can be served all the same.
  const programs = options.files === true ? checkPrograms(parsed.document) : { errors: [], warnings: [] };
  const warnings = [...parsed.warnings, ...files.warnings, ...programs.errors, ...programs.warnings];
  return { config: parsed.config, warnings, document: parsed.document };
}

/** The one error that carries all problems of a file. */
export function invalidConfig(file: string, errors: readonly ConfigProblem[]): KoiError {
  const count = errors.length === 1 ? '1 error' : `${errors.length} errors`;
  const lines = errors.map((problem) => `  ${formatProblem(file, problem)}\n    → ${problem.remedy}`);
  return new KoiError('config', [`${file} has ${count}`, ...lines].join('\n'));
}
