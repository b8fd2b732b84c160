import { beforeEach, describe, expect, it } from 'vitest';
import type { Address } from '../kernel/addresses.js';
import type { Link } from '../kernel/link.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { ADDRESS_PROTO } from '../kernel/names.js';
import type { MacAddress } from '../wire/mac.js';
import { ForeignChanges } from './foreign-changes.js';

const mac = '00:00:5e:00:01:33' as MacAddress;
const own = 7;

let links: { attached: boolean; owns(ifindex: number): boolean };
let changes: ForeignChanges;

beforeEach(() => {
  links = { attached: true, owns: (ifindex) => ifindex === own };
  changes = new ForeignChanges(links, new Set([mac]));
});

const link = (over: { ifindex?: number; mac?: string; up?: boolean } = {}): Link =>
  ({ ifindex: own, name: 'koi51', mac, flags: { up: over.up ?? true }, ...over }) as Link;
const linkGone = (ifindex = own): KernelEvent => ({ type: 'linkGone', link: link({ ifindex }) });
const changed = (over?: Parameters<typeof link>[0]): KernelEvent => ({
  type: 'link',
  link: link(over),
  previous: undefined,
});
const addressGone = (ifindex = own): KernelEvent => ({
  type: 'addressGone',
  address: { ifindex, address: '10.0.0.254' } as Address,
});

describe('what another program changes', () => {
  it('is a link or an address of this virtual router, and of no other', () => {
    expect(changes.judge(linkGone())).toEqual({ kind: 'link_deleted', object: 'koi51' });
    expect(changes.judge(addressGone())).toEqual({ kind: 'address_deleted', object: '10.0.0.254' });
    for (const event of [linkGone(8), changed({ ifindex: 8, up: false }), addressGone(8)]) {
      expect(changes.judge(event)).toBeUndefined();
    }
  });

  it('is a link with another MAC, one that is down though it serves, and one that is up in backup', () => {
    expect(changes.judge(changed())).toBeUndefined();
    expect(changes.judge(changed({ mac: '02:00:00:00:00:01' }))).toMatchObject({ kind: 'link_changed' });
    expect(changes.judge(changed({ up: false }))).toMatchObject({ kind: 'link_changed' });
    links.attached = false;
    expect(changes.judge(changed({ up: false }))).toBeUndefined();
    expect(changes.judge(changed())).toMatchObject({ kind: 'link_changed' });
  });

  it('is an address that gets the label of another owner, and a link that gets another alias', () => {
    const vip = (proto: number | undefined, ifindex = own): Address =>
      ({ ifindex, address: '10.0.0.254', proto }) as Address;
    const relabelled = (before: Address | undefined, address: Address): KernelEvent => ({
      type: 'address',
      address,
      previous: before,
    });
    for (const proto of [17, undefined]) {
      expect(changes.judge(relabelled(vip(ADDRESS_PROTO), vip(proto)))).toEqual({
        kind: 'address_changed',
        object: '10.0.0.254',
      });
    }
    // Koi's own: it is new, or its label is put back; somebody else's on the link, or on another.
    for (const event of [
      relabelled(undefined, vip(ADDRESS_PROTO)),
      relabelled(vip(17), vip(ADDRESS_PROTO)),
      relabelled(undefined, vip(17)),
      relabelled(vip(ADDRESS_PROTO, 8), vip(17, 8)),
    ]) {
      expect(changes.judge(event)).toBeUndefined();
    }
    const aliased = (before: string | undefined, alias: string | undefined): KernelEvent => ({
      type: 'link',
      link: { ...link(), alias } as Link,
      previous: { ...link(), alias: before } as Link,
    });
    expect(changes.judge(aliased('koi:edge:gw:boot1', 'mine'))).toMatchObject({ kind: 'link_changed' });
    expect(changes.judge(aliased('koi:edge:gw:boot1', undefined))).toMatchObject({ kind: 'link_changed' });
    expect(changes.judge(aliased(undefined, 'koi:edge:gw:boot1'))).toBeUndefined();
  });
});

describe('repairs', () => {
  it('are made five times in a minute, then left, and counted anew', () => {
    for (let repair = 0; repair < 5; repair += 1) expect(changes.mayRepair(repair * 10_000)).toBe(true);
    expect(changes.mayRepair(50_000)).toBe(false);
    expect(changes.mayRepair(50_001)).toBe(true);
  });

  it('go on where they are further apart', () => {
    for (let repair = 0; repair < 20; repair += 1) expect(changes.mayRepair(repair * 13_000)).toBe(true);
  });
});
