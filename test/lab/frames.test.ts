import { describe, expect, it } from 'vitest';
import { judgeArp, judgeBinding, longestAdvertGapMs, parseFrame, type RecordedFrame } from './frames.js';

const vip = '10.77.0.254';
const vmac = '00:00:5e:00:01:33';
const parent = '02:00:00:00:00:01';
const client = '02:00:00:00:00:64';

function arp(operation: number, source: string, senderMac: string, senderIp: string): RecordedFrame & { kind: 'arp' } {
  const frame = parseFrame(
    `5000000 client in arp ${source} ff:ff:ff:ff:ff:ff ${operation} ${senderMac} ${senderIp} 00:00:00:00:00:00 10.77.0.100`,
  );
  if (frame?.kind !== 'arp') throw new Error('not an ARP frame');
  return frame;
}

describe('the recorder’s lines', () => {
  it('become frames', () => {
    expect(arp(2, vmac, vmac, vip)).toEqual({
      atMs: 5,
      port: 'client',
      direction: 'in',
      kind: 'arp',
      source: vmac,
      destination: 'ff:ff:ff:ff:ff:ff',
      operation: 2,
      senderMac: vmac,
      senderIp: vip,
      targetMac: '00:00:00:00:00:00',
      targetIp: '10.77.0.100',
    });
    expect(parseFrame(`1 r1 in vrrp ${vmac} 01:00:5e:00:00:12 10.77.0.1 224.0.0.18 255 3 51 200 100`)).toMatchObject({
      kind: 'vrrp',
      port: 'r1',
      ipSource: '10.77.0.1',
      vrid: 51,
      priority: 200,
    });
    expect(parseFrame(`1 r1 out other ${vmac} ${client} 0800`)).toMatchObject({ kind: 'other', direction: 'out' });
  });

  it('that say something else are no frames', () => {
    expect(parseFrame('1 - - ready')).toBeUndefined();
    expect(parseFrame('1 client - dropped 3')).toBeUndefined();
    expect(parseFrame('')).toBeUndefined();
  });
});

describe('the judgement of an ARP frame', () => {
  for (const operation of [1, 2]) {
    it(`operation ${operation}: the virtual MAC in both places is right, anything else is wrong`, () => {
      expect(judgeArp(arp(operation, vmac, vmac, vip), vip, vmac)).toBeUndefined();
      expect(judgeArp(arp(operation, parent, parent, vip), vip, vmac)).toBe('sender-mac');
      expect(judgeArp(arp(operation, vmac, parent, vip), vip, vmac)).toBe('sender-mac');
      expect(judgeArp(arp(operation, parent, vmac, vip), vip, vmac)).toBe('ethernet-source');
    });
  }

  it('lets everyone speak for their own address', () => {
    expect(judgeArp(arp(1, client, client, '10.77.0.100'), vip, vmac)).toBeUndefined();
  });
});

describe('the judgement of neighbour discovery', () => {
  const vip6 = 'fd77::254';
  const router = 'fd77::1';
  const virtualMacs = new Map([
    [vip, vmac],
    [vip6, vmac],
  ]);
  const judge = (line: string): string | undefined => {
    const frame = parseFrame(`5000000 client in ndp ${line}`);
    if (frame?.kind !== 'ndp') throw new Error('not neighbour discovery');
    return judgeBinding(frame, virtualMacs);
  };
  const to = '33:33:00:00:00:01';

  it('goes by the target of an advertisement, and by the sender of a solicitation', () => {
    expect(judge(`${vmac} ${to} 136 ${router} ${vip6} ${vmac}`)).toBeUndefined();
    expect(judge(`${vmac} ${to} 136 ${router} ${vip6} -`)).toBeUndefined();
    expect(judge(`${vmac} ${to} 136 ${router} ${vip6} ${parent}`)).toBe('sender-mac');
    expect(judge(`${parent} ${to} 136 ${router} ${vip6} ${vmac}`)).toBe('ethernet-source');
    expect(judge(`${parent} ${to} 136 ${router} ${vip6} -`)).toBe('ethernet-source');
    expect(judge(`${parent} ${to} 135 ${vip6} ${router} ${parent}`)).toBe('sender-mac');
    expect(judge(`${vmac} ${to} 135 ${vip6} ${router} ${vmac}`)).toBeUndefined();
  });

  it('lets everyone ask for the address, and speak for their own', () => {
    expect(judge(`${client} ${to} 135 ${router} ${vip6} ${client}`)).toBeUndefined();
    expect(judge(`${client} ${to} 136 ${router} ${router} ${client}`)).toBeUndefined();
  });

  it('is one with that of ARP', () => {
    expect(judgeBinding(arp(2, vmac, parent, vip), virtualMacs)).toBe('sender-mac');
    expect(judgeBinding(arp(2, vmac, vmac, vip), virtualMacs)).toBeUndefined();
  });
});

describe('the longest gap between adverts', () => {
  it('counts from the last advert before the event to the end of the observation', () => {
    expect(longestAdvertGapMs([0, 1000, 2000, 3000], 1500, 3400)).toBe(1000);
    expect(longestAdvertGapMs([0, 1000, 3500], 900, 4000)).toBe(2500);
    expect(longestAdvertGapMs([0, 1000], 900, 4000)).toBe(3000);
    expect(longestAdvertGapMs([], 0, 4000)).toBeUndefined();
  });
});
