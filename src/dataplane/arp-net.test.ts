import { beforeEach, expect, it } from 'vitest';
import type { MacAddress } from '../wire/mac.js';
import { ArpNet, type NetBinding } from './arp-net.js';

const mac = '00:00:5e:00:01:33' as MacAddress;
const gw: NetBinding = { vr: 'gw', ipv4: '10.77.0.254', mac };
const second: NetBinding = { vr: 'gw', ipv4: '10.77.0.253', mac };
const other: NetBinding = { vr: 'other', ipv4: '10.77.0.252', mac };

/** The kernel's table: what it holds, and how much fell into it. */
let kernel: Map<string, number>;
let isThere: boolean;
let isReadable: boolean;
let told: Record<string, number>;
let net: ArpNet;

beforeEach(() => {
  kernel = new Map([[gw.ipv4, 900]]);
  isThere = true;
  isReadable = true;
  told = {};
  net = new ArpNet(
    {
      install: (bindings, soFar) => {
        if (!isThere) return { ok: false, reason: 'no nf_tables' };
        kernel = new Map(bindings.map(({ ipv4 }) => [ipv4, soFar.get(ipv4) ?? 0]));
        return { ok: true };
      },
      read: () =>
        isReadable
          ? { ok: true, value: [...kernel].map(([ipv4, droppedPackets]) => ({ ipv4, droppedPackets })) }
          : { ok: false, errno: 'EINTR', message: 'interrupted' },
    },
    (vr, frames) => {
      told[vr] = (told[vr] ?? 0) + frames;
    },
  );
});

const drop = ({ ipv4 }: NetBinding, frames: number): void => {
  kernel.set(ipv4, (kernel.get(ipv4) ?? 0) + frames);
};

it('begins at 0, whatever an earlier run has counted', () => {
  expect(net.hold([gw])).toEqual({ ok: true });
  expect(net.look()).toEqual([]);
  expect(told).toEqual({});
  expect(kernel.get(gw.ipv4)).toBe(0);
});

it('tells each virtual router what came for its addresses, once', () => {
  net.hold([gw, second, other]);
  drop(gw, 2);
  drop(second, 3);
  net.look();
  net.look();
  expect(told).toEqual({ gw: 5 });
  drop(other, 1);
  drop(gw, 1);
  net.look();
  expect(told).toEqual({ gw: 6, other: 1 });
});

it('goes on when other addresses are held, and counts what came before for whom it was', () => {
  net.hold([gw, other]);
  drop(gw, 4);
  drop(other, 2);
  net.hold([gw, second]);
  expect(told).toEqual({ gw: 4, other: 2 });
  expect(kernel).toEqual(
    new Map([
      [gw.ipv4, 4],
      [second.ipv4, 0],
    ]),
  );
  drop(gw, 1);
  net.look();
  expect(told).toEqual({ gw: 5, other: 2 });
});

it('an address that comes back begins anew, and one that changes its virtual router takes nothing along', () => {
  net.hold([gw]);
  drop(gw, 4);
  net.hold([]);
  net.hold([{ ...gw, vr: 'other' }]);
  drop(gw, 3);
  net.look();
  expect(told).toEqual({ gw: 4, other: 3 });
});

it('never goes back: a counter that somebody has set back counts from 0', () => {
  net.hold([gw]);
  drop(gw, 10);
  net.look();
  kernel.set(gw.ipv4, 3);
  net.look();
  expect(told).toEqual({ gw: 13 });
  drop(gw, 1);
  net.look();
  expect(told).toEqual({ gw: 14 });
});

it('puts back what somebody has removed, says so, and goes on from where it was', () => {
  net.hold([gw, other]);
  drop(gw, 10);
  net.look();
  kernel.clear();
  expect(net.look()).toEqual([gw.ipv4, other.ipv4]);
  expect(net.look()).toEqual([]);
  drop(gw, 1);
  net.look();
  expect(told).toEqual({ gw: 11 });
});

it('what cannot be read now is counted later, and nothing is taken for missing', () => {
  net.hold([gw]);
  drop(gw, 2);
  isReadable = false;
  expect(net.look()).toEqual([]);
  isReadable = true;
  net.look();
  expect(told).toEqual({ gw: 2 });
});

it('counts what came before it was closed, and puts nothing back after that', () => {
  net.hold([gw]);
  drop(gw, 2);
  net.close();
  kernel.clear();
  expect(net.look()).toEqual([]);
  expect(told).toEqual({ gw: 2 });
});

it('does nothing where the kernel has no nf_tables', () => {
  isThere = false;
  kernel.clear();
  expect(net.hold([gw])).toEqual({ ok: false, reason: 'no nf_tables' });
  expect(net.look()).toEqual([]);
});
