import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { arpProbe, gratuitousArp } from '../../src/wire/arp.js';
import { type MacAddress, parseMac } from '../../src/wire/mac.js';

/**
 * A storm of ARP from this namespace, until stdin closes; then it prints how many frames left, and in what time.
 *
 *   storm INTERFACE FRAMES-A-SECOND others|forged|asking VIP
 *
 * others: gratuitous ARP for addresses of nobody; forged: for the virtual IP, from many MACs; asking: who has it.
 */
const [interfaceName = '', perSecond = '', kind = '', vip = ''] = process.argv.slice(2);
const variety = 1024;
const everyMs = 5;

function macOf(index: number): MacAddress {
  const mac = parseMac(
    `02:00:00:00:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`,
  );
  if (!mac.ok) throw new Error('no MAC');
  return mac.value;
}

function frameOf(index: number): Uint8Array {
  const virtualMac = macOf(index);
  const other = `172.16.${index >> 8}.${index & 255 || 1}`;
  if (kind === 'asking') return arpProbe({ senderMac: virtualMac, senderAddress: other, targetAddress: vip });
  return gratuitousArp({ virtualMac, address: kind === 'forged' ? vip : other, operation: 'request' });
}

const found = getLink(Netlink.open(), interfaceName);
if (!found.ok) throw new Error(`no ${interfaceName}`);
const socket = PacketSocket.open({ ifindex: found.value.ifindex, protocol: etherProtocol.none });
const frames = Array.from({ length: variety }, (_, index) => frameOf(index));
const startMs = performance.now();
let sent = 0;
let next = 0;
setInterval(() => {
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
process.stdin
  .on('end', () => {
    process.stdout.write(JSON.stringify({ sent, ms: performance.now() - startMs }), () => process.exit(0));
  })
  .resume();
