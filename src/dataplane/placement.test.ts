import { describe, expect, test } from 'vitest';
import type { RouteConfig, VirtualIp, VrrpRouterConfig } from '../config/config.js';
import { vrrpVirtualMac } from '../wire/mac.js';
import { placementsOf } from './placement.js';

const eth = (number: number) => ({ by: 'name', value: `eth${number}` }) as const;
const vip = (address: string, prefixLength: number, more: Partial<VirtualIp> = {}): VirtualIp => ({
  family: address.includes(':') ? 6 : 4,
  address,
  prefixLength,
  ...more,
});
const route = (to: string, over: Partial<RouteConfig> = {}): RouteConfig => {
  const [address = '', bits] = to.split('/');
  const destination = vip(address, Number(bits));
  return { destination, via: undefined, source: undefined, table: undefined, metric: undefined, ...over };
};

const place = (addresses: readonly VirtualIp[], routes: readonly RouteConfig[] = []) =>
  placementsOf({ interface: eth(1), id: 51, addresses, routes } as unknown as VrrpRouterConfig, (family) =>
    vrrpVirtualMac(family, 51),
  );

describe('placements', () => {
  test('one for each virtual MAC, the first without a key of its own', () => {
    const placed = place([vip('fe80::1', 64), vip('10.0.0.254', 24), vip('10.0.0.253', 24)]);
    expect(placed.map(({ key, addresses }) => [key, addresses])).toEqual([
      ['', ['10.0.0.254', '10.0.0.253']],
      ['00:00:5e:00:02:33', ['fe80::1']],
    ]);
  });

  test('and for each interface, that of the adverts first', () => {
    const placed = place([vip('10.8.0.254', 24, { interface: eth(2) }), vip('10.7.0.254', 24)]);
    expect(placed).toMatchObject([
      { key: '', interface: eth(1), addresses: ['10.7.0.254'] },
      { key: '00:00:5e:00:01:33 name eth2', interface: eth(2), addresses: ['10.8.0.254'] },
    ]);
  });

  test('the interface of the adverts, named again, is no other one', () => {
    expect(place([vip('10.8.0.254', 24, { interface: eth(1) }), vip('10.7.0.254', 24)])).toHaveLength(1);
  });

  test('a prefix route goes behind what is there; other routes over the link of their source, or of their family', () => {
    const placed = place(
      [vip('10.7.0.254', 24), vip('10.8.0.254', 20, { interface: eth(2), prefixRoute: true }), vip('2001:db8::1', 64)],
      [route('192.0.2.0/24', { source: '10.8.0.254' }), route('198.51.100.0/24'), route('2001:db8:9::/48')],
    );
    const summary = placed.map(({ interface: { value }, routes }) => [
      value,
      routes.map(({ destination: { address, prefixLength }, behindOthers }) => [address, prefixLength, behindOthers]),
    ]);
    expect(summary).toEqual([
      ['eth1', [['198.51.100.0', 24, false]]],
      ['eth1', [['2001:db8:9::', 48, false]]],
      [
        'eth2',
        [
          ['10.8.0.0', 20, true],
          ['192.0.2.0', 24, false],
        ],
      ],
    ]);
  });
});
