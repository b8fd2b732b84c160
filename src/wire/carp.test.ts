import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CarpAdvert,
  type CarpAuthentication,
  carpDigest,
  carpHmacInput,
  carpKey,
  decodeCarp,
  encodeCarp,
  verifyCarp,
} from './carp.js';
import { buildCarpFrame } from './carp-frame.js';
import { demuxFrame } from './demux.js';
import { carpVirtualMac, type MacAddress } from './mac.js';

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const hmacSha1 = (key: Uint8Array, data: Uint8Array): Uint8Array => createHmac('sha1', key).update(data).digest();

const vectors = [
  {
    name: 'captured from ucarp 1.5.2',
    hex: '2107000700013fbe2a5ace870ee21814d7d515cc217a3df6b763deba25892861a625a819',
    passphrase: 'secret',
    addresses: ['10.77.0.254'],
    advert: { vhid: 7, advbase: 1, advskew: 0, demote: 0, counter: 0x2a5a_ce87_0ee2_1814n },
  },
  {
    name: 'one address',
    hex: '210164070001a0300123456789abcdef804538a172de9d658c695edfe8729c0371ca91eb',
    passphrase: 'mekmitasdigoat',
    addresses: ['192.0.2.1'],
    advert: { vhid: 1, advbase: 1, advskew: 100, demote: 0, counter: 0x0123_4567_89ab_cdefn },
  },
  {
    name: 'no passphrase, addresses out of order',
    hex: '210700070001ec2b0000000000000000fa082b4e8783710be8895bd8c775ca052db6d14a',
    passphrase: '',
    addresses: ['192.0.2.20', '192.0.2.3'],
    advert: { vhid: 7, advbase: 1, advskew: 0, demote: 0, counter: 0n },
  },
  {
    name: 'both families',
    hex: '21fb00070001812800000000000000012e23d500788792bd4e54d971126429c6ae063c73',
    passphrase: 'secret',
    addresses: ['2001:db8::a', '10.0.0.1', '2001:db8::1'],
    advert: { vhid: 251, advbase: 1, advskew: 0, demote: 0, counter: 1n },
  },
];

describe.each(vectors)('vector: $name', ({ hex, passphrase, addresses, advert }) => {
  const bytes = fromHex(hex);
  const authentication: CarpAuthentication = { key: carpKey(passphrase), vhid: advert.vhid, addresses };

  it('decodes, and its digest holds', () => {
    const result = decodeCarp(bytes);
    expect(result).toEqual({ ok: true, value: { ...advert, digest: bytes.slice(16) } });
    if (!result.ok) return;
    expect(verifyCarp(result.value, authentication, hmacSha1)).toEqual({ ok: true, value: 'all' });
  });

  it('encodes', () => {
    const digest = carpDigest(authentication, advert.counter, 'all', hmacSha1);
    expect(toHex(encodeCarp({ ...advert, digest }))).toBe(hex);
  });

  it('is refused with another key, list of addresses or counter', () => {
    const good = { ...advert, digest: bytes.slice(16) };
    const wrong: CarpAuthentication[] = [
      { ...authentication, key: carpKey('wrong') },
      { ...authentication, addresses: [...addresses, '192.0.2.99'] },
      { ...authentication, addresses: addresses.slice(1) },
      { ...authentication, vhid: 99 },
    ];
    for (const other of wrong) expect(verifyCarp(good, other, hmacSha1)).toEqual({ ok: false, reason: 'bad_digest' });
    const later = { ...good, counter: good.counter + 1n };
    expect(verifyCarp(later, authentication, hmacSha1)).toEqual({ ok: false, reason: 'bad_digest' });
  });

  it('is refused when cut anywhere', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeCarp(bytes.slice(0, length))).toEqual({ ok: false, reason: 'truncated' });
      expect(decodeCarp(bytes, 0, length)).toEqual({ ok: false, reason: 'truncated' });
    }
  });

  it('is refused when one bit is flipped', () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeCarp(flipped).ok).toBe(false);
    }
  });
});

describe('carpKey', () => {
  it('is cut at 19 octets, like strlcpy into 20', () => {
    expect(toHex(carpKey('0123456789abcdefghijkl'))).toBe(`${Buffer.from('0123456789abcdefghi').toString('hex')}00`);
    expect(toHex(carpKey(''))).toBe('00'.repeat(20));
  });
});

describe('carpHmacInput', () => {
  const authentication = { vhid: 9, addresses: ['fe80::1', '2001:db8::1', '10.0.0.2', '9.0.0.1'] };

  it('orders IPv4 as numbers, then IPv6 octet by octet', () => {
    expect(toHex(carpHmacInput(authentication, 1n, 'all'))).toBe(
      '020109' +
        '09000001' +
        '0a000002' +
        '20010db8000000000000000000000001' +
        'fe800000000000000000000000000001' +
        '0000000000000001',
    );
  });

  it('leaves out link-local addresses as OpenBSD sends', () => {
    expect(toHex(carpHmacInput(authentication, 1n, 'no-link-local'))).toBe(
      '020109' + '09000001' + '0a000002' + '20010db8000000000000000000000001' + '0000000000000001',
    );
  });

  it('puts a MAC that is not the default one before the VHID', () => {
    const withMac = { vhid: 9, addresses: [], linkLayerAddress: '02:00:00:00:00:01' as MacAddress };
    expect(toHex(carpHmacInput(withMac, 0n, 'all'))).toBe(`0201${'020000000001'}09${'00'.repeat(8)}`);
  });
});

it('tells which of the two digests a peer sends', () => {
  const authentication = { key: carpKey('secret'), vhid: 9, addresses: ['fe80::1', '2001:db8::1'] };
  const fields = { vhid: 9, advbase: 1, advskew: 0, demote: 0, counter: 5n };
  for (const form of ['all', 'no-link-local'] as const) {
    const digest = carpDigest(authentication, 5n, form, hmacSha1);
    expect(verifyCarp({ ...fields, digest }, authentication, hmacSha1)).toEqual({ ok: true, value: form });
  }
});

describe('refusals', () => {
  const good = fromHex('210164070001a0300123456789abcdef804538a172de9d658c695edfe8729c0371ca91eb');

  it.each([
    ['bad_version', { 0: 0x31 }],
    ['bad_type', { 0: 0x22 }],
    ['bad_checksum', { 6: 0 }],
    // VHID 1 becomes 0, and the demotion makes up for it in the checksum: 0x0001 + 0x6407 = 0x0000 + 0x6408.
    ['zero_id', { 1: 0, 3: 8 }],
  ])('%s', (reason, changes) => {
    const bytes = good.slice();
    for (const [offset, value] of Object.entries(changes)) bytes[Number(offset)] = value;
    expect(decodeCarp(bytes)).toEqual({ ok: false, reason });
  });

  it('length_mismatch', () => {
    expect(decodeCarp(Uint8Array.of(...good, 0))).toEqual({ ok: false, reason: 'length_mismatch' });
  });

  it('encoding refuses what the wire cannot carry', () => {
    const advert: CarpAdvert = { vhid: 1, advbase: 1, advskew: 0, demote: 0, counter: 0n, digest: new Uint8Array(20) };
    for (const bad of [
      { vhid: 0 },
      { advbase: 256 },
      { advskew: -1 },
      { demote: 256 },
      { digest: new Uint8Array(19) },
    ]) {
      expect(() => encodeCarp({ ...advert, ...bad })).toThrow(RangeError);
    }
  });
});

it('gives back what was encoded', () => {
  const octet = fc.integer({ min: 0, max: 255 });
  const advert = fc.record({
    vhid: fc.integer({ min: 1, max: 255 }),
    advskew: octet,
    advbase: octet,
    demote: octet,
    counter: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    digest: fc.uint8Array({ minLength: 20, maxLength: 20 }),
  });
  fc.assert(
    fc.property(advert, (value) => {
      expect(decodeCarp(encodeCarp(value))).toEqual({ ok: true, value });
    }),
  );
});

describe.each([
  ['IPv4', '192.0.2.11', '224.0.0.18', '01:00:5e:00:00:12'],
  ['IPv6', 'fe80::11', 'ff02::12', '33:33:00:00:00:12'],
])('buildCarpFrame over %s', (_, source, group, groupMac) => {
  const authentication = { key: carpKey('secret'), vhid: 7, addresses: ['192.0.2.1', 'fe80::1'] };
  const frame = {
    virtualMac: carpVirtualMac(7),
    source,
    advbase: 1,
    advskew: 20,
    demote: 3,
    counter: 77n,
    authentication,
    digestForm: 'no-link-local' as const,
  };

  it('comes back through the demultiplexer, and its digest holds', () => {
    const packet = demuxFrame(buildCarpFrame(frame, hmacSha1));
    expect(packet).toMatchObject({
      kind: 'carp',
      etherSource: '00:00:5e:00:01:07',
      etherDestination: groupMac,
      source,
      destination: group,
      hopLimit: 255,
      id: 7,
      advert: { ok: true, value: { vhid: 7, advbase: 1, advskew: 20, demote: 3, counter: 77n } },
    });
    if (packet.kind !== 'carp' || !packet.advert.ok) return;
    expect(verifyCarp(packet.advert.value, authentication, hmacSha1)).toEqual({ ok: true, value: 'no-link-local' });
  });

  it('goes to a unicast peer', () => {
    const destination = source === 'fe80::11' ? 'fe80::12' : '192.0.2.12';
    const destinationMac = '02:00:00:00:00:02' as MacAddress;
    const packet = demuxFrame(buildCarpFrame({ ...frame, destination, destinationMac }, hmacSha1));
    expect(packet).toMatchObject({ kind: 'carp', etherDestination: destinationMac, destination, advert: { ok: true } });
  });
});
