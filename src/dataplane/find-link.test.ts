import { expect, test } from 'vitest';
import type { Link } from '../kernel/link.js';
import { describeAmbiguity, findLink, findLinks } from './find-link.js';

const link = (ifindex: number, over: Partial<Link>): Link =>
  ({ ifindex, name: `eth${ifindex}`, altNames: [], group: 0, permanentMac: undefined, ...over }) as unknown as Link;
const mac = '52:54:00:12:34:56' as Link['mac'];

test('by name, by alternative name, and never one of our own', () => {
  const own = link(9, { name: 'eth1', group: 0x4b000001 });
  const links = [own, link(1, {}), link(2, { altNames: ['enp3s0'] })];
  expect(findLink(links, { by: 'name', value: 'eth1' })?.ifindex).toBe(1);
  expect(findLink(links, { by: 'name', value: 'enp3s0' })?.ifindex).toBe(2);
  expect(findLink(links, { by: 'altname', value: 'enp3s0' })?.ifindex).toBe(2);
  expect(findLink(links, { by: 'altname', value: 'eth1' })).toBeUndefined();
});

test('by MAC the card is meant, not what is stacked on it; two with the same one are named, and neither is taken', () => {
  const card = link(1, { mac, permanentMac: mac });
  const vlan = link(2, { name: 'eth1.5', mac });
  expect(findLink([vlan, card], { by: 'mac', value: '52:54:00:12:34:56' })).toBe(card);
  const twins = [link(3, { mac }), link(4, { mac })];
  const selector = { by: 'mac', value: '52:54:00:12:34:56' } as const;
  expect(findLink(twins, selector)).toBeUndefined();
  expect(describeAmbiguity(selector, findLinks(twins, selector))).toBe(
    "the mac '52:54:00:12:34:56' means eth3 (ifindex 3) and eth4 (ifindex 4): koi takes none of them; use what only one of them has",
  );
});

test('by path, of the device; a card with two ports has one path for both', () => {
  const paths = new Map([
    [1, ['pci-0000:03:00.0']],
    [2, ['pci-0000:04:00.0']],
    [3, ['pci-0000:04:00.0']],
  ]);
  const find = (value: string) =>
    findLinks(
      [link(1, {}), link(2, {}), link(3, {})],
      { by: 'path', value },
      ({ ifindex }) => paths.get(ifindex) ?? [],
    );
  expect(find('pci-0000:03:00.0').map(({ ifindex }) => ifindex)).toEqual([1]);
  expect(find('pci-0000:04:00.0').map(({ ifindex }) => ifindex)).toEqual([2, 3]);
  expect(find('pci-0000:05:00.0')).toEqual([]);
});
