import { describe, expect, test } from 'vitest';
import { assemble, type Instruction } from './bpf.js';
import { advertTapProgram, neighbourTapProgram, stormTapProgram } from './tap.js';

/** As hex words {code, jumps, k}, the way `tcpdump -ddd` counts them. */
function listing(program: readonly Instruction[]): string[] {
  const bytes = assemble(program);
  const view = new DataView(bytes.buffer);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    lines.push(
      `${view.getUint16(at, true).toString(16)} ${view.getUint8(at + 2)} ${view.getUint8(at + 3)} ${view.getUint32(at + 4, true).toString(16)}`,
    );
  }
  return lines;
}

describe('assembling', () => {
  test('gives what tcpdump gives for "arp"', () => {
    // tcpdump -d arp: ldh [12]; jeq #0x806 jt 2 jf 3; ret #262144; ret #0
    expect(
      listing([
        { op: 'load', bytes: 2, offset: 12 },
        { op: 'ifEqual', value: 0x806, no: 'drop' },
        { op: 'return', bytes: 262144 },
        { op: 'label', name: 'drop' },
        { op: 'return', bytes: 0 },
      ]),
    ).toEqual(['28 0 0 c', '15 0 1 806', '6 0 0 40000', '6 0 0 0']);
  });

  test('knows ancillary data, masks and jumps', () => {
    expect(
      listing([
        { op: 'loadAncillary', what: 'vlanTag' },
        { op: 'and', mask: 0xfff },
        { op: 'ifGreaterOrEqual', value: 1, yes: 'end' },
        { op: 'goto', to: 'end' },
        { op: 'load', bytes: 1, offset: 3 },
        { op: 'load', bytes: 4, offset: 4 },
        { op: 'label', name: 'end' },
        { op: 'return', bytes: 1 },
      ]),
    ).toEqual(['20 0 0 fffff02c', '54 0 0 fff', '35 3 0 1', '5 0 0 2', '30 0 0 3', '20 0 0 4', '6 0 0 1']);
  });

  test('refuses programs that cannot be', () => {
    expect(() => assemble([{ op: 'goto', to: 'nowhere' }])).toThrow(/nowhere/);
    expect(() =>
      assemble([
        { op: 'label', name: 'back' },
        { op: 'return', bytes: 0 },
        { op: 'goto', to: 'back' },
      ]),
    ).toThrow(/out of reach/);
    const far: Instruction[] = Array.from({ length: 256 }, () => ({ op: 'return', bytes: 0 }));
    expect(() =>
      assemble([{ op: 'ifEqual', value: 1, yes: 'end' }, ...far, { op: 'label', name: 'end' }, ...far]),
    ).toThrow(/out of reach/);
  });
});

test.each([advertTapProgram, neighbourTapProgram, stormTapProgram])(
  'a tap keeps whole frames, and ends on every path',
  (...program) => {
    const lines = listing(program);
    expect(lines.slice(-2)).toEqual(['6 0 0 0', '6 0 0 ffff']);
  },
);
