import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  configureLink,
  createMacvlan,
  createMacvlans,
  deleteGroup,
  deleteLink,
  deleteLinksInBackground,
  dumpLinks,
  getLink,
  setDown,
  setUp,
  setUpAll,
} from '../../src/kernel/links.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { confPath, readSysctl } from '../../src/kernel/sysctl.js';
import { carpVirtualMac, type MacAddress, vrrpVirtualMac } from '../../src/wire/mac.js';
import { type Cable, good, ip, layCable } from './cable.js';

const group = 0x4b00_0001;
let cable: Cable;
let netlink: Netlink;

beforeAll(async () => {
  cable = await layCable();
  netlink = Netlink.open();
});
afterEach(() => {
  deleteGroup(netlink, group);
});
afterAll(() => {
  netlink.close();
  cable.remove();
});

const spec = (name: string, mac: MacAddress) =>
  ({ name, parentIfindex: cable.near, mac, mode: 'private', group }) as const;

describe('a vMAC link', () => {
  test('is created whole: MAC, mode and group in place, down', () => {
    expect(createMacvlan(netlink, spec('koi7', vrrpVirtualMac(4, 7)))).toEqual({ ok: true });
    const link = good(getLink(netlink, 'koi7'));
    expect(link).toMatchObject({
      kind: 'macvlan',
      mac: '00:00:5e:00:01:07',
      macvlanMode: 'private',
      group,
      parentIfindex: cable.near,
      hardwareType: 1,
      flags: { up: false },
    });
    expect(ip('-d link show dev koi7')).toContain('macvlan mode private');
  });

  test('takes alias, address generation and IPv4 settings in one message while down', () => {
    createMacvlan(netlink, spec('koi8', vrrpVirtualMac(4, 8)));
    const { ifindex } = good(getLink(netlink, 'koi8'));
    const ipv4Conf = { arpIgnore: 1, arpAnnounce: 2, arpNotify: 0, rpFilter: 0, arpFilter: 1, acceptLocal: 1 };
    expect(configureLink(netlink, ifindex, { alias: 'koi:edge:gw:b', addrGenModeNone: true, ipv4Conf })).toEqual({
      ok: true,
    });
    expect(good(getLink(netlink, ifindex))).toMatchObject({ alias: 'koi:edge:gw:b', addrGenMode: 'none', ipv4Conf });
    for (const [key, value] of [
      ['arp_ignore', '1'],
      ['arp_announce', '2'],
      ['arp_notify', '0'],
      ['rp_filter', '0'],
      ['arp_filter', '1'],
      ['accept_local', '1'],
    ] as const) {
      expect(readSysctl(confPath('koi8', key)), key).toBe(value);
    }
    expect(setUp(netlink, ifindex)).toEqual({ ok: true });
    expect(good(getLink(netlink, ifindex)).flags.up).toBe(true);
    expect(ip('-6 addr show dev koi8')).toBe('');
    expect(setDown(netlink, ifindex)).toEqual({ ok: true });
  });

  test('is refused when the name is taken, and the present one stays as it is', () => {
    createMacvlan(netlink, spec('koi9', vrrpVirtualMac(4, 9)));
    expect(createMacvlan(netlink, spec('koi9', vrrpVirtualMac(4, 10)))).toMatchObject({ ok: false, errno: 'EEXIST' });
    expect(good(getLink(netlink, 'koi9')).mac).toBe('00:00:5e:00:01:09');
  });

  test('with a MAC in use is created, but does not come up: EADDRINUSE', () => {
    createMacvlans(netlink, [spec('koi11', carpVirtualMac(11)), spec('koi11b', carpVirtualMac(11))]);
    const [first, second] = ['koi11', 'koi11b'].map((name) => good(getLink(netlink, name)).ifindex);
    expect(setUpAll(netlink, [first ?? 0, second ?? 0])).toMatchObject([
      { ok: true },
      { ok: false, errno: 'EADDRINUSE' },
    ]);
  });

  test('on a parent that is gone names the errno', () => {
    expect(createMacvlan(netlink, { ...spec('koi12', vrrpVirtualMac(4, 12)), parentIfindex: 999_999 })).toMatchObject({
      ok: false,
      errno: 'ENODEV',
    });
  });
});

test('links are found by alternative names', () => {
  ip(`link property add dev ${cable.farName} altname enp-far-away-from-here`);
  const link = good(getLink(netlink, 'enp-far-away-from-here'));
  expect(link).toMatchObject({ ifindex: cable.far, altNames: ['enp-far-away-from-here'], kind: 'veth' });
  expect(getLink(netlink, 'nowhere')).toMatchObject({ ok: false, errno: 'ENODEV' });
  expect(getLink(netlink, 999_999)).toMatchObject({ ok: false, errno: 'ENODEV' });
});

test('300 links are made in one go, dumped, and deleted as a group in one message', () => {
  const specs = Array.from({ length: 300 }, (_, n) =>
    spec(
      `koi${n}.g`,
      `02:00:5e:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}` as MacAddress,
    ),
  );
  expect(createMacvlans(netlink, specs).every((ack) => ack.ok)).toBe(true);
  const mine = () => good(dumpLinks(netlink)).filter((link) => link.group === group);
  expect(mine()).toHaveLength(300);
  expect(deleteGroup(netlink, group)).toEqual({ ok: true });
  expect(mine()).toHaveLength(0);
  expect(deleteGroup(netlink, group)).toMatchObject({ ok: false, errno: 'ENODEV' });
  expect(deleteGroup(netlink, 0)).toMatchObject({ ok: false, errno: 'EPERM' });
  expect(good(getLink(netlink, cable.near)).ifindex).toBe(cable.near);
});

test('deleting in the background leaves the event loop free', async () => {
  const macs = Array.from({ length: 12 }, (_, n) => vrrpVirtualMac(4, n + 100));
  const make = () => {
    createMacvlans(
      netlink,
      macs.map((mac, n) => spec(`koi${n}.d`, mac)),
    );
    return good(dumpLinks(netlink))
      .filter((link) => link.group === group)
      .map((link) => link.ifindex);
  };

  const inLoop = make();
  setUpAll(netlink, inLoop);
  let started = performance.now();
  for (const ifindex of inLoop) deleteLink(netlink, ifindex);
  const blockedMs = performance.now() - started;

  const inBackground = make();
  setUpAll(netlink, inBackground);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  started = performance.now();
  const acks = await deleteLinksInBackground(netlink, inBackground, 5000);
  const tookMs = performance.now() - started;
  delay.disable();
  expect(acks).toEqual(inBackground.map(() => ({ ok: true })));
  expect(good(dumpLinks(netlink)).filter((link) => link.group === group)).toHaveLength(0);
  process.stdout.write(
    `deleting 12 links: in the loop ${blockedMs.toFixed(0)} ms, in the background ${tookMs.toFixed(0)} ms with the loop ` +
      `late by at most ${(delay.max / 1e6).toFixed(1)} ms\n`,
  );
  expect(delay.max / 1e6).toBeLessThan(blockedMs / 3);
});

test('a background request that nobody answers ends at its deadline', async () => {
  const started = performance.now();
  // NLMSG_NOOP is never acknowledged.
  const [ack] = await netlink.requestInBackground([Uint8Array.of(16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)], 50);
  // The ack flag makes some kernels answer even that; either way the wait is bounded.
  if (ack?.ok === false) expect(ack.errno).toBe('ETIMEDOUT');
  expect(performance.now() - started).toBeLessThan(1000);
});

test('an answer that came while the thread stood still counts, though its time is over', async () => {
  ip('link add kansw0 type veth peer name kansw1');
  const { ifindex } = good(getLink(netlink, 'kansw0'));
  // The kernel has answered when the request is sent: it deletes meanwhile.
  expect(await deleteLinksInBackground(netlink, [ifindex], 0)).toEqual([{ ok: true }]);
});

test('of four threads creating the same name at once exactly one wins, 100 times', { timeout: 30_000 }, async () => {
  const rounds = 100;
  // [0] counts arrivals, [1] is the round that may run.
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const wins = new Int32Array(new SharedArrayBuffer(4 * rounds));
  const racers = Array.from(
    { length: 4 },
    (_, racer) =>
      new Worker(new URL('./racer.mjs', import.meta.url), {
        workerData: { gate, wins, rounds, racer, parentIfindex: cable.near, group },
      }),
  );
  const finished = Promise.all(
    racers.map((racer) => new Promise((resolve, reject) => racer.once('exit', resolve).once('error', reject))),
  );
  await finished;
  expect([...wins]).toEqual(Array.from({ length: rounds }, () => 1));
});
