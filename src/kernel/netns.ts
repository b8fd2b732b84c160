import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { errnoName } from './errno.js';

/** Where `ip netns` keeps named namespaces: each is a file of the namespace file system, mounted there. */
const directory = '/run/netns';

/** Which network namespace is meant: one of `ip netns`, or that of a process, such as a container's first one. */
export type NetnsSelector =
  | { readonly by: 'name'; readonly value: string }
  | { readonly by: 'pid'; readonly value: string }
  /** The file says which process it is, and another one when the container has been started again. */
  | { readonly by: 'pidFile'; readonly value: string };

/** How it is called, for people; different for different selectors. */
export function netnsLabel({ by, value }: NetnsSelector): string {
  if (by === 'name') return value;
  return by === 'pid' ? `of process ${value}` : `of the process in ${value}`;
}

/** The same, as a part of a file's name. */
export const netnsFileName = (selector: NetnsSelector): string =>
  selector.by === 'name'
    ? selector.value
    : `${selector.by}-${createHash('sha256').update(selector.value).digest('hex').slice(0, 12)}`;

/** What is told of a namespace that is not there, or is another by now. */
export type NetnsState = 'present' | 'absent' | 'replaced';

/**
 * A network namespace, held open. A namespace lives as long as somebody holds it, its sockets included, so one
 * that was deleted must be closed, and every socket in it, for its links to go.
 */
export class Netns {
  readonly name: string;
  readonly selector: NetnsSelector;
  /** For system calls that take one; -1 once closed. */
  #fd: number;
  readonly #inode: number;

  private constructor(selector: NetnsSelector, fd: number, inode: number) {
    this.name = netnsLabel(selector);
    this.selector = selector;
    this.#fd = fd;
    this.#inode = inode;
  }

  /**
   * Undefined where there is no such namespace, or no such process, now.
   * @throws KoiError `kernel` where it cannot be opened; `privilege` where a process may not be asked for its namespace
   */
  static open(selector: NetnsSelector): Netns | undefined {
    const path = pathOf(selector);
    if (path === undefined) return undefined;
    let fd: number;
    try {
      // The process may end in between, and its number be another's: what was opened is what is asked.
      fd = openSync(path, 'r');
    } catch (cause) {
      const code = codeOf(cause);
      if (code === 'ENOENT' || code === 'ESRCH') return undefined;
      throw cannotOpen(selector, code, cause);
    }
    try {
      return new Netns(selector, fd, statSync(`/proc/self/fd/${fd}`).ino);
    } catch (cause) {
      closeSync(fd);
      throw cannotOpen(selector, codeOf(cause), cause);
    }
  }

  get fd(): number {
    return this.#fd;
  }

  get inode(): number {
    return this.#inode;
  }

  /** By which another process of this host finds the very same namespace, whatever the selector means by then. */
  get path(): string {
    return this.selector.by === 'name' ? this.selector.value : `/proc/${process.pid}/fd/${this.#fd}`;
  }

  /** Whether the selector still means this namespace. */
  state(): NetnsState {
    const inode = inodeOf(this.selector);
    if (inode === undefined) return 'absent';
    return inode === this.#inode ? 'present' : 'replaced';
  }

  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Undefined while there is nothing of that name, or the file names no process. */
function pathOf({ by, value }: NetnsSelector): string | undefined {
  if (by === 'name') return isMounted(value) ? `${directory}/${value}` : undefined;
  const pid = by === 'pid' ? value : readPid(value);
  return pid === undefined ? undefined : `/proc/${pid}/ns/net`;
}

/** A file that is not mounted over yet, or no more, is of the directory's own file system. */
function isMounted(name: string): boolean {
  try {
    return statSync(`${directory}/${name}`).dev !== statSync(directory).dev;
  } catch {
    // No such name, or no such directory yet.
    return false;
  }
}

/** The number that the file begins with. Whatever the file is, it is not waited for. */
function readPid(path: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const bytes = Buffer.alloc(32);
    return /^\s*([1-9]\d{0,9})\s/.exec(`${bytes.toString('latin1', 0, readSync(fd, bytes))}\n`)?.[1];
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function inodeOf(selector: NetnsSelector): number | undefined {
  const path = pathOf(selector);
  try {
    return path === undefined ? undefined : statSync(path).ino;
  } catch {
    return undefined;
  }
}

const codeOf = (cause: unknown): string => (cause instanceof Error && 'code' in cause ? String(cause.code) : '');

function cannotOpen(selector: NetnsSelector, code: string, cause: unknown): KoiError {
  const what = `network namespace ${netnsLabel(selector)} cannot be opened`;
  if (selector.by === 'name' || (code !== 'EACCES' && code !== 'EPERM')) {
    return new KoiError('kernel', `${what}: ${String(cause)}`, { cause });
  }
  return new KoiError('privilege', `${what}: CAP_SYS_PTRACE is missing`, {
    remedy: 'run koi as root, or add CAP_SYS_PTRACE to the AmbientCapabilities of its unit',
    cause,
  });
}

/** What a refused entry into a namespace means: setns(2) wants CAP_SYS_ADMIN, unlike all else that Koi does. */
export function netnsError(name: string, errno: number): KoiError {
  const reason = errnoName(errno);
  if (reason !== 'EPERM') return new KoiError('kernel', `network namespace ${name} cannot be entered: ${reason}`);
  return new KoiError('privilege', `network namespace ${name} cannot be entered: CAP_SYS_ADMIN is missing`, {
    remedy: 'run koi as root, or add CAP_SYS_ADMIN to the AmbientCapabilities of its unit',
  });
}
