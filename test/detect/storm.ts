import { createInterface } from 'node:readline';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { arpLength, arpProbe, arpReply, encodeArp, gratuitousArp } from '../../src/wire/arp.js';
import { allocateFrame, ethernetHeaderLength, etherType, writeEthernet } from '../../src/wire/ethernet.js';
import { type MacAddress, parseMac } from '../../src/wire/mac.js';

/**
 * Storms of ARP from this namespace. A line on stdin names the kind and begins one, an empty line ends it; then it prints
 * how many frames left, and in how many milliseconds. It says "ready" first.
 *
 *   storm INTERFACE FRAMES-A-SECOND VIP
 *
 * others: gratuitous ARP for addresses of nobody; forged: for the virtual IP, from many MACs; asking: who has it; a MAC:
 * ARP replies to that host alone.
 */
const [interfaceName = '', perSecond = '', vip = ''] = process.argv.slice(2);
const variety = 1024;
const everyMs = 5;

function macOf(index: number): MacAddress {
  const mac = parseMac(`02:00:00:00:${hex(index >> 8)}:${hex(index & 255)}`);
  if (!mac.ok) throw new Error('no MAC');
  return mac.value;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

function frameOf(kind: string, index: number): Uint8Array {
  const virtualMac = macOf(index);
  const other = `172.16.${index >> 8}.${index & 255 || 1}`;
  if (kind === 'asking') return arpProbe({ senderMac: virtualMac, senderAddress: other, targetAddress: vip });
  const aim = parseMac(kind);
  if (aim.ok) return answerTo(aim.value, virtualMac, other);
  return gratuitousArp({ virtualMac, address: kind === 'forged' ? vip : other, operation: 'request' });
}

function answerTo(destination: MacAddress, senderMac: MacAddress, senderAddress: string): Uint8Array {
  const frame = allocateFrame(arpLength);
  writeEthernet(frame, 0, { destination, source: senderMac, etherType: etherType.arp });
  const to = { targetMac: destination, targetAddress: '10.77.0.1' };
  frame.set(encodeArp({ opcode: arpReply, senderMac, senderAddress, ...to }), ethernetHeaderLength);
  return frame;
}

const found = getLink(Netlink.open(), interfaceName);
if (!found.ok) throw new Error(`no ${interfaceName}`);
const socket = PacketSocket.open({ ifindex: found.value.ifindex, protocol: etherProtocol.none });

/** Returns what ends it and tells of it. */
function rage(kind: string): () => { readonly sent: number; readonly ms: number } {
  const frames = Array.from({ length: variety }, (_, index) => frameOf(kind, index));
  const startMs = performance.now();
  let sent = 0;
  let next = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startMs) * Number(perSecond)) / 1000);
    // What a busy machine delayed is made up for within bounds.
    let left = Math.min(due - next, Number(perSecond) / 10);
    next = due;
    while (left > 0) {
      const batch = frames.slice(0, Math.min(left, 512));
      sent += socket.send(batch).sent;
      left -= batch.length;
    }
  }, everyMs);
  return () => {
    clearInterval(timer);
    return { sent, ms: performance.now() - startMs };
  };
}

let end: ReturnType<typeof rage> | undefined;
createInterface({ input: process.stdin })
  .on('line', (kind) => {
    if (end !== undefined) process.stdout.write(`${JSON.stringify(end())}\n`);
    end = kind === '' ? undefined : rage(kind);
  })
  .on('close', () => process.exit(0));
process.stdout.write('ready\n');
