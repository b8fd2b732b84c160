import { describe, expect, it } from 'vitest';
import { arpProbe } from './arp.js';
import { demuxFrame } from './demux.js';
import { buildIpFrame, type IpFrame } from './ip-frame.js';
import { type MacAddress, vrrpVirtualMac } from './mac.js';
import { buildVrrp2Frame, buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame, signVrrpFrame } from './vrrp-frame.js';

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const ucarpPayload = fromHex('2107000700013fbe2a5ace870ee21814d7d515cc217a3df6b763deba25892861a625a819');
const keepalivedPayload = fromHex('313364010064743f0a4d00fe');

const envelope: IpFrame = {
  etherSource: '00:00:5e:00:01:33' as MacAddress,
  source: '10.77.0.1',
  destination: '224.0.0.18',
  protocol: 112,
  trafficClass: 0xc0,
  payload: keepalivedPayload,
};
const advert = {
  virtualMac: vrrpVirtualMac(4, 51),
  source: '192.0.2.11',
  vrid: 51,
  priority: 100,
  intervalMs: 1000,
  addresses: ['192.0.2.1'],
};
const vrrp3 = buildVrrp3Ipv4Frame({ ...advert, checksumForm: 'rfc9568' });
const vrrp3Ipv6 = buildVrrp3Ipv6Frame({ ...advert, source: 'fe80::11', addresses: ['fe80::1'] });

describe('captured adverts', () => {
  it('keepalived 2.2.7', () => {
    expect(demuxFrame(buildIpFrame(envelope))).toEqual({
      kind: 'vrrp',
      etherSource: '00:00:5e:00:01:33',
      etherDestination: '01:00:5e:00:00:12',
      family: 4,
      source: '10.77.0.1',
      destination: '224.0.0.18',
      hopLimit: 255,
      payloadOffset: 34,
      payloadLength: 12,
      id: 51,
      advert: {
        ok: true,
        value: {
          version: 3,
          family: 4,
          vrid: 51,
          priority: 100,
          intervalMs: 1000,
          addresses: ['10.77.0.254'],
          checksumForm: 'pseudo-header',
          authHmac: undefined,
        },
      },
    });
  });

  it('ucarp 1.5.2, which sends from a MAC that is nobody’s virtual one', () => {
    const etherSource = '00:00:5e:00:00:07' as MacAddress;
    expect(demuxFrame(buildIpFrame({ ...envelope, etherSource, payload: ucarpPayload }))).toMatchObject({
      kind: 'carp',
      etherSource,
      id: 7,
      advert: { ok: true, value: { vhid: 7, advbase: 1, advskew: 0 } },
    });
  });
});

describe('CARP and VRRPv2 on one protocol number', () => {
  it('36 octets of VRRPv2 are five addresses, and no CARP', () => {
    const addresses = [1, 2, 3, 4, 5].map((host) => `192.0.2.${host}`);
    const frame = buildVrrp2Frame({ ...advert, addresses, auth: { type: 'none' } });
    expect(demuxFrame(frame)).toMatchObject({
      kind: 'vrrp',
      payloadLength: 36,
      advert: { ok: true, value: { addresses } },
    });
  });

  it('seven addresses of VRRPv2 are not CARP either', () => {
    const addresses = [1, 2, 3, 4, 5, 6, 7].map((host) => `192.0.2.${host}`);
    const frame = buildVrrp2Frame({ ...advert, addresses, auth: { type: 'none' } });
    expect(demuxFrame(frame)).toMatchObject({ kind: 'vrrp', advert: { ok: true, value: { addresses } } });
  });

  it('a damaged CARP advert is refused as CARP, with its VHID', () => {
    const payload = ucarpPayload.slice();
    payload[20] = 0;
    expect(demuxFrame(buildIpFrame({ ...envelope, payload }))).toMatchObject({
      kind: 'carp',
      id: 7,
      advert: { ok: false, reason: 'bad_checksum' },
    });
  });

  it('version 2 over IPv6 is CARP', () => {
    const packet = { ...envelope, source: 'fe80::11', destination: 'ff02::12', payload: ucarpPayload };
    expect(demuxFrame(buildIpFrame(packet))).toMatchObject({ kind: 'carp', family: 6, advert: { ok: true } });
  });
});

describe('what is reported although it is refused or odd', () => {
  it('the VRID of a damaged advert', () => {
    const payload = keepalivedPayload.slice();
    payload[2] = 99;
    expect(demuxFrame(buildIpFrame({ ...envelope, payload }))).toMatchObject({
      kind: 'vrrp',
      id: 51,
      advert: { ok: false, reason: 'bad_checksum' },
    });
  });

  it('an advert of no octets at all has no id, whatever pads the frame', () => {
    const frame = buildIpFrame({ ...envelope, payload: new Uint8Array() });
    frame.fill(0x31, 34);
    expect(demuxFrame(frame)).toMatchObject({ kind: 'vrrp', id: 0, advert: { ok: false, reason: 'truncated' } });
  });

  it('VRRP behind an IPsec header is refused by name; anything else behind one is of no concern', () => {
    const payload = Uint8Array.of(112, 4, ...new Uint8Array(30));
    const packet = { ...envelope, protocol: 51 };
    expect(demuxFrame(buildIpFrame({ ...packet, payload }))).toMatchObject({
      kind: 'vrrp',
      advert: { ok: false, reason: 'unsupported_auth' },
    });
    expect(demuxFrame(buildIpFrame({ ...packet, payload: Uint8Array.of(6, ...payload.subarray(1)) }))).toEqual({
      kind: 'other',
    });
  });

  it('a hop limit other than 255', () => {
    const frame = vrrp3Ipv6.slice();
    frame[14 + 7] = 64;
    expect(demuxFrame(frame)).toMatchObject({ kind: 'vrrp', hopLimit: 64, advert: { ok: true } });
  });
});

describe('frames of no concern', () => {
  it.each<[string, IpFrame]>([
    ['UDP', { ...envelope, protocol: 17 }],
    ['UDP over IPv6', { ...envelope, protocol: 17, source: 'fe80::11', destination: 'ff02::12' }],
    [
      'a router advertisement',
      {
        ...envelope,
        protocol: 58,
        source: 'fe80::11',
        destination: 'ff02::1',
        payload: Uint8Array.of(134, ...new Uint8Array(30)),
      },
    ],
  ])('%s', (_, packet) => {
    expect(demuxFrame(buildIpFrame(packet))).toEqual({ kind: 'other' });
  });

  it('LLDP and spanning tree', () => {
    const lldp = vrrp3.slice();
    lldp.set([0x88, 0xcc], 12);
    expect(demuxFrame(lldp)).toEqual({ kind: 'other' });
    const spanningTree = vrrp3.slice();
    spanningTree.set([0x00, 0x26], 12);
    expect(demuxFrame(spanningTree)).toEqual({ kind: 'other' });
  });
});

describe('refused frames name their sender', () => {
  const probe = { senderMac: vrrpVirtualMac(4, 51), senderAddress: '192.0.2.11', targetAddress: '192.0.2.1' };

  it.each([
    ['vlan_tagged', Uint8Array.of(...vrrp3.subarray(0, 12), 0x81, 0, 0, 5, ...vrrp3.subarray(12))],
    ['ip_truncated', vrrp3.slice(0, 40)],
    ['ip_truncated', vrrp3Ipv6.slice(0, 60)],
    ['ip_bad_checksum', Uint8Array.of(...vrrp3.subarray(0, 22), 254, ...vrrp3.subarray(23))],
    ['arp_truncated', arpProbe(probe).slice(0, 41)],
  ])('%s', (reason, frame) => {
    expect(demuxFrame(frame)).toEqual({ kind: 'refused', reason, etherSource: '00:00:5e:00:01:33' });
  });

  it('unless the frame ends before it', () => {
    expect(demuxFrame(vrrp3.slice(0, 13))).toEqual({
      kind: 'refused',
      reason: 'frame_truncated',
      etherSource: undefined,
    });
    expect(demuxFrame(new Uint8Array())).toMatchObject({ kind: 'refused' });
  });
});

it('cut anywhere, no frame is accepted until its message is whole', () => {
  for (const [frame, end] of [
    [vrrp3, 46],
    [vrrp3Ipv6, vrrp3Ipv6.length],
  ] as const) {
    for (let length = 0; length < end; length++) {
      expect(['refused', 'other']).toContain(demuxFrame(frame.slice(0, length)).kind);
    }
    expect(demuxFrame(frame.slice(0, end))).toMatchObject({ advert: { ok: true } });
  }
});

it('keeps nothing of the frame, which may lie in a buffer that is used again', () => {
  const signed = buildVrrp3Ipv4Frame({ ...advert, checksumForm: 'rfc9568', authHmac: true });
  signVrrpFrame(signed, { keyId: 1, seconds: 2, subseconds: 3, counter: 4 }, new Uint8Array(32), () =>
    new Uint8Array(32).fill(0xab),
  );
  for (const frame of [buildIpFrame({ ...envelope, payload: ucarpPayload }), signed]) {
    // A Buffer, whose slice() is a view: it must not matter.
    const ring = Buffer.from(frame);
    const packet = demuxFrame(ring);
    const before = structuredClone(packet);
    ring.fill(0);
    expect(packet).toMatchObject({ advert: { ok: true } });
    expect(packet).toEqual(before);
  }
});
