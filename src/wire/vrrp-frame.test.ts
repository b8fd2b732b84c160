import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verifyAuthHmac } from './auth-hmac.js';
import { demuxFrame } from './demux.js';
import { ipPayloadOf } from './ip-frame.js';
import { type MacAddress, vrrpVirtualMac } from './mac.js';
import {
  buildVrrp2Frame,
  buildVrrp3Ipv4Frame,
  buildVrrp3Ipv6Frame,
  patchPriority,
  signVrrpFrame,
  type VrrpFrame,
} from './vrrp-frame.js';

const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const hmacSha256 = (key: Uint8Array, data: Uint8Array): Uint8Array => createHmac('sha256', key).update(data).digest();

const ipv4: VrrpFrame = {
  virtualMac: vrrpVirtualMac(4, 51),
  source: '10.77.0.1',
  vrid: 51,
  priority: 100,
  intervalMs: 1000,
  addresses: ['10.77.0.254'],
};
const ipv6: VrrpFrame = {
  ...ipv4,
  virtualMac: vrrpVirtualMac(6, 51),
  source: 'fe80::11',
  addresses: ['fe80::1', '2001:db8::1'],
};

const kinds: readonly [string, VrrpFrame, (frame: VrrpFrame) => Uint8Array][] = [
  ['version 2', ipv4, (frame) => buildVrrp2Frame({ ...frame, auth: { type: 'none' } })],
  ['version 2 with text', ipv4, (frame) => buildVrrp2Frame({ ...frame, auth: { type: 'text', password: 'secret' } })],
  ['version 3, RFC 9568', ipv4, (frame) => buildVrrp3Ipv4Frame({ ...frame, checksumForm: 'rfc9568' })],
  ['version 3, pseudo-header', ipv4, (frame) => buildVrrp3Ipv4Frame({ ...frame, checksumForm: 'pseudo-header' })],
  ['version 3, IPv6', ipv6, buildVrrp3Ipv6Frame],
];

it('is the frame of a keepalived that was captured, to the octet', () => {
  const frame = buildVrrp3Ipv4Frame({ ...ipv4, checksumForm: 'pseudo-header' });
  expect(toHex(frame.subarray(0, 14))).toBe('01005e00001200005e0001330800');
  expect(toHex(frame.subarray(34, 46))).toBe('313364010064743f0a4d00fe');
  expect(toHex(frame.subarray(46))).toBe('00'.repeat(14));
});

describe.each(kinds)('%s', (name, fields, build) => {
  it('comes back through the demultiplexer', () => {
    expect(demuxFrame(build(fields))).toMatchObject({
      kind: 'vrrp',
      id: 51,
      etherSource: fields.virtualMac,
      etherDestination: fields === ipv6 ? '33:33:00:00:00:12' : '01:00:5e:00:00:12',
      source: fields.source,
      destination: fields === ipv6 ? 'ff02::12' : '224.0.0.18',
      hopLimit: 255,
      advert: {
        ok: true,
        value: { vrid: 51, priority: 100, intervalMs: 1000, addresses: fields.addresses, authHmac: undefined },
      },
    });
  });

  it('patched, is the frame built with that priority', () => {
    const frame = build(fields);
    for (let priority = 255; priority >= 0; priority--) {
      patchPriority(frame, priority);
      expect(toHex(frame)).toBe(toHex(build({ ...fields, priority })));
    }
    expect(() => patchPriority(frame, 256)).toThrow(RangeError);
  });

  it('goes to a unicast peer, whose MAC must be known', () => {
    const destination = fields === ipv6 ? 'fe80::12' : '10.77.0.2';
    const destinationMac = '02:00:00:00:00:02' as MacAddress;
    expect(demuxFrame(build({ ...fields, destination, destinationMac }))).toMatchObject({
      etherDestination: destinationMac,
      destination,
      advert: { ok: true },
    });
    expect(() => build({ ...fields, destination })).toThrow(RangeError);
  });

  it('can be signed, patched and signed again', () => {
    const frame = build({ ...fields, authHmac: true });
    const key = new Uint8Array(32).fill(9);
    for (const [priority, counter] of [
      [100, 1],
      [0, 2],
    ] as const) {
      patchPriority(frame, priority);
      signVrrpFrame(frame, { keyId: 3, seconds: 1_700_000_000, subseconds: 1, counter }, key, hmacSha256);
      const packet = demuxFrame(frame);
      expect(packet).toMatchObject({
        kind: 'vrrp',
        advert: {
          ok: true,
          value: { priority, authHmac: { keyId: 3, seconds: 1_700_000_000, subseconds: 1, counter } },
        },
      });
      const { offset, length } = ipPayloadOf(frame);
      const message = frame.subarray(offset, offset + length);
      expect(verifyAuthHmac(message, fields.source, key, hmacSha256).ok, name).toBe(true);
    }
  });
});
