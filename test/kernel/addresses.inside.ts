import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  type AddressSpec,
  addAddress,
  addAddresses,
  dumpAddresses,
  removeAddress,
  removeAddresses,
  renewAddress,
} from '../../src/kernel/addresses.js';
import { KernelMonitor } from '../../src/kernel/monitor.js';
import { ADDRESS_PROTO } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { type Cable, good, ip, layCable } from './cable.js';

let cable: Cable;
let netlink: Netlink;

beforeAll(async () => {
  cable = await layCable();
  netlink = Netlink.open();
});
afterEach(() => {
  ip(`addr flush dev ${cable.nearName}`);
});
afterAll(() => {
  netlink.close();
  cable.remove();
});

const vip4 = (last: number, validSeconds = 60): AddressSpec => ({
  ifindex: cable.near,
  address: `10.77.0.${last}`,
  prefixLength: 32,
  proto: ADDRESS_PROTO,
  validSeconds,
});
const vip6 = (last: number): AddressSpec => ({
  ifindex: cable.near,
  address: `2001:db8::${last}`,
  prefixLength: 128,
  proto: ADDRESS_PROTO,
  validSeconds: 60,
});
const mine = () => good(dumpAddresses(netlink)).filter((address) => address.ifindex === cable.near);

test('both families come with host prefix, owner tag and lifetime, without prefix route, v6 usable at once', () => {
  expect(addAddresses(netlink, [vip4(1), vip6(1)])).toEqual([{ ok: true }, { ok: true }]);
  const [v4, v6] = mine();
  const flags = { tentative: false, dadFailed: false, permanent: false, noPrefixRoute: true };
  expect(v4).toMatchObject({
    family: 4,
    address: '10.77.0.1',
    prefixLength: 32,
    proto: ADDRESS_PROTO,
    label: cable.nearName,
    scope: 'global',
    validSeconds: 60,
    flags,
  });
  expect(v6).toMatchObject({
    family: 6,
    address: '2001:db8::1',
    prefixLength: 128,
    proto: ADDRESS_PROTO,
    flags: { ...flags, noDad: true },
  });
  expect(ip(`route show dev ${cable.nearName}`)).toBe('');
});

test('an address that is there already is refused, in the words of the kernel', () => {
  addAddress(netlink, vip4(2));
  expect(addAddress(netlink, vip4(2))).toMatchObject({ ok: false, errno: 'EEXIST' });
  expect(addAddress(netlink, vip6(2))).toEqual({ ok: true });
  expect(addAddress(netlink, vip6(2))).toMatchObject({ ok: false, errno: 'EEXIST' });
  expect(mine()).toHaveLength(2);
});

test('a renewal sets the lifetime anew and keeps owner and flags', () => {
  addAddress(netlink, vip4(3, 10));
  expect(renewAddress(netlink, vip4(3, 500))).toEqual({ ok: true });
  expect(mine()).toMatchObject([{ proto: ADDRESS_PROTO, validSeconds: 500, flags: { noPrefixRoute: true } }]);
});

test('a renewal of what is gone adds it again: the kernel does, and callers must know', () => {
  expect(renewAddress(netlink, vip4(4))).toEqual({ ok: true });
  expect(renewAddress(netlink, vip6(4))).toEqual({ ok: true });
  expect(mine()).toHaveLength(2);
});

test('only exactly the given one is removed', () => {
  ip(`addr add 10.77.0.5/24 dev ${cable.nearName}`);
  expect(removeAddress(netlink, vip4(5))).toMatchObject({ ok: false, errno: 'EADDRNOTAVAIL' });
  addAddresses(netlink, [vip4(6), vip4(7), vip6(6)]);
  expect(removeAddresses(netlink, [vip4(6), vip4(9), vip6(6)])).toMatchObject([
    { ok: true },
    { ok: false, errno: 'EADDRNOTAVAIL' },
    { ok: true },
  ]);
  expect(mine().map((address) => address.address)).toEqual(['10.77.0.5', '10.77.0.7']);
});

test('1,000 addresses are added and removed, each with its verdict', () => {
  const specs = Array.from({ length: 1000 }, (_, n) => ({ ...vip4(0), address: `10.78.${n >> 8}.${n & 255}` }));
  let started = performance.now();
  expect(addAddresses(netlink, specs).filter((ack) => !ack.ok)).toEqual([]);
  const addMs = performance.now() - started;
  expect(mine()).toHaveLength(1000);
  started = performance.now();
  expect(removeAddresses(netlink, specs).filter((ack) => !ack.ok)).toEqual([]);
  const removeMs = performance.now() - started;
  process.stdout.write(`1,000 addresses: added in ${addMs.toFixed(1)} ms, removed in ${removeMs.toFixed(1)} ms\n`);
  expect(mine()).toEqual([]);
});

test('an address that nobody renews goes by itself', async () => {
  const monitor = KernelMonitor.open();
  monitor.start();
  try {
    addAddresses(netlink, [vip4(8, 1), { ...vip6(8), validSeconds: 1 }]);
    await monitor.waitFor(() => (monitor.addressesOf(cable.near).size === 2 ? true : undefined), 1000, 'both there');
    const gone = () => (monitor.addressesOf(cable.near).size === 0 ? true : undefined);
    await monitor.waitFor(gone, 4000, 'both expired');
  } finally {
    monitor.close();
  }
});
