import { describe, expect, it } from 'vitest';
import { ConfigurationGate } from './configuration-gate.js';

describe('whether a node may take over with its configuration', () => {
  it('is what the log says, whatever is heard', () => {
    const gate = new ConfigurationGate(0);
    gate.logSays(false);
    expect(gate.refused('bad_digest', 10)).toBe(false);
    expect(gate.isBarred(10)).toBe(false);
    gate.logSays(true);
    expect(gate.isBarred(1e9)).toBe(true);
    expect(gate.openAtMs).toBeUndefined();
  });

  it('is doubted after the start while adverts of another configuration are heard', () => {
    const gate = new ConfigurationGate(1000);
    expect(gate.isBarred(1000)).toBe(false);
    expect(gate.refused('bad_ttl', 1100)).toBe(false);
    expect(gate.isBarred(1100)).toBe(false);
    expect(gate.refused('bad_digest', 1200)).toBe(true);
    expect(gate.refused('bad_digest', 1300)).toBe(false);
    expect(gate.openAtMs).toBe(4300);
    expect(gate.isBarred(4299)).toBe(true);
    expect(gate.isBarred(4300)).toBe(false);
  });

  it('is doubted for so long only: whoever forges adverts cannot hold it for ever', () => {
    const gate = new ConfigurationGate(1000);
    for (let atMs = 1000; atMs < 21_000; atMs += 1000) gate.refused('address_mismatch', atMs);
    expect(gate.isBarred(20_999)).toBe(true);
    expect(gate.refused('address_mismatch', 21_000)).toBe(false);
    expect(gate.isBarred(21_000)).toBe(false);
  });
});
