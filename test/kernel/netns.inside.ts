import { afterEach, beforeEach, expect, test } from 'vitest';
import { addAddress, dumpAddresses } from '../../src/kernel/addresses.js';
import { netnsInode } from '../../src/kernel/host-identity.js';
import { createMacvlan, deleteLinksInBackground, dumpLinks, getLink, setUp } from '../../src/kernel/links.js';
import { KernelMonitor } from '../../src/kernel/monitor.js';
import { ROUTE_PROTOCOL } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { Netns } from '../../src/kernel/netns.js';
import { addRoutes, type RouteSpec, removeRoutes, routeAlreadyGone } from '../../src/kernel/routes.js';
import { confPath, readSysctl, readSysctlIfPresent, writeSysctl } from '../../src/kernel/sysctl.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { type Cable, good, ip, layCable, milliseconds } from './cable.js';

const name = `kt${process.pid}b`;
let cable: Cable;
let home: Netlink;

function enter(): Netns {
  const netns = Netns.open({ by: 'name', value: name });
  if (netns === undefined) throw new Error(`${name} is not there`);
  return netns;
}

beforeEach(async () => {
  ip(`netns add ${name}`);
  cable = await layCable();
  home = Netlink.open();
});

afterEach(() => {
  home.close();
  cable.remove();
  try {
    ip(`netns del ${name}`);
  } catch {
    // The test has deleted it.
  }
});

test('a socket in another namespace sees its links, and this thread is back at once', () => {
  const netns = enter();
  const before = netnsInode();
  const there = Netlink.open(0, netns);
  expect(good(dumpLinks(there)).map((link) => link.name)).toEqual(['lo']);
  expect(good(dumpLinks(home)).map((link) => link.name)).toContain(cable.nearName);
  expect(netnsInode()).toBe(before);
  there.close();
  netns.close();
});

test('a link is made in the other namespace with its MAC, and never was in ours', () => {
  const netns = enter();
  const monitor = KernelMonitor.open();
  const seen: string[] = [];
  monitor.on((event) => seen.push(event.type));
  const mac = vrrpVirtualMac(4, 7);
  const spec = { name: 'koi7.x', parentIfindex: cable.near, mac, mode: 'private', group: 0x4b00_0001, netns } as const;
  expect(createMacvlan(home, spec)).toEqual({ ok: true });
  monitor.drain();
  expect(seen).toEqual([]);
  expect(getLink(home, 'koi7.x')).toMatchObject({ ok: false, errno: 'ENODEV' });
  const there = Netlink.open(0, netns);
  const link = good(getLink(there, 'koi7.x'));
  expect(link).toMatchObject({ mac, parentIfindex: cable.near, macvlanMode: 'private', group: 0x4b00_0001 });
  expect(link.flags.up).toBe(false);
  expect(setUp(there, link.ifindex)).toEqual({ ok: true });
  expect(createMacvlan(home, spec)).toMatchObject({ ok: false, errno: 'EEXIST' });
  monitor.close();
  there.close();
  netns.close();
});

test('a monitor follows the other namespace; what deletes in the background does so there', async () => {
  const netns = enter();
  const monitor = KernelMonitor.open({ netns });
  monitor.start();
  const there = Netlink.open(0, netns);
  createMacvlan(home, {
    name: 'koi8.x',
    parentIfindex: cable.near,
    mac: vrrpVirtualMac(4, 8),
    mode: 'private',
    group: 1,
    netns,
  });
  const link = await monitor.waitFor(() => monitor.linkByName('koi8.x'), 1000, 'koi8.x');
  const spec = { ifindex: link.ifindex, address: '10.9.9.9', prefixLength: 32, proto: 0xc4 };
  expect(addAddress(there, spec)).toEqual({ ok: true });
  expect(good(dumpAddresses(home)).some(({ address }) => address === '10.9.9.9')).toBe(false);
  expect(await deleteLinksInBackground(there, [link.ifindex], 1000)).toEqual([{ ok: true }]);
  await monitor.waitFor(() => (monitor.linkByName('koi8.x') === undefined ? true : undefined), 1000, 'it to go');
  monitor.close();
  there.close();
  netns.close();
});

test('its sysctls are its own', () => {
  const netns = enter();
  const path = confPath('all', 'arp_ignore');
  const ours = readSysctl(path);
  writeSysctl(path, '1', netns);
  expect(readSysctl(path, netns)).toBe('1');
  expect(readSysctl(path)).toBe(ours);
  expect(readSysctlIfPresent(confPath('nosuch', 'arp_ignore'), netns)).toBeUndefined();
  netns.close();
});

test('a namespace that is deleted, made anew, or only a file so far, is told from what was opened', async () => {
  expect(Netns.open({ by: 'name', value: `${name}none` })).toBeUndefined();
  const netns = enter();
  expect(netns.state()).toBe('present');
  ip(`netns del ${name}`);
  expect(netns.state()).toBe('absent');
  ip(`netns add ${name}`);
  expect(netns.state()).toBe('replaced');
  netns.close();
  await milliseconds(0);
  expect(enter().state()).toBe('present');
});

test('routes: on the link without a network, tagged, refused beside an equal one, gone with the address', () => {
  const netlink = home;
  ip(`addr add 10.77.0.1/24 dev ${cable.nearName}`);
  const [near] = [cable.near];
  addAddress(netlink, { ifindex: near, address: '10.77.0.254', prefixLength: 32, proto: 0xc4 });
  const route = (over: Partial<RouteSpec>): RouteSpec => ({
    destination: { address: '192.0.2.0', prefixLength: 24 },
    ifindex: near,
    via: undefined,
    source: undefined,
    table: undefined,
    metric: undefined,
    protocol: ROUTE_PROTOCOL,
    behindOthers: false,
    ...over,
  });
  const viaNextHop = route({ via: '172.31.0.9', source: '10.77.0.254', table: 1000, metric: 42 });
  const toNetwork = route({ destination: { address: '10.77.0.0', prefixLength: 24 }, behindOthers: true });
  const six = route({ destination: { address: '2001:db8:9::', prefixLength: 48 }, via: 'fe80::9' });
  const all = [route({}), viaNextHop, toNetwork, six];
  expect(addRoutes(netlink, all)).toEqual(all.map(() => ({ ok: true })));
  expect(ip(`route show table 1000`)).toContain(
    `192.0.2.0/24 via 172.31.0.9 dev ${cable.nearName} proto 107 src 10.77.0.254 metric 42 onlink`,
  );
  expect(ip(`route show dev ${cable.nearName}`)).toMatch(
    /^10\.77\.0\.0\/24 proto kernel.*\n10\.77\.0\.0\/24 proto 107/m,
  );
  expect(ip(`-6 route show proto 107`)).toContain('2001:db8:9::/48 via fe80::9');
  expect(addRoutes(netlink, [route({})])).toMatchObject([{ ok: false, errno: 'EEXIST' }]);
  expect(removeRoutes(netlink, all)).toEqual(all.map(() => ({ ok: true })));
  expect(ip(`route show table all proto 107`)).toBe('');
  expect(removeRoutes(netlink, [six]).every(routeAlreadyGone)).toBe(true);
});
