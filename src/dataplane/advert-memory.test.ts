import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { vrrpVirtualMac } from '../wire/mac.js';
import { buildVrrp3Ipv4Frame, buildVrrp3Ipv6Frame } from '../wire/vrrp-frame.js';
import { AdvertMemory } from './advert-memory.js';

const fields = { vrid: 51, priority: 100, intervalMs: 1000, authHmac: false } as const;
const frame4 = buildVrrp3Ipv4Frame({
  ...fields,
  virtualMac: vrrpVirtualMac(4, 51),
  source: '10.0.0.1',
  addresses: ['10.0.0.254'],
  checksumForm: 'rfc9568',
});
const twin4 = buildVrrp3Ipv4Frame({
  ...fields,
  virtualMac: vrrpVirtualMac(4, 51),
  source: '10.0.0.1',
  addresses: ['10.0.0.254'],
  checksumForm: 'pseudo-header',
});
const frame6 = buildVrrp3Ipv6Frame({
  ...fields,
  virtualMac: vrrpVirtualMac(6, 51),
  source: 'fe80::1',
  addresses: ['fe80::51'],
});
const [owner, other] = [{}, {}];

let memory: AdvertMemory;
let again: number[];
const note = (atMs: number): void => void again.push(atMs);
/** As it lies in a receive buffer, between others. */
function recognises(frame: Uint8Array, atMs = 0): boolean {
  const buffer = new Uint8Array(frame.length + 64).fill(0xaa);
  buffer.set(frame, 32);
  return memory.recognise(buffer, 32, frame.length, atMs);
}

beforeEach(() => {
  memory = new AdvertMemory();
  again = [];
});

describe('the memory of adverts', () => {
  it('recognises what it was told to, in both families, and nothing before', () => {
    expect(recognises(frame4)).toBe(false);
    memory.remember(frame4, owner, note);
    memory.remember(frame6, other, note);
    expect([recognises(frame4, 7), recognises(frame6, 8), recognises(twin4, 9)]).toEqual([true, true, false]);
    expect(again).toEqual([7, 8]);
  });

  it('keeps an advert and its twin, and no third', () => {
    const third = Uint8Array.from(frame4, (octet, at) => (at === frame4.length - 1 ? octet ^ 1 : octet));
    for (const frame of [third, frame4, twin4]) memory.remember(frame, owner, note);
    expect([third, frame4, twin4].map((frame) => recognises(frame))).toEqual([false, true, true]);
  });

  it('forgets what one owner had remembered, and keeps the rest', () => {
    memory.remember(frame4, owner, note);
    memory.remember(frame6, other, note);
    memory.forget(owner);
    expect([recognises(frame4), recognises(frame6)]).toEqual([false, true]);
    memory.clear();
    expect(recognises(frame6)).toBe(false);
  });

  it('takes nobody for known that differs in any single bit or in length', () => {
    memory.remember(frame4, owner, note);
    memory.remember(frame6, other, note);
    fc.assert(
      fc.property(fc.constantFrom(frame4, frame6), fc.nat(), fc.nat(7), (frame, position, bit) => {
        const at = position % frame.length;
        const changed = Uint8Array.from(frame, (octet, index) => (index === at ? octet ^ (1 << bit) : octet));
        expect(recognises(changed)).toBe(false);
        expect(recognises(frame.subarray(0, at))).toBe(false);
        expect(recognises(Uint8Array.from([...frame, 0]))).toBe(false);
      }),
    );
    expect(again).toEqual([]);
  });

  it('is told of whatever there is without harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (frame) => {
        memory.remember(frame, owner, note);
        recognises(frame);
      }),
    );
  });
});
