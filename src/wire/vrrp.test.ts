import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, formatAddress } from './address.js';
import { addWords } from './checksum.js';
import { decodeVrrp, encodeVrrp, type VrrpAdvert, vrrpLength, vrrpProtocol } from './vrrp.js';

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function addressSum(source: string, destination: string): number {
  const words = (address: string) => addWords(0, addressBytes(address), 0, addressBytes(address).length);
  return words(source) + words(destination);
}

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly source: string;
  readonly destination: string;
  readonly advert: VrrpAdvert;
}

const oneSecond = { vrid: 51, priority: 100, intervalMs: 1000, authHmac: undefined };

const vectors: readonly Vector[] = [
  {
    name: 'captured from keepalived 2.2.7: version 3, pseudo-header',
    hex: '313364010064743f0a4d00fe',
    source: '10.77.0.1',
    destination: '224.0.0.18',
    advert: { ...oneSecond, version: 3, family: 4, addresses: ['10.77.0.254'], checksumForm: 'pseudo-header' },
  },
  {
    name: 'version 3, IPv4, RFC 9568',
    hex: '313364010064a865c0000201',
    source: '192.0.2.11',
    destination: '224.0.0.18',
    advert: { ...oneSecond, version: 3, family: 4, addresses: ['192.0.2.1'], checksumForm: 'rfc9568' },
  },
  {
    name: 'version 3, IPv4, pseudo-header',
    hex: '31336401006405cbc0000201',
    source: '192.0.2.11',
    destination: '224.0.0.18',
    advert: { ...oneSecond, version: 3, family: 4, addresses: ['192.0.2.1'], checksumForm: 'pseudo-header' },
  },
  {
    name: 'version 3, IPv6',
    hex: '3133640200643febfe80000000000000000000000000000120010db8000000000000000000000001',
    source: 'fe80::11',
    destination: 'ff02::12',
    advert: {
      ...oneSecond,
      version: 3,
      family: 6,
      addresses: ['fe80::1', '2001:db8::1'],
      checksumForm: 'pseudo-header',
    },
  },
  {
    name: 'version 2',
    hex: '213364010001b8c8c00002010000000000000000',
    source: '192.0.2.11',
    destination: '224.0.0.18',
    advert: { ...oneSecond, version: 2, family: 4, addresses: ['192.0.2.1'], auth: { type: 'none' } },
  },
  {
    name: 'version 2 with simple text',
    hex: '2133640101015566c00002013131313100000000',
    source: '192.0.2.11',
    destination: '224.0.0.18',
    advert: {
      ...oneSecond,
      version: 2,
      family: 4,
      addresses: ['192.0.2.1'],
      auth: { type: 'text', password: '1111' },
    },
  },
  {
    name: 'version 3, IPv4, with the trailer of draft-cassen-vrrp-auth-hmac, appendix',
    hex: '3133c80100644402c00002640101000068000000800000001b84bc4e8e43892dc6d98448f8ee2265',
    source: '198.51.100.10',
    destination: '224.0.0.18',
    advert: {
      version: 3,
      family: 4,
      vrid: 51,
      priority: 200,
      intervalMs: 1000,
      addresses: ['192.0.2.100'],
      checksumForm: 'rfc9568',
      authHmac: {
        keyId: 1,
        seconds: 0x6800_0000,
        subseconds: 0x8000,
        counter: 0,
        digest: fromHex('1b84bc4e8e43892dc6d98448f8ee2265'),
      },
    },
  },
  {
    name: 'version 3, IPv6, unicast, with the trailer of draft-cassen-vrrp-auth-hmac, appendix',
    hex: '3133c8010064a2e9fe800000000000000000000000000100010100006800000080000000c8c56146ebfd66ee10ec4d8186461b78',
    source: 'fe80::10',
    destination: 'fe80::20',
    advert: {
      version: 3,
      family: 6,
      vrid: 51,
      priority: 200,
      intervalMs: 1000,
      addresses: ['fe80::100'],
      checksumForm: 'pseudo-header',
      authHmac: {
        keyId: 1,
        seconds: 0x6800_0000,
        subseconds: 0x8000,
        counter: 0,
        digest: fromHex('c8c56146ebfd66ee10ec4d8186461b78'),
      },
    },
  },
];

function decodeVector(vector: Vector, bytes: Uint8Array, length = bytes.length) {
  return decodeVrrp(bytes, 0, length, vector.advert.family, addressSum(vector.source, vector.destination));
}

describe.each(vectors)('vector: $name', (vector) => {
  it('decodes', () => {
    expect(decodeVector(vector, fromHex(vector.hex))).toEqual({ ok: true, value: vector.advert });
  });

  it('encodes', () => {
    expect(toHex(encodeVrrp(vector.advert, vector.source, vector.destination))).toBe(vector.hex);
  });

  it('decodes at an offset, without looking beyond', () => {
    const bytes = fromHex(vector.hex);
    const padded = new Uint8Array(bytes.length + 20).fill(0xa5);
    padded.set(bytes, 7);
    const sum = addressSum(vector.source, vector.destination);
    expect(decodeVrrp(padded, 7, bytes.length, vector.advert.family, sum)).toEqual({ ok: true, value: vector.advert });
  });

  it('is refused when cut anywhere, whatever stands behind', () => {
    const bytes = fromHex(vector.hex);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeVector(vector, bytes.slice(0, length)).ok).toBe(
        // A message that loses exactly its trailer is whole; IPv6 notices, since its checksum covers both.
        length === bytes.length - 28 && vector.advert.family === 4 && vector.advert.authHmac !== undefined,
      );
      expect(decodeVector(vector, bytes.subarray(0, length), bytes.length)).toEqual({ ok: false, reason: 'truncated' });
    }
  });

  it('is refused when one bit of what the checksum covers is flipped', () => {
    const bytes = fromHex(vector.hex);
    const covered =
      vector.advert.family === 4 && vector.advert.authHmac !== undefined ? bytes.length - 28 : bytes.length;
    for (let bit = 0; bit < covered * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (0x80 >>> (bit & 7));
      expect(decodeVector(vector, flipped).ok).toBe(false);
    }
  });
});

describe('refusals', () => {
  const good: VrrpAdvert = {
    ...oneSecond,
    version: 3,
    family: 4,
    addresses: ['192.0.2.1'],
    checksumForm: 'rfc9568',
  };
  const version2: VrrpAdvert = {
    ...oneSecond,
    version: 2,
    family: 4,
    addresses: ['192.0.2.1'],
    auth: { type: 'none' },
  };

  /** The advert with octets replaced and its checksum put right again. */
  function altered(advert: VrrpAdvert, changes: Record<number, number>, extra = 0): Uint8Array {
    const message = encodeVrrp(advert, '192.0.2.11', '224.0.0.18');
    const bytes = new Uint8Array(message.length + extra);
    bytes.set(message);
    for (const [offset, octet] of Object.entries(changes)) bytes[Number(offset)] = octet;
    bytes.set([0, 0], 6);
    let sum = addWords(0, bytes, 0, message.length);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    bytes.set([(~sum >>> 8) & 0xff, ~sum & 0xff], 6);
    return bytes;
  }

  const decode = (bytes: Uint8Array, family: 4 | 6 = 4) => decodeVrrp(bytes, 0, bytes.length, family, 0x1234);

  it.each([
    ['bad_version', altered(good, { 0: 0x41 })],
    ['bad_type', altered(good, { 0: 0x32 })],
    ['zero_id', altered(good, { 1: 0 })],
    ['zero_interval', altered(good, { 4: 0, 5: 0 })],
    ['zero_interval', altered(version2, { 5: 0 })],
    ['unsupported_auth', altered(version2, { 4: 2 })],
    ['length_mismatch', altered(good, {}, 4)],
    ['bad_trailer', altered(good, { 12: 9 }, 28)],
    ['bad_trailer', altered(good, { 12: 1, 14: 1 }, 28)],
    ['truncated', altered(good, { 3: 2 })],
  ])('%s', (reason, bytes) => {
    expect(decode(bytes)).toEqual({ ok: false, reason });
  });

  it('zero_addresses', () => {
    expect(decode(fromHex('3133640000646a68'))).toEqual({ ok: false, reason: 'zero_addresses' });
  });

  it('version 2 does not exist over IPv6', () => {
    expect(decode(altered(version2, {}), 6)).toEqual({ ok: false, reason: 'bad_version' });
  });

  it('ignores the four reserved bits of version 3', () => {
    expect(decode(altered(good, { 4: 0xf0 }))).toMatchObject({ ok: true, value: { intervalMs: 1000 } });
  });
});

describe('encoding refuses what the wire cannot carry', () => {
  const advert: VrrpAdvert = { ...oneSecond, version: 3, family: 4, addresses: ['192.0.2.1'], checksumForm: 'rfc9568' };
  it.each<[string, VrrpAdvert]>([
    ['VRID', { ...advert, vrid: 256 }],
    ['priority', { ...advert, priority: -1 }],
    ['centiseconds', { ...advert, intervalMs: 15 }],
    ['centiseconds', { ...advert, intervalMs: 40_960 }],
    ['number of addresses', { ...advert, addresses: [] }],
    ['cannot carry', { ...advert, addresses: ['2001:db8::1'] }],
    [
      'in seconds',
      { ...oneSecond, version: 2, family: 4, addresses: ['192.0.2.1'], auth: { type: 'none' }, intervalMs: 500 },
    ],
    [
      'password',
      { ...oneSecond, version: 2, family: 4, addresses: ['192.0.2.1'], auth: { type: 'text', password: '123456789' } },
    ],
  ])('%s', (message, bad) => {
    expect(() => encodeVrrp(bad, '192.0.2.11', '224.0.0.18')).toThrow(message);
  });
});

describe('round trips', () => {
  const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const address = (family: 4 | 6) => octets(family === 4 ? 4 : 16).map(formatAddress);
  const authHmac = fc.option(
    fc.record({
      keyId: fc.integer({ min: 0, max: 255 }),
      seconds: fc.integer({ min: 0, max: 0xffff_ffff }),
      subseconds: fc.integer({ min: 0, max: 0xffff }),
      counter: fc.integer({ min: 0, max: 0xffff }),
      digest: octets(16),
    }),
    { nil: undefined },
  );
  const shared = { vrid: fc.integer({ min: 1, max: 255 }), priority: fc.integer({ min: 0, max: 255 }), authHmac };
  const addresses = (family: 4 | 6) => fc.array(address(family), { minLength: 1, maxLength: 255 });
  const version2 = fc.record({
    ...shared,
    version: fc.constant(2 as const),
    family: fc.constant(4 as const),
    intervalMs: fc.integer({ min: 1, max: 255 }).map((seconds) => seconds * 1000),
    addresses: addresses(4),
    auth: fc.oneof(
      fc.constant({ type: 'none' as const }),
      fc
        .array(fc.integer({ min: 1, max: 255 }), { maxLength: 8 })
        .map((codes) => ({ type: 'text' as const, password: String.fromCharCode(...codes) })),
    ),
  });
  const version3 = (family: 4 | 6) =>
    fc.record({
      ...shared,
      version: fc.constant(3 as const),
      family: fc.constant(family),
      intervalMs: fc.integer({ min: 1, max: 4095 }).map((centiseconds) => centiseconds * 10),
      addresses: addresses(family),
      checksumForm:
        family === 4
          ? fc.constantFrom('rfc9568' as const, 'pseudo-header' as const)
          : fc.constant('pseudo-header' as const),
    });
  const packet = fc.oneof(
    fc.tuple(version2, address(4), address(4)),
    fc.tuple(version3(4), address(4), address(4)),
    fc.tuple(version3(6), address(6), address(6)),
  );

  it('gives back every advert', () => {
    fc.assert(
      fc.property(packet, ([advert, source, destination]) => {
        // Where the pseudo-header sums to nothing both forms give the same octets, and either answer is right.
        fc.pre(
          advert.family === 6 ||
            (addressSum(source, destination) + vrrpProtocol + vrrpLength({ ...advert, authHmac: undefined })) %
              0xffff !==
              0,
        );
        const bytes = encodeVrrp(advert, source, destination);
        const result = decodeVrrp(bytes, 0, bytes.length, advert.family, addressSum(source, destination));
        expect(result).toEqual({ ok: true, value: advert });
      }),
      { numRuns: 300 },
    );
  });
});
