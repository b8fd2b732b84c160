import { dirname } from 'node:path';
import { namedFiles } from './file-checks.js';
import { type ConfigPath, formatPath, valueAt } from './path.js';
import type { ConfigProblem } from './problem.js';
import type { ReadDocument } from './read-document.js';

/** As whom a unit of the package runs: `packaging/systemd`, which a test compares with this. */
export interface UnitUser {
  readonly user: string;
  readonly group: string;
  /** Root by name only: it has no right to files that are not its own or its group's. */
  readonly unprivilegedRoot: boolean;
}

export type UnitName = 'koi-agent' | 'koi-log-server' | 'koi-dataplane';

const koi: UnitUser = { user: 'koi', group: 'koi', unprivilegedRoot: false };
export const unitUsers: Readonly<Record<UnitName, UnitUser>> = {
  'koi-agent': koi,
  'koi-log-server': koi,
  'koi-dataplane': { user: 'root', group: 'koi', unprivilegedRoot: true },
};

/** A step on the way to a file: a directory has to be searched, the file itself read. */
export interface Step {
  readonly path: string;
  readonly kind: 'directory' | 'file';
}

/** What the checks need to know of this machine's units. */
export interface UnitView {
  /** Those that are installed here. */
  readonly units: readonly UnitName[];
  /** The configuration that they are started with. */
  readonly configFile: string;
  /** The path without symbolic links; undefined where there is no such file. */
  readonly realPath: (file: string) => string | undefined;
  /** Asks the kernel, of each step, whether this user gets through. @throws Error where it cannot be asked */
  readonly mayPass: (user: UnitUser, steps: readonly Step[]) => readonly boolean[];
}

interface Wanted {
  readonly path: ConfigPath;
  readonly file: string;
  readonly units: readonly UnitName[];
}

/**
 * Whether the units of the package can read the files that a configuration names, and the configuration itself where it is
 * theirs: one that cannot be read keeps its unit from starting, which is an error. A place that the units do not see unless
 * somebody has changed them is a warning.
 *
 * @param file the configuration's own file
 */
export function checkUnitUsers(
  document: ReadDocument,
  file: string,
  view: UnitView,
): { readonly errors: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] } {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  for (const [user, wanted] of byUser(wantedFiles(document, file, view))) {
    const ways = wanted.flatMap((each) => {
      const real = view.realPath(each.file);
      return real === undefined ? [] : [{ ...each, real, steps: stepsTo(real) }];
    });
    const into = (list: ConfigProblem[], path: ConfigPath, message: string, remedy: string): void => {
      list.push({
        path: formatPath(path),
        line: path.length === 0 ? undefined : document.lineOf(path),
        message,
        remedy,
      });
    };
    let passed: readonly boolean[];
    try {
      passed = view.mayPass(
        user,
        ways.flatMap(({ steps }) => steps),
      );
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `whether user ${user.user} can read the files that are named here could not be tried: ${why}`;
      into(warnings, [], message, `look with: runuser -u ${user.user} -- cat FILE`);
      continue;
    }
    let from = 0;
    for (const { path, file: named, real, units, steps } of ways) {
      const barred = steps.find((_step, at) => passed[from + at] === false);
      from += steps.length;
      const hidden = hiddenPlaces.find(({ below }) => below.some((place) => real.startsWith(`${place}/`)));
      if (barred !== undefined) into(errors, path, ...refusal(named, barred, user, units));
      else if (hidden !== undefined) {
        const message = `${named} is not seen by ${listed(units)}: ${hidden.setting} of the unit hides it`;
        into(warnings, path, message, 'put it into /etc/koi');
      }
    }
  }
  return { errors, warnings };
}

const hiddenPlaces = [
  { below: ['/home', '/root', '/run/user'], setting: 'ProtectHome=' },
  { below: ['/tmp', '/var/tmp'], setting: 'PrivateTmp=' },
] as const;

function wantedFiles(document: ReadDocument, file: string, { units, configFile, realPath }: UnitView): Wanted[] {
  const embedded = valueAt(document.root, ['log', 'embedded']) !== undefined;
  const here = units.filter((unit) => unit !== 'koi-log-server' || embedded);
  const isTheirs = realPath(file) === realPath(configFile);
  return [
    ...(isTheirs ? [{ path: [], file, units: here }] : []),
    // The log is the agent's and its server's; the LAN the dataplane's.
    ...namedFiles(document).map(({ path, file: named }) => ({
      path,
      file: named,
      units: here.filter((unit) => (unit === 'koi-dataplane') === (path[0] !== 'log')),
    })),
  ];
}

/** The same files, once for each user that has to read them. */
function byUser(wanted: readonly Wanted[]): Map<UnitUser, Wanted[]> {
  const users = new Map<UnitUser, Wanted[]>();
  for (const each of wanted) {
    for (const user of new Set(each.units.map((unit) => unitUsers[unit]))) {
      const units = each.units.filter((unit) => unitUsers[unit] === user);
      users.set(user, [...(users.get(user) ?? []), { ...each, units }]);
    }
  }
  return users;
}

function stepsTo(real: string): Step[] {
  const steps: Step[] = [{ path: real, kind: 'file' }];
  for (let at = dirname(real); at !== '/'; at = dirname(at)) steps.unshift({ path: at, kind: 'directory' });
  return steps;
}

function refusal(
  file: string,
  barred: Step,
  { user, group, unprivilegedRoot }: UnitUser,
  units: readonly UnitName[],
): [message: string, remedy: string] {
  const who = unprivilegedRoot
    ? `${listed(units)}, which is root without a right to files of others, in group ${group}`
    : `user ${user}, as which ${listed(units)} ${units.length === 1 ? 'runs' : 'run'}`;
  const verdict = `: ${units.length === 1 ? 'it does' : 'they do'} not start`;
  if (barred.kind === 'file') {
    const remedy = `chown root:${group} ${barred.path} && chmod 0640 ${barred.path}`;
    return [`${file} cannot be read by ${who}${verdict}`, remedy];
  }
  const isOfKoi = barred.path === '/etc/koi' || barred.path.startsWith('/etc/koi/');
  const remedy = isOfKoi
    ? `chgrp ${group} ${barred.path} && chmod 0750 ${barred.path}`
    : 'move the file into /etc/koi, and name it there';
  return [`${file} cannot be reached by ${who}, since it may not enter ${barred.path}${verdict}`, remedy];
}

const listed = (units: readonly UnitName[]): string => units.join(' and ');
