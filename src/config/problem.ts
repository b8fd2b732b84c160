/** One thing that is wrong with a configuration, or worth knowing about it. */
export interface ConfigProblem {
  /** `virtualRouters[0].addresses[1]`; '' for the file as a whole. */
  readonly path: string;
  /** Line of the file, from 1; undefined where the problem is not in a line of it. */
  readonly line: number | undefined;
  readonly message: string;
  readonly remedy: string;
}

/** `koi.yaml:12: virtualRouters[0].id: message`, without the remedy. */
export function formatProblem(file: string, problem: ConfigProblem): string {
  const where = problem.line === undefined ? file : `${file}:${problem.line}`;
  return problem.path === '' ? `${where}: ${problem.message}` : `${where}: ${problem.path}: ${problem.message}`;
}
