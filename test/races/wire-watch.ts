import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { getLink } from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { familyOf, readIpv4, readIpv6 } from '../../src/wire/address.js';
import { arpProbe } from '../../src/wire/arp.js';
import { demuxFrame } from '../../src/wire/demux.js';
import { type MacAddress, parseMac, readMac } from '../../src/wire/mac.js';
import { neighborSolicitation, unsolicitedNeighborAdvertisement } from '../../src/wire/ndp.js';
import { readU16 } from '../../src/wire/octets.js';
import { keepForgetting } from '../attach/neighbours.js';

/**
 * The LAN's side of a race, in a process of its own: asks for virtual IPs without end, and counts what the host under
 * test sends into each port of the switch.
 *
 *   wire-watch RATE PORT,PORT... [rivals] VIP=VIRTUAL-MAC...
 *
 * Asks from the bridge `br0`, with its addresses 10.77.0.100 and fd77::100; with `rivals` each second frame claims an IPv6 address
 * for itself, or looks whether it may, as a host that has it too. Each line on stdin is answered by one on
 * stdout: `answered N` when there have been N right answers since the line before (or `late` after five seconds),
 * `report` with the counts as JSON. Ends with stdin.
 */
const [rateText = '', ports = '', ...words] = process.argv.slice(2);
const hasRivals = words[0] === 'rivals';
const bindings = hasRivals ? words.slice(1) : words;
const requestsPerSecond = Number(rateText);
const client = { 4: '10.77.0.100', 6: 'fd77::100' } as const;
const answerWithinMs = 5000;
/** What a busy machine delayed is made up for, but not all at once. */
const backlogMaxMs = 100;

function must<T>(answer: { ok: true; value: T } | { ok: false }, what: string): T {
  if (!answer.ok) throw new Error(`no ${what}`);
  return answer.value;
}

const netlink = Netlink.open();
const bridge = must(getLink(netlink, 'br0'), 'br0');
const clientMac = bridge.mac;
if (clientMac === undefined) throw new Error('br0 has no MAC');
const virtualMacs = new Map<string, MacAddress>(
  bindings.map((binding) => {
    const [vip = '', mac = ''] = binding.split('=');
    return [vip, must(parseMac(mac), mac)];
  }),
);

const counts = { asked: 0, right: 0, wrong: 0, seen: 0, dropped: 0 };
/** Frames by Ethernet source, and by those of the addresses that speak in them as a sender. */
const sources = new Map<string, number>();
const speakers = new Map<string, number>();
const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1);
const wrongKinds = new Map<string, number>();
let rightAtMark = 0;
let waiting: { readonly needed: number; readonly untilMs: number } | undefined;

function judge(vip: string, claimed: MacAddress | undefined, etherSource: MacAddress, what: string): void {
  const wanted = virtualMacs.get(vip);
  if (wanted === undefined) return;
  if (etherSource === wanted && (claimed === undefined || claimed === wanted)) {
    counts.right += 1;
    return;
  }
  counts.wrong += 1;
  const kind = `${what} of ${vip} from ${etherSource}`;
  count(wrongKinds, kind);
}

/** Who an ARP or IP frame says it is from. */
function speakerOf(frame: Uint8Array): string | undefined {
  switch (readU16(frame, 12)) {
    case etherProtocol.arp:
      return frame.length < 32 ? undefined : readIpv4(frame, 28);
    case etherProtocol.ipv4:
      return frame.length < 30 ? undefined : readIpv4(frame, 26);
    case etherProtocol.ipv6:
      return frame.length < 38 ? undefined : readIpv6(frame, 22);
    default:
      return undefined;
  }
}

function take(frame: Uint8Array): void {
  counts.seen += 1;
  const found = demuxFrame(frame);
  const etherSource = readMac(frame, 6);
  count(sources, etherSource);
  const speaker = speakerOf(frame);
  if (speaker !== undefined && virtualMacs.has(speaker)) count(speakers, speaker);
  if (found.kind === 'arp') {
    const { senderAddress, senderMac } = found.packet;
    judge(senderAddress, senderMac, etherSource, 'ARP');
  } else if (found.kind === 'ndp') {
    const { message, source } = found;
    if (message.type === 'advertisement') judge(message.target, message.linkLayerAddress, etherSource, 'advertisement');
    else judge(source, message.linkLayerAddress, etherSource, 'solicitation');
  }
  tellAnswered();
}

const sockets = ports.split(',').map((port) => {
  const { ifindex } = must(getLink(netlink, port), port);
  const socket = PacketSocket.open({
    ifindex,
    protocol: etherProtocol.all,
    receiveBufferBytes: 64 * 1024 * 1024,
    // Into the port of the switch: what the host has sent.
    onFrame: (frame, { outgoing }) => {
      if (!outgoing) take(frame);
    },
  });
  socket.start();
  return socket;
});

const asking = PacketSocket.open({ ifindex: bridge.ifindex, protocol: etherProtocol.none });
const requests = [...virtualMacs.keys()].flatMap((vip) => {
  const from = { senderMac: clientMac, senderAddress: client[familyOf(vip) ?? 4], targetAddress: vip };
  if (familyOf(vip) !== 6) return [arpProbe(from)];
  const ask = neighborSolicitation(from);
  if (!hasRivals) return [ask];
  const claim = unsolicitedNeighborAdvertisement({ virtualMac: clientMac, address: vip, router: false });
  return [ask, claim, ask, neighborSolicitation({ ...from, senderAddress: '::' })];
});
keepForgetting(
  bridge.ifindex,
  [...virtualMacs.keys()].filter((vip) => familyOf(vip) === 4),
);

const startMs = performance.now();
let next = 0;
setInterval(() => {
  const due = Math.floor(((performance.now() - startMs) * requestsPerSecond) / 1000);
  const from = Math.max(next, due - (requestsPerSecond * backlogMaxMs) / 1000);
  const frames: Uint8Array[] = [];
  for (let sent = from; sent < due; sent++) {
    const request = requests[Math.floor(sent) % requests.length];
    if (request !== undefined) frames.push(request);
  }
  next = due;
  counts.asked += frames.length;
  if (frames.length > 0) asking.send(frames);
  tellAnswered();
}, 2);

function tellAnswered(): void {
  if (waiting === undefined) return;
  const isThere = counts.right - rightAtMark >= waiting.needed;
  if (!isThere && performance.now() < waiting.untilMs) return;
  waiting = undefined;
  process.stdout.write(isThere ? 'answered\n' : 'late\n');
}

function report(): void {
  for (const socket of sockets) socket.drain();
  counts.dropped = sockets.reduce((sum, socket) => sum + socket.drops(), 0);
  const [kinds, bySource, bySpeaker] = [wrongKinds, sources, speakers].map((map) => Object.fromEntries(map));
  process.stdout.write(`${JSON.stringify({ ...counts, kinds, sources: bySource, speakers: bySpeaker })}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [command, argument] = line.split(' ');
  if (command === 'answered') {
    rightAtMark = counts.right;
    waiting = { needed: Number(argument), untilMs: performance.now() + answerWithinMs };
    return;
  }
  report();
});
lines.on('close', () => process.exit(0));
process.stdout.write('ready\n');
