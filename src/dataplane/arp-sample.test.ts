import { expect, it } from 'vitest';
import { ArpSample } from './arp-sample.js';

it('of a busy LAN every frame is looked at', () => {
  const sample = new ArpSample();
  for (let atMs = 0; atMs < 60_000; atMs += 1) expect(sample.take(atMs)).toBe(true);
  expect(sample.passedOver).toBe(0);
});

it('of 50,000 frames a second 2,000 are looked at, and each that is not is counted', () => {
  const sample = new ArpSample();
  let looked = 0;
  const frames = 500_000;
  for (let frame = 0; frame < frames; frame++) if (sample.take(frame / 50)) looked += 1;
  expect(looked).toBeGreaterThan(10 * 2000);
  expect(looked).toBeLessThanOrEqual(10 * 2000 + 512);
  expect(sample.passedOver).toBe(frames - looked);
});
