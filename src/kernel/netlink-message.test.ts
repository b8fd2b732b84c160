import { describe, expect, test } from 'vitest';
import type { MacAddress } from '../wire/mac.js';
import { attributeText, forEachAttribute, forEachMessage, headerBytes, MessageBuilder } from './netlink-message.js';

/** RTM_NEWLINK as iproute2 6.1 sends it for `ip link add v1 link 5 address 02:… type macvlan` (shortened). */
function example(): Uint8Array {
  return new MessageBuilder(16, 0x605, new Uint8Array(16))
    .string(3, 'v1')
    .u32(5, 5)
    .mac(1, '02:00:00:00:00:01' as MacAddress)
    .nest(18, (info) => info.string(1, 'macvlan').nest(2, (data) => data.u32(1, 1)))
    .finish();
}

describe('building', () => {
  test('headers, padding and nesting are as the kernel reads them', () => {
    expect(
      Buffer.from(example())
        .toString('hex')
        .replace(/(.{8})/g, '$1 ')
        .trim(),
    ).toBe(
      [
        '58000000 10000506 00000000 00000000', // length 88, type, flags, sequence, port
        '00000000 00000000 00000000 00000000',
        '07000300 76310000', // "v1" and its zero, padded
        '08000500 05000000',
        '0a000100 02000000 00010000',
        '1c001200', // nested, 28 bytes
        '0c000100 6d616376 6c616e00',
        '0c000200 08000100 01000000',
      ].join(' '),
    );
  });

  test('marks nests where asked, and grows past its first buffer', () => {
    const long = new Uint8Array(1000).fill(7);
    const message = new MessageBuilder(1, 0, new Uint8Array(4))
      .nest(4, (inside) => inside.bytes(1, long), true)
      .finish();
    const view = new DataView(message.buffer);
    expect(message.length).toBe(20 + 4 + 1004);
    expect(view.getUint16(22, true)).toBe(0x8004);
    expect(view.getUint16(20, true)).toBe(1008);
  });

  test('network order where nf_tables wants it', () => {
    expect([...new MessageBuilder(1, 0, new Uint8Array(0)).u32be(1, 0x0102).finish().subarray(20)]).toEqual([
      0, 0, 1, 2,
    ]);
  });
});

/** What is found in a message: attribute type and payload length. */
function attributesOf(message: Uint8Array): string[] {
  const found: string[] = [];
  forEachMessage(message, 0, message.length, ({ view, start, end, bytes }) => {
    forEachAttribute(view, start + headerBytes + 16, end, (type, at, length) => {
      found.push(type === 3 ? `name ${attributeText(bytes, at, length)}` : `${type}:${length}`);
    });
  });
  return found;
}

describe('reading', () => {
  test('finds every attribute again', () => {
    expect(attributesOf(example())).toEqual(['name v1', '5:4', '1:6', '18:24']);
  });

  test('walks several messages in one datagram', () => {
    const one = example();
    const two = new Uint8Array(one.length * 2);
    two.set(one);
    two.set(one, one.length);
    expect(attributesOf(two)).toHaveLength(8);
  });

  test('cut anywhere, it neither throws nor reads beyond', () => {
    const whole = example();
    for (let length = 0; length < whole.length; length++) {
      // The message claims more than there is, so nothing of it is taken.
      expect(attributesOf(whole.slice(0, length))).toEqual([]);
      const shortened = whole.slice(0, length);
      if (length >= 4) new DataView(shortened.buffer).setUint32(0, length, true);
      expect(attributesOf(shortened).length).toBeLessThan(4);
    }
  });

  test('lengths that make no sense end the walk instead of looping', () => {
    const message = example();
    const view = new DataView(message.buffer);
    for (const length of [0, 1, 3, 0xffff]) {
      view.setUint16(40, length, true); // the second attribute
      expect(attributesOf(message)).toEqual(['name v1']);
    }
    for (const length of [0, 15, 0xffff_ffff]) {
      view.setUint32(0, length, true);
      expect(attributesOf(message)).toEqual([]);
    }
  });
});
