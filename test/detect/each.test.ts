import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ArpPacket, arpReply, arpRequest, encodeArp, gratuitousArp } from '../../src/wire/arp.js';
import { allocateFrame, etherType, writeEthernet } from '../../src/wire/ethernet.js';
import { buildIpFrame } from '../../src/wire/ip-frame.js';
import { broadcastMac, type MacAddress, vrrpVirtualMac } from '../../src/wire/mac.js';
import { encodeNdp, neighborSolicitation, unsolicitedNeighborAdvertisement } from '../../src/wire/ndp.js';
import { buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame } from '../../src/wire/vrrp-frame.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { type Node, Site } from '../election/site.js';
import { bindingOf } from '../interop/binding.js';
import { koiTimeline } from '../lab/koi-api.js';
import { vip } from '../lab/topology.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { Injector } from '../races/injector.js';
import { type Episode, evidenceOf, sampleAt, seen } from './episodes.js';
import { inside, ip } from './hosts.js';

/*
 * Every detector, over IPv4 and IPv6, with frames of a third host and changes of the kernel made by hand: the episode with
 * its evidence at the node that sees it and, through the log, at the other; its metric; its line in `koi status` and in the
 * timeline; and what heals, looked for on the wire and in the kernel.
 */
const isRoot = process.getuid?.() === 0;
const vips = { 4: vip, 6: '2001:db8:77::254' } as const;
const macs = { 4: vrrpVirtualMac(4, 51), 6: vrrpVirtualMac(6, 51) } as const;
const client = '10.77.0.100';
const client6 = '2001:db8:77::100';
/** The master announces at once, at most every 200 ms, and a reader of the record is later. */
const healsWithinMs = 300 + stallMs;

const offender = (index: number): MacAddress => `02:00:00:00:66:0${index}` as MacAddress;

function arp(etherSource: MacAddress, packet: ArpPacket): Uint8Array {
  const frame = allocateFrame(28);
  writeEthernet(frame, 0, { destination: broadcastMac, source: etherSource, etherType: etherType.arp });
  frame.set(encodeArp(packet), 14);
  return frame;
}

/** A neighbour advertisement whose header says another MAC than its option. */
function advertisement(etherSource: MacAddress, linkLayerAddress: MacAddress): Uint8Array {
  const [source, destination] = [vips[6], 'ff02::1'];
  const message = { type: 'advertisement', router: false, solicited: false, override: true } as const;
  const payload = encodeNdp({ ...message, target: vips[6], linkLayerAddress }, source, destination);
  return buildIpFrame({ etherSource, source, destination, protocol: 58, trafficClass: 0, payload });
}

const speaks = { senderAddress: vips[4], targetAddress: client, targetMac: '00:00:00:00:00:00' as MacAddress } as const;
/** By kind: what is sent, and how the evidence names it. */
const forgeries: readonly {
  readonly kind: string;
  readonly family: 4 | 6;
  readonly mac: MacAddress;
  readonly frame: Uint8Array;
  readonly words: string;
}[] = [
  {
    kind: 'arp_announcement',
    family: 4,
    mac: offender(1),
    frame: gratuitousArp({ virtualMac: offender(1), address: vips[4], operation: 'request' }),
    words: `ARP request for ${vips[4]}`,
  },
  {
    kind: 'arp_reply',
    family: 4,
    mac: offender(2),
    frame: arp(offender(2), { ...speaks, opcode: arpReply, senderMac: offender(2) }),
    words: `ARP reply for ${client}`,
  },
  {
    kind: 'arp_request',
    family: 4,
    mac: offender(3),
    frame: arp(offender(3), { ...speaks, opcode: arpRequest, senderMac: offender(3) }),
    words: `ARP request for ${client}`,
  },
  {
    kind: 'ethernet_source',
    family: 4,
    mac: offender(4),
    frame: arp(offender(4), { ...speaks, opcode: arpReply, senderMac: macs[4] }),
    words: `ARP reply for ${client}`,
  },
  {
    kind: 'na',
    family: 6,
    mac: offender(5),
    frame: unsolicitedNeighborAdvertisement({ virtualMac: offender(5), address: vips[6], router: true }),
    words: 'neighbour advertisement to ff02::1',
  },
  {
    kind: 'ns',
    family: 6,
    mac: offender(6),
    frame: neighborSolicitation({ senderMac: offender(6), senderAddress: vips[6], targetAddress: client6 }),
    words: `neighbour solicitation for ${client6}`,
  },
  {
    kind: 'ethernet_source',
    family: 6,
    mac: offender(7),
    frame: advertisement(offender(7), macs[6]),
    words: 'neighbour advertisement to ff02::1',
  },
];

describe.skipIf(!isRoot || natsServerBinary === undefined)('each detector (needs root)', { timeout: 60_000 }, () => {
  let koi: BuiltKoi;
  let site: Site;
  let master: Node;
  let backup: Node;
  let thief: Injector;
  let inMaster: Injector;
  const began = new Date();

  beforeAll(async () => {
    koi = buildKoi();
    site = await Site.begin(3);
    const { clientNetns, routers } = site.topology;
    ip(clientNetns, 'addr', 'add', `${client6}/64`, 'dev', 'eth1', 'nodad');
    const addresses = [`${vips[4]}/24`, `${vips[6]}/64`];
    ({ master, backup } = await site.pair(koi.main, { addresses }));
    await master.knows(backup);
    await backup.knows(master);
    thief = await Injector.begin(routers[2]?.netns ?? '');
    inMaster = await Injector.begin(master.router.netns);
  }, 120_000);
  afterAll(async () => {
    thief?.end();
    inMaster?.end();
    await site?.close();
    koi?.remove();
  }, 60_000);

  /** When the master next says on the wire where the address is, after a time. */
  async function announced(family: 4 | 6, afterMs: number): Promise<number> {
    const isAnnouncement = (bytes: Uint8Array): boolean => {
      const binding = bindingOf(bytes);
      return binding?.address === vips[family] && binding.mac === macs[family] && binding.etherSource === macs[family];
    };
    let atMs = Number.NaN;
    const look = (): string | undefined => {
      const found = master.recorder.frames.find(
        ({ atSeconds, bytes }) => atSeconds * 1000 >= afterMs && isAnnouncement(bytes),
      );
      atMs = (found?.atSeconds ?? Number.NaN) * 1000;
      return found === undefined ? 'it has not announced' : undefined;
    };
    await waitUntil(`the master to announce ${vips[family]}`, look, { deadlineMs: 5000, everyMs: 5 });
    return atMs - afterMs;
  }

  const metric = async (node: Node, sample: string, isRight: (value: number) => boolean): Promise<void> => {
    const look = async (): Promise<string | undefined> => {
      const value = (await sampleAt(node.socket, sample)) ?? Number.NaN;
      return isRight(value) ? undefined : `it is ${value}`;
    };
    await waitUntil(`${sample} of ${node.name}`, look, { deadlineMs: 5000 });
  };

  /** At the node that saw it and, read from the log, at the other; in both since about when it happened. */
  async function told(by: Node, kind: string, isMeant: (episode: Episode) => boolean, sinceMs: number) {
    const isIt = (episode: Episode): boolean => episode.kind === kind && episode.node === by.name && isMeant(episode);
    const { episode } = await seen(by.socket, `${by.name} to see ${kind}`, isIt);
    const tookMs = Date.now() - sinceMs;
    const other = by === master ? backup : master;
    await seen(other.socket, `${other.name} to read of ${kind}`, isIt);
    expect(Date.parse(episode.since)).toBeGreaterThan(sinceMs - stallMs);
    expect(Date.parse(episode.since)).toBeLessThan(sinceMs + 5000);
    return { evidence: evidenceOf(episode), tookMs };
  }

  const print = (what: string, tookMs: number, healedMs?: number): void => {
    const healed = healedMs === undefined ? '' : `, announced again after ${healedMs.toFixed(0)} ms`;
    process.stdout.write(`${what}: told after ${tookMs.toFixed(0)} ms${healed}\n`);
  };

  test.each(forgeries)('wrong MAC, $kind over IPv$family', async ({ kind, family, mac, frame, words }) => {
    const sinceMs = Date.now();
    expect(await thief.send(frame)).toBe(1);
    const healedMs = await announced(family, sinceMs);
    const { evidence, tookMs } = await told(master, 'wrong_mac', ({ subject }) => subject === mac, sinceMs);
    expect(evidence).toEqual({ mac, vip: vips[family], expected: macs[family], kind, frame: words });
    await told(backup, 'wrong_mac', ({ subject }) => subject === mac, sinceMs);
    print(`${kind} over IPv${family}`, tookMs, healedMs);
    expect(healedMs).toBeLessThan(healsWithinMs);
  });

  test('wrong MAC, from this very host', async () => {
    const mac = offender(8);
    const sinceMs = Date.now();
    await inMaster.send(gratuitousArp({ virtualMac: mac, address: vips[4], operation: 'reply' }));
    const { evidence, tookMs } = await told(master, 'wrong_mac', ({ subject }) => subject === mac, sinceMs);
    expect(evidence).toMatchObject({ mac, kind: 'own_frame', frame: `ARP reply for ${vips[4]}` });
    print('own_frame', tookMs);
  });

  test('every wrong frame has counted once, as what it was, at both that heard it', async () => {
    const kinds = [...forgeries.map(({ kind }) => kind), 'own_frame'];
    for (const kind of new Set(kinds)) {
      const count = kinds.filter((each) => each === kind).length;
      await metric(master, `koi_wrong_mac_detected_total{vr="gw",kind="${kind}"}`, (value) => value === count);
    }
    await metric(backup, 'koi_wrong_mac_detected_total{vr="gw",kind="na"}', (value) => value === 1);
    await metric(master, 'koi_episodes_open{vr="gw",kind="wrong_mac"}', (value) => value > 0);
    await metric(master, 'koi_wrong_mac_detected_total{vr="gw",kind="probe_answer"}', (value) => value === 0);
  });

  test.each([4, 6] as const)('leak of the virtual MAC over IPv%i', async (family) => {
    const frame =
      family === 4
        ? gratuitousArp({ virtualMac: macs[4], address: '10.77.0.77', operation: 'request' })
        : unsolicitedNeighborAdvertisement({ virtualMac: macs[6], address: '2001:db8:77::77', router: false });
    const sinceMs = Date.now();
    expect(await thief.send(frame, 4, 100)).toBe(4);
    const isIt = ({ subject }: Episode): boolean => subject === macs[family];
    const { evidence, tookMs } = await told(master, 'virtual_mac_leak', isIt, sinceMs);
    expect(evidence.mac).toBe(macs[family]);
    expect(evidence.frame).toContain(
      family === 4 ? 'ARP request for 10.77.0.77' : 'neighbour advertisement to ff02::1',
    );
    await metric(master, 'koi_virtual_mac_leaks_total{vr="gw"}', (value) => value >= 4);
    print(`virtual_mac_leak over IPv${family}`, tookMs);
  });

  test.each([4, 6] as const)('duplicate id over IPv%i, and no split brain', async (family) => {
    const source = family === 4 ? '10.77.0.77' : 'fe80::77';
    const common = { virtualMac: macs[family], source, vrid: 51, priority: 250, intervalMs: 100 };
    const frame =
      family === 4
        ? buildVrrp3Ipv4Frame({ ...common, addresses: ['10.77.0.66'], checksumForm: 'rfc9568' })
        : buildVrrp3Ipv6Frame({ ...common, addresses: ['fe80::66'] });
    const sinceMs = Date.now();
    await thief.send(frame, 3, 10);
    const { evidence, tookMs } = await told(master, 'duplicate_id', ({ subject }) => subject === source, sinceMs);
    expect(evidence).toEqual({ source, mac: macs[family], advert: 'vrrp 51', why: 'address_mismatch' });
    await metric(master, 'koi_duplicate_id_detected_total{vr="gw"}', (value) => value >= 2);
    await metric(master, 'koi_split_brain{vr="gw"}', (value) => value === 0);
    print(`duplicate_id over IPv${family}`, tookMs);
  });

  test('drift of a sysctl, which is set back', async () => {
    const { netns } = master.router;
    const path = '/proc/sys/net/ipv4/conf/eth1/arp_ignore';
    const sinceMs = Date.now();
    inside(netns, 'sh', '-c', `echo 0 > ${path}`);
    const { evidence, tookMs } = await told(master, 'sysctl_drift', () => true, sinceMs);
    expect(evidence).toEqual({ interface: 'eth1', sysctl: 'arp_ignore', found: '0', repaired: 'true' });
    expect(inside(netns, 'cat', path).trim()).toBe('1');
    await metric(master, 'koi_sysctl_drift{interface="eth1",key="arp_ignore"}', (value) => value === 0);
    print('sysctl_drift', tookMs);
  });

  test.each([4, 6] as const)('another manager takes an address of IPv%i off, which is put back', async (family) => {
    const { netns } = master.router;
    const onLinks = (): { ifname: string }[] =>
      JSON.parse(ip(netns, '-j', 'addr', 'show', 'to', vips[family])) as { ifname: string }[];
    const [link] = onLinks().filter(({ ifname }) => ifname !== undefined);
    const sample = 'koi_link_repairs_total{vr="gw",kind="address_deleted"}';
    const before = (await sampleAt(master.socket, sample)) ?? Number.NaN;
    ip(netns, 'addr', 'del', `${vips[family]}/${family === 4 ? 32 : 128}`, 'dev', link?.ifname ?? '');
    const back = (): string | undefined => (onLinks().some(({ ifname }) => ifname) ? undefined : 'it is gone');
    const backMs = await waitUntil('the address to be back', back, { deadlineMs: 5000, everyMs: 5 });
    // Both are one episode: the same change, by whom is not to be seen.
    const { episode } = await seen(backup.socket, 'the other to be read of', ({ kind }) => kind === 'foreign_manager');
    expect(evidenceOf(episode)).toMatchObject({ change: 'address_deleted', object: vips[4] });
    await metric(master, sample, (value) => value === before + 1);
    process.stdout.write(
      `an address of IPv${family} taken off: back, read from the kernel, after ${backMs.toFixed(0)} ms\n`,
    );
  });

  test('each is a line of koi status, with who, what and a remedy, and an alarm of the timeline', async () => {
    // The first of them are over.
    for (const { frame } of forgeries) await thief.send(frame);
    for (const { mac } of forgeries) {
      await seen(backup.socket, 'it to be seen again', ({ node, subject }) => node === 'r1' && subject === mac);
    }
    const status = execFileSync('node', [koi.main, 'status', '--socket', backup.socket], { encoding: 'utf8' });
    for (const { mac } of forgeries)
      expect(status).toMatch(new RegExp(`wrong_mac gw: .*mac=${mac}.* seen by r1 for .*\\n +→ .{20,}`));
    for (const kind of ['virtual_mac_leak', 'duplicate_id', 'foreign_manager']) {
      expect(status).toMatch(new RegExp(`${kind} gw: .* seen by r1 for .*\\n +→ .{20,}`));
    }
    expect(status).toMatch(/sysctl_drift .*sysctl=arp_ignore.*seen by r1 for .*\n +→ .{20,}/);
    const alarms = (await koiTimeline(backup.socket, began))
      .map(({ text }) => text)
      .filter((text) => /ALARM/.test(text));
    for (const kind of ['wrong_mac', 'virtual_mac_leak', 'duplicate_id', 'sysctl_drift', 'foreign_manager']) {
      expect(alarms.filter((text) => text.includes(`ALARM ${kind}`)).length, kind).toBeGreaterThan(0);
    }
    expect(alarms.join('\n')).not.toContain('split_brain');
    expect(master.hasVip).toBe(true);
  });
});
