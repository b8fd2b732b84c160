import { expect, it } from 'vitest';
import type { UnreadLine } from '../ipc/line-channel.js';
import type { ToAgent } from '../ipc/protocol.js';
import type { DataplaneSnapshot } from '../observe/snapshot.js';
import { SnapshotShelf } from './snapshot-shelf.js';

let reads = 0;

/** As the dataplane says it, of these virtual routers. */
function line(instance: string, vrs: Readonly<Record<string, number>>, isRight = true): UnreadLine<ToAgent> {
  const told = Object.entries(vrs).map(([name, advertsSent]) => ({ name, advertsSent }));
  const message = { type: 'snapshot', snapshot: { instance, guardUp: true, vrs: told } };
  return {
    octets: Buffer.from(JSON.stringify(message)),
    read: () => {
      reads += 1;
      return isRight ? (message as unknown as ToAgent) : undefined;
    },
  };
}

const sent = (snapshot: DataplaneSnapshot | undefined) =>
  Object.fromEntries((snapshot?.vrs ?? []).map(({ name, advertsSent }) => [name, advertsSent]));

it('reads on demand, and of each part the newest alone', () => {
  const shelf = new SnapshotShelf();
  expect(shelf.read()).toBeUndefined();
  reads = 0;
  for (let second = 1; second <= 100; second += 1) {
    shelf.put(line('boot-1', { a: second, b: second }));
    shelf.put(line('boot-1', { c: second }));
  }
  expect(reads).toBe(0);
  expect(sent(shelf.read())).toEqual({ a: 100, b: 100, c: 100 });
  expect(reads).toBe(2);
  shelf.put(line('boot-1', { c: 101 }));
  expect(sent(shelf.read())).toEqual({ a: 100, b: 100, c: 101 });
  expect(reads).toBe(3);
});

it('takes one that was read after those that were not', () => {
  const shelf = new SnapshotShelf();
  shelf.put(line('boot-1', { a: 1, b: 1 }));
  const message = line('boot-1', { b: 2 }).read();
  if (message?.type === 'snapshot') shelf.add(message.snapshot);
  expect(sent(shelf.read())).toEqual({ a: 1, b: 2 });
});

it('loses nothing where others stand first, and forgets what is no more', () => {
  const shelf = new SnapshotShelf();
  shelf.put(line('boot-1', { a: 1, b: 1 }));
  shelf.put(line('boot-1', { b: 2, c: 2 }));
  shelf.put(line('boot-1', {}));
  expect(sent(shelf.read())).toEqual({ a: 1, b: 2, c: 2 });
  shelf.put(line('boot-1', { a: 3 }));
  shelf.keep(['a', 'c']);
  expect(sent(shelf.read())).toEqual({ a: 3, c: 2 });
  shelf.put(line('boot-2', { c: 1 }));
  expect(sent(shelf.read())).toEqual({ c: 1 });
  shelf.put(line('boot-2', { c: 2 }));
  shelf.forget();
  expect(shelf.read()).toBeUndefined();
});

it('takes nothing from a line of another form, and does not keep more than a bounded number unread', () => {
  const shelf = new SnapshotShelf();
  shelf.put(line('boot-1', { a: 1 }));
  shelf.put(line('boot-1', { b: 1 }, false));
  expect(sent(shelf.read())).toEqual({ a: 1 });
  reads = 0;
  for (let at = 0; at <= 256; at += 1) shelf.put(line('boot-1', { [`vr${at}`]: at }));
  expect(reads).toBe(257);
});
