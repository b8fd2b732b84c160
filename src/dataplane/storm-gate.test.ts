import { expect, it } from 'vitest';
import { StormGate } from './storm-gate.js';

it('a busy LAN is no storm', () => {
  const gate = new StormGate();
  for (let atMs = 0; atMs < 60_000; atMs += 2) expect(gate.noted(atMs)).toBe(false);
  expect(gate.closedUntilMs).toBeUndefined();
});

it('a storm closes the gate once, until it is opened again', () => {
  const gate = new StormGate();
  const closes = (fromMs: number): number => {
    let count = 0;
    for (let each = 0; each < 5000; each++) if (gate.noted(fromMs + each / 50)) count += 1;
    return count;
  };
  expect(closes(0)).toBe(1);
  expect(gate.closedUntilMs).toBeCloseTo(10_020, 0);
  expect(closes(200)).toBe(0);
  gate.opened();
  expect(closes(10_100)).toBe(1);
  expect(gate.storms).toBe(2);
});
