import { type HeldLock, type LockName, LockSequence } from '../kernel/lock.js';
import type { Netns } from '../kernel/netns.js';
import { KoiError } from '../koi-error.js';

/** An attach that has not begun by then leaves the virtual IP to another node. */
export const attachLockDeadlineMs = 500;
/** For what happens in the background. */
export const lockDeadlineMs = 2000;
/** Where Debian's ifupdown keeps a file for each interface, and holds a lock on it while it works on the interface. */
export const ifupdownDirectory = '/run/network';

/** What settles the guards of a namespace, and puts back what was there before. */
export const guardsLock = (netns?: Netns): LockName => ({ rank: 'namespace', key: 'guards', netns });

/** Held by a dataplane as long as it runs, and by whoever removes what one has left. */
export const runLock = (cluster: string): LockName => ({ rank: 'namespace', key: `run ${cluster}` });

/** One that was killed a moment ago still closes its sockets; whoever cleans up has ended by then. */
export const runLockDeadlineMs = 5000;

export const linkLock = (linkName: string, netns?: Netns): LockName => ({ rank: 'link', key: linkName, netns });

const parentLock = (ifindex: number): LockName => ({ rank: 'parent', key: ifindex });

/**
 * For a teardown: it waits for whoever settles guards now, but not longer than the deadline, and is done in any case.
 */
export async function underGuardsLock<T>(netns: Netns | undefined, act: () => T): Promise<T> {
  const sequence = new LockSequence();
  try {
    await sequence.acquire(guardsLock(netns), lockDeadlineMs, 'process').catch(() => undefined);
    return act();
  } finally {
    sequence.end();
  }
}

/**
 * The locks under which one virtual-MAC link is looked at and changed. Tasks of this process are in a namespace and on a
 * parent together, where the event loop keeps them apart; each link has one task.
 */
export class InterfaceLocks {
  readonly #sequence = new LockSequence();
  readonly #endMs: number;
  readonly #warnings: string[] = [];

  constructor(deadlineMs: number) {
    this.#endMs = performance.now() + deadlineMs;
  }

  /** What these locks do not protect from, for people. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** The guards of a namespace; to be released before the parent's. */
  guards(netns?: Netns): Promise<HeldLock> {
    return this.#acquire(guardsLock(netns), 'process');
  }

  /** Among the programs that know Koi's locks. */
  parent(ifindex: number): Promise<HeldLock> {
    return this.#acquire(parentLock(ifindex), 'process');
  }

  /** What keeps ifupdown from working on the parent, and waits until it has ended doing so. */
  async ifupdown(parentName: string, directory = ifupdownDirectory): Promise<HeldLock> {
    try {
      return await this.#acquire(ifupdownLock(parentName, directory), 'process');
    } catch (error) {
      throw explained(error, parentName);
    }
  }

  link(name: string, netns?: Netns): Promise<HeldLock> {
    return this.#acquire(linkLock(name, netns), 'task');
  }

  /**
   * All that making a link takes, at once or not at all.
   * @throws KoiError `timeout` naming the holder of the one that is not free
   */
  demandAll(parent: { readonly ifindex: number; readonly name: string }, linkName: string, more: LockPlace): void {
    const { netns, directory = ifupdownDirectory } = more;
    this.#sequence.demand(parentLock(parent.ifindex), 'process');
    try {
      this.#sequence.demand(ifupdownLock(parent.name, directory), 'process');
    } catch (error) {
      throw explained(error, parent.name);
    }
    this.#sequence.demand(linkLock(linkName, netns));
  }

  /** Idempotent; whoever still waits for one of them gets none. */
  end(): void {
    this.#sequence.end();
  }

  async #acquire(name: LockName, sharing: 'task' | 'process'): Promise<HeldLock> {
    const leftMs = Math.max(0, Math.ceil(this.#endMs - performance.now()));
    const lock = await this.#sequence.acquire(name, leftMs, sharing);
    if (lock.warning !== undefined) this.#warnings.push(lock.warning);
    return lock;
  }
}

export interface LockPlace {
  /** The namespace of the link, if not our own. */
  readonly netns?: Netns | undefined;
  readonly directory?: string | undefined;
}

/** The name of the file as ifupdown 0.8 makes it. */
const ifupdownLock = (parentName: string, directory: string): LockName => ({
  rank: 'file',
  key: `${directory}/ifstate.${parentName}`,
});

function explained(error: unknown, parentName: string): unknown {
  if (!(error instanceof KoiError) || error.code !== 'timeout') return error;
  const remedy = `ifup or ifdown works on ${parentName}; ${error.remedy}`;
  return new KoiError('timeout', error.message, { remedy, cause: error });
}
