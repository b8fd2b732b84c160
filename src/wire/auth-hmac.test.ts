import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { computeAuthHmac, decodeAuthHmac, encodeAuthHmac, verifyAuthHmac } from './auth-hmac.js';

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const hmacSha256 = (key: Uint8Array, data: Uint8Array): Uint8Array => createHmac('sha256', key).update(data).digest();
const key = Uint8Array.from({ length: 32 }, (_, index) => index);

// The images of the draft's appendix; key 00 01 … 1f.
const vectors = [
  {
    family: 'IPv4',
    source: '198.51.100.10',
    hex: '3133c80100644402c00002640101000068000000800000001b84bc4e8e43892dc6d98448f8ee2265',
  },
  {
    family: 'IPv6',
    source: 'fe80::10',
    hex: '3133c8010064a2e9fe800000000000000000000000000100010100006800000080000000c8c56146ebfd66ee10ec4d8186461b78',
  },
];

describe.each(vectors)('vector: $family', ({ source, hex }) => {
  const message = fromHex(hex);

  it('verifies', () => {
    expect(verifyAuthHmac(message, source, key, hmacSha256)).toEqual({
      ok: true,
      value: { keyId: 1, seconds: 0x6800_0000, subseconds: 0x8000, counter: 0, digest: message.slice(-16) },
    });
  });

  it('is computed whatever stands in checksum and digest', () => {
    const unsigned = message.slice();
    unsigned.fill(0xee, unsigned.length - 16);
    unsigned.fill(0xee, 6, 8);
    expect(computeAuthHmac(unsigned, source, key, hmacSha256)).toEqual(message.slice(-16));
  });

  it('covers every octet but the checksum, and the source', () => {
    for (let offset = 0; offset < message.length; offset++) {
      const changed = message.slice();
      changed[offset] = (changed[offset] ?? 0) ^ 0x01;
      expect(verifyAuthHmac(changed, source, key, hmacSha256).ok).toBe(offset === 6 || offset === 7);
    }
    const otherSource = source.replace('10', '11');
    expect(verifyAuthHmac(message, otherSource, key, hmacSha256)).toEqual({ ok: false, reason: 'bad_digest' });
    expect(verifyAuthHmac(message, source, new Uint8Array(32), hmacSha256)).toEqual({
      ok: false,
      reason: 'bad_digest',
    });
  });

  it('is refused when cut anywhere', () => {
    for (let length = 0; length < message.length; length++) {
      expect(verifyAuthHmac(message.slice(0, length), source, key, hmacSha256).ok).toBe(false);
    }
  });
});

it('a trailer goes there and back, and no other scheme or length is one', () => {
  const trailer = {
    keyId: 200,
    seconds: 0xffff_fffe,
    subseconds: 0xfffd,
    counter: 0xfffc,
    digest: new Uint8Array(16).fill(5),
  };
  const bytes = encodeAuthHmac(trailer);
  expect(decodeAuthHmac(bytes)).toEqual({ ok: true, value: trailer });
  for (const bad of [bytes.slice(1), Uint8Array.of(...bytes, 0), Uint8Array.of(2, ...bytes.subarray(1))]) {
    expect(decodeAuthHmac(bad)).toEqual({ ok: false, reason: 'bad_trailer' });
  }
  expect(() => encodeAuthHmac({ ...trailer, keyId: 256 })).toThrow(RangeError);
  expect(() => encodeAuthHmac({ ...trailer, digest: new Uint8Array(20) })).toThrow(RangeError);
});
