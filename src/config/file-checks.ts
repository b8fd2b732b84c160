import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { type ConfigPath, formatPath, isMap } from './path.js';
import type { ConfigProblem } from './problem.js';
import type { ReadDocument } from './read-document.js';
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

/** The files a configuration names: absent is an error; not readable by this user, or readable by all, a warning. */
export function checkFiles(document: ReadDocument): FileProblems {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const { lineOf } = document;
  for (const { path, file, secret } of namedFiles(document)) {
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
    } else if (path[0] === 'lanKeyFile' && stat.size < lanKeyBytesMin) {
      const remedy = 'make one with `openssl rand -hex 32`, the same on every node';
      errors.push(problem(`${file} is too short for a key: it takes at least ${lanKeyBytesMin} bytes`, remedy));
    } else if (secret && (stat.mode & 0o004) !== 0) {
      warnings.push(problem(`${file} can be read by every user`, `take that right away: chmod o-r ${file}`));
    }
  }
  return { errors, warnings };
}

/** The programs it names: absent or not executable is an error, one that everybody can change a warning. */
export function checkPrograms(document: ReadDocument): FileProblems {
  const errors: ConfigProblem[] = [];
  const warnings: ConfigProblem[] = [];
  const { lineOf } = document;
  for (const { path, program } of namedPrograms(document)) {
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

/** Stands for each place of a list. */
const each = Symbol('each');
type Pattern = readonly (string | number | typeof each)[];

const programPlaces: readonly Pattern[] = [
  ['track', each, 'script', 0],
  ...['preAttach', 'postMaster', 'preRelease', 'postRelease'].map(
    (hook): Pattern => ['virtualRouters', each, 'hooks', hook, 0],
  ),
];

const filePlaces: readonly { readonly pattern: Pattern; readonly secret: boolean }[] = [
  { pattern: ['log', 'credentials'], secret: true },
  { pattern: ['log', 'passwordFile'], secret: true },
  { pattern: ['log', 'nkey'], secret: true },
  { pattern: ['log', 'tls', 'ca'], secret: false },
  { pattern: ['log', 'tls', 'cert'], secret: false },
  { pattern: ['log', 'tls', 'key'], secret: true },
  { pattern: ['lanKeyFile'], secret: true },
  { pattern: ['virtualRouters', each, 'carp', 'passwordFile'], secret: true },
  { pattern: ['virtualRouters', each, 'vrrp2', 'auth', 'passwordFile'], secret: true },
  { pattern: ['virtualRouters', each, 'authHmac', 'keyFile'], secret: true },
];

/** Every program that a configuration names. */
export const namedPrograms = (document: ReadDocument): NamedProgram[] =>
  programPlaces.flatMap((pattern) =>
    absolutePaths(document, pattern).map(({ path, text: program }) => ({ path, program })),
  );

/** Every file that a configuration names, programs not among them. */
export const namedFiles = (document: ReadDocument): NamedFile[] =>
  filePlaces.flatMap(({ pattern, secret }) =>
    absolutePaths(document, pattern).map(({ path, text: file }) => ({ path, file, secret })),
  );

interface Found {
  readonly path: ConfigPath;
  readonly text: string;
}

/** What stands at the places of a pattern, as far as it is a path and nothing is wrong with it. */
function absolutePaths({ root, isRefused }: ReadDocument, pattern: Pattern): Found[] {
  let found: { readonly path: ConfigPath; readonly value: unknown }[] = [{ path: [], value: root }];
  for (const part of pattern) {
    found = found.flatMap(({ path, value }) => {
      if (part === each)
        return Array.isArray(value) ? value.map((item: unknown, at) => ({ path: [...path, at], value: item })) : [];
      if (typeof part === 'number')
        return Array.isArray(value) ? [{ path: [...path, part], value: value[part] as unknown }] : [];
      return isMap(value) && Object.hasOwn(value, part) ? [{ path: [...path, part], value: value[part] }] : [];
    });
  }
  return found.flatMap(({ path, value }) =>
    typeof value === 'string' && value.startsWith('/') && !isRefused(path) ? [{ path, text: value }] : [],
  );
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
