import { beforeEach, describe, expect, it } from 'vitest';
import type { AddressRemovals } from '../kernel/addresses.js';
import type { Link } from '../kernel/link.js';
import { vacateLostLan } from './lan-loss.js';
import type { ParentPort } from './parent-port.js';

const link = (ifindex: number, isUp: boolean): Link =>
  ({
    ifindex,
    flags: { up: true, lowerUp: isUp },
    carrier: isUp,
    operstate: isUp ? 'up' : 'down',
  }) as unknown as Link;

const port = (ifindex: number, fault?: 'carrier_lost'): ParentPort =>
  ({ state: { ifindex, fault } }) as unknown as ParentPort;

let vacated: string[];
let batches: Set<AddressRemovals>;

const router = (name: string, ...ports: ParentPort[]) => ({
  uses: (each: ParentPort) => ports.includes(each),
  vacate: (removals: AddressRemovals) => {
    vacated.push(name);
    batches.add(removals);
  },
});

beforeEach(() => {
  vacated = [];
  batches = new Set();
});

describe('an interface that is lost', () => {
  const [here, there] = [port(2), port(3)];
  const routers = [router('a', here), router('b', there), router('both', there, here)];
  const event = (now: Link) => ({ type: 'link', link: now, previous: undefined }) as const;

  it('has the addresses of all virtual routers on it go together, and of no other', () => {
    vacateLostLan(event(link(2, false)), new Map([[2, link(2, false)]]), [here, there], routers);
    expect(vacated).toEqual(['a', 'both']);
    expect(batches.size).toBe(1);
  });

  it('is judged by what it is now: one that has come back meanwhile is not lost', () => {
    vacateLostLan(event(link(2, false)), new Map([[2, link(2, true)]]), [here, there], routers);
    expect(vacated).toEqual([]);
  });

  it('is lost once', () => {
    const known = port(2, 'carrier_lost');
    vacateLostLan(event(link(2, false)), new Map([[2, link(2, false)]]), [known], [router('a', known)]);
    expect(vacated).toEqual([]);
  });

  it('is no other interface of this host', () => {
    vacateLostLan(event(link(9, false)), new Map([[9, link(9, false)]]), [here, there], routers);
    expect(vacated).toEqual([]);
  });
});
