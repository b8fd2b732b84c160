import { closeSync, constants, openSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { binding } from './binding.js';
import { errnoName } from './errno.js';
import { type Busy, type Lock, nameOfProcess } from './lock-holder.js';

const lookAgainMs = 10;

/**
 * A record lock on a whole file, as other programs take it with fcntl(2). Ours belongs to the open file description, so that
 * closing another descriptor of the file does not end it, and conflicts with theirs all the same. The file is made where its
 * directory exists; where there is none, nobody uses such locks. Where it may not be written it is only looked at.
 */
export class FileLock implements Lock {
  readonly warning: string | undefined;
  readonly #fd: number | undefined;

  private constructor(fd: number | undefined, warning?: string) {
    this.#fd = fd;
    this.warning = warning;
  }

  /** @throws KoiError `kernel` */
  static take(path: string): FileLock | Busy {
    const opened = open(path);
    if (opened === undefined) return new FileLock(undefined);
    const { fd, writable } = opened;
    const result = writable ? binding().lockFile(fd) : -1;
    if (result >= 0) return new FileLock(fd);
    const error = errnoName(result);
    const holder = binding().fileLockHolder(fd);
    closeSync(fd);
    if (!writable && holder === 0) return new FileLock(undefined, `${path} cannot be written, so it was not locked`);
    // Some file systems have no such locks: those who use them there do without, too.
    if (writable && error !== 'EAGAIN' && error !== 'EACCES') return new FileLock(undefined, `${path}: ${error}`);
    return {
      holder: holder > 0 ? nameOfProcess(holder) : 'a process that the kernel does not name',
      pid: holder > 0 ? holder : undefined,
      // Such a lock tells nobody when it ends.
      released: (leftMs) => new Promise((resolve) => setTimeout(resolve, Math.min(leftMs, lookAgainMs))),
      forget: () => undefined,
    };
  }

  release(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

function open(path: string): { readonly fd: number; readonly writable: boolean } | undefined {
  const { O_RDWR, O_RDONLY, O_CREAT } = constants;
  try {
    return { fd: openSync(path, O_RDWR | O_CREAT, 0o644), writable: true };
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    if (!['EACCES', 'EPERM', 'EROFS'].includes(codeOf(cause))) {
      throw new KoiError('kernel', `the lock file ${path} cannot be opened: ${String(cause)}`, { cause });
    }
  }
  try {
    return { fd: openSync(path, O_RDONLY), writable: false };
  } catch {
    return undefined;
  }
}

const codeOf = (cause: unknown): string => (cause instanceof Error && 'code' in cause ? String(cause.code) : '');
