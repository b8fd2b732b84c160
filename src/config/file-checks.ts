import { accessSync, constants, type Stats, statSync } from 'node:fs';
import type { KoiConfig } from './config.js';
import { type ConfigPath, formatPath } from './path.js';
import type { ConfigProblem } from './problem.js';
import { lanKeyBytesMin } from './secret-file.js';

export interface NamedFile {
  readonly path: ConfigPath;
  readonly file: string;
  readonly secret: boolean;
}

interface FileProblems {
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

type LineOf = (path: ConfigPath) => number | undefined;

/** The files a configuration names: absent is an error; not readable by this user, or readable by all, a warning. */
export function checkFiles(config: KoiConfig, lineOf: LineOf): FileProblems {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  for (const { path, file, secret } of namedFiles(config)) {
    const problem = (message: string, remedy: string): ConfigProblem => ({
      path: formatPath(path),
      line: lineOf(path),
      message,
      remedy,
    });
    const stat = lookAt(file);
    if (stat === undefined) errors.push(problem(`there is no file ${file}`, 'create the file, or correct its path'));
    else if (stat !== 'hidden' && !stat.isFile()) errors.push(problem(`${file} is not a file`, 'correct the path'));
    else if (stat === 'hidden' || !isReadable(file)) {
      warnings.push(problem(`${file} cannot be read by you`, 'the user that koi runs as must be able to read it'));
    } else if (file === config.lanKeyFile && stat.size < lanKeyBytesMin) {
      const remedy = 'make one with `openssl rand -hex 32`, the same on every node';
      errors.push(problem(`${file} is too short for a key: it takes at least ${lanKeyBytesMin} bytes`, remedy));
    } else if (secret && (stat.mode & 0o004) !== 0) {
      warnings.push(problem(`${file} can be read by every user`, `take that right away: chmod o-r ${file}`));
    }
  }
  return { errors, warnings };
}

/** The programs it names: absent or not executable is an error, one that everybody can change a warning. */
export function checkPrograms(config: KoiConfig, lineOf: LineOf): FileProblems {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  for (const { path, program } of namedPrograms(config)) {
    const stat = lookAt(program);
    const place = { path: formatPath(path), line: lineOf(path) };
    if (stat === 'hidden') {
      const remedy = 'the user that koi runs as must be able to execute it';
      warnings.push({ ...place, message: `${program} cannot be seen by you`, remedy });
    } else if (stat === undefined || !stat.isFile()) {
      errors.push({ ...place, message: `there is no program ${program}`, remedy: 'install it, or correct its path' });
    } else if ((stat.mode & 0o111) === 0) {
      errors.push({ ...place, message: `${program} cannot be executed`, remedy: `chmod +x ${program}` });
    } else if ((stat.mode & 0o002) !== 0) {
      const message = `${program} can be changed by every user`;
      warnings.push({ ...place, message, remedy: `take that right away: chmod o-w ${program}` });
    }
  }
  return { errors, warnings };
}

/** `hidden`: this user may not look into its folder. */
function lookAt(file: string): Stats | 'hidden' | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return 'hidden';
    return undefined;
  }
}

interface NamedProgram {
  readonly path: ConfigPath;
  readonly program: string;
}

/** Every program that a configuration names. */
export function namedPrograms(config: KoiConfig): NamedProgram[] {
  const tracked = config.track.flatMap((track, index) =>
    track.kind === 'script' ? [{ path: ['track', index, 'script', 0], program: track.command[0] ?? '' }] : [],
  );
  const hooked = config.virtualRouters.flatMap(({ hooks }, index) =>
    (['preAttach', 'postMaster', 'preRelease', 'postRelease'] as const).flatMap((name) => {
      const program = hooks?.[name]?.[0];
      return program === undefined ? [] : [{ path: ['virtualRouters', index, 'hooks', name, 0], program }];
    }),
  );
  return [...tracked, ...hooked];
}

/** Every file that a configuration names, programs not among them. */
export function namedFiles(config: KoiConfig): NamedFile[] {
  const files: NamedFile[] = [];
  const add = (path: ConfigPath, file: string | undefined, secret: boolean): void => {
    if (file !== undefined) files.push({ path, file, secret });
  };
  const { authentication, tls } = config.log;
  if (authentication.kind === 'credentials') add(['log', 'credentials'], authentication.file, true);
  if (authentication.kind === 'passwordFile') add(['log', 'passwordFile'], authentication.file, true);
  if (authentication.kind === 'nkey') add(['log', 'nkey'], authentication.file, true);
  add(['log', 'tls', 'ca'], tls?.ca, false);
  add(['log', 'tls', 'cert'], tls?.cert, false);
  add(['log', 'tls', 'key'], tls?.key, true);
  add(['lanKeyFile'], config.lanKeyFile, true);
  config.virtualRouters.forEach((router, index) => {
    if (router.protocol === 'carp') add(['virtualRouters', index, 'carp', 'passwordFile'], router.passwordFile, true);
    else {
      add(['virtualRouters', index, 'vrrp2', 'auth', 'passwordFile'], router.authentication?.passwordFile, true);
      add(['virtualRouters', index, 'authHmac', 'keyFile'], router.authHmac?.keyFile, true);
    }
  });
  return files;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
