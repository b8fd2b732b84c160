import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress } from './address.js';
import { internetChecksum } from './checksum.js';
import { buildIpFrame, ipPayloadOf } from './ip-frame.js';
import { decodeIpv4, encodeIpv4 } from './ipv4.js';
import { decodeIpv6, encodeIpv6 } from './ipv6.js';
import type { MacAddress } from './mac.js';
import { writeU16 } from './octets.js';

const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const octet = fc.integer({ min: 0, max: 255 });
const address = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(formatAddress);

describe('IPv4', () => {
  const header = {
    source: '192.0.2.11',
    destination: '224.0.0.18',
    protocol: 112,
    typeOfService: 0xc0,
    hopLimit: 255,
    payloadLength: 12,
  };
  const good = new Uint8Array(32);
  good.set(encodeIpv4(header));

  /** A header with octets replaced and its checksum put right. */
  function altered(changes: Record<number, number>): Uint8Array {
    const bytes = good.slice();
    for (const [offset, value] of Object.entries(changes)) bytes[Number(offset)] = value;
    writeU16(bytes, 10, 0);
    writeU16(bytes, 10, internetChecksum(bytes, 0, ((bytes[0] ?? 0) & 0x0f) * 4));
    return bytes;
  }

  it('encodes', () => {
    expect(toHex(encodeIpv4(header))).toBe('45c0002000004000ff70d88fc000020be0000012');
  });

  it('gives back what was encoded', () => {
    const any = fc.record({
      source: address(4),
      destination: address(4),
      protocol: octet,
      typeOfService: octet,
      hopLimit: octet,
      payloadLength: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(any, octet, (value, padding) => {
        const bytes = new Uint8Array(3 + 20 + value.payloadLength + padding);
        bytes.set(encodeIpv4(value), 3);
        expect(decodeIpv4(bytes, 3)).toMatchObject({ ok: true, value: { ...value, payloadOffset: 23 } });
      }),
    );
  });

  it('steps over options', () => {
    expect(decodeIpv4(altered({ 0: 0x47 }))).toMatchObject({
      ok: true,
      value: { payloadOffset: 28, payloadLength: 4 },
    });
  });

  it('is refused when cut anywhere', () => {
    for (let length = 0; length < good.length; length++) {
      expect(decodeIpv4(good.slice(0, length))).toEqual({ ok: false, reason: 'ip_truncated' });
    }
  });

  it('is refused when one bit of the header is flipped', () => {
    for (let bit = 0; bit < 160; bit++) {
      const flipped = good.slice();
      flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeIpv4(flipped).ok).toBe(false);
    }
  });

  it.each([
    ['ip_bad_version', altered({ 0: 0x65 })],
    ['ip_bad_header_length', altered({ 0: 0x44 })],
    ['ip_bad_length', altered({ 2: 0, 3: 19 })],
    ['ip_truncated', altered({ 2: 0, 3: 33 })],
    ['ip_fragment', altered({ 6: 0x20 })],
    ['ip_fragment', altered({ 6: 0, 7: 1 })],
  ])('%s', (reason, bytes) => {
    expect(decodeIpv4(bytes)).toEqual({ ok: false, reason });
  });

  it('a packet that may be fragmented but is not is fine', () => {
    expect(decodeIpv4(altered({ 6: 0 })).ok).toBe(true);
  });
});

describe('IPv6', () => {
  const header = {
    source: 'fe80::11',
    destination: 'ff02::12',
    protocol: 112,
    trafficClass: 0xc0,
    hopLimit: 255,
    payloadLength: 12,
  };
  const good = new Uint8Array(52);
  good.set(encodeIpv6(header));

  it('encodes', () => {
    expect(toHex(encodeIpv6(header))).toBe(
      '6c000000000c70fffe800000000000000000000000000011ff020000000000000000000000000012',
    );
  });

  it('gives back what was encoded', () => {
    const any = fc.record({
      source: address(16),
      destination: address(16),
      protocol: octet.filter((value) => value !== 44),
      trafficClass: octet,
      hopLimit: octet,
      payloadLength: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(any, octet, (value, padding) => {
        const bytes = new Uint8Array(3 + 40 + value.payloadLength + padding);
        bytes.set(encodeIpv6(value), 3);
        expect(decodeIpv6(bytes, 3)).toMatchObject({ ok: true, value: { ...value, payloadOffset: 43 } });
      }),
    );
  });

  it('is refused when cut anywhere', () => {
    for (let length = 0; length < good.length; length++) {
      expect(decodeIpv6(good.slice(0, length))).toEqual({ ok: false, reason: 'ip_truncated' });
    }
  });

  it('refuses another version and fragments', () => {
    expect(decodeIpv6(Uint8Array.of(0x45, ...good.subarray(1)))).toEqual({ ok: false, reason: 'ip_bad_version' });
    expect(decodeIpv6(Uint8Array.of(...good.subarray(0, 6), 44, ...good.subarray(7)))).toEqual({
      ok: false,
      reason: 'ip_fragment',
    });
  });
});

describe('buildIpFrame', () => {
  const packet = {
    etherSource: '00:00:5e:00:01:33' as MacAddress,
    source: '192.0.2.11',
    destination: '224.0.0.18',
    protocol: 112,
    trafficClass: 0xc0,
    payload: new Uint8Array(12),
  };

  it('pads to 60 octets and sends a group to its own MAC', () => {
    const frame = buildIpFrame(packet);
    expect(frame.length).toBe(60);
    expect(toHex(frame.subarray(0, 14))).toBe('01005e00001200005e0001330800');
    expect(ipPayloadOf(frame)).toEqual({ family: 4, offset: 34, length: 12 });
  });

  it('will not guess the MAC of a unicast receiver, nor mix families', () => {
    expect(() => buildIpFrame({ ...packet, destination: '192.0.2.12' })).toThrow(RangeError);
    expect(() => buildIpFrame({ ...packet, source: 'fe80::1' })).toThrow(RangeError);
    expect(() => buildIpFrame({ ...packet, destination: 'ff02::12' })).toThrow(RangeError);
  });
});
