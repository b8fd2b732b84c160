import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AttachmentOptions, AttachSpec } from '../../src/attach/attachment.js';
import { type FailpointName, failpointNames } from '../../src/failpoint.js';
import { linkGroup } from '../../src/kernel/names.js';
import { installArpGuard, readArpGuard, removeArpGuard } from '../../src/kernel/nft-arp-net.js';
import { installNeighbourGuard, readNeighbourGuard, removeNeighbourGuard } from '../../src/kernel/nft-neighbour-net.js';
import { confPath, writeSysctl } from '../../src/kernel/sysctl.js';
import { familyOf } from '../../src/wire/address.js';
import { Host } from '../attach/host.js';
import { good, ip } from '../kernel/cable.js';
import { Trap } from './failpoints.js';
import { figure } from './figure.js';
import { attachCycles, type Counts, RaceSegment } from './segment.js';
import { duplicates, ipv4, ipv6, vip4, vip6 } from './specs.js';

const isAll = process.env.KOI_RACES === 'all';
const cycleCount = isAll ? 1000 : 60;
const delayMs = isAll ? 500 : 50;
const cyclesEach = isAll ? 5 : 1;
const requestsPerSecond = 5000;
const sabotaged = Math.floor(cycleCount / 3);

let segment: RaceSegment;
let host: Host;

beforeAll(() => {
  segment = new RaceSegment();
});
beforeEach(() => {
  host = new Host();
  host.monitor.drain();
});
afterEach(() => {
  host.close();
});
afterAll(() => {
  segment.remove();
});

/** Takes over and releases `count` times under the flood. */
async function race(
  spec: AttachSpec,
  count: number,
  options: Partial<AttachmentOptions> = {},
  during: () => () => void = () => () => undefined,
): Promise<Counts> {
  const watch = await segment.watch([spec], requestsPerSecond);
  const parentHas = ip('-o addr show dev eth1');
  const attachment = host.attachment(spec, { duplicates, ...options });
  const stop = during();
  try {
    attachment.prepare(segment.parent);
    await attachCycles(count, { attachments: [attachment], segment, watch });
  } finally {
    stop();
    await attachment.destroy();
  }
  const counts = await watch.end();
  expect(counts.dropped, 'the record is not complete').toBe(0);
  expect(ip('-o addr show dev eth1'), 'the parent is not touched').toBe(parentHas);
  return counts;
}

/** The order of the report: an address that is visible, and a virtual MAC afterwards. */
async function naive(spec: AttachSpec, count = 5): Promise<Counts> {
  const [vip = ''] = spec.addresses;
  const prefix = familyOf(vip) === 6 ? 128 : 32;
  const watch = await segment.watch([spec], requestsPerSecond);
  for (let cycle = 0; cycle < count; cycle++) {
    ip(`addr add ${vip}/${prefix} dev eth1${prefix === 128 ? ' nodad' : ''}`);
    ip(`link add naive link eth1 address ${spec.virtualMac} type macvlan mode private`);
    ip('link set naive addrgenmode none');
    ip('link set naive up');
    ip(`addr del ${vip}/${prefix} dev eth1`);
    ip(`addr add ${vip}/${prefix} dev naive${prefix === 128 ? ' nodad' : ''}`);
    await watch.answered(5);
    ip('link del naive');
  }
  return watch.end();
}

describe.each([
  ['ARP', ipv4],
  ['neighbour discovery', ipv6],
] as const)('under %s requests, 5,000 a second', (what, spec) => {
  test('the harness bites: in the naive order there are wrong frames', async () => {
    const counts = await naive(spec);
    figure(`${what}, naive order, 5 cycles`, counts);
    expect(counts.wrong).toBeGreaterThan(0);
  });

  test(`${cycleCount} takeovers and releases: none is wrong`, async () => {
    const counts = await race(spec, cycleCount);
    figure(`${what}, ${cycleCount} cycles, a second NIC on the segment`, counts);
    expect(counts.kinds).toEqual({});
    expect(counts.right).toBeGreaterThan(cycleCount * 50);
  });

  test('with a second macvlan that is up, none is wrong', async () => {
    ip('link add other link eth1 address 02:00:00:00:00:77 type macvlan mode bridge');
    try {
      ip('link set other addrgenmode none');
      ip('link set other up');
      host.monitor.drain();
      const count = cycleCount / 5;
      const counts = await race(spec, count);
      figure(`${what}, ${count} cycles, a second macvlan`, counts);
      expect(counts.kinds).toEqual({});
      expect(counts.right).toBeGreaterThan(count * 50);
    } finally {
      ip('link del other');
    }
  });

  const onTheWay = failpointNames.filter((name) => /^(link|attach|detach)\./.test(name) && isPassed(name, spec));
  test(`with each of ${onTheWay.length} steps delayed by ${delayMs} ms, none is wrong`, async () => {
    const watch = await segment.watch([spec], requestsPerSecond);
    for (const name of onTheWay) {
      const trap = new Trap(name, { kind: 'delay', ms: delayMs });
      const attachment = host.attachment(spec, { duplicates });
      try {
        await attachCycles(cyclesEach, { attachments: [attachment], segment, watch });
        expect(trap.sprung, name).toBeGreaterThanOrEqual(cyclesEach);
        expect((await watch.counts()).kinds, name).toEqual({});
      } finally {
        await attachment.destroy();
        trap.remove();
      }
    }
    const counts = await watch.end();
    figure(`${what}, ${onTheWay.length} steps delayed by ${delayMs} ms in turn, ${cyclesEach} cycles each`, counts);
    expect(counts.dropped).toBe(0);
    expect(counts.right).toBeGreaterThanOrEqual(onTheWay.length * 50);
  });
});

/** Only what has them adds routes, or asks for duplicates. */
function isPassed(name: FailpointName, { addresses, routes }: AttachSpec): boolean {
  if (name === 'attach.routes') return routes !== undefined;
  return name !== 'attach.duplicates' || addresses.some((address) => familyOf(address) === 6);
}

describe('where somebody keeps taking the guards away', () => {
  const table = 'koi-races';

  afterEach(() => {
    removeArpGuard(table);
    for (const key of ['arp_ignore', 'arp_announce'] as const) writeSysctl(confPath('eth1', key), '0');
  });

  const sabotage = (): (() => void) => {
    const timer = setInterval(() => {
      for (const name of ['eth1', 'eth2']) {
        for (const key of ['arp_ignore', 'arp_announce'] as const) writeSysctl(confPath(name, key), '0');
      }
    }, 1);
    return () => clearInterval(timer);
  };

  test('without the nftables net wrong frames leave: the sabotage bites', async () => {
    const counts = await race(ipv4, 5, {}, sabotage);
    figure('ARP, guards sabotaged, no net, 5 cycles', counts);
    expect(counts.wrong).toBeGreaterThan(0);
  });

  test('the net counts them, and none leaves', async () => {
    const installed = installArpGuard(table, [{ address: vip4, mac: ipv4.virtualMac }]);
    expect(installed).toEqual({ ok: true });
    const counts = await race(ipv4, sabotaged, {}, sabotage);
    const dropped = good(readArpGuard(table)).counters.reduce((sum, { droppedPackets }) => sum + droppedPackets, 0);
    figure(`ARP, guards sabotaged, ${sabotaged} cycles`, counts, `, ${dropped} dropped by the net`);
    expect(counts.kinds).toEqual({});
    expect(dropped).toBeGreaterThan(0);
  });
});

describe('an IPv6 address that is visible before its virtual MAC', () => {
  const table = 'koi-races';

  afterEach(() => {
    removeNeighbourGuard(table);
  });

  test('under the net none is wrong, and each is counted', async () => {
    const guarded = [{ address: vip6, mac: ipv6.virtualMac }];
    expect(installNeighbourGuard(table, linkGroup('races', 'r1'), guarded)).toEqual({ ok: true });
    const count = isAll ? 200 : 5;
    const counts = await naive(ipv6, count);
    const dropped = good(readNeighbourGuard(table)).counters.reduce((sum, each) => sum + each.droppedPackets, 0);
    figure(`neighbour discovery, naive order, ${count} cycles`, counts, `, ${dropped} dropped by the net`);
    expect(counts.kinds).toEqual({});
    expect(counts.dropped).toBe(0);
    expect(counts.right).toBeGreaterThanOrEqual(count * 5);
    expect(dropped).toBeGreaterThan(0);
  });

  test('Koi under its own net: nothing right is dropped', async () => {
    const guarded = [{ address: vip6, mac: ipv6.virtualMac }];
    expect(installNeighbourGuard(table, ipv6.group, guarded)).toEqual({ ok: true });
    const counts = await race(ipv6, sabotaged);
    figure(`neighbour discovery, ${sabotaged} cycles under the net`, counts);
    expect(counts.kinds).toEqual({});
    expect(counts.right).toBeGreaterThan(sabotaged * 50);
    expect(good(readNeighbourGuard(table)).counters).toEqual([{ address: vip6, droppedPackets: 0 }]);
  });
});
