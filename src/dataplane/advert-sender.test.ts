import { expect, it } from 'vitest';
import { Machine } from '../../test/core/machine.js';
import type { Repeated, Repetition } from '../kernel/advert-pump.js';
import type { OnRefused } from './advert-queue.js';
import { AdvertSender } from './advert-sender.js';

const { vr } = new Machine();
const candidacy = { kind: 'vrrp', priority: 7, intervalMs: 1000 } as const;

/** Everything that the sender hands on; one byte is a frame. */
class Outlet {
  readonly counters = { advertsSent: 0 };
  readonly queued: { readonly frames: readonly Uint8Array[]; readonly onRefused: OnRefused }[] = [];
  readonly repeated: Repetition[] = [];
  pumped: Repeated = { adverts: 0, dueAtMs: 0, sentAtMs: 0, lapsed: undefined };
  nowMs = 0;
  takes = Number.POSITIVE_INFINITY;
  hasSlot = true;
  isHushed = false;
  readonly route = {
    isUnicast: false,
    sources: { 4: '10.0.0.1', 6: undefined },
    familiesOut: 1,
    send: (frames: readonly Uint8Array[]) => Math.min(frames.length, this.takes),
  };
  /** Two forms of checksum, each time other frames. */
  readonly adapter = { sendsTheSame: true, adverts: () => [Uint8Array.of(1), Uint8Array.of(2)] };

  readonly sender = new AdvertSender({
    running: this,
    route: this.route,
    parent: {
      queue: (frames, onRefused) => void this.queued.push({ frames, onRefused }),
      repeat: (_, repetition) => {
        this.repeated.push(repetition);
        return this.hasSlot ? 3 : undefined;
      },
    },
    pump: { begin: () => undefined, read: () => this.pumped, end: () => this.pumped },
    hush: { adverts: (frames) => (this.isHushed ? [] : frames) },
    counters: this.counters,
    now: () => this.nowMs,
  });
}

it('in two forms of checksum it is one advert, and none where the kernel takes neither', () => {
  const { sender, counters, ...outlet } = new Outlet();
  sender.send(candidacy);
  expect(counters.advertsSent).toBe(1);
  expect(sender.repeat(vr, 1000)).toBe(true);
  expect(counters.advertsSent).toBe(2);
  outlet.queued[0]?.onRefused(1, 2);
  expect(counters.advertsSent).toBe(2);
  outlet.queued[0]?.onRefused(2, 2);
  expect(counters.advertsSent).toBe(1);
});

it('repeats the same frames until they may be others', () => {
  const { sender, queued } = new Outlet();
  for (const atMs of [1, 2]) sender.repeat(vr, atMs);
  sender.forgetFrames();
  sender.repeat(vr, 3);
  expect(queued[1]?.frames).toBe(queued[0]?.frames);
  expect(queued[2]?.frames).not.toBe(queued[0]?.frames);
});

it.each<[string, (outlet: Outlet) => void]>([
  [
    'each advert is another',
    ({ sender, adapter }) => {
      sender.forgetFrames();
      adapter.sendsTheSame = false;
    },
  ],
  [
    'they go to single peers, even if they did not a moment ago',
    ({ route }) => {
      route.isUnicast = true;
    },
  ],
  [
    'there is nothing to say',
    (outlet) => {
      outlet.sender.forgetFrames();
      outlet.isHushed = true;
    },
  ],
])('neither repeats nor leaves to the pump what cannot be: %s', (_, happens) => {
  const outlet = new Outlet();
  const { sender } = outlet;
  sender.repeat(vr, 0);
  happens(outlet);
  expect(sender.repeat(vr, 1)).toBe(false);
  expect(sender.leaveToPump(vr, 1)).toBe(false);
  expect(outlet.queued).toHaveLength(1);
  expect(outlet.repeated).toHaveLength(0);
});

it('counts what the pump has sent, each advert once, and goes on where it was', () => {
  const outlet = new Outlet();
  const { sender, counters } = outlet;
  outlet.nowMs = 5;
  sender.send(candidacy);
  expect(sender.leaveToPump(vr, 1005)).toBe(true);
  expect(outlet.repeated[0]).toMatchObject({ intervalMs: 1000, dueAtMs: 1005, sentAtMs: 5, families: 1 });
  expect(counters.advertsSent).toBe(1);
  outlet.pumped = { adverts: 3, dueAtMs: 4005, sentAtMs: 3006, lapsed: 'silent' };
  expect(sender.countPumped()).toBe('silent');
  expect(counters.advertsSent).toBe(4);
  outlet.pumped = { adverts: 1, dueAtMs: 5005, sentAtMs: 4006, lapsed: undefined };
  expect(sender.takeFromPump()).toBe(5005);
  expect(counters.advertsSent).toBe(5);
  // It has been taken: there is nothing left to count.
  expect([sender.takeFromPump(), sender.countPumped(), counters.advertsSent]).toEqual([undefined, undefined, 5]);
  sender.leaveToPump(vr, 5005);
  expect(outlet.repeated[1]?.sentAtMs).toBe(4006);
});

it('keeps what the pump does not take', () => {
  const outlet = new Outlet();
  outlet.hasSlot = false;
  expect(outlet.sender.leaveToPump(vr, 0)).toBe(false);
  expect(outlet.sender.isLeftToPump).toBe(false);
});
