import { describe, expect, it } from 'vitest';
import { arpProbe } from './arp.js';
import { demuxFrame } from './demux.js';
import { readHolderProbe } from './holder-probe.js';
import { type MacAddress, readMac } from './mac.js';
import { neighborSolicitation } from './ndp.js';
import { buildAnnounceWish, buildVipProbe, readVipProbe } from './vip-probe.js';

const senderMac = '02:00:00:00:00:01' as MacAddress;
const read = (frame: Uint8Array) => readVipProbe(demuxFrame(frame), frame);

describe('the question who has a virtual IP', () => {
  it.each([
    ['192.0.2.1', '192.0.2.7'],
    ['2001:db8::1', 'fe80::7'],
  ])('for %s is an ordinary one, and marked', (vip, source) => {
    const frame = buildVipProbe({ id: 51, vip, source, senderMac });
    expect(read(frame)).toEqual({ purpose: 'who_has', id: 51, source });
    expect(readMac(frame, 6)).toBe(senderMac);
    expect(readHolderProbe(demuxFrame(frame), frame)).toBeUndefined();
  });

  it('is not found in what kernels ask', () => {
    expect(read(arpProbe({ senderMac, senderAddress: '192.0.2.7', targetAddress: '192.0.2.1' }))).toBeUndefined();
    expect(
      read(neighborSolicitation({ senderMac, senderAddress: 'fe80::7', targetAddress: '2001:db8::1' })),
    ).toBeUndefined();
  });
});

describe('the wish that the master announce again', () => {
  it('binds nothing but the sender to its own MAC', () => {
    const frame = buildAnnounceWish({ id: 51, source: '192.0.2.7', senderMac });
    expect(read(frame)).toEqual({ purpose: 'announce_again', id: 51, source: '192.0.2.7' });
    expect(demuxFrame(frame)).toMatchObject({
      packet: { senderMac, senderAddress: '192.0.2.7', targetAddress: '192.0.2.7' },
    });
  });

  it('of an impossible purpose or id is none', () => {
    const frame = buildAnnounceWish({ id: 51, source: '192.0.2.7', senderMac });
    for (const [at, octet] of [
      [36, 2],
      [37, 0],
    ] as const) {
      const other = frame.slice();
      other[at] = octet;
      expect(read(other)).toBeUndefined();
    }
  });
});
