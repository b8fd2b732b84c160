import { closeSync, openSync, statSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { errnoName } from './errno.js';

/** Where `ip netns` keeps named namespaces: each is a file of the namespace file system, mounted there. */
const directory = '/run/netns';

/** What is told of a namespace that is not there, or is another by now. */
export type NetnsState = 'present' | 'absent' | 'replaced';

/**
 * A named network namespace, held open. A namespace lives as long as somebody holds it, its sockets included, so one
 * that was deleted must be closed, and every socket in it, for its links to go.
 */
export class Netns {
  readonly name: string;
  /** For system calls that take one; -1 once closed. */
  #fd: number;
  readonly #inode: number;

  private constructor(name: string, fd: number, inode: number) {
    this.name = name;
    this.#fd = fd;
    this.#inode = inode;
  }

  /** Undefined where there is none of that name now. @throws KoiError `kernel` where it cannot be opened. */
  static open(name: string): Netns | undefined {
    const inode = inodeOf(name);
    if (inode === undefined) return undefined;
    try {
      return new Netns(name, openSync(netnsPath(name), 'r'), inode);
    } catch (cause) {
      throw new KoiError('kernel', `network namespace ${name} cannot be opened: ${String(cause)}`, { cause });
    }
  }

  get fd(): number {
    return this.#fd;
  }

  get inode(): number {
    return this.#inode;
  }

  get path(): string {
    return netnsPath(this.name);
  }

  /** Whether the name still means this namespace. */
  state(): NetnsState {
    const inode = inodeOf(this.name);
    if (inode === undefined) return 'absent';
    return inode === this.#inode ? 'present' : 'replaced';
  }

  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

export const netnsPath = (name: string): string => `${directory}/${name}`;

/** A file that is not mounted over yet, or no more, is of the directory's own file system. */
function inodeOf(name: string): number | undefined {
  try {
    const { dev, ino } = statSync(netnsPath(name));
    return dev === statSync(directory).dev ? undefined : ino;
  } catch {
    // No such name, or no such directory yet.
    return undefined;
  }
}

/** What a refused entry into a namespace means: setns(2) wants CAP_SYS_ADMIN, unlike all else that Koi does. */
export function netnsError(name: string, errno: number): KoiError {
  const reason = errnoName(errno);
  if (reason !== 'EPERM') return new KoiError('kernel', `network namespace ${name} cannot be entered: ${reason}`);
  return new KoiError('privilege', `network namespace ${name} cannot be entered: CAP_SYS_ADMIN is missing`, {
    remedy: 'run koi as root, or add CAP_SYS_ADMIN to the AmbientCapabilities of its unit',
  });
}
