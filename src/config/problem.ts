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

/** So many places of the same problem are told one by one. */
const toldMost = 3;

/**
 * What is said for people where one cause shows in many places, as one absent interface does with each of its virtual
 * routers: of problems with the same words the first is told, with how many more there are and where the last is.
 */
export function gatherAlike(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const alike = new Map<string, ConfigProblem[]>();
  for (const problem of problems) {
    const words = `${problem.message}\n${problem.remedy}`;
    const places = alike.get(words);
    if (places === undefined) alike.set(words, [problem]);
    else places.push(problem);
  }
  return problems.flatMap((problem) => {
    const places = alike.get(`${problem.message}\n${problem.remedy}`) ?? [];
    if (places.length <= toldMost) return [problem];
    if (places[0] !== problem) return [];
    const last = places.at(-1)?.path ?? '';
    return [{ ...problem, message: `${problem.message} (and ${places.length - 1} more like it, to ${last})` }];
  });
}
