import { randomUUID } from 'node:crypto';
import type { Lock } from '../kernel/lock-holder.js';
import type { Netns } from '../kernel/netns.js';
import { lockNames, SocketLock } from '../kernel/socket-lock.js';

const prefix = 'koi/guarded/';
/** Any local user may make as many as he likes; looking at one costs a few system calls. */
const lookedAtMax = 64;

/**
 * The mark of somebody who relies on the guards of a network namespace: another dataplane, of this host or of a container
 * with its network, or another selector of this one that means the same namespace. It ends with its process.
 */
export class GuardUser {
  readonly name = `${prefix}${randomUUID()}`;
  readonly #mark: Lock | undefined;

  /** @throws KoiError `kernel`, `privilege` */
  constructor(netns?: Netns) {
    const mark = SocketLock.take(this.name, netns);
    if ('holder' in mark) mark.forget();
    else this.#mark = mark;
  }

  /** Idempotent. */
  leave(): void {
    this.#mark?.release();
  }
}

/**
 * Whether somebody else than `self` relies on the guards of a namespace.
 * @throws KoiError `kernel`, `privilege`
 */
export function isGuarded(netns?: Netns, self?: GuardUser): boolean {
  const names = lockNames(prefix, netns).filter((name) => name !== self?.name);
  return names.slice(0, lookedAtMax).some((name) => {
    const taken = SocketLock.take(name, netns);
    if ('holder' in taken) {
      taken.forget();
      return true;
    }
    taken.release();
    return false;
  });
}
