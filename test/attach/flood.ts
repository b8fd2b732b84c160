import { performance } from 'node:perf_hooks';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { arpProbe } from '../../src/wire/arp.js';
import { internetChecksum } from '../../src/wire/checksum.js';
import { buildIpFrame } from '../../src/wire/ip-frame.js';
import { type MacAddress, parseMac } from '../../src/wire/mac.js';
import { keepForgetting } from './neighbours.js';

/**
 * A client that never stops asking: broadcast ARP requests for virtual IPs, 2,000 a second in all, and pings to their
 * virtual MACs, 400 a second, which make the host ask for the client in turn. It forgets every answer at once.
 *
 *   flood INTERFACE CLIENT-ADDRESS VIP=VIRTUAL-MAC...
 *
 * Ends when stdin closes.
 */
const requestsPerSecond = 2000;
const requestsPerPing = 5;

const [interfaceName = '', address = '', ...bindings] = process.argv.slice(2);
const icmp = 1;

function must<T>(answer: { ok: true; value: T } | { ok: false }, what: string): T {
  if (!answer.ok) throw new Error(`no ${what}`);
  return answer.value;
}

function ping(source: MacAddress, virtualMac: MacAddress, vip: string): Uint8Array {
  const payload = Uint8Array.of(8, 0, 0, 0, 0x4b, 0x6f, 0, 1);
  new DataView(payload.buffer).setUint16(2, internetChecksum(payload));
  const envelope = { source: address, destination: vip, protocol: icmp, trafficClass: 0, payload };
  return buildIpFrame({ etherSource: source, etherDestination: virtualMac, ...envelope });
}

const netlink = Netlink.open();
const link = must(getLink(netlink, interfaceName), interfaceName);
const mac = link.mac;
if (mac === undefined) throw new Error(`${interfaceName} has no MAC`);
const targets = bindings.map((binding) => {
  const [vip = '', virtualMac = ''] = binding.split('=');
  return {
    request: arpProbe({ senderMac: mac, senderAddress: address, targetAddress: vip }),
    ping: ping(mac, must(parseMac(virtualMac), virtualMac), vip),
  };
});
const socket = PacketSocket.open({ ifindex: link.ifindex, protocol: etherProtocol.none });
keepForgetting(
  link.ifindex,
  bindings.map((binding) => binding.replace(/=.*/, '')),
);

let sent = 0;
const startMs = performance.now();
setInterval(() => {
  const due = Math.floor(((performance.now() - startMs) * requestsPerSecond) / 1000);
  const frames: Uint8Array[] = [];
  // What a busy machine delayed is not made up for in one burst.
  sent = Math.max(sent, due - requestsPerSecond / 10);
  for (; sent < due; sent++) {
    const target = targets[sent % targets.length];
    if (target === undefined) continue;
    frames.push(target.request);
    if (Math.floor(sent / targets.length) % requestsPerPing === 0) frames.push(target.ping);
  }
  if (frames.length > 0) socket.send(frames);
}, 2);
process.stdin.on('end', () => process.exit(0)).resume();
