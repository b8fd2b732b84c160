import { beforeEach, expect, it } from 'vitest';
import type { MacAddress } from '../wire/mac.js';
import { MacNet, type NetBinding } from './mac-net.js';

const mac = '00:00:5e:00:01:33' as MacAddress;
const gw: NetBinding = { vr: 'gw', address: '10.77.0.254', mac };
const second: NetBinding = { vr: 'gw', address: '10.77.0.253', mac };
const other: NetBinding = { vr: 'other', address: '10.77.0.252', mac };

/** The kernel's table: what it holds, and how much fell into it. */
let kernel: Map<string, number>;
/** Rules in it that are not the addresses' own. */
let strange: number;
let isThere: boolean;
let isReadable: boolean;
let told: Record<string, number>;
let net: MacNet;

beforeEach(() => {
  kernel = new Map([[gw.address, 900]]);
  strange = 0;
  isThere = true;
  isReadable = true;
  told = {};
  net = new MacNet(
    {
      install: (bindings, soFar) => {
        if (!isThere) return { ok: false, reason: 'no nf_tables' };
        kernel = new Map(bindings.map(({ address }) => [address, soFar.get(address) ?? 0]));
        strange = 0;
        return { ok: true };
      },
      read: () =>
        isReadable
          ? {
              ok: true,
              value: {
                counters: [...kernel].map(([address, droppedPackets]) => ({ address, droppedPackets })),
                rules: 2 * kernel.size + strange,
              },
            }
          : { ok: false, errno: 'EINTR', message: 'interrupted' },
      rules: (count) => 2 * count,
    },
    (vr, frames) => {
      told[vr] = (told[vr] ?? 0) + frames;
    },
  );
});

const drop = ({ address }: NetBinding, frames: number): void => {
  kernel.set(address, (kernel.get(address) ?? 0) + frames);
};

it('begins at 0, whatever an earlier run has counted', () => {
  expect(net.hold([gw])).toEqual({ ok: true });
  expect(net.look()).toEqual([]);
  expect(told).toEqual({});
  expect(kernel.get(gw.address)).toBe(0);
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
      [gw.address, 4],
      [second.address, 0],
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
  kernel.set(gw.address, 3);
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
  expect(net.look()).toEqual([gw.address, other.address]);
  expect(net.look()).toEqual([]);
  drop(gw, 1);
  net.look();
  expect(told).toEqual({ gw: 11 });
});

it.each([1, -1])(
  'a table with %i rules more than it should have is made anew, and what it has counted stays',
  (more) => {
    net.hold([gw, other]);
    drop(gw, 3);
    strange = more;
    expect(net.look()).toEqual([gw.address, other.address]);
    expect(net.look()).toEqual([]);
    expect(kernel.get(gw.address)).toBe(3);
    expect(told).toEqual({ gw: 3 });
  },
);

it('what could not be put back is tried again', () => {
  net.hold([gw]);
  kernel.clear();
  isThere = false;
  expect(net.look()).toEqual([gw.address]);
  expect(net.look()).toEqual([gw.address]);
  isThere = true;
  net.look();
  expect(net.look()).toEqual([]);
  expect(kernel.size).toBe(1);
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
