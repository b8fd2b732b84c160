import type { UnreadLine } from '../ipc/line-channel.js';
import type { ToAgent } from '../ipc/protocol.js';
import { type DataplaneSnapshot, joinSnapshots, snapshotOf } from '../observe/snapshot.js';

/** Many times as many as a thousand virtual routers need, twenty a line. */
const unreadMost = 256;
const firstName = '"vrs":[{"name":"';

/**
 * What the dataplane tells once a second of every virtual router. Of a thousand it is more than a megabyte, and nearly
 * always the next second's replaces it before anybody wants to see it: so it is kept as it came, and read on demand.
 */
export class SnapshotShelf {
  #known: DataplaneSnapshot | undefined;
  /** By the virtual router that each tells of first, in the order in which they came. */
  readonly #unread = new Map<string, UnreadLine<ToAgent>>();

  /** One more, which replaces the one before it that tells of the same virtual routers. */
  put(line: UnreadLine<ToAgent>): void {
    const about = firstOf(line.octets);
    this.#unread.delete(about);
    this.#unread.set(about, line);
    if (this.#unread.size > unreadMost) this.read();
  }

  /** One that has been read already. */
  add(snapshot: DataplaneSnapshot): void {
    this.#known = joinSnapshots(this.read(), snapshot);
  }

  /** All that is known; undefined before the first. What is not in the form agreed ends the connection that it came on. */
  read(): DataplaneSnapshot | undefined {
    const lines = [...this.#unread.values()];
    this.#unread.clear();
    for (const line of lines) {
      const message = line.read();
      if (message?.type === 'snapshot') this.#known = joinSnapshots(this.#known, message.snapshot);
    }
    return this.#known;
  }

  /** Only these virtual routers are left, and others may stand first from now on. */
  keep(names: readonly string[]): void {
    this.#known = snapshotOf(this.read(), names);
  }

  forget(): void {
    this.#known = undefined;
    this.#unread.clear();
  }
}

/** Empty where it tells of none. */
function firstOf(octets: Buffer): string {
  const at = octets.indexOf(firstName);
  if (at < 0) return '';
  const from = at + firstName.length;
  return octets.toString('utf8', from, octets.indexOf('"', from));
}
