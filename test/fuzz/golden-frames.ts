import { createHmac } from 'node:crypto';
import { arpProbe, gratuitousArp } from '../../src/wire/arp.js';
import { carpKey } from '../../src/wire/carp.js';
import { buildCarpFrame } from '../../src/wire/carp-frame.js';
import { buildIpFrame } from '../../src/wire/ip-frame.js';
import { buildLanDatagramFrame } from '../../src/wire/lan-datagram.js';
import { carpVirtualMac, type MacAddress, vrrpVirtualMac } from '../../src/wire/mac.js';
import { neighborSolicitation, unsolicitedNeighborAdvertisement } from '../../src/wire/ndp.js';
import { buildVrrp2Frame, buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame } from '../../src/wire/vrrp-frame.js';

export const hmacSha1 = (key: Uint8Array, data: Uint8Array): Uint8Array =>
  createHmac('sha1', key).update(data).digest();
export const hmacSha256 = (key: Uint8Array, data: Uint8Array): Uint8Array =>
  createHmac('sha256', key).update(data).digest();

const ownMac = '02:00:5e:10:00:01' as MacAddress;

/** A captured advert in a frame like the one it came in. */
function captured(etherSource: string, payload: string, trafficClass: number): Uint8Array {
  return buildIpFrame({
    etherSource: etherSource as MacAddress,
    source: '10.77.0.1',
    destination: '224.0.0.18',
    protocol: 112,
    trafficClass,
    payload: Uint8Array.from(Buffer.from(payload, 'hex')),
  });
}

const vrrp = { vrid: 51, priority: 100, intervalMs: 1000 };
const ipv4 = {
  ...vrrp,
  virtualMac: vrrpVirtualMac(4, 51),
  source: '192.0.2.11',
  addresses: ['192.0.2.1', '192.0.2.2'],
};
const ipv6 = { ...vrrp, virtualMac: vrrpVirtualMac(6, 51), source: 'fe80::11', addresses: ['fe80::1', '2001:db8::1'] };
const carp = {
  virtualMac: carpVirtualMac(7),
  advbase: 1,
  advskew: 100,
  demote: 0,
  counter: 0x0123_4567_89ab_cdefn,
  authentication: { key: carpKey('secret'), vhid: 7, addresses: ['192.0.2.20', 'fe80::1', '2001:db8::1'] },
  digestForm: 'all' as const,
};

export const noticeKey = new Uint8Array(32).fill(7);
const notice = {
  scope: new Uint8Array(8).fill(7),
  protocol: 'vrrp3',
  id: 51,
  node: 'r1',
  termHeld: 3,
  logged: true,
  highestLoggedTerm: 3,
  counter: 9n,
} as const;

/** One good frame of every kind that the demultiplexer knows, as seeds to mutate. */
export const goldenFrames: Readonly<Record<string, Uint8Array>> = {
  'ucarp 1.5.2': captured(
    '00:00:5e:00:00:07',
    '2107000700013fbe2a5ace870ee21814d7d515cc217a3df6b763deba25892861a625a819',
    0x10,
  ),
  'keepalived 2.2.7': captured('00:00:5e:00:01:33', '313364010064743f0a4d00fe', 0xc0),
  vrrp2: buildVrrp2Frame({ ...ipv4, auth: { type: 'none' } }),
  'vrrp2 with text': buildVrrp2Frame({ ...ipv4, auth: { type: 'text', password: '1111' } }),
  'vrrp2 with five addresses': buildVrrp2Frame({
    ...ipv4,
    addresses: [1, 2, 3, 4, 5].map((host) => `192.0.2.${host}`),
    auth: { type: 'none' },
  }),
  vrrp3: buildVrrp3Ipv4Frame({ ...ipv4, checksumForm: 'rfc9568' }),
  'vrrp3 with pseudo-header': buildVrrp3Ipv4Frame({ ...ipv4, checksumForm: 'pseudo-header' }),
  'vrrp3 with trailer': buildVrrp3Ipv4Frame({ ...ipv4, checksumForm: 'rfc9568', authHmac: true }),
  'vrrp3 over IPv6': buildVrrp3Ipv6Frame(ipv6),
  'vrrp3 over IPv6 with trailer': buildVrrp3Ipv6Frame({ ...ipv6, authHmac: true }),
  carp: buildCarpFrame({ ...carp, source: '192.0.2.11' }, hmacSha1),
  'carp over IPv6': buildCarpFrame({ ...carp, source: 'fe80::11' }, hmacSha1),
  'gratuitous request': gratuitousArp({ virtualMac: ipv4.virtualMac, address: '192.0.2.1', operation: 'request' }),
  'gratuitous reply': gratuitousArp({ virtualMac: ipv4.virtualMac, address: '192.0.2.1', operation: 'reply' }),
  'ARP probe': arpProbe({ senderMac: ownMac, senderAddress: '192.0.2.11', targetAddress: '192.0.2.1' }),
  'unsolicited NA': unsolicitedNeighborAdvertisement({
    virtualMac: ipv6.virtualMac,
    address: '2001:db8::1',
    router: true,
  }),
  NS: neighborSolicitation({ senderMac: ownMac, senderAddress: 'fe80::11', targetAddress: '2001:db8::1' }),
  'DAD probe': neighborSolicitation({ senderMac: ownMac, senderAddress: '::', targetAddress: '2001:db8::1' }),
  notice: buildLanDatagramFrame(
    { etherSource: ownMac, source: '192.0.2.11', destination: '224.0.0.18' },
    notice,
    noticeKey,
    hmacSha256,
  ),
  'notice over IPv6': buildLanDatagramFrame(
    { etherSource: ownMac, source: 'fe80::11', destination: 'ff02::12' },
    notice,
    noticeKey,
    hmacSha256,
  ),
};
