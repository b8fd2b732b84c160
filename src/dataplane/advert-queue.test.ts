import { describe, expect, it } from 'vitest';
import type { FrameBatch } from '../kernel/frame-batch.js';
import { AdvertQueue } from './advert-queue.js';

const frame = (octet: number): Uint8Array => new Uint8Array(60).fill(octet);

describe('adverts that wait for the end of the turn', () => {
  it('go out in one call, in their order, once', () => {
    const queue = new AdvertQueue();
    const sent: number[][] = [];
    const socket = {
      sendBatch: ({ bytes, table, count }: FrameBatch) => {
        sent.push(Array.from({ length: count }, (_, index) => bytes[table[index * 3] ?? 0] ?? 0));
        return { sent: count, failed: [] };
      },
    };
    queue.add([frame(1), frame(2)], () => expect.unreachable());
    queue.add([frame(3)], () => expect.unreachable());
    queue.flush(socket);
    queue.flush(socket);
    expect(sent).toEqual([[1, 2, 3]]);
  });

  it('tells each owner how many of its frames the kernel refused', () => {
    const queue = new AdvertQueue();
    const told: (readonly [string, number, number])[] = [];
    queue.add([frame(1), frame(2)], (refused, of) => told.push(['a', refused, of]));
    queue.add([frame(3)], (refused, of) => told.push(['b', refused, of]));
    const failed = [1, 2].map((index) => ({ index, errno: 'ENOBUFS' as const }));
    queue.flush({ sendBatch: () => ({ sent: 1, failed }) });
    expect(told).toEqual([
      ['a', 1, 2],
      ['b', 1, 1],
    ]);
  });

  it('are refused without a socket', () => {
    const queue = new AdvertQueue();
    const told: number[] = [];
    queue.add([frame(1), frame(2)], (refused, of) => told.push(refused, of));
    queue.flush(undefined);
    expect(told).toEqual([2, 2]);
  });
});
