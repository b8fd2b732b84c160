import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  broadcastMac,
  carpVirtualMac,
  formatMac,
  isGroupMac,
  type MacAddress,
  macBytes,
  parseMac,
  readMac,
  vrrpVirtualMac,
} from './mac.js';

describe('parseMac', () => {
  it.each(['00:00:5e:00:01:33', '00:00:5E:00:01:33', '00-00-5E-00-01-33'])('reads %s', (text) => {
    expect(parseMac(text)).toEqual({ ok: true, value: '00:00:5e:00:01:33' });
  });

  it.each([
    '',
    '00:00:5e:00:01',
    '00:00:5e:00:01:33:44',
    '0:0:5e:0:1:33',
    '00:00:5e:00:01:3g',
    '00:00:5e-00:01:33',
    ' 00:00:5e:00:01:33',
  ])('refuses %j', (text) => {
    expect(parseMac(text)).toEqual({ ok: false, reason: 'bad_mac' });
  });
});

it('octets and text go back and forth', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const mac = formatMac(bytes);
      expect(mac).toBe(
        Buffer.from(bytes)
          .toString('hex')
          .replace(/(..)(?!$)/g, '$1:'),
      );
      expect(macBytes(mac)).toEqual(bytes);
      expect(parseMac(mac)).toEqual({ ok: true, value: mac });
    }),
  );
});

it('reads in place', () => {
  expect(readMac(Uint8Array.of(9, 1, 2, 3, 4, 5, 0xff, 9), 1)).toBe('01:02:03:04:05:ff');
});

it('virtual MACs are those of the protocols', () => {
  expect(vrrpVirtualMac(4, 51)).toBe('00:00:5e:00:01:33');
  expect(vrrpVirtualMac(6, 255)).toBe('00:00:5e:00:02:ff');
  expect(carpVirtualMac(7)).toBe('00:00:5e:00:01:07');
  for (const id of [0, 256, 1.5, Number.NaN]) {
    expect(() => vrrpVirtualMac(4, id)).toThrow(RangeError);
    expect(() => carpVirtualMac(id)).toThrow(RangeError);
  }
});

it('tells groups from stations', () => {
  expect(isGroupMac(broadcastMac)).toBe(true);
  expect(isGroupMac('33:33:00:00:00:12' as MacAddress)).toBe(true);
  expect(isGroupMac('02:00:00:00:00:01' as MacAddress)).toBe(false);
});
