import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { type Step, type UnitName, type UnitUser, type UnitView, unitUsers } from './unit-users.js';

const unitFolders = [
  '/etc/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
];
const askTimeoutMs = 10_000;

/**
 * The units of the package on this machine; undefined where nothing can be said of them: somebody else than root asks, they
 * are not installed, or there is no user for them, as in a container.
 */
export function readUnitView(): UnitView | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const names = Object.keys(unitUsers) as UnitName[];
  const units = names.filter((unit) => unitFolders.some((folder) => existsSync(`${folder}/${unit}.service`)));
  if (units.length === 0 || spawnSync('getent', ['passwd', 'koi'], { timeout: askTimeoutMs }).status !== 0)
    return undefined;
  return { units, configFile: unitsConfigFile(), realPath, mayPass };
}

/** KOI_CONFIG of the units, which /etc/default/koi may change. */
function unitsConfigFile(): string {
  try {
    const given = [...readFileSync('/etc/default/koi', 'utf8').matchAll(/^KOI_CONFIG=(["']?)(.*)\1$/gm)].at(-1)?.[2];
    if (given !== undefined && given !== '') return given;
  } catch {
    // It is there only where somebody made it.
  }
  return '/etc/koi/koi.yaml';
}

function realPath(file: string): string | undefined {
  try {
    return realpathSync(file);
  } catch {
    return undefined;
  }
}

const tryEach = 'while [ $# -gt 0 ]; do test "$1" "$2" && echo yes || echo no; shift 2; done';

/**
 * Has a process of that user try it, so that access control lists and groups count as they do for the unit. setpriv is in
 * util-linux, which systemd needs.
 */
export function mayPass({ user, group, unprivilegedRoot }: UnitUser, steps: readonly Step[]): readonly boolean[] {
  if (steps.length === 0) return [];
  const words = steps.flatMap(({ path, kind }) => [kind === 'directory' ? '-x' : '-r', path]);
  const options = [
    `--reuid=${user}`,
    `--regid=${group}`,
    '--init-groups',
    ...(unprivilegedRoot ? ['--bounding-set=-all'] : []),
  ];
  const { status, stdout, stderr, error } = spawnSync('setpriv', [...options, 'sh', '-c', tryEach, 'sh', ...words], {
    encoding: 'utf8',
    timeout: askTimeoutMs,
  });
  if (error !== undefined) throw error;
  const answers = stdout.split('\n').slice(0, -1);
  if (status !== 0 || answers.length !== steps.length) throw new Error(stderr.trim() || `setpriv ended with ${status}`);
  return answers.map((answer) => answer === 'yes');
}
