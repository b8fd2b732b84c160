import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { ConfigFiles, FileFault } from './keepalived-text.js';

const fileBytesMax = 4 * 1_024 * 1_024;
const globResultsMax = 10_000;

const faults: Readonly<Record<string, FileFault>> = {
  ENOENT: { message: 'is not there', remedy: 'correct the path' },
  ENOTDIR: { message: 'is not there', remedy: 'correct the path: what should be a directory is none' },
  EISDIR: { message: 'is a directory', remedy: 'name a file in it' },
  EACCES: { message: 'may not be read', remedy: 'run the import as root, or let this user read it', code: 'privilege' },
};

/** The files of this machine. */
export const diskFiles: ConfigFiles = {
  read: (path) => {
    try {
      const found = statSync(path);
      // A device or a pipe might never end.
      if (!found.isFile()) return faults[found.isDirectory() ? 'EISDIR' : ''] ?? notRegular;
      if (found.size > fileBytesMax)
        return { message: `is larger than ${fileBytesMax} bytes`, remedy: 'is it the file?' };
      return readFileSync(path, 'utf8');
    } catch (error) {
      return faultOf(error);
    }
  },
  glob,
  resolve: (from, path) => resolve(dirname(from), path),
};

function faultOf(error: unknown): FileFault {
  const { code = '' } = error as NodeJS.ErrnoException;
  return faults[code] ?? { message: `cannot be read (${code})`, remedy: 'look at the file and its file system' };
}

type OnFault = Parameters<ConfigFiles['glob']>[1];

const notRegular: FileFault = { message: 'is not a regular file', remedy: 'write its content to a file first' };

/**
 * glob(3) as far as includes use it: `*`, `?`, `[a-z]` in any part of an absolute path, and braces. A pattern without any
 * of them names one file, be it there or not.
 */
function glob(pattern: string, onFault: OnFault): readonly string[] {
  return withoutBraces(pattern).flatMap((path) => {
    if (!/[*?[]/.test(path)) return path === pattern || isThere(path, onFault) ? [path] : [];
    let found = ['/'];
    for (const part of path.split('/').filter((name) => name !== '')) {
      found = found.flatMap((directory) => matches(directory, part, onFault)).slice(0, globResultsMax);
    }
    return found;
  });
}

function matches(directory: string, part: string, onFault: OnFault): readonly string[] {
  if (!/[*?[]/.test(part)) return isThere(resolve(directory, part), onFault) ? [resolve(directory, part)] : [];
  const wanted = expressionOf(part);
  if (wanted === undefined) return [];
  try {
    const names = readdirSync(directory).filter((name) => wanted.test(name));
    return names.sort().map((name) => resolve(directory, name));
  } catch (error) {
    if (!isAbsence(error)) onFault(directory, faultOf(error));
    return [];
  }
}

/** What a pattern goes through may well be a file, or gone. */
const isAbsence = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');

/** Undefined for a set of characters that is none. */
function expressionOf(part: string): RegExp | undefined {
  const escaped = part
    .replace(/[.+^$()|{}\\]/g, '\\$&')
    .replaceAll('[\\^', '[^')
    .replaceAll('[!', '[^');
  try {
    return new RegExp(`^(?!\\.)${escaped.replace(/\*+/g, '.*').replaceAll('?', '.')}$`);
  } catch {
    return undefined;
  }
}

function isThere(path: string, onFault: OnFault): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (!isAbsence(error)) onFault(dirname(path), faultOf(error));
    return false;
  }
}

/** `a{b,c}d` is `abd` and `acd`, as often as there are braces. */
function withoutBraces(pattern: string): readonly string[] {
  let patterns = [pattern];
  for (let round = 0; round < 8 && patterns.length < globResultsMax; round += 1) {
    patterns = patterns.flatMap((text) => {
      const inner = /^(.*?)\{([^{}]*)\}(.*)$/.exec(text);
      if (inner === null) return [text];
      return (inner[2] ?? '').split(',').map((part) => `${inner[1] ?? ''}${part}${inner[3] ?? ''}`);
    });
  }
  return patterns;
}
