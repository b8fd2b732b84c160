import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { addAddress, addAddresses, dumpAddresses, removeAddresses, renewAddress } from '../../src/kernel/addresses.js';
import { configureLink, createMacvlan, deleteGroup, dumpLinks, setUp } from '../../src/kernel/links.js';
import { type KernelEvent, KernelMonitor } from '../../src/kernel/monitor.js';
import { ADDRESS_PROTO } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { stallMs } from '../lab/wait.js';
import { type Cable, good, ip, layCable } from './cable.js';

const group = 0x4b00_0002;
let cable: Cable;
let netlink: Netlink;
let monitor: KernelMonitor;
let events: KernelEvent[];

beforeAll(async () => {
  cable = await layCable();
  netlink = Netlink.open();
});
beforeEach(() => {
  monitor = KernelMonitor.open();
  events = [];
  monitor.on((event) => events.push(event));
});
afterEach(() => {
  monitor.close();
  deleteGroup(netlink, group);
});
afterAll(() => {
  netlink.close();
  cable.remove();
});

const vip = (n: number) => ({
  ifindex: cable.near,
  address: `10.79.${n >> 8}.${n & 255}`,
  prefixLength: 32,
  proto: ADDRESS_PROTO,
});

/** An event in few words, for comparing. */
function brief(event: KernelEvent): string {
  if (event.type === 'resynced') return event.type;
  if ('link' in event) return `${event.type} ${event.link.name}${event.link.flags.up ? ' up' : ''}`;
  return `${event.type} ${event.address.address}`;
}
const briefly = () => {
  monitor.drain();
  return events.splice(0).map(brief);
};

function makeLink(name: string): number {
  expect(
    createMacvlan(netlink, { name, parentIfindex: cable.near, mac: vrrpVirtualMac(4, 50), mode: 'private', group }),
  ).toEqual({ ok: true });
  monitor.drain();
  return monitor.linkByName(name)?.ifindex ?? 0;
}

describe('the tables follow the kernel, and listeners hear what changes', () => {
  test('a link and its addresses, from creation to deletion', () => {
    const ifindex = makeLink('koi50.m');
    expect(setUp(netlink, ifindex)).toEqual({ ok: true });
    addAddress(netlink, { ...vip(1), ifindex });
    expect(briefly().filter((line) => !line.includes('fe80'))).toEqual([
      'link koi50.m',
      'link koi50.m up',
      'address 10.79.0.1',
    ]);
    expect(monitor.addressesOf(ifindex).get('10.79.0.1/32')?.proto).toBe(ADDRESS_PROTO);
    expect(monitor.holdersOf('10.79.0.1').map((holder) => holder.ifindex)).toEqual([ifindex]);
    deleteGroup(netlink, group);
    const lines = briefly();
    expect(lines).toContain('addressGone 10.79.0.1');
    expect(lines.at(-1)).toBe('linkGone koi50.m');
    expect(monitor.links.has(ifindex)).toBe(false);
    expect(monitor.holdersOf('10.79.0.1')).toEqual([]);
  });

  test('a renamed link keeps its index', () => {
    const ifindex = makeLink('koi51.m');
    briefly();
    ip('link set koi51.m name koi52.m');
    expect(briefly()).toEqual(['link koi52.m']);
    expect(monitor.links.get(ifindex)?.name).toBe('koi52.m');
    expect(monitor.linkByName('koi51.m')).toBeUndefined();
  });

  test('a renewed lifetime is no event, a changed owner is', () => {
    addAddress(netlink, { ...vip(2), validSeconds: 100 });
    briefly();
    renewAddress(netlink, { ...vip(2), validSeconds: 200 });
    expect(briefly()).toEqual([]);
    expect(monitor.addressesOf(cable.near).get('10.79.0.2/32')?.validSeconds).toBe(200);
    renewAddress(netlink, { ...vip(2), proto: 17 });
    monitor.drain();
    expect(events).toMatchObject([{ type: 'address', address: { proto: 17 }, previous: { proto: ADDRESS_PROTO } }]);
    removeAddresses(netlink, [vip(2)]);
  });

  test('an owner that is changed, changed back and changed again is told each time, whatever was renewed between', () => {
    addAddress(netlink, { ...vip(3), validSeconds: 100 });
    briefly();
    for (const proto of [17, ADDRESS_PROTO, 17, ADDRESS_PROTO]) {
      for (let round = 0; round < 3; round++) renewAddress(netlink, { ...vip(3), proto, validSeconds: 100 + round });
      expect(briefly()).toEqual(['address 10.79.0.3']);
      expect(monitor.addressesOf(cable.near).get('10.79.0.3/32')?.proto).toBe(proto);
    }
    removeAddresses(netlink, [vip(3)]);
    addAddress(netlink, { ...vip(3), validSeconds: 100 });
    expect(briefly()).toEqual(['addressGone 10.79.0.3', 'address 10.79.0.3']);
    removeAddresses(netlink, [vip(3)]);
  });

  test('a port that leaves a bridge is not a link that goes', () => {
    ip('link add kbr0 type bridge');
    ip(`link set ${cable.farName} master kbr0`);
    monitor.drain();
    expect(monitor.links.get(cable.far)?.masterIfindex).toBe(monitor.linkByName('kbr0')?.ifindex);
    ip(`link set ${cable.farName} nomaster`);
    ip('link del kbr0');
    expect(briefly().filter((line) => line.startsWith('linkGone'))).toEqual(['linkGone kbr0']);
    expect(monitor.links.get(cable.far)).toMatchObject({ name: cable.farName, masterIfindex: undefined });
  });

  test('carrier lost on a parent shows on the link above it', async () => {
    const ifindex = makeLink('koi53.m');
    setUp(netlink, ifindex);
    monitor.drain();
    expect(monitor.links.get(ifindex)?.carrier).toBe(true);
    ip(`link set ${cable.farName} down`);
    // The kernel passes the news upwards from a worker of its own.
    const lost = () => (monitor.links.get(ifindex)?.operstate === 'lowerLayerDown' ? true : undefined);
    await monitor.waitFor(lost, 2000, 'the link above to lose its carrier');
    expect(monitor.links.get(cable.near)).toMatchObject({ carrier: false, flags: { up: true, lowerUp: false } });
    expect(monitor.links.get(ifindex)).toMatchObject({ carrier: false });
    ip(`link set ${cable.farName} up`);
  });

  test('settings that change without a notification are there after refreshLink', () => {
    const ifindex = makeLink('koi54.m');
    briefly();
    configureLink(netlink, ifindex, { ipv4Conf: { arpIgnore: 1 } });
    expect(briefly()).toEqual([]);
    expect(good(monitor.refreshLink(ifindex)).ipv4Conf?.arpIgnore).toBe(1);
    expect(monitor.links.get(ifindex)?.ipv4Conf?.arpIgnore).toBe(1);
    expect(briefly()).toEqual(['link koi54.m']);
    expect(monitor.refreshLink(999_999)).toMatchObject({ ok: false, errno: 'ENODEV' });
  });
});

describe('when notifications are lost', () => {
  test('the tables are read anew and listeners hear the difference', () => {
    monitor.close();
    monitor = KernelMonitor.open({ receiveBufferBytes: 4096 });
    events = [];
    monitor.on((event) => events.push(event));
    addAddresses(netlink, [vip(3), vip(4)]);
    monitor.drain();
    events = [];

    const many = Array.from({ length: 600 }, (_, n) => vip(n + 100));
    addAddresses(netlink, many);
    removeAddresses(netlink, [vip(3), ...many.slice(0, 300)]);
    const doomed = makeLinkUnseen('koi55.m');
    monitor.drain();

    expect(monitor.overflows).toBeGreaterThan(0);
    const lines = events.map(brief);
    expect(lines.at(-1)).toBe('resynced');
    expect(lines).toContain('addressGone 10.79.0.3');
    expect(lines).not.toContain('addressGone 10.79.0.4');
    expect(lines).toContain('link koi55.m');
    const mine = good(dumpAddresses(netlink)).filter((address) => address.ifindex === cable.near);
    expect([...monitor.addressesOf(cable.near).keys()].sort()).toEqual(
      mine.map((address) => `${address.address}/${address.prefixLength}`).sort(),
    );
    expect(mine).toHaveLength(301);
    expect([...monitor.links.keys()].sort()).toEqual(
      good(dumpLinks(netlink))
        .map((link) => link.ifindex)
        .sort(),
    );
    expect(monitor.links.has(doomed)).toBe(true);
    removeAddresses(netlink, [vip(4), ...many.slice(300)]);
  });

  test('10,000 changes while nobody reads: a moment later the tables are the kernel’s', async () => {
    const many = Array.from({ length: 5000 }, (_, n) => ({
      ...vip(1),
      address: `10.80.${Math.floor(n / 250)}.${1 + (n % 250)}`,
    }));
    addAddresses(netlink, many);
    removeAddresses(netlink, many.slice(0, 4900));
    addAddresses(netlink, many.slice(0, 100));
    const startMs = performance.now();
    monitor.drain();
    const tookMs = performance.now() - startMs;
    const mine = good(dumpAddresses(netlink)).filter((address) => address.ifindex === cable.near);
    expect(mine).toHaveLength(200);
    expect([...monitor.addressesOf(cable.near).keys()].sort()).toEqual(
      mine.map((address) => `${address.address}/${address.prefixLength}`).sort(),
    );
    expect(tookMs).toBeLessThan(1000 + stallMs);
    process.stdout.write(
      `10,000 changes unread: right again after ${tookMs.toFixed(0)} ms, ${monitor.overflows} overflows\n`,
    );
    removeAddresses(netlink, many.slice(4900));
    removeAddresses(netlink, many.slice(0, 100));
  });

  function makeLinkUnseen(name: string): number {
    createMacvlan(netlink, { name, parentIfindex: cable.near, mac: vrrpVirtualMac(4, 55), mode: 'private', group });
    return good(dumpLinks(netlink)).find((link) => link.name === name)?.ifindex ?? 0;
  }

  test('the same through the event loop, where the lost ones come as an error on the socket', async () => {
    monitor.close();
    monitor = KernelMonitor.open({ receiveBufferBytes: 4096 });
    monitor.start();
    const many = Array.from({ length: 600 }, (_, n) => vip(n + 100));
    for (let round = 1; round <= 3; round++) {
      addAddresses(netlink, many);
      const all = () => (monitor.addressesOf(cable.near).size === many.length ? true : undefined);
      await waitTurns(all);
      removeAddresses(netlink, many);
      await waitTurns(() => (monitor.addressesOf(cable.near).size === 0 ? true : undefined));
      expect(monitor.overflows).toBeGreaterThanOrEqual(round);
    }
  });

  /** Like waitFor, without its drain: only the loop may deliver. */
  async function waitTurns(look: () => true | undefined): Promise<void> {
    const end = performance.now() + 2000;
    while (look() === undefined) {
      if (performance.now() > end) throw new Error('the event loop delivered nothing');
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
});

describe('waitFor', () => {
  test('resolves when the kernel says so, with what was looked for', async () => {
    monitor.start();
    const found = monitor.waitFor(() => monitor.addressesOf(cable.near).get('10.79.0.9/32'), 1000, '10.79.0.9');
    addAddress(netlink, vip(9));
    expect((await found).proto).toBe(ADDRESS_PROTO);
    removeAddresses(netlink, [vip(9)]);
  });

  test('rejects at its deadline and names what it waited for', async () => {
    const started = performance.now();
    await expect(monitor.waitFor(() => undefined, 40, 'snow in July')).rejects.toMatchObject({
      code: 'timeout',
      message: 'waited 40 ms in vain for snow in July',
    });
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('rejects when the monitor is closed', async () => {
    const waiting = monitor.waitFor(() => undefined, 10_000, 'nothing');
    monitor.close();
    await expect(waiting).rejects.toMatchObject({ code: 'kernel' });
  });
});

test('a listener may drain, and then hears the rest in order', () => {
  const seen: string[] = [];
  monitor.on((event) => {
    seen.push(brief(event));
    if (seen.length === 1) {
      addAddress(netlink, vip(11));
      monitor.drain();
      expect(monitor.addressesOf(cable.near).has('10.79.0.11/32')).toBe(true);
    }
  });
  addAddress(netlink, vip(10));
  monitor.drain();
  expect(seen).toEqual(['address 10.79.0.10', 'address 10.79.0.11']);
  removeAddresses(netlink, [vip(10), vip(11)]);
});
