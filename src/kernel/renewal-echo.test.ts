import fc from 'fast-check';
import { beforeEach, expect, it } from 'vitest';
import { parseAddressMessage } from './addresses.js';
import { forEachMessage, type Message, MessageBuilder } from './netlink-message.js';
import { RenewalEcho } from './renewal-echo.js';

const newAddress = 20;
const removedAddress = 21;

interface Told {
  readonly type?: number;
  readonly ifindex?: number;
  readonly host?: number;
  readonly label?: string;
  readonly lifetimes?: readonly number[];
  readonly askedBy?: number;
}

/** As the kernel tells of an address, with what differs from renewal to renewal. */
function told({
  type = newAddress,
  ifindex = 7,
  host = 1,
  label = 'koi',
  lifetimes = [2, 2, 5, 9],
  askedBy = 0,
}: Told): Message {
  const header = new Uint8Array([2, 32, 0x80, 0, ifindex, 0, 0, 0]);
  const times = new Uint8Array(Uint32Array.from(lifetimes).buffer);
  const octets = new MessageBuilder(type, 0, header)
    .bytes(1, Uint8Array.of(10, 0, 0, host))
    .bytes(6, times)
    .string(3, label)
    .finish();
  new DataView(octets.buffer, octets.byteOffset).setUint32(12, askedBy, true);
  let found: Message | undefined;
  // Not at the beginning of the buffer, as in a batch.
  const buffer = new Uint8Array(octets.length + 64);
  buffer.set(octets, 32);
  forEachMessage(buffer, 32, 32 + octets.length, (message) => {
    found = message;
  });
  if (found === undefined) throw new Error('no message');
  return found;
}

let echo: RenewalEcho;
const isKnown = (message: Message): boolean => echo.renewed(message) !== undefined;
function remember(message: Message): void {
  const address = parseAddressMessage(message);
  if (address !== undefined) echo.remember(message, address);
}
beforeEach(() => {
  echo = new RenewalEcho();
});

it('knows a renewal, whatever its lifetimes, and whoever asked for it', () => {
  expect(isKnown(told({}))).toBe(false);
  remember(told({}));
  const renewed = echo.renewed(told({ lifetimes: [1, 3, 1234, 77], askedBy: 4711 }));
  expect(renewed).toMatchObject({ address: '10.0.0.1', ifindex: 7, preferredSeconds: 1, validSeconds: 3 });
});

it('knows each of several addresses of an interface, and of no other', () => {
  for (const host of [1, 2]) remember(told({ host }));
  expect([1, 2, 3].map((host) => isKnown(told({ host })))).toEqual([true, true, false]);
  expect(isKnown(told({ ifindex: 8 }))).toBe(false);
  echo.forget(7);
  expect(isKnown(told({}))).toBe(false);
});

it('knows no removal, and nothing that differs in a single bit elsewhere', () => {
  remember(told({ type: removedAddress }));
  expect(isKnown(told({ type: removedAddress }))).toBe(false);
  remember(told({}));
  const { bytes, start, end } = told({});
  fc.assert(
    fc.property(fc.integer({ min: 16, max: end - start - 1 }), fc.nat(7), (at, bit) => {
      const changed = bytes.slice();
      changed[start + at] = (changed[start + at] ?? 0) ^ (1 << bit);
      // 24 to 31 are the address with its header, 36 to 51 the lifetimes.
      const isLifetime = at >= 36 && at < 52;
      const message = { ...told({}), bytes: changed, view: new DataView(changed.buffer) };
      expect(isKnown(message)).toBe(isLifetime);
    }),
  );
});

it('reads each where there are very many on one interface', () => {
  for (let host = 1; host <= 20; host++) remember(told({ host }));
  expect([16, 17].map((host) => isKnown(told({ host })))).toEqual([true, false]);
});
