import { describe, expect, it } from 'vitest';
import { addWords, foldSum, pseudoHeaderSum, sumAddresses } from './checksum.js';
import { demuxFrame } from './demux.js';
import { buildHolderProbe, readHolderProbe } from './holder-probe.js';
import { ipPayloadOf } from './ip-frame.js';
import type { MacAddress } from './mac.js';
import { neighborSolicitation } from './ndp.js';

const mac = '02:00:00:00:00:0a' as MacAddress;
const about = { protocol: 'vrrp3', id: 51 } as const;

const families = [
  { family: 4, source: '192.0.2.11', target: '192.0.2.12' },
  { family: 6, source: 'fe80::11', target: 'fe80::12' },
];

describe.each(families)('a probe over IPv$family', ({ source, target }) => {
  const frame = buildHolderProbe({ ...about, source, target }, mac);

  it('is known by the challenger', () => {
    expect(readHolderProbe(demuxFrame(frame), frame)).toEqual({ ...about, source, target });
  });

  it('comes from the MAC that it is given, and not from a virtual one', () => {
    expect(demuxFrame(frame)).toMatchObject({ etherSource: mac });
  });

  it('is refused when cut anywhere', () => {
    // Past the packet only Ethernet's padding is left.
    const length = source.includes(':') ? frame.length : 42;
    for (let cut = 0; cut < length; cut++) {
      const short = frame.slice(0, cut);
      expect(readHolderProbe(demuxFrame(short), short)).toBeUndefined();
    }
  });
});

it('is laid out as its table says', () => {
  const arp = buildHolderProbe({ ...about, source: '192.0.2.11', target: '192.0.2.12' }, mac);
  expect(Buffer.from(arp).toString('hex')).toBe(
    `ffffffffffff02000000000a080600010800060400010200000000${'0a'}c000020b024b4f490233c000020c${'00'.repeat(18)}`,
  );
  const ns = buildHolderProbe({ ...about, source: 'fe80::11', target: 'fe80::12' }, mac);
  expect(Buffer.from(ns.subarray(58, 62)).toString('hex')).toBe('4b4f0233');
});

it('has a checksum that holds over its mark', () => {
  const frame = buildHolderProbe({ ...about, source: 'fe80::11', target: 'fe80::12' }, mac);
  const { offset, length } = ipPayloadOf(frame);
  const sum = addWords(pseudoHeaderSum(sumAddresses(frame, 14, 6), 58, length), frame, offset, length);
  expect(foldSum(sum)).toBe(0xffff);
});

it('is not what a kernel asks by itself, nor one about no virtual router', () => {
  const asked = neighborSolicitation({ senderMac: mac, senderAddress: 'fe80::11', targetAddress: 'fe80::12' });
  expect(readHolderProbe(demuxFrame(asked), asked)).toBeUndefined();
  const arp = buildHolderProbe({ ...about, source: '192.0.2.11', target: '192.0.2.12' }, mac);
  const without = (from: number, to: number) => arp.slice().fill(0, from, to);
  for (const other of [without(32, 38), without(36, 37), without(37, 38), without(20, 22)]) {
    expect(readHolderProbe(demuxFrame(other), other)).toBeUndefined();
  }
});
