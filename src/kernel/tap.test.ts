import { describe, expect, test } from 'vitest';
import { lanDatagramPort } from '../wire/lan-datagram.js';
import type { ancillary, Instruction } from './bpf.js';
import { advertTapProgram, neighbourTapProgram, stormTapProgram } from './tap.js';
import { watchProgram } from './watch.js';

type Known = Partial<Record<keyof typeof ancillary, number>>;

/** Runs a program as the kernel does: how many bytes it keeps. */
function run(program: readonly Instruction[], frame: Uint8Array, known: Known): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const after = (label: string | undefined, at: number): number =>
    label === undefined ? at : program.findIndex((each) => each.op === 'label' && each.name === label);
  let a = 0;
  for (let at = 0; ; at++) {
    const instruction = program[at];
    if (instruction === undefined) throw new Error('the program runs past its end');
    switch (instruction.op) {
      case 'load': {
        const { bytes, offset } = instruction;
        if (offset + bytes > frame.length) return 0;
        a = bytes === 1 ? view.getUint8(offset) : bytes === 2 ? view.getUint16(offset) : view.getUint32(offset);
        break;
      }
      case 'loadAncillary':
        a = known[instruction.what] ?? 0;
        break;
      case 'and':
        a = (a & instruction.mask) >>> 0;
        break;
      case 'ifEqual':
        at = after(a === instruction.value ? instruction.yes : instruction.no, at);
        break;
      case 'ifGreaterOrEqual':
        at = after(a >= instruction.value ? instruction.yes : instruction.no, at);
        break;
      case 'ifAnyBit':
        at = after((a & instruction.value) !== 0 ? instruction.yes : instruction.no, at);
        break;
      case 'goto':
        at = after(instruction.to, at);
        break;
      case 'return':
        return instruction.bytes;
      case 'label':
        break;
    }
  }
}

function frameOf(etherType: number, octets: Readonly<Record<number, number>> = {}): Uint8Array {
  const frame = new Uint8Array(80);
  new DataView(frame.buffer).setUint16(12, etherType);
  for (const [offset, value] of Object.entries(octets)) frame[Number(offset)] = value;
  return frame;
}

const arp = frameOf(0x0806);
const solicitation = frameOf(0x86dd, { 20: 58, 54: 135 });
const advertisement = frameOf(0x86dd, { 20: 58, 54: 136 });
const vrrp = frameOf(0x0800, { 14: 0x45, 23: 112 });
const vrrp6 = frameOf(0x86dd, { 20: 112 });
const port = { high: lanDatagramPort >> 8, low: lanDatagramPort & 0xff };
const notice = frameOf(0x0800, { 14: 0x45, 23: 17, 36: port.high, 37: port.low });
const notice6 = frameOf(0x86dd, { 20: 17, 56: port.high, 57: port.low });
const outgoing = { packetType: 4 };

const adverts = (frame: Uint8Array, known: Known = {}): number => run(advertTapProgram, frame, known);
const neighbours = (frame: Uint8Array, known: Known = {}): number => run(neighbourTapProgram, frame, known);

test.each([
  ['VRRP and CARP over IPv4', vrrp],
  ['VRRP and CARP over IPv6', vrrp6],
  ["Koi's own datagrams", notice],
  ["Koi's own datagrams over IPv6", notice6],
])('the tap of adverts keeps %s of others, whole; that of ARP does not', (_, frame) => {
  expect(adverts(frame)).toBe(0xffff);
  expect(adverts(frame, outgoing)).toBe(0);
  expect(neighbours(frame)).toBe(0);
});

test.each([
  ['ARP', arp],
  ['a neighbour solicitation', solicitation],
  ['a neighbour advertisement', advertisement],
])('the tap of ARP keeps %s, whole and in both directions; none of them takes the place of an advert', (_, frame) => {
  expect(neighbours(frame)).toBe(0xffff);
  expect(neighbours(frame, outgoing)).toBe(0xffff);
  expect(adverts(frame)).toBe(0);
});

test.each([
  ['TCP', frameOf(0x0800, { 14: 0x45, 23: 6 })],
  ['UDP to another port', frameOf(0x0800, { 14: 0x45, 23: 17, 37: 53 })],
  ['another kind of ICMPv6', frameOf(0x86dd, { 20: 58, 54: 128 })],
  ['another ethertype', frameOf(0x88cc)],
  ['a frame with its VLAN tag in it', frameOf(0x8100)],
  ['a frame that is cut', vrrp.subarray(0, 20)],
])('no tap keeps %s', (_, frame) => {
  expect(adverts(frame) + neighbours(frame)).toBe(0);
});

test('in a storm the tap of ARP keeps what is for this host, and its announcements', () => {
  const reply = frameOf(0x0806, { 0: 0xff, 20: 0, 21: 2 });
  const kept = (frame: Uint8Array, packetType: number): boolean => run(stormTapProgram, frame, { packetType }) > 0;
  expect([0, 1, 4].map((packetType) => kept(reply, packetType))).toEqual([true, false, true]);
  expect([0, 1].map((packetType) => kept(arp, packetType))).toEqual([false, false]);
  expect(kept(solicitation, 2)).toBe(false);
});

describe('a VLAN tag that the card has stripped', () => {
  const watch = (frame: Uint8Array, known: Known): number =>
    run(watchProgram({ addresses: ['0.0.0.0'], virtualMacs: [] }), frame, known);

  test("is somebody else's broadcast domain", () => {
    expect(adverts(vrrp, { vlanTagPresent: 1, vlanTag: 100 })).toBe(0);
    expect(neighbours(arp, { vlanTagPresent: 1, vlanTag: 0xe064 })).toBe(0);
    expect(watch(arp, { vlanTagPresent: 1, vlanTag: 0xe064 })).toBe(0);
  });

  test('is only a priority where its number is 0', () => {
    expect(adverts(vrrp, { vlanTagPresent: 1, vlanTag: 0xe000 })).toBeGreaterThan(0);
  });

  test.each([
    ['adverts', adverts, vrrp],
    ['adverts over IPv6', adverts, vrrp6],
    ['ARP', neighbours, arp],
    ['the detectors', watch, arp],
  ] as const)(
    'and that its own VLAN device has taken away does not count for %s, though its number stays',
    (_, keeps, frame) => {
      expect(keeps(frame, { vlanTagPresent: 0, vlanTag: 100 })).toBeGreaterThan(0);
    },
  );
});
