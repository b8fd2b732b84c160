import { afterAll, beforeAll, expect, test } from 'vitest';
import { monotonicMs } from '../../src/dataplane/scheduler.js';
import { AdvertEar } from '../../src/kernel/advert-ear.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { openAdvertTap } from '../../src/kernel/tap.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { buildVrrp3Ipv4Frame } from '../../src/wire/vrrp-frame.js';
import { waitUntil } from '../lab/wait.js';
import { type Cable, layCable } from './cable.js';

let cable: Cable;
beforeAll(async () => {
  cable = await layCable();
});
afterAll(() => cable.remove());

const advert = (vrid: number, priority = 100): Uint8Array =>
  buildVrrp3Ipv4Frame({
    virtualMac: vrrpVirtualMac(4, vrid),
    source: '10.0.0.1',
    vrid,
    priority,
    intervalMs: 1000,
    addresses: ['10.0.0.254'],
    checksumForm: 'pseudo-header',
    authHmac: false,
  });

const stand = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Sends and hears on the two ends of the cable; `frames` and `batches` are what reached the event loop. */
function ends() {
  const frames: string[] = [];
  const batches = { count: 0 };
  const listener = { heard: (_: Uint8Array): void => undefined };
  const sender = PacketSocket.open({ ifindex: cable.near, protocol: etherProtocol.none });
  const tap: PacketSocket = openAdvertTap(
    cable.far,
    (bytes) => {
      frames.push(Buffer.from(bytes).toString('hex'));
      listener.heard(bytes);
    },
    {
      onBatch: () => {
        batches.count += 1;
      },
      onRaw: (buffer, start, length) => ear.knows(buffer, start, length, monotonicMs()),
    },
  );
  const ear = new AdvertEar(tap);
  const know = (frame: Uint8Array): number => {
    const times = { silenceMs: 3000, notBeforeMs: 0, heardAtMs: monotonicMs(), twinMs: 0, singleAtMs: undefined };
    return ear.know({ ...times, frames: [frame] }) ?? -1;
  };
  const close = (): void => [sender, tap].forEach((socket) => void socket.close());
  return { sender, tap, ear, know, frames, batches, listener, [Symbol.dispose]: close };
}

const hex = (frames: readonly Uint8Array[]): string[] => frames.map((frame) => Buffer.from(frame).toString('hex'));

test('adverts that are known are counted, and wake nobody', async () => {
  using wire = ends();
  const place = wire.know(advert(51));
  wire.tap.start();
  const beforeMs = monotonicMs();
  wire.sender.send(Array.from({ length: 150 }, () => advert(51)));
  let counted = 0;
  await waitUntil(
    'all to be counted',
    () => {
      counted += wire.ear.read(place).adverts;
      return counted === 150 ? undefined : `${counted} are`;
    },
    { deadlineMs: 5_000 },
  );
  const { heardAtMs } = wire.ear.read(place);
  expect(heardAtMs).toBeGreaterThanOrEqual(beforeMs - 1);
  expect(heardAtMs).toBeLessThanOrEqual(monotonicMs() + 1);
  expect(wire.ear.dueAtMs).toBe(heardAtMs + 3000);
  expect([wire.frames, wire.batches.count]).toEqual([[], 0]);
});

test('whatever else comes in goes to the event loop, in its order, and what comes behind it is asked about', () => {
  using wire = ends();
  const place = wire.know(advert(51));
  // A farewell: the router that hears it may know nothing of what comes behind it any more.
  wire.listener.heard = (bytes) => {
    if (bytes[14 + 20 + 2] === 0) wire.ear.forget(place);
  };
  const sent = [advert(51), advert(52), advert(51), advert(51, 0), advert(51), advert(52)];
  wire.sender.send(sent);
  wire.tap.drain();
  expect(wire.frames).toEqual(hex([advert(52), advert(51, 0), advert(51), advert(52)]));
});

test('what waits in the kernel is counted when the socket is drained, all of it', () => {
  using wire = ends();
  const place = wire.know(advert(51));
  wire.sender.send(Array.from({ length: 500 }, () => advert(51)));
  stand(20);
  expect(wire.ear.read(place).adverts).toBe(0);
  expect(wire.tap.drain()).toBe(500);
  expect(wire.ear.read(place).adverts).toBe(500);
  wire.sender.send([...Array.from({ length: 300 }, () => advert(51)), advert(52)]);
  expect(wire.tap.drain()).toBe(301);
  expect([wire.ear.read(place).adverts, wire.frames]).toEqual([300, hex([advert(52)])]);
});

test('a socket that is read in turns gives the others theirs', () => {
  using wire = ends();
  const place = wire.know(advert(51));
  wire.sender.send(Array.from({ length: 1000 }, () => advert(51)));
  stand(20);
  expect(wire.tap.drain(256)).toBeLessThanOrEqual(256 + 64);
  expect(wire.ear.read(place).adverts).toBeLessThan(1000);
  wire.tap.drain();
  expect(wire.ear.silent(monotonicMs())).toEqual([]);
  expect(wire.ear.silent(monotonicMs() + 3001)).toEqual([place]);
});

test('a frame that was cut is not taken for the one that is known', () => {
  using wire = ends();
  const long = new Uint8Array(1400).fill(0xab);
  long.set(advert(51));
  wire.know(long);
  const tap = openAdvertTap(cable.far, (bytes) => void wire.frames.push(`${bytes.length}`), { slotBytes: 64 });
  const place = new AdvertEar(tap).know({
    ...{ silenceMs: 1, notBeforeMs: 0, heardAtMs: 0, twinMs: 0, singleAtMs: undefined },
    frames: [long.subarray(0, 64)],
  });
  wire.sender.send([long]);
  tap.drain();
  tap.close();
  expect([place, wire.frames]).toEqual([51, ['64']]);
});

test('a closed socket knows nothing, and harms nobody', () => {
  using wire = ends();
  const place = wire.know(advert(51));
  wire.tap.close();
  expect(wire.ear.read(place).adverts).toBe(0);
  expect(wire.know(advert(51))).toBe(-1);
  expect([wire.ear.dueAtMs, wire.ear.silent(Number.MAX_VALUE)]).toEqual([Number.POSITIVE_INFINITY, []]);
});
