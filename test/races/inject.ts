import { createInterface } from 'node:readline';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';

/**
 * Sends frames from a namespace, whatever stands in them:
 *
 *   inject INTERFACE
 *
 * A line on stdin is `COUNT PER-SECOND HEX`; when they have left it answers with their number. It says "ready" first.
 */
const [name = ''] = process.argv.slice(2);
const found = getLink(Netlink.open(), name);
if (!found.ok) throw new Error(`no ${name}`);
const socket = PacketSocket.open({ ifindex: found.value.ifindex, protocol: etherProtocol.none });
const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function send(count: number, perSecond: number, frame: Uint8Array): Promise<number> {
  const startMs = performance.now();
  let sent = 0;
  while (sent < count) {
    const due = Math.min(count, 1 + Math.floor(((performance.now() - startMs) * perSecond) / 1000));
    // A few at a time: what a busy machine delayed is no storm afterwards.
    const batch = Math.min(due - sent, 20);
    if (batch > 0) sent += socket.send(Array.from({ length: batch }, () => frame)).sent;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return sent;
}

say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [count = '', perSecond = '', hex = ''] = line.split(' ');
  say(String(await send(Number(count), Number(perSecond), Buffer.from(hex, 'hex'))));
}
process.exit(0);
