import { closeSync, constants, readFileSync } from 'node:fs';
import { KoiError } from '../koi-error.js';
import { AF_UNIX, binding, openSocket, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, type SocketHandle } from './binding.js';
import { errnoName } from './errno.js';
import { type Busy, type Lock, nameOfProcess } from './lock-holder.js';
import { type Netns, netnsError } from './netns.js';
import { mayChangeInterfaces } from './privileges.js';

/** After this a waiter looks again where it cannot be told: the holder is between bind and listen, or has many waiters. */
const lookAgainMs = 2;

/**
 * A lock that consists in listening on an abstract unix address (unix(7)): one process of a network namespace can, and the
 * kernel lets go of it when the process dies. Whoever waits stays connected, and so learns of the end without polling; the
 * kernel tells it the holder's pid (SO_PEERCRED), though the holder may be stopped.
 *
 * Any user may bind such an address. One that is bound by a process that could not change an interface does not count: it
 * costs the protection, with a warning, and not the service.
 */
export class SocketLock implements Lock {
  readonly warning: string | undefined;
  readonly #socket: SocketHandle | undefined;

  private constructor(socket: SocketHandle | undefined, warning?: string) {
    this.#socket = socket;
    this.warning = warning;
  }

  /** @throws KoiError `kernel`; `privilege` where the namespace cannot be entered */
  static take(name: string, netns?: Netns): SocketLock | Busy {
    const socket = openSocket(`lock ${name}`, AF_UNIX, SOCK_STREAM, 0, netns);
    const bound = binding().bindAbstract(socket, name);
    if (bound >= 0) return new SocketLock(socket);
    binding().close(socket);
    const error = errnoName(bound);
    if (error !== 'EADDRINUSE') throw new KoiError('kernel', `lock ${name}: ${error}`);
    return visit(name, netns);
  }

  release(): void {
    if (this.#socket !== undefined) binding().close(this.#socket);
  }

  /** Of a lock that somebody who does not count sits on. */
  static squatted(name: string, pid: number, uid: number): SocketLock {
    return new SocketLock(
      undefined,
      `the lock ${name} is kept by ${nameOfProcess(pid)} of user ${uid}: not waited for`,
    );
  }
}

/**
 * The names of locks, held or only bound, that begin so.
 * @throws KoiError `privilege` where the namespace cannot be entered
 */
export function lockNames(prefix: string, netns?: Netns): string[] {
  // Of this very thread, which alone is in the namespace while the file is opened.
  const path = '/proc/thread-self/net/unix';
  const names = (text: string): string[] =>
    text.split('\n').flatMap((line) => {
      const at = line.indexOf(` @${prefix}`);
      return at < 0 ? [] : [line.slice(at + 2)];
    });
  if (netns === undefined) return names(readFileSync(path, 'utf8'));
  const fd = binding().openFileIn(netns.fd, path, constants.O_RDONLY);
  if (fd < 0) throw netnsError(netns.name, fd);
  try {
    return names(readFileSync(fd, 'utf8'));
  } finally {
    closeSync(fd);
  }
}

/** Connects to whoever has it. */
function visit(name: string, netns: Netns | undefined): Busy | SocketLock {
  const socket = openSocket(`waiting for the lock ${name}`, AF_UNIX, SOCK_STREAM, 0, netns);
  const isConnected = binding().connectAbstract(socket, name) >= 0;
  const credentials = isConnected ? binding().getOption(socket, SOL_SOCKET, SO_PEERCRED, 12) : -1;
  if (typeof credentials === 'number') {
    binding().close(socket);
    return { holder: 'a process that is not known', pid: undefined, forget: () => undefined, released: lookAgain };
  }
  const view = new DataView(credentials.buffer, credentials.byteOffset, credentials.byteLength);
  const [pid, uid] = [view.getInt32(0, littleEndian), view.getUint32(4, littleEndian)];
  if (!couldBeKoi(pid, uid)) {
    binding().close(socket);
    return SocketLock.squatted(name, pid, uid);
  }
  return {
    holder: pid === 0 ? 'a process outside of this pid namespace' : nameOfProcess(pid),
    pid: pid === 0 ? undefined : pid,
    forget: () => binding().close(socket),
    released: (leftMs) =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          binding().close(socket);
          resolve();
        };
        const timer = setTimeout(end, leftMs);
        if (binding().pollStart(socket, end, true) < 0) end();
      }),
  };
}

/** Its parent or its users may run it as whom they like, as long as it has CAP_NET_ADMIN. */
const couldBeKoi = (pid: number, uid: number): boolean =>
  uid === 0 || uid === process.geteuid?.() || mayChangeInterfaces(pid) === true;

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const lookAgain = (leftMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.min(leftMs, lookAgainMs)));
