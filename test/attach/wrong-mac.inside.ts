import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Announcer } from '../../src/attach/announcer.js';
import { getLink } from '../../src/kernel/links.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { confPath, readSysctl, writeSysctl } from '../../src/kernel/sysctl.js';
import { good, ip } from '../kernel/cable.js';
import { Host, specOf } from './host.js';
import { Segment, wrongFrames } from './segment.js';

const virtualRouters = [specOf(51), specOf(52)];
let segment: Segment;
let host: Host;

beforeAll(async () => {
  segment = new Segment(virtualRouters);
  await segment.start();
}, 30_000);
afterEach(() => {
  host.close();
});
afterAll(async () => {
  await segment.remove();
});

/** Takes over and releases both virtual routers; the client is answered in between. */
async function cycles(count: number, options: { guards?: (ifindex: number) => string; asks?: boolean } = {}) {
  const { guards, asks = true } = options;
  const attachments = virtualRouters.map((spec) => host.attachment(spec, guards === undefined ? {} : { guards }));
  const socket = PacketSocket.open({ ifindex: segment.parent, protocol: etherProtocol.none });
  const announcers = virtualRouters.map(
    ({ virtualMac, addresses }) =>
      new Announcer({
        virtualMac,
        addresses,
        send: (frames) => socket.send(frames).sent,
        onSent: () => undefined,
        onFailed: () => undefined,
        onRefused: () => undefined,
      }),
  );
  const wrong = [];
  let right = 0;
  try {
    for (const attachment of attachments) attachment.prepare(segment.parent);
    await segment.frames();
    for (let cycle = 0; cycle < count; cycle++) {
      const tokens = await Promise.all(attachments.map((attachment) => attachment.attach(segment.parent)));
      tokens.forEach((token, index) => {
        announcers[index]?.announce(token);
      });
      await segment.answered();
      if (asks) await segment.asked();
      for (const attachment of attachments) attachment.detach();
      await Promise.all(attachments.map((attachment) => attachment.remake()));
      const frames = await segment.frames();
      const bad = wrongFrames(frames, virtualRouters);
      wrong.push(...bad);
      right += frames.filter(({ operation, port }) => operation === 2 && port === 'client').length - bad.length;
    }
  } finally {
    await Promise.all(attachments.map((attachment) => attachment.destroy()));
    socket.close();
  }
  return { wrong, right };
}

describe('while a client asks 2,000 times a second and every neighbour cache is flushed', () => {
  test('50 takeovers and releases: no frame binds a VIP to another MAC', { timeout: 60_000 }, async () => {
    host = new Host();
    const { wrong, right } = await cycles(50);
    expect(wrong).toEqual([]);
    expect(right).toBeGreaterThan(500);
  });

  // A parent that answers has learned who asks, and never asks itself.
  test('the harness bites: in the right order but without the guards there are wrong frames', async () => {
    host = new Host();
    const { wrong } = await cycles(3, { guards: () => 'none', asks: false });
    expect(wrong.length).toBeGreaterThan(0);
    expect(new Set(wrong.map(({ port }) => port))).toContain('client');
  });

  test('the harness bites: where the parent may ask with any address there are wrong frames', async () => {
    host = new Host();
    const guards = (ifindex: number) => {
      const evidence = host.guards.demand(ifindex);
      writeSysctl(confPath('eth1', 'arp_announce'), '0');
      return evidence;
    };
    const { wrong } = await cycles(3, { guards });
    expect(new Set(wrong.map(({ operation, targetIp }) => `${operation} ${targetIp}`))).toEqual(
      new Set(['1 10.77.0.100']),
    );
  });

  test('the harness bites: with the guards but in the naive order there are wrong frames', async () => {
    host = new Host();
    const [spec] = virtualRouters;
    if (spec === undefined) throw new Error('no virtual router');
    host.monitor.drain();
    host.guards.demand(segment.parent);
    await segment.frames();
    const wrong = [];
    for (let cycle = 0; cycle < 20 && wrong.length === 0; cycle++) {
      ip(`link add naive link eth1 type macvlan mode private`);
      ip('link set naive addrgenmode none');
      ip(`addr add ${spec.addresses[0]}/32 dev naive`);
      ip('link set naive up');
      ip(`link set naive address ${spec.virtualMac}`);
      ip('link del naive');
      wrong.push(...wrongFrames(await segment.frames(), virtualRouters));
    }
    expect(wrong.length).toBeGreaterThan(0);
  });
});

describe('reverse-path filtering', () => {
  const echoPort = 7007;

  /** Whether a datagram of the client to the VIP is answered. */
  async function isAnswered(vip: string): Promise<boolean> {
    const server = createSocket('udp4', (message, from) => server.send(message, from.port, from.address));
    server.bind(echoPort, vip);
    await once(server, 'listening');
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', () => { console.log('answered'); process.exit(); });
      const ask = () => socket.send('?', ${echoPort}, '${vip}');
      ask();
      setInterval(ask, 50);
      setTimeout(() => { console.log('silence'); process.exit(); }, 1000);`;
    const client = spawn('ip', ['netns', 'exec', process.env.KOI_TEST_CLIENT ?? '', process.execPath, '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = await once(createInterface({ input: client.stdout }), 'line');
      return line === 'answered';
    } finally {
      server.close();
    }
  }

  test.each([
    ['0', 0],
    ['1', 2],
    ['2', 0],
  ])('all.rp_filter=%s: the link gets %i, and the VIP answers', async (all, expected) => {
    host = new Host();
    const [spec] = virtualRouters;
    if (spec === undefined) throw new Error('no virtual router');
    const attachment = host.attachment(spec);
    host.monitor.drain();
    attachment.prepare(segment.parent);
    const before = readSysctl(confPath('all', 'rp_filter'));
    // After the link was made: nothing tells of such a change, so the attach has to look.
    writeSysctl(confPath('all', 'rp_filter'), all);
    try {
      await attachment.attach(segment.parent);
      expect(good(getLink(host.netlink, attachment.linkIfindex ?? 0)).ipv4Conf?.rpFilter).toBe(expected);
      const renewing = setInterval(() => host.renew(attachment), 500);
      try {
        expect(await isAnswered(spec.addresses[0] ?? '')).toBe(true);
        writeSysctl(confPath('all', 'rp_filter'), '1');
        writeSysctl(confPath(spec.linkName, 'rp_filter'), '1');
        expect(await isAnswered(spec.addresses[0] ?? ''), 'strict would drop the requests').toBe(false);
      } finally {
        clearInterval(renewing);
      }
    } finally {
      writeSysctl(confPath('all', 'rp_filter'), before);
      await attachment.destroy();
    }
  });
});
