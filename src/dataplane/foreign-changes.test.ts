import { beforeEach, describe, expect, it } from 'vitest';
import type { Address } from '../kernel/addresses.js';
import type { Link } from '../kernel/link.js';
import type { KernelEvent } from '../kernel/monitor.js';
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
