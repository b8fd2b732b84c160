import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addWords, foldSum, pseudoHeaderSum, sumAddresses } from './checksum.js';
import { demuxFrame } from './demux.js';
import { ipPayloadOf } from './ip-frame.js';
import {
  buildLanDatagramFrame,
  decodeLanDatagram,
  encodeLanDatagram,
  type LanDatagram,
  lanDatagramLength,
} from './lan-datagram.js';
import type { MacAddress } from './mac.js';

const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const hmacSha256 = (key: Uint8Array, data: Uint8Array): Uint8Array => createHmac('sha256', key).update(data).digest();
const key = new Uint8Array(32).fill(1);
const notice: LanDatagram = {
  scope: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  protocol: 'vrrp3',
  id: 51,
  node: 'r1',
  termHeld: 5,
  logged: true,
  highestLoggedTerm: 6,
  counter: 0xffff_ffff_ffff_ffffn,
};
const good = encodeLanDatagram(notice, key, hmacSha256);
const decode = (bytes: Uint8Array) => decodeLanDatagram(bytes, 0, bytes.length, key, hmacSha256);

/** The datagram with octets replaced, and signed again. */
function altered(changes: Record<number, number>): Uint8Array {
  const bytes = good.slice();
  for (const [offset, value] of Object.entries(changes)) bytes[Number(offset)] = value;
  bytes.set(hmacSha256(key, bytes.subarray(0, 72)).subarray(0, 16), 72);
  return bytes;
}

it('has the layout of its table', () => {
  expect(good.length).toBe(lanDatagramLength);
  expect(toHex(good.subarray(0, 72))).toBe(
    `4b4f49010102030405060708330201020000000000000005${'0000000000000006'}${'f'.repeat(16)}7231${'00'.repeat(30)}`,
  );
});

it('is signed as computed elsewhere', () => {
  // python3 -c 'import hmac; print(hmac.new(b"\\1" * 32, bytes.fromhex("…"), "sha256").hexdigest()[:32])'
  expect(toHex(good.subarray(72))).toBe('5f39045953b321f07dd09f53063db050');
});

describe.each([
  { family: 4, source: '192.0.2.11', destination: '224.0.0.18', group: '01:00:5e:00:00:12' },
  { family: 6, source: 'fe80::11', destination: 'ff02::12', group: '33:33:00:00:00:12' },
])('in a frame of IPv$family', ({ family, source, destination, group }) => {
  const etherSource = '02:00:00:00:00:01' as MacAddress;
  const frame = buildLanDatagramFrame({ etherSource, source, destination }, notice, key, hmacSha256);

  it('comes back through the demultiplexer', () => {
    const demuxed = demuxFrame(frame);
    const envelope = { etherSource, etherDestination: group, family, source, destination, hopLimit: 255 };
    expect(demuxed).toMatchObject({ kind: 'notice', id: 51, ...envelope });
    if (demuxed.kind !== 'notice') return;
    const result = decodeLanDatagram(frame, demuxed.payloadOffset, demuxed.payloadLength, key, hmacSha256);
    expect(result).toEqual({ ok: true, value: notice });
  });

  it('has a checksum that holds', () => {
    const ip = ipPayloadOf(frame);
    const addresses = sumAddresses(frame, 14, family === 4 ? 4 : 6);
    const sum = addWords(pseudoHeaderSum(addresses, 17, ip.length), frame, ip.offset, ip.length);
    expect(foldSum(sum)).toBe(0xffff);
  });

  it('is refused when cut anywhere, and of no concern with another port', () => {
    for (let length = 0; length < frame.length; length++) {
      const demuxed = demuxFrame(frame.slice(0, length));
      // What ends before the port is not known to be a notice.
      expect(demuxed.kind).toMatch(/^(refused|other)$/);
    }
    const elsewhere = frame.slice();
    const { offset } = ipPayloadOf(frame);
    elsewhere[offset + 3] = (elsewhere[offset + 3] ?? 0) ^ 1;
    expect(demuxFrame(elsewhere)).toEqual({ kind: 'other' });
  });

  it('is refused where UDP claims a length that cannot be', () => {
    const { offset } = ipPayloadOf(frame);
    for (const claimed of [0, 7, 97, 0xffff]) {
      const wrong = frame.slice();
      wrong[offset + 4] = claimed >> 8;
      wrong[offset + 5] = claimed & 0xff;
      expect(demuxFrame(wrong)).toMatchObject({ kind: 'refused', reason: 'udp_bad_length' });
    }
  });
});

it('is refused when longer', () => {
  expect(decode(Uint8Array.of(...good, 0))).toEqual({ ok: false, reason: 'notice_bad_length' });
});

it('is refused when cut anywhere', () => {
  for (let length = 0; length < good.length; length++) {
    expect(decode(good.slice(0, length))).toEqual({ ok: false, reason: 'notice_truncated' });
  }
});

it('is refused when one bit is flipped, and with another key', () => {
  for (let bit = 0; bit < good.length * 8; bit++) {
    const flipped = good.slice();
    flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    const reason = bit < 24 ? 'notice_foreign' : bit < 32 ? 'notice_bad_version' : 'notice_bad_digest';
    expect(decode(flipped)).toEqual({ ok: false, reason });
  }
  const other = new Uint8Array(32);
  expect(decodeLanDatagram(good, 0, good.length, other, hmacSha256)).toEqual({
    ok: false,
    reason: 'notice_bad_digest',
  });
});

it.each([
  ['an id of 0', { 12: 0 }],
  ['no protocol', { 13: 0 }],
  ['an unknown protocol', { 13: 4 }],
  ['no node', { 15: 0 }],
  ['a node beyond its field', { 15: 33 }],
  ['a node that is no UTF-8', { 40: 0xff }],
  ['a term beyond 2^53', { 16: 0x20 }],
  ['a logged term beyond 2^53', { 24: 0x20 }],
])('refuses %s although it is signed', (_, changes) => {
  expect(decode(altered(changes))).toEqual({ ok: false, reason: 'notice_bad_field' });
});

describe('encoding', () => {
  it('refuses what does not fit', () => {
    for (const bad of [{ id: 0 }, { node: '' }, { node: 'ä'.repeat(17) }, { termHeld: -1 }, { scope: key }]) {
      expect(() => encodeLanDatagram({ ...notice, ...bad }, key, hmacSha256)).toThrow(RangeError);
    }
  });

  it('is undone by decoding', () => {
    const term = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const datagram = fc.record({
      scope: fc.uint8Array({ minLength: 8, maxLength: 8 }),
      protocol: fc.constantFrom('vrrp2' as const, 'vrrp3' as const, 'carp' as const),
      id: fc.integer({ min: 1, max: 255 }),
      node: fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 32 })
        .filter((text) => new TextEncoder().encode(text).length <= 32),
      termHeld: term,
      logged: fc.boolean(),
      highestLoggedTerm: term,
      counter: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    });
    fc.assert(
      fc.property(datagram, (value) => {
        expect(decode(encodeLanDatagram(value, key, hmacSha256))).toEqual({ ok: true, value });
      }),
    );
  });
});
