import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HeardMeanwhile } from '../kernel/advert-ear.js';
import { AF_UNIX, binding, openSocket, SOCK_STREAM } from '../kernel/binding.js';
import { vrrpVirtualMac } from '../wire/mac.js';
import { buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame } from '../wire/vrrp-frame.js';
import { AdvertMemory, type Hearer } from './advert-memory.js';
import { Scheduler } from './scheduler.js';

const fields = { vrid: 51, priority: 100, intervalMs: 1000, authHmac: false } as const;
const fields4 = {
  ...fields,
  virtualMac: vrrpVirtualMac(4, 51),
  source: '10.0.0.1',
  addresses: ['10.0.0.254'],
} as const;
const frame4 = buildVrrp3Ipv4Frame({ ...fields4, checksumForm: 'rfc9568' });
const twin4 = buildVrrp3Ipv4Frame({ ...fields4, checksumForm: 'pseudo-header' });
const frame6 = buildVrrp3Ipv6Frame({
  ...fields,
  virtualMac: vrrpVirtualMac(6, 51),
  source: 'fe80::1',
  addresses: ['fe80::51'],
});

/** Any socket will do: what comes in is put before the memory by hand. */
const handle = openSocket('a socket', AF_UNIX, SOCK_STREAM, 0);
afterAll(() => binding().close(handle));

class Recorder implements Hearer {
  readonly heard: HeardMeanwhile[] = [];
  readonly silentAtMs: number[] = [];
  unknowns = 0;
  heardMeanwhile(heard: HeardMeanwhile): void {
    this.heard.push(heard);
  }
  silent(atMs: number): void {
    this.silentAtMs.push(atMs);
  }
  unknown(): void {
    this.unknowns += 1;
  }
  get adverts(): number {
    return this.heard.reduce((sum, { adverts }) => sum + adverts, 0);
  }
}

const timers = new Map<string, { dueAtMs: number; wake: (atMs: number) => void; quick: (atMs: number) => boolean }>();
const scheduler: Pick<Scheduler, 'set'> = {
  set: (name, dueAtMs, wake, quick) => {
    if (dueAtMs === undefined) timers.delete(name);
    else timers.set(name, { dueAtMs, wake: (atMs) => wake(atMs, 0), quick: (atMs) => quick?.(atMs, 0) === true });
  },
};

let memory: AdvertMemory;
let [owner, other] = [new Recorder(), new Recorder()];
const known = { silenceMs: 3000, notBeforeMs: 0, heardAtMs: 0, twinMs: 500, singleAtMs: undefined };

/** As it lies in a receive buffer, between others. */
function recognises(frame: Uint8Array, atMs = 0): boolean {
  const buffer = new Uint8Array(frame.length + 64).fill(0xaa);
  buffer.set(frame, 32);
  return memory.recognise(buffer, 32, frame.length, atMs);
}

beforeEach(() => {
  timers.clear();
  memory = new AdvertMemory('eth1', scheduler);
  memory.bind({ handle });
  [owner, other] = [new Recorder(), new Recorder()];
});
afterEach(() => memory.bind(undefined));

describe('the memory of adverts', () => {
  it('counts what it was told to know, in both families, and nothing before', () => {
    expect(recognises(frame4)).toBe(false);
    expect(memory.remember({ ...known, frames: [frame4] }, owner)).toBe(true);
    expect(memory.remember({ ...known, frames: [frame6] }, other)).toBe(true);
    expect([recognises(frame4, 7), recognises(frame4, 9), recognises(frame6, 8), recognises(twin4, 9)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    memory.ask(owner);
    memory.ask(other);
    expect([owner.heard, other.heard]).toMatchObject([
      [{ adverts: 2, heardAtMs: 9, frames: [{ count: 2, lastAtMs: 9 }, { count: 0 }] }],
      [{ adverts: 1, heardAtMs: 8 }],
    ]);
    memory.ask(owner);
    expect(owner.heard.at(-1)).toMatchObject({ adverts: 0, heardAtMs: 9 });
  });

  it('knows one advert in two forms, of which the second says nothing new within its time', () => {
    memory.remember({ ...known, frames: [frame4, twin4], singleAtMs: undefined }, owner);
    for (const [frame, atMs] of [
      [frame4, 1000],
      [twin4, 1001],
      [frame4, 2000],
      [frame4, 3000],
      [twin4, 3499],
      [twin4, 4100],
    ] as const) {
      expect(recognises(frame, atMs)).toBe(true);
    }
    memory.ask(owner);
    expect(owner.heard).toEqual([
      {
        adverts: 4,
        heardAtMs: 4100,
        frames: [
          { count: 3, lastAtMs: 3000 },
          { count: 3, lastAtMs: 4100 },
        ],
        single: { frame: 1, atMs: 4100 },
      },
    ]);
  });

  it('forgets what one has remembered, tells what came until then, and keeps the rest', () => {
    memory.remember({ ...known, frames: [frame4] }, owner);
    memory.remember({ ...known, frames: [frame6] }, other);
    recognises(frame4, 5);
    memory.forget(owner);
    expect([owner.adverts, owner.unknowns, memory.knows(owner), memory.knows(other)]).toEqual([1, 0, false, true]);
    expect([recognises(frame4), recognises(frame6)]).toEqual([false, true]);
    memory.clear();
    expect([recognises(frame6), other.adverts, other.unknowns]).toEqual([false, 1, 1]);
  });

  it('tells whoever had the place of another that it waits by itself again', () => {
    memory.remember({ ...known, frames: [frame4] }, owner);
    memory.remember({ ...known, frames: [frame4] }, other);
    expect([owner.unknowns, memory.knows(owner), memory.knows(other)]).toEqual([1, false, true]);
  });

  it('knows nothing where no advert comes in, nor what is no advert', () => {
    expect(memory.remember({ ...known, frames: [frame4.subarray(0, 30)] }, owner)).toBe(false);
    expect(memory.remember({ ...known, frames: [frame4, frame6] }, owner)).toBe(false);
    memory.remember({ ...known, frames: [frame4] }, owner);
    memory.bind(undefined);
    expect([owner.unknowns, recognises(frame4)]).toEqual([1, false]);
    expect(memory.remember({ ...known, frames: [frame4] }, owner)).toBe(false);
    memory.bind({ handle });
    expect(recognises(frame4)).toBe(false);
  });

  it('takes nobody for known that differs in any single bit or in length', () => {
    memory.remember({ ...known, frames: [frame4] }, owner);
    memory.remember({ ...known, frames: [frame6] }, other);
    fc.assert(
      fc.property(fc.constantFrom(frame4, frame6), fc.nat(), fc.nat(7), (frame, position, bit) => {
        const at = position % frame.length;
        const changed = Uint8Array.from(frame, (octet, index) => (index === at ? octet ^ (1 << bit) : octet));
        expect(recognises(changed)).toBe(false);
        expect(recognises(frame.subarray(0, at))).toBe(false);
        expect(recognises(Uint8Array.from([...frame, 0]))).toBe(false);
      }),
    );
    for (const hearer of [owner, other]) memory.ask(hearer);
    expect([owner.adverts, other.adverts]).toEqual([0, 0]);
  });

  it('is told of whatever there is without harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (frame) => {
        memory.remember({ ...known, frames: [frame] }, owner);
        recognises(frame);
      }),
    );
  });
});

describe('silence', () => {
  const only = (): NonNullable<ReturnType<typeof timers.get>> => {
    const [timer] = [...timers.values()];
    if (timer === undefined || timers.size !== 1) throw new Error(`${timers.size} timers`);
    return timer;
  };

  it('wakes nobody as long as the advert comes, and whoever has missed it at the very time', () => {
    memory.remember({ ...known, frames: [frame4], heardAtMs: 100 }, owner);
    memory.remember({ ...known, frames: [frame6], heardAtMs: 150 }, other);
    expect(only().dueAtMs).toBe(3100);
    recognises(frame4, 1100);
    expect(only().quick(3100)).toBe(true);
    expect(only().dueAtMs).toBe(3150);
    expect(only().quick(3150)).toBe(false);
    only().wake(3150);
    expect([owner.silentAtMs, other.silentAtMs]).toEqual([[], [3150]]);
  });

  it('does not count what waited in the kernel when the time came', () => {
    memory.remember({ ...known, frames: [frame4] }, owner);
    expect(only().quick(3000)).toBe(false);
    recognises(frame4, 3000);
    only().wake(3000);
    expect(owner.silentAtMs).toEqual([]);
    expect(only().dueAtMs).toBe(6000);
  });

  it('is borne for as long as each was told, and not reported before there is anything to do', () => {
    memory.remember({ ...known, frames: [frame4], notBeforeMs: 9000 }, owner);
    memory.remember({ ...known, frames: [frame6], silenceMs: Number.POSITIVE_INFINITY }, other);
    expect(only().dueAtMs).toBe(9000);
    memory.forget(owner);
    only().quick(9000);
    expect(timers.size).toBe(0);
  });

  it('is asked about by one timer, which is there only while somebody waits', () => {
    let nowMs = 0;
    const real = new Scheduler(
      () => nowMs,
      () => undefined,
    );
    const own = new AdvertMemory('eth2', real);
    own.bind({ handle });
    own.remember({ ...known, frames: [frame4], silenceMs: 1 }, owner);
    nowMs = 5;
    return expect
      .poll(() => owner.silentAtMs, { timeout: 5_000 })
      .toContain(5)
      .finally(() => real.stop());
  });
});
