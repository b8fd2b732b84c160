import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { arpProbe, gratuitousArp } from '../../src/wire/arp.js';
import { carpKey } from '../../src/wire/carp.js';
import { buildCarpFrame } from '../../src/wire/carp-frame.js';
import { type ArpFrame, demuxFrame, type NdpPacket } from '../../src/wire/demux.js';
import { buildLanDatagramFrame } from '../../src/wire/lan-datagram.js';
import { carpVirtualMac, type MacAddress, parseMac, vrrpVirtualMac } from '../../src/wire/mac.js';
import { neighborSolicitation, unsolicitedNeighborAdvertisement } from '../../src/wire/ndp.js';
import { buildVrrp2Frame, buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame } from '../../src/wire/vrrp-frame.js';
import { goldenFrames, hmacSha1, hmacSha256, noticeKey } from '../fuzz/golden-frames.js';
import { Mutator } from '../fuzz/mutation.js';
import { hostileVips } from './hostile-vips.js';

/**
 * Sends frames that nobody should send, until stdin closes; it prints when it begins, then how many left, in what time, and
 * what the host said of the virtual addresses meanwhile.
 *
 *   lan-fuzzer INTERFACE FRAMES-A-SECOND SEED HOST-MAC
 *
 * What it changes are good frames of every kind, and frames about the very virtual routers under test with the best priority,
 * signed with keys that are not theirs, and their addresses with other MACs.
 */
const [interfaceName = '', perSecond = '', seed = '', hostMac = ''] = process.argv.slice(2);
const everyMs = 5;
const vips = hostileVips.four;

const own = parseMac('02:00:00:00:66:66');
const target = parseMac(hostMac);
if (!own.ok || !target.ok) throw new Error('no MAC');
const source = '10.77.0.66';
const advert = {
  vrid: 51,
  priority: 254,
  intervalMs: 100,
  virtualMac: vrrpVirtualMac(4, 51),
  source,
  addresses: vips.slice(0, 1),
};
const six = {
  ...advert,
  vrid: hostileVips.vrids.six,
  virtualMac: vrrpVirtualMac(6, hostileVips.vrids.six),
  source: 'fe80::66',
  addresses: hostileVips.six,
};
/** From the very peer, to the host alone. */
const single = {
  ...advert,
  vrid: hostileVips.vrids.single,
  virtualMac: own.value,
  source: hostileVips.peer,
  destination: hostileVips.host,
  destinationMac: target.value,
  addresses: vips.slice(2, 3),
  checksumForm: 'rfc9568' as const,
};
const carp = {
  virtualMac: carpVirtualMac(7),
  source,
  advbase: 1,
  advskew: 0,
  demote: 0,
  counter: 0xffff_ffff_0000_0000n,
  authentication: { key: carpKey('not theirs'), vhid: 7, addresses: vips.slice(1, 2) },
  digestForm: 'all' as const,
};
const notice = {
  scope: new Uint8Array(8).fill(7),
  protocol: 'vrrp3',
  id: 51,
  node: 'r9',
  termHeld: 4_000_000,
  logged: true,
  highestLoggedTerm: 4_000_000,
  counter: 0xffff_ffffn,
} as const;
const aimed = [
  buildVrrp3Ipv4Frame({ ...advert, checksumForm: 'rfc9568' }),
  buildVrrp3Ipv4Frame({ ...advert, checksumForm: 'rfc9568', authHmac: true }),
  buildVrrp3Ipv4Frame({ ...advert, priority: 0, checksumForm: 'pseudo-header', authHmac: true }),
  buildVrrp2Frame({ ...advert, intervalMs: 1000, auth: { type: 'text', password: 'guess' } }),
  buildCarpFrame(carp, hmacSha1),
  buildLanDatagramFrame({ etherSource: own.value, source, destination: '224.0.0.18' }, notice, noticeKey, hmacSha256),
  ...vips.flatMap((address) => [
    gratuitousArp({ virtualMac: own.value, address, operation: 'request' }),
    gratuitousArp({ virtualMac: own.value, address, operation: 'reply' }),
    arpProbe({ senderMac: own.value, senderAddress: source, targetAddress: address }),
  ]),
  ...[{}, { authHmac: true }, { priority: 0, authHmac: true }].flatMap((how) => [
    buildVrrp3Ipv6Frame({ ...six, ...how }),
    buildVrrp3Ipv4Frame({ ...single, ...how }),
  ]),
  ...hostileVips.six.flatMap((address) => [
    unsolicitedNeighborAdvertisement({ virtualMac: own.value, address, router: true }),
    neighborSolicitation({ senderMac: own.value, senderAddress: 'fe80::66', targetAddress: address }),
    neighborSolicitation({ senderMac: own.value, senderAddress: '::', targetAddress: address }),
  ]),
  unsolicitedNeighborAdvertisement({ virtualMac: own.value, address: '2001:db8::1', router: true }),
];

/** What the host said in the name of a virtual address: how often, and what of it with a MAC that is not the address's. */
const claims = { seen: 0, wrong: [] as string[] };
function judge(frame: Uint8Array): void {
  const heard = demuxFrame(frame);
  if (heard.kind !== 'arp' && heard.kind !== 'ndp') return;
  const said = heard.kind === 'arp' ? arpClaim(heard) : ndpClaim(heard);
  const expected = said === undefined ? undefined : hostileVips.macs[said.address];
  if (said === undefined || expected === undefined) return;
  claims.seen += 1;
  const isRight = heard.etherSource === expected && (said.mac === undefined || said.mac === expected);
  if (!isRight && claims.wrong.length < 10)
    claims.wrong.push(`${heard.kind}: ${said.address} at ${said.mac} from ${heard.etherSource}`);
}
const arpClaim = ({ packet }: ArpFrame) => ({ address: packet.senderAddress, mac: packet.senderMac });
function ndpClaim({ message, source: from }: NdpPacket): { address: string; mac: MacAddress | undefined } {
  const address = message.type === 'advertisement' ? message.target : from;
  return { address, mac: message.linkLayerAddress };
}

const found = getLink(Netlink.open(), interfaceName);
if (!found.ok) throw new Error(`no ${interfaceName}`);
const socket = PacketSocket.open({ ifindex: found.value.ifindex, protocol: etherProtocol.none });
PacketSocket.open({
  ifindex: found.value.ifindex,
  protocol: etherProtocol.all,
  onFrame: (frame, { outgoing }) => {
    if (!outgoing) judge(frame);
  },
}).start();
const mutator = new Mutator([...Object.values(goldenFrames), ...aimed], Number(seed));
const startMs = performance.now();
process.stdout.write('begun\n');
let sent = 0;
let made = 0;

function nextFrame(): Uint8Array {
  // Every fourth as it is: a good frame with the wrong key must be refused as well as nonsense.
  const chosen = made % 4 === 0 ? aimed[(made / 4) % aimed.length] : mutator.next();
  made += 1;
  const frame = Uint8Array.from(chosen ?? []);
  // The kernel takes nothing without a whole Ethernet header, and less than a frame from nobody.
  if (frame.length < 14) return nextFrame();
  if (made % 3 === 0) frame.set(Buffer.from(hostMac.replaceAll(':', ''), 'hex'));
  return frame;
}

setInterval(() => {
  const due = Math.floor(((performance.now() - startMs) * Number(perSecond)) / 1000);
  const count = Math.min(due - made, Number(perSecond) / 10);
  if (count > 0) sent += socket.send(Array.from({ length: count }, nextFrame)).sent;
}, everyMs);
process.stdin
  .on('end', () => {
    process.stdout.write(JSON.stringify({ sent, ms: performance.now() - startMs, ...claims }), () => process.exit(0));
  })
  .resume();
