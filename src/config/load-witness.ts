import { hostname } from 'node:os';
import { authentication, buildEmbedded } from './build.js';
import type { EmbeddedLogConfig, LogAuthentication } from './config.js';
import { expandEnvironment } from './environment.js';
import { invalidConfig, syntaxProblem } from './load.js';
import { checkLog } from './log-checks.js';
import { type ConfigPath, formatPath, isMap, valueAt } from './path.js';
import type { ConfigProblem } from './problem.js';
import { readConfigText } from './read-text.js';
import { describeIssues, type PlacedProblem } from './schema-problems.js';
import { witnessSchema } from './witness-schema.js';
import { parseYaml } from './yaml-document.js';

export interface WitnessConfig {
  readonly node: string;
  readonly stateDir: string;
  readonly embedded: EmbeddedLogConfig;
  readonly authentication: LogAuthentication;
}

/**
 * Reads and checks the file of `koi witness`.
 *
 * @throws KoiError 'config' whose message lists every error with line, path and remedy; as `readConfigText` besides
 */
export function loadWitness(file: string): Witness {
  const yaml = parseYaml(readConfigText(file));
  const syntax = yaml.problems.map(syntaxProblem);
  if (yaml.problems.some(({ harmless }) => !harmless)) throw invalidConfig(file, syntax);
  const lineOf = (path: ConfigPath): number | undefined =>
    valueAt(yaml.value, path.slice(0, 1)) === undefined ? undefined : yaml.lineOf(path);
  return judgeWitness(yaml.value, file, lineOf);
}

interface Witness {
  readonly config: WitnessConfig;
  readonly warnings: readonly ConfigProblem[];
}

/**
 * The same of what is not a file, such as options of a command line.
 *
 * @param source how to call it in an error
 */
export function judgeWitness(
  given: unknown,
  source: string,
  lineOf: (path: ConfigPath) => number | undefined = () => undefined,
): Witness {
  if (!isMap(given)) {
    const remedy = 'begin with `log:`; `koi witness --help` shows a whole file';
    throw invalidConfig(source, [{ path: '', line: 1, message: 'the file is not a map of keys and values', remedy }]);
  }
  const { value: root, missing } = expandEnvironment(given, process.env);
  const locate = ({ path, message, remedy }: PlacedProblem): ConfigProblem => ({
    path: formatPath(path),
    line: lineOf(path),
    message,
    remedy,
  });
  const errors: PlacedProblem[] = missing.map(({ path, name }) => {
    return { path, message: `the environment variable ${name} is not set`, remedy: `set ${name}` };
  });
  const warnings: PlacedProblem[] = [];
  const parsed = witnessSchema.safeParse(root);
  if (!parsed.success) errors.push(...describeIssues(witnessSchema, root, parsed.error.issues));
  if (isMap(root) && isMap(root.log)) {
    const isClustered = isMap(root.log.embedded) && root.log.embedded.cluster !== undefined;
    checkLog(
      // It is no client of the log: what only a client needs is not asked for.
      { log: { servers: [], replicas: isClustered ? 3 : 1, ...root.log } },
      (path, message, remedy) => errors.push({ path, message, remedy }),
      (path, message, remedy) => warnings.push({ path, message, remedy }),
    );
  }
  const embedded = parsed.success ? parsed.data.log.embedded : undefined;
  if (parsed.success && embedded === undefined) {
    const remedy =
      'add it: {listen: ADDRESS:4222, storeDir: DIRECTORY, cluster: {listen: ADDRESS:6222, routes: [...]}}';
    errors.push({ path: ['log', 'embedded'], message: 'is missing', remedy });
  }
  if (!parsed.success || errors.length > 0 || embedded === undefined) throw invalidConfig(source, errors.map(locate));
  const { node, stateDir, log } = parsed.data;
  const config = {
    node: node ?? `witness-${hostname()}`,
    stateDir,
    embedded: buildEmbedded(embedded),
    authentication: authentication(log),
  };
  return { config, warnings: warnings.map(locate) };
}
