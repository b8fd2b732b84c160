import { KoiError } from '../koi-error.js';
import { FileLock } from './file-lock.js';
import type { Busy, Lock } from './lock-holder.js';
import type { Netns } from './netns.js';
import { SocketLock } from './socket-lock.js';

/**
 * Where a lock stands in the one order in which locks are taken. `namespace` is what belongs to none of its interfaces
 * alone; `parent` and `link` are interfaces; `file` is another program's lock of a parent.
 */
export const lockRank = { namespace: 0, parent: 1, file: 2, link: 3 } as const;
export type LockRank = keyof typeof lockRank;

export interface LockName {
  readonly rank: LockRank;
  /** Ifindex or name, unique within the network namespace; the path of a file. */
  readonly key: number | string;
  /** The network namespace it belongs to, if not our own. */
  readonly netns?: Netns | undefined;
}

/**
 * Who may be inside at once: one task; or all tasks of one process that ask for it so, which then see to it themselves
 * that they do not meet.
 */
export type LockSharing = 'task' | 'process';

/** A lock that is held. */
export interface HeldLock {
  readonly name: LockName;
  /** Why it protects less than it should, for people. */
  readonly warning: string | undefined;
  /** Somebody else had it: what was read before it was asked for may be old. */
  readonly waited: boolean;
  /** Idempotent. */
  release(): void;
}

const describe = ({ rank, key, netns }: LockName): string =>
  `lock of ${rank} ${key}${netns === undefined ? '' : ` in namespace ${netns.name}`}`;
const identityOf = ({ rank, key, netns }: LockName): string => `${netns?.inode ?? ''} ${rank} ${key}`;

interface InProcess {
  readonly lock: Lock;
  users: number;
}

/** Those of this process that several tasks hold. */
const shared = new Map<string, InProcess>();
/** Whatever this process holds: a handle that nobody refers to would be closed with the next collection of garbage. */
const held = new Set<Lock>();

/** How many locks this process holds. */
export const heldLocks = (): number => held.size;

/**
 * Locks among processes, one per network namespace and interface. They end with the process that holds them, and the
 * holder is known even when it is stopped.
 *
 * One sequence belongs to one task. Within it locks are taken in the order of their rank, then key; anything else
 * throws, since two tasks taking two locks in opposite orders would wait for each other for ever.
 */
export class LockSequence {
  readonly #held: HeldLock[] = [];
  #ended = false;

  /**
   * Where it is free this takes two or three system calls, and the next step follows in the same turn of the loop.
   * @throws KoiError `timeout` naming the lock and its holder; `internal` when taken out of order
   */
  async acquire(name: LockName, deadlineMs: number, sharing: LockSharing = 'task'): Promise<HeldLock> {
    const endMs = performance.now() + deadlineMs;
    for (let waited = false; ; waited = true) {
      const taken = this.#take(name, sharing, waited);
      if (!('holder' in taken)) return taken;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw notFree(name, deadlineMs, taken);
      await taken.released(leftMs);
      if (this.#ended) throw new KoiError('timeout', `${describe(name)}: it is not wanted any more`);
    }
  }

  /**
   * For where nothing can be waited for.
   * @throws KoiError as `acquire`
   */
  demand(name: LockName, sharing: LockSharing = 'task'): HeldLock {
    const taken = this.#take(name, sharing);
    if (!('holder' in taken)) return taken;
    taken.forget();
    throw notFree(name, 0, taken);
  }

  /** Releases what is still held, last taken first. Who waits for one stops waiting, and takes none. */
  end(): void {
    this.#ended = true;
    for (const lock of [...this.#held].reverse()) lock.release();
  }

  #take(name: LockName, sharing: LockSharing, waited = false): HeldLock | Busy {
    const last = this.#held.at(-1);
    if (last !== undefined && !follows(last.name, name)) {
      throw new KoiError('internal', `${describe(name)} must be taken before ${describe(last.name)}`);
    }
    const taken = sharing === 'task' ? takeAlone(name) : takeShared(name);
    if ('holder' in taken) return taken;
    const lock: HeldLock = {
      name,
      warning: taken.warning,
      waited,
      release: () => {
        const at = this.#held.indexOf(lock);
        if (at < 0) return;
        this.#held.splice(at, 1);
        taken.release();
      },
    };
    this.#held.push(lock);
    return lock;
  }
}

function takeAlone(name: LockName): Lock | Busy {
  const { rank, key, netns } = name;
  const taken = rank === 'file' ? FileLock.take(String(key)) : SocketLock.take(`koi/${rank}/${key}`, netns);
  if ('holder' in taken) return taken;
  const lock: Lock = {
    warning: taken.warning,
    release: () => {
      held.delete(lock);
      taken.release();
    },
  };
  held.add(lock);
  return lock;
}

function takeShared(name: LockName): Lock | Busy {
  const identity = identityOf(name);
  let entry = shared.get(identity);
  if (entry === undefined) {
    const taken = takeAlone(name);
    if ('holder' in taken) return taken;
    entry = { lock: taken, users: 0 };
    shared.set(identity, entry);
  }
  const mine = entry;
  mine.users += 1;
  return {
    warning: mine.lock.warning,
    release: () => {
      mine.users -= 1;
      if (mine.users > 0) return;
      shared.delete(identity);
      mine.lock.release();
    },
  };
}

function follows(before: LockName, next: LockName): boolean {
  const difference = lockRank[next.rank] - lockRank[before.rank];
  if (difference !== 0) return difference > 0;
  return typeof before.key === 'number' && typeof next.key === 'number'
    ? next.key > before.key
    : String(next.key) > String(before.key);
}

function notFree(name: LockName, deadlineMs: number, { holder, pid }: Busy): KoiError {
  const when = deadlineMs === 0 ? 'not free' : `not free within ${deadlineMs} ms`;
  return new KoiError('timeout', `${describe(name)}: ${when}, held by ${holder}`, {
    remedy: pid === undefined ? 'see who works on the interface' : `see what it does: ps -fp ${pid}`,
  });
}
