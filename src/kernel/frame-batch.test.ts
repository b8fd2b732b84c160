import { expect, test } from 'vitest';
import { FrameBatch } from './frame-batch.js';

test('lays frames end to end and grows where they do not fit', () => {
  const batch = new FrameBatch(1, 4);
  const frames = [Uint8Array.of(1, 2, 3), Uint8Array.of(4), new Uint8Array(100).fill(5), Uint8Array.of(6, 7)];
  expect(frames.map((frame, n) => batch.add(frame, n))).toEqual([0, 1, 2, 3]);
  expect(batch.count).toBe(4);
  for (const [n, frame] of frames.entries()) {
    const [offset = 0, length = 0, ifindex] = batch.table.subarray(n * 3, n * 3 + 3);
    expect(batch.bytes.subarray(offset, offset + length)).toEqual(frame);
    expect(ifindex).toBe(n);
  }
});

test('is empty after clear, and used again from the start', () => {
  const batch = new FrameBatch();
  batch.add(Uint8Array.of(1, 2, 3));
  batch.clear();
  expect(batch.count).toBe(0);
  batch.add(Uint8Array.of(9));
  expect([...batch.table.subarray(0, 3)]).toEqual([0, 1, 0]);
  expect(batch.bytes[0]).toBe(9);
});

test('a batch of no size grows too', () => {
  const batch = new FrameBatch(0, 0);
  expect(batch.add(Uint8Array.of(1))).toBe(0);
  expect(batch.add(Uint8Array.of(2))).toBe(1);
  expect([...batch.table.subarray(0, 6)]).toEqual([0, 1, 0, 1, 1, 0]);
});
