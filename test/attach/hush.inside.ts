import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { confPath, readSysctl, writeSysctl } from '../../src/kernel/sysctl.js';
import { arpProbe } from '../../src/wire/arp.js';
import { demuxFrame } from '../../src/wire/demux.js';
import { buildIpFrame } from '../../src/wire/ip-frame.js';
import type { MacAddress } from '../../src/wire/mac.js';
import { type Cable, layCable, milliseconds } from '../kernel/cable.js';
import { Host, specOf } from './host.js';

const vip = '10.77.0.254';
const spec = specOf(71, [vip]);
const asker = '02:00:00:00:00:99' as MacAddress;
const deadlineMs = 20_000;

let cable: Cable;
let host: Host;
let far: PacketSocket;
let seen: Uint8Array[] = [];

beforeAll(async () => {
  cable = await layCable();
  host = new Host();
  far = PacketSocket.open({
    ifindex: cable.far,
    protocol: etherProtocol.all,
    onFrame: (frame, { outgoing }) => {
      if (!outgoing) seen.push(frame.slice());
    },
  });
});
afterEach(() => {
  host.reset();
  seen = [];
});
afterAll(() => {
  far.close();
  host.close();
  cable.remove();
});

const arpIgnore = (): string => readSysctl(confPath(spec.linkName, 'arp_ignore'));

/** One request over the wire, to the virtual MAC alone: a broadcast would wait for the kernel's workers, and come too late. */
const ask = (from: string): void => {
  far.send([arpProbe({ senderMac: asker, senderAddress: from, targetAddress: vip, destination: spec.virtualMac })]);
};

/** Who has been answered so far, and by whom. */
function answered(): string[] {
  far.drain();
  return seen.map(demuxFrame).flatMap((frame) => {
    if (frame.kind !== 'arp' || frame.packet.opcode !== 2 || frame.packet.senderAddress !== vip) return [];
    return [`${frame.packet.targetAddress} by ${frame.packet.senderMac}`];
  });
}

async function untilAnswered(from: string): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!answered().some((each) => each.startsWith(`${from} `))) {
    if (performance.now() > endMs)
      throw new Error(`${from} was not answered; ${answered().join(', ') || 'nobody was'}`);
    ask(from);
    await milliseconds(5);
  }
}

function datagram(port: number, text: string): Uint8Array {
  const payload = new Uint8Array(8 + text.length);
  payload.set([0x30, 0x39, port >> 8, port & 0xff, 0, payload.length, 0, 0]);
  payload.set(Buffer.from(text), 8);
  const addresses = { source: '10.77.0.99', destination: vip };
  const macs = { etherSource: asker, etherDestination: spec.virtualMac };
  return buildIpFrame({ ...macs, ...addresses, protocol: 17, trafficClass: 0, payload });
}

test('a hushed link answers nobody and takes what is sent to it, and answers again when that is over', async () => {
  const attachment = host.attachment(spec);
  await attachment.attach(cable.near);
  await untilAnswered('10.77.0.91');
  const socket = createSocket('udp4').bind(0, vip);
  await once(socket, 'listening');
  try {
    attachment.hush(true);
    for (let round = 0; round < 20; round++) ask('10.77.0.92');
    const arrived = once(socket, 'message', { signal: AbortSignal.timeout(deadlineMs) });
    far.send([datagram(socket.address().port, 'still here')]);
    expect(String((await arrived)[0])).toBe('still here');
    attachment.hush(false);
    await untilAnswered('10.77.0.93');
    expect(answered().filter((each) => each.startsWith('10.77.0.92'))).toEqual([]);
    expect(new Set(answered().map((each) => each.split(' by ')[1]))).toEqual(new Set([spec.virtualMac]));
  } finally {
    socket.close();
    await attachment.destroy();
  }
});

test('the audit keeps a hushed link hushed, and one that is no more as it was', async () => {
  const attachment = host.attachment(spec);
  await attachment.attach(cable.near);
  host.monitor.drain();
  attachment.hush(true);
  expect(host.guards.audit()).toEqual([]);
  expect(arpIgnore()).toBe('8');
  writeSysctl(confPath(spec.linkName, 'arp_ignore'), '1');
  expect(host.guards.audit()).toMatchObject([{ interface: spec.linkName, found: 1, repaired: true }]);
  expect(arpIgnore()).toBe('8');
  attachment.hush(false);
  expect(arpIgnore()).toBe('1');
  expect(host.guards.audit()).toEqual([]);
  await attachment.destroy();
});

test('after a release the link is made anew, and answers', async () => {
  const attachment = host.attachment(spec);
  await attachment.attach(cable.near);
  attachment.hush(true);
  attachment.detach();
  await attachment.remake();
  await attachment.attach(cable.near);
  expect(arpIgnore()).toBe('1');
  await untilAnswered('10.77.0.94');
  await attachment.destroy();
});

test('without addresses there is nothing to hush', () => {
  const attachment = host.attachment(spec);
  attachment.prepare(cable.near);
  attachment.hush(true);
  expect(arpIgnore()).toBe('1');
});
