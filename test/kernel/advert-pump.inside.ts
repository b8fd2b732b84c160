import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { monotonicMs } from '../../src/dataplane/scheduler.js';
import { AdvertPump } from '../../src/kernel/advert-pump.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { waitUntil } from '../lab/wait.js';
import { type Cable, layCable } from './cable.js';

/** IEEE 802 Local Experimental EtherType 1 (RFC 9542 §3): nobody else's. */
const experimental = 0x88b5;
const intervalMs = 10;
const patienceMs = 500;

let cable: Cable;
let pump: AdvertPump;

beforeAll(async () => {
  cable = await layCable();
  pump = new AdvertPump([0.001, 0.1, 10]);
});
afterAll(() => cable.remove());

/** A frame that says which one it is. */
function frame(mark: number): Uint8Array {
  const octets = new Uint8Array(60).fill(0xff, 0, 6);
  octets[12] = experimental >> 8;
  octets[13] = experimental & 0xff;
  octets[59] = mark;
  return octets;
}

const stand = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Sends and hears on the two ends of the cable; `heard` gives the marks of the frames since the last call. */
function ends() {
  const marks: number[] = [];
  const sender = PacketSocket.open({ ifindex: cable.near, protocol: etherProtocol.none });
  const far = PacketSocket.open({
    ifindex: cable.far,
    protocol: experimental,
    onFrame: (bytes) => void marks.push(bytes[59] ?? 0),
  });
  const heard = (): number[] => {
    far.drain();
    return marks.splice(0);
  };
  return { sender, heard, [Symbol.dispose]: () => [sender, far].forEach((socket) => void socket.close()) };
}

const repetition = (mark: number, more: { readonly sentMsAgo?: number; readonly families?: number } = {}) => {
  const nowMs = monotonicMs();
  const { sentMsAgo = 0, families = 1 } = more;
  const times = { intervalMs, patienceMs, dueAtMs: nowMs + intervalMs, sentAtMs: nowMs - sentMsAgo };
  return { frames: [frame(mark), frame(mark + 1)], families, ...times };
};

describe('adverts that stay the same', () => {
  test('go out while the event loop stands still, and are counted', () => {
    using wire = ends();
    pump.alive(monotonicMs() + 60_000);
    const slot = pump.begin(wire.sender, repetition(10)) ?? -1;
    stand(300);
    const repeated = pump.end(slot);
    const heard = wire.heard();
    expect(repeated).toMatchObject({ lapsed: undefined, adverts: heard.length / 2 });
    expect(heard.slice(0, 4)).toEqual([10, 11, 10, 11]);
    expect(repeated.adverts).toBeGreaterThan(300 / intervalMs / 3);
    expect(repeated.adverts).toBeLessThanOrEqual(300 / intervalMs + 1);
    const counted = pump.lateness();
    expect(counted.counts.reduce((sum, count) => sum + count)).toBe(repeated.adverts);
  });

  test('in two families are two adverts each time', () => {
    using wire = ends();
    pump.alive(monotonicMs() + 60_000);
    const slot = pump.begin(wire.sender, repetition(1, { families: 2 })) ?? -1;
    stand(100);
    const { adverts } = pump.end(slot);
    expect(adverts).toBe(wire.heard().length);
    expect(adverts).toBeGreaterThan(0);
  });

  test('end where they are ended, and nowhere else', () => {
    using wire = ends();
    pump.alive(monotonicMs() + 60_000);
    const [one = -1, other = -1] = [pump.begin(wire.sender, repetition(1)), pump.begin(wire.sender, repetition(3))];
    stand(50);
    pump.end(one);
    wire.heard();
    stand(100);
    expect(new Set(wire.heard())).toEqual(new Set([3, 4]));
    pump.end(other);
    stand(50);
    expect(wire.heard()).toEqual([]);
  });

  test('that were out of step go out together after the first time', () => {
    using wire = ends();
    pump.alive(monotonicMs() + 60_000);
    const first = repetition(1);
    const slots = [0, 0.4, 0.8].map((later) => pump.begin(wire.sender, { ...first, dueAtMs: first.dueAtMs + later }));
    stand(200);
    const dues = slots.map((slot) => pump.end(slot ?? -1).dueAtMs);
    expect(new Set(dues).size).toBe(1);
  });
});

describe('adverts fall silent', () => {
  test('when nobody says that the event loop is alive, and say so', () => {
    using wire = ends();
    const untilMs = monotonicMs() + 100;
    pump.alive(untilMs);
    const slot = pump.begin(wire.sender, repetition(1)) ?? -1;
    stand(300);
    expect(wire.heard().length).toBeGreaterThan(0);
    stand(50);
    expect(wire.heard()).toEqual([]);
    expect(pump.alive(monotonicMs() + 60_000)).toBe(1);
    stand(50);
    expect(wire.heard(), 'it has lapsed for good').toEqual([]);
    const { sentAtMs, lapsed } = pump.end(slot);
    expect(lapsed).toBe('unattended');
    expect(sentAtMs).toBeLessThanOrEqual(untilMs);
    expect(pump.alive(monotonicMs() + 60_000)).toBe(0);
  });

  test('after a silence that no peer bears: not one more goes out', async () => {
    using wire = ends();
    pump.alive(monotonicMs() + 60_000);
    const slot = pump.begin(wire.sender, repetition(1, { sentMsAgo: patienceMs + 1 })) ?? -1;
    await waitUntil('it to lapse', () => (pump.read(slot).lapsed === undefined ? 'it has not' : undefined), {
      deadlineMs: 5_000,
    });
    expect(pump.end(slot)).toMatchObject({ lapsed: 'silent', adverts: 0 });
    expect(wire.heard()).toEqual([]);
  });

  test('when their socket is closed', () => {
    using wire = ends();
    pump.alive(monotonicMs() + 60_000);
    const slot = pump.begin(wire.sender, repetition(1)) ?? -1;
    wire.sender.close();
    stand(50);
    expect(wire.heard()).toEqual([]);
    expect(pump.end(slot)).toMatchObject({ lapsed: 'unattended', adverts: 0 });
    expect(pump.begin(wire.sender, repetition(1)), 'nothing begins on a closed socket').toBeUndefined();
  });
});

test('frames that the kernel does not take are no adverts', () => {
  using wire = ends();
  pump.alive(monotonicMs() + 60_000);
  const slot = pump.begin(wire.sender, { ...repetition(1), frames: [new Uint8Array(20_000)] }) ?? -1;
  stand(100);
  expect(pump.end(slot)).toMatchObject({ adverts: 0, lapsed: undefined });
});
