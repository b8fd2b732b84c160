import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressBytes,
  compareAddresses,
  familyOf,
  formatAddress,
  isLinkLocalIpv6,
  isMulticast,
  multicastMac,
  parseAddress,
  parsePrefix,
} from './address.js';

describe('parseAddress', () => {
  it.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['192.0.2.1', '192.0.2.1'],
    // RFC 5952 §4, one line for each of its rules
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::ABCD', '2001:db8::abcd'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['fe80:0:0:0:1:0:0:0', 'fe80::1:0:0:0'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['::ffff:c000:201', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4:5:6:c000:201'],
  ])('reads %s as %s', (text, canonical) => {
    expect(parseAddress(text)).toMatchObject({ ok: true, value: { text: canonical, family: familyOf(text) } });
  });

  it.each([
    '',
    ' 192.0.2.1',
    '192.0.2',
    '192.0.2.1.5',
    '192.0.2.01',
    '192.0.2.256',
    '192.0.2.-1',
    '192.0.2.1e0',
    '0x7f.0.0.1',
    '1',
    ':',
    ':::',
    '1::2::3',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    '12345::',
    'g::1',
    '::192.0.2.1:1',
    '192.0.2.1::',
    '::192.0.2.01',
    '1:2:3:4:5:6:7:192.0.2.1',
    `${'0'.repeat(200)}::`,
  ])('refuses %j', (text) => {
    expect(parseAddress(text)).toEqual({ ok: false, reason: 'bad_address' });
  });

  it('refuses a zone by its own name', () => {
    expect(parseAddress('fe80::1%eth0')).toEqual({ ok: false, reason: 'address_has_zone' });
  });
});

describe('octets and text go back and forth', () => {
  // Zero groups are made likely, since compression is where mistakes hide.
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  const ipv6 = fc
    .array(group, { minLength: 8, maxLength: 8 })
    .map((groups) => Uint8Array.from(groups.flatMap((value) => [value >>> 8, value & 0xff])));
  const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 });

  it('as we write them', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (bytes) => {
        const text = formatAddress(bytes);
        expect(addressBytes(text)).toEqual(bytes);
        expect(parseAddress(text)).toMatchObject({ ok: true, value: { text } });
      }),
      { numRuns: 1000 },
    );
  });

  it('as the URL parser writes them, which knows no mixed notation', () => {
    fc.assert(
      fc.property(ipv6, (bytes) => {
        const text = formatAddress(bytes);
        fc.pre(!text.includes('.'));
        expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('parsePrefix', () => {
  it('keeps the host bits', () => {
    expect(parsePrefix('10.0.0.1/24')).toMatchObject({
      ok: true,
      value: { address: { text: '10.0.0.1' }, prefixLength: 24 },
    });
    expect(parsePrefix('2001:db8::1/128')).toMatchObject({ ok: true, value: { prefixLength: 128 } });
    expect(parsePrefix('0.0.0.0/0')).toMatchObject({ ok: true, value: { prefixLength: 0 } });
  });

  it.each([
    ['10.0.0.1', 'missing_prefix_length'],
    ['10.0.0.1/33', 'bad_prefix_length'],
    ['2001:db8::1/129', 'bad_prefix_length'],
    ['10.0.0.1/', 'bad_prefix_length'],
    ['10.0.0.1/024', 'bad_prefix_length'],
    ['10.0.0.1/24/8', 'bad_prefix_length'],
    ['10.0.0/24', 'bad_address'],
    ['fe80::1%eth0/64', 'address_has_zone'],
  ])('refuses %s: %s', (text, reason) => {
    expect(parsePrefix(text)).toEqual({ ok: false, reason });
  });
});

it('compares as unsigned numbers, whatever the text', () => {
  expect(compareAddresses('9.0.0.1', '10.0.0.1')).toBe(-1);
  expect(compareAddresses('192.0.2.1', '10.0.0.1')).toBe(1);
  expect(compareAddresses('192.0.2.1', '192.0.2.1')).toBe(0);
  expect(compareAddresses('fe80::9', 'fe80::10')).toBe(-1);
  expect(compareAddresses('255.255.255.255', '::')).toBe(-1);
});

it('maps groups to Ethernet', () => {
  expect(multicastMac(addressBytes('224.0.0.18'))).toBe('01:00:5e:00:00:12');
  // Only 23 bits fit: 239.129.2.3 and 239.1.2.3 share one address.
  expect(multicastMac(addressBytes('239.129.2.3'))).toBe('01:00:5e:01:02:03');
  expect(multicastMac(addressBytes('ff02::12'))).toBe('33:33:00:00:00:12');
});

it('knows link-local and multicast', () => {
  expect(['fe80::1', 'febf::1', 'fec0::1', '169.254.0.1'].map((text) => isLinkLocalIpv6(addressBytes(text)))).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(
    ['224.0.0.18', '239.255.255.255', '240.0.0.1', '223.0.0.1', 'ff02::1', 'fe80::1'].map((text) =>
      isMulticast(addressBytes(text)),
    ),
  ).toEqual([true, true, false, false, true, false]);
});

it('addressBytes throws on what is no address', () => {
  expect(() => addressBytes('localhost')).toThrow(RangeError);
});
