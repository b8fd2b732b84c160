import { expect, test } from 'vitest';
import { PcapReader } from './pcap.js';

function capture(...frames: readonly (readonly number[])[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  const records = frames.map((bytes, index) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(100 + index, 0);
    record.writeUInt32LE(500_000, 4);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(1500, 12);
    return Buffer.concat([record, Buffer.from(bytes)]);
  });
  return Buffer.concat([header, ...records]);
}

test('frames come out whole, however the stream is cut', () => {
  const stream = capture([1, 2, 3], [], [4, 5]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new PcapReader();
    const frames = [...reader.take(stream.subarray(0, cut)), ...reader.take(stream.subarray(cut))];
    expect(frames.map(({ bytes }) => [...bytes])).toEqual([[1, 2, 3], [], [4, 5]]);
    expect(frames.map(({ atSeconds }) => atSeconds)).toEqual([100.5, 101.5, 102.5]);
  }
});

test('what is no capture is refused', () => {
  expect(() => new PcapReader().take(Buffer.alloc(24))).toThrow('not a pcap stream');
});
