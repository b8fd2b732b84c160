import { describe, expect, it } from 'vitest';
import { parseFrame, type RecordedFrame } from './frames.js';
import { medianOf } from './median.js';
import { findTakeover } from './takeover.js';

const gw = { name: 'gw', id: 51, address: '10.77.0.254', arbitration: 'log' } as const;
const vmac = '00:00:5e:00:01:33';
const frames = (...lines: string[]): RecordedFrame[] => lines.flatMap((line) => parseFrame(line) ?? []);
const advert = (ms: number, port: string, way: string, vrid: number, priority: number) =>
  `${ms * 1e6} ${port} ${way} vrrp ${vmac} 01:00:5e:00:00:12 10.77.0.1 224.0.0.18 255 3 ${vrid} ${priority} 10`;
const arp = (ms: number, port: string, source: string, ip: string) =>
  `${ms * 1e6} ${port} in arp ${source} ff:ff:ff:ff:ff:ff 1 ${source} ${ip} 00:00:00:00:00:00 ${ip}`;

describe('a takeover on the wire', () => {
  it('is from the first priority 0 that reached the successor to its first announcement', () => {
    const seen = frames(
      arp(5, 'r2', vmac, gw.address),
      advert(9, 'r1', 'in', 51, 0),
      advert(10, 'r2', 'out', 51, 0),
      advert(11, 'r2', 'out', 51, 0),
      arp(12, 'r2', '00:00:5e:00:01:34', '10.77.0.253'),
      arp(17, 'r2', vmac, gw.address),
      arp(16, 'r2', vmac, gw.address),
    );
    expect(findTakeover(seen, gw, 'r2')).toEqual({ toldMs: 10, announcedMs: 16 });
  });

  it('is missed by name', () => {
    expect(findTakeover(frames(advert(10, 'r2', 'out', 52, 0)), gw, 'r2')).toBe('gw: no priority 0 reached r2');
    expect(findTakeover(frames(advert(10, 'r2', 'out', 51, 0)), gw, 'r2')).toBe('gw: r2 never announced it');
  });
});

describe('the median', () => {
  it('is the middle one, whatever the order', () => {
    expect(medianOf([9, 1, 5])).toBe(5);
    expect(medianOf([9, 1])).toBe(1);
    expect(medianOf([])).toBe(0);
  });
});
