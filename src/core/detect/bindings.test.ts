import { describe, expect, it } from 'vitest';
import { arpProbe, arpReply, encodeArp, gratuitousArp } from '../../wire/arp.js';
import { demuxFrame } from '../../wire/demux.js';
import { encodeEthernet, etherType } from '../../wire/ethernet.js';
import type { MacAddress } from '../../wire/mac.js';
import { neighborSolicitation, unsolicitedNeighborAdvertisement } from '../../wire/ndp.js';
import { claimOf, judgeClaim } from './bindings.js';

const virtualMac = '00:00:5e:00:01:33' as MacAddress;
const offender = '02:00:00:00:00:99' as MacAddress;
const client = '02:00:00:00:00:01' as MacAddress;
const vip = '192.0.2.1';
const passing = { outgoing: false, answersProbe: false };

function judge(frame: Uint8Array, seen = passing) {
  const claim = claimOf(demuxFrame(frame));
  return claim === undefined ? 'no claim' : judgeClaim(claim, virtualMac, seen);
}

function arp(opcode: number, senderMac: MacAddress, source = senderMac): Uint8Array {
  const packet = encodeArp({ opcode, senderMac, senderAddress: vip, targetMac: client, targetAddress: '192.0.2.9' });
  const frame = new Uint8Array(60);
  frame.set(encodeEthernet({ destination: client, source, etherType: etherType.arp }));
  frame.set(packet, 14);
  return frame;
}

describe('what a frame says of a virtual IP', () => {
  it('is right where the virtual MAC says it', () => {
    expect(judge(gratuitousArp({ virtualMac, address: vip, operation: 'request' }))).toBeUndefined();
    expect(judge(arp(arpReply, virtualMac))).toBeUndefined();
    expect(
      judge(unsolicitedNeighborAdvertisement({ virtualMac, address: '2001:db8::1', router: false })),
    ).toBeUndefined();
  });

  it.each([
    ['arp_announcement', gratuitousArp({ virtualMac: offender, address: vip, operation: 'reply' })],
    ['arp_announcement', gratuitousArp({ virtualMac: offender, address: vip, operation: 'request' })],
    ['arp_reply', arp(arpReply, offender)],
    ['arp_reply', arp(9, offender)],
    ['arp_request', arpProbe({ senderMac: offender, senderAddress: vip, targetAddress: '192.0.2.9' })],
    ['na', unsolicitedNeighborAdvertisement({ virtualMac: offender, address: '2001:db8::1', router: true })],
    ['ns', neighborSolicitation({ senderMac: offender, senderAddress: '2001:db8::1', targetAddress: '2001:db8::9' })],
  ])('is wrong as %s', (kind, frame) => {
    expect(judge(frame)).toMatchObject({ kind, mac: offender });
  });

  it('is wrong where only the Ethernet source differs, which is what switches learn', () => {
    expect(judge(arp(arpReply, virtualMac, offender))).toMatchObject({ kind: 'ethernet_source', mac: offender });
  });

  it('is told apart where it answers our probe, or this host said it', () => {
    expect(judge(arp(arpReply, offender), { outgoing: false, answersProbe: true })).toMatchObject({
      kind: 'probe_answer',
    });
    expect(judge(arp(arpReply, offender), { outgoing: true, answersProbe: false })).toMatchObject({
      kind: 'own_frame',
    });
  });

  it('is nothing where a host only asks whether an address is free', () => {
    const probe = neighborSolicitation({ senderMac: offender, senderAddress: '::', targetAddress: '2001:db8::1' });
    expect(judge(probe)).toBe('no claim');
  });
});
