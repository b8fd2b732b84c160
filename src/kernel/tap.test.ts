import { describe, expect, test } from 'vitest';
import { lanDatagramPort } from '../wire/lan-datagram.js';
import type { ancillary, Instruction } from './bpf.js';
import { tapProgram } from './tap.js';

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

const keeps = (frame: Uint8Array, known: Known = {}): boolean => run(tapProgram, frame, known) > 0;
const arp = frameOf(0x0806);
const vrrp = frameOf(0x0800, { 14: 0x45, 23: 112 });
const vrrp6 = frameOf(0x86dd, { 20: 112 });
const port = { high: lanDatagramPort >> 8, low: lanDatagramPort & 0xff };
const notice = frameOf(0x0800, { 14: 0x45, 23: 17, 36: port.high, 37: port.low });

describe('the tap keeps', () => {
  test.each([
    ['ARP', arp],
    ['VRRP and CARP over IPv4', vrrp],
    ['VRRP and CARP over IPv6', vrrp6],
    ["Koi's own datagrams", notice],
    ['a neighbour solicitation', frameOf(0x86dd, { 20: 58, 54: 135 })],
    ['a neighbour advertisement', frameOf(0x86dd, { 20: 58, 54: 136 })],
  ])('%s, whole', (_, frame) => {
    expect(run(tapProgram, frame, {})).toBe(0xffff);
  });

  test.each([
    ['TCP', frameOf(0x0800, { 14: 0x45, 23: 6 })],
    ['UDP to another port', frameOf(0x0800, { 14: 0x45, 23: 17, 37: 53 })],
    ['another kind of ICMPv6', frameOf(0x86dd, { 20: 58, 54: 128 })],
    ['another ethertype', frameOf(0x88cc)],
    ['a frame with its VLAN tag in it', frameOf(0x8100)],
    ['a frame that is cut', vrrp.subarray(0, 20)],
  ])('no %s', (_, frame) => {
    expect(keeps(frame)).toBe(false);
  });
});

describe('what this host sends', () => {
  const outgoing = { packetType: 4 };

  test('is seen where somebody waits for it to leave', () => {
    expect([arp, frameOf(0x86dd, { 20: 58, 54: 136 })].map((frame) => keeps(frame, outgoing))).toEqual([true, true]);
  });

  test('is not seen where it is an advert: nobody waits, and they are many', () => {
    expect([vrrp, vrrp6].map((frame) => keeps(frame, outgoing))).toEqual([false, false]);
  });
});

describe('a VLAN tag that the card has stripped', () => {
  test("is somebody else's broadcast domain", () => {
    expect(keeps(vrrp, { vlanTagPresent: 1, vlanTag: 100 })).toBe(false);
    expect(keeps(arp, { vlanTagPresent: 1, vlanTag: 0xe064 })).toBe(false);
  });

  test('is only a priority where its number is 0', () => {
    expect(keeps(vrrp, { vlanTagPresent: 1, vlanTag: 0xe000 })).toBe(true);
  });

  test.each([arp, vrrp, vrrp6])(
    'and that its own VLAN device has taken away does not count, though its number stays',
    (frame) => {
      expect(keeps(frame, { vlanTagPresent: 0, vlanTag: 100 })).toBe(true);
    },
  );
});
