import { connect, createServer, type Server, type Socket } from 'node:net';
import { KoiError } from '../koi-error.js';
import { netnsInode } from './host-identity.js';

/** Where a lock stands in the one order in which locks are taken: a parent's before those of the links on it. */
export const lockRank = { namespace: 0, parent: 1, link: 2 } as const;
export type LockRank = keyof typeof lockRank;

export interface LockName {
  readonly rank: LockRank;
  /** Ifindex or name, unique within the network namespace. */
  readonly key: number | string;
}

/** A lock that is held. */
export interface HeldLock {
  readonly name: LockName;
  /** Idempotent. Resolves when others can have it. */
  release(): Promise<void>;
}

const addressOf = (name: LockName): string => `\0koi/${netnsInode()}/${name.key}`;
const describe = (name: LockName): string => `lock of ${name.rank} ${name.key}`;

/**
 * Locks among processes, one per (network namespace, interface): whoever listens on the abstract unix socket of that
 * name has it (unix(7)). The kernel lets go of it when the process dies. A waiter stays connected to the holder, and so
 * learns of the end without polling. The namespace is part of the name because abstract sockets belong to one as well.
 *
 * One sequence belongs to one task. Within it locks are taken in the order of their rank, then key; anything else
 * throws, since two tasks taking two locks in opposite orders would wait for each other for ever.
 */
export class LockSequence {
  readonly #held: HeldLock[] = [];

  /**
   * @throws KoiError `timeout` naming the lock and the holder's pid, `internal` when taken out of order.
   */
  async acquire(name: LockName, deadlineMs: number): Promise<HeldLock> {
    const last = this.#held.at(-1);
    if (last !== undefined && !follows(last.name, name)) {
      throw new KoiError('internal', `${describe(name)} must be taken before ${describe(last.name)}`);
    }
    const server = await listenWithin(name, deadlineMs);
    const lock: HeldLock = {
      name,
      release: () => {
        const at = this.#held.indexOf(lock);
        if (at >= 0) this.#held.splice(at, 1);
        return server.stop();
      },
    };
    this.#held.push(lock);
    return lock;
  }

  /** Releases what is still held, last taken first. */
  async releaseAll(): Promise<void> {
    for (const lock of [...this.#held].reverse()) await lock.release();
  }
}

function follows(held: LockName, next: LockName): boolean {
  const difference = lockRank[next.rank] - lockRank[held.rank];
  if (difference !== 0) return difference > 0;
  return typeof held.key === 'number' && typeof next.key === 'number'
    ? next.key > held.key
    : String(next.key) > String(held.key);
}

async function listenWithin(name: LockName, deadlineMs: number): Promise<Listener> {
  const end = performance.now() + deadlineMs;
  let holder: string | undefined;
  for (;;) {
    const listener = await Listener.open(name);
    if (listener !== undefined) return listener;
    const leftMs = end - performance.now();
    if (leftMs > 0) holder = (await waitForRelease(name, leftMs)) ?? holder;
    if (performance.now() < end) continue;
    throw new KoiError(
      'timeout',
      `${describe(name)}: not free within ${deadlineMs} ms, held by ${holder === undefined ? 'a process that does not answer' : `pid ${holder}`}`,
      { remedy: holder === undefined ? 'look for a stopped koi process' : `see what it does: ps -fp ${holder}` },
    );
  }
}

/** Resolves when the holder lets go, or at the deadline, with the holder's pid where it said so. */
function waitForRelease(name: LockName, deadlineMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let holder = '';
    const socket = connect(addressOf(name));
    const timer = setTimeout(() => socket.destroy(), deadlineMs);
    socket.setEncoding('utf8');
    socket.on('data', (pid: string) => {
      holder += pid;
    });
    let refused = false;
    socket.on('error', () => {
      refused = true;
    });
    socket.on('close', () => {
      clearTimeout(timer);
      const pid = holder.trim() === '' ? undefined : holder.trim();
      // Bound but not listening yet, or a full backlog: look again soon, but do not spin.
      if (refused) setTimeout(() => resolve(pid), 2);
      else resolve(pid);
    });
  });
}

/** The listening end: tells whoever connects which process it is, and keeps the connection until the release. */
class Listener {
  readonly #server: Server;
  readonly #waiting = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#waiting.add(socket);
      socket.unref();
      socket.on('error', () => undefined);
      socket.on('close', () => this.#waiting.delete(socket));
      socket.write(`${process.pid}\n`);
    });
    // A held lock must not keep a process alive that has nothing else to do.
    server.unref();
  }

  /** Undefined when somebody else has it. */
  static open(name: LockName): Promise<Listener | undefined> {
    const server = createServer();
    const listener = new Listener(server);
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(undefined);
        else reject(new KoiError('kernel', `${describe(name)}: ${error.message}`, { cause: error }));
      });
      server.listen(addressOf(name), () => resolve(listener));
    });
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#waiting) socket.destroy();
    });
  }
}
