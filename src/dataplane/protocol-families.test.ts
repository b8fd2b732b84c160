import { describe, expect, it } from 'vitest';
import { FamilyWatch } from './protocol-families.js';

const patienceMs = 3000;

describe('a family that is silent alone', () => {
  it('is named once the other has been heard without it for the master-down interval', () => {
    const watch = new FamilyWatch([4, 6]);
    for (let atMs = 0; atMs <= patienceMs; atMs += 1000) {
      watch.heard(4, 1, atMs, patienceMs);
      expect(watch.silent).toBeUndefined();
    }
    watch.heard(4, 1, patienceMs + 1000, patienceMs);
    expect(watch.silent).toBe(6);
    watch.heard(6, 1, patienceMs + 1001, patienceMs);
    expect(watch.silent).toBeUndefined();
  });

  it('is not named after a silence of both: what is heard first starts the count', () => {
    const watch = new FamilyWatch([4, 6]);
    watch.heard(4, 1, 0, patienceMs);
    watch.heard(6, 1, 1, patienceMs);
    watch.heard(4, 1, 60_000, patienceMs);
    expect(watch.silent).toBeUndefined();
    watch.heard(6, 1, 60_001, patienceMs);
    expect(watch.silent).toBeUndefined();
  });

  it('is never named where there is but one', () => {
    const watch = new FamilyWatch([6]);
    watch.heard(6, 1, 0, patienceMs);
    watch.heard(6, 1, 60_000, patienceMs);
    expect(watch.silent).toBeUndefined();
  });
});

describe('who is first among equals', () => {
  it('is decided by IPv4 where both are heard, so that two routers never both give way', () => {
    const watch = new FamilyWatch([4, 6]);
    watch.heard(4, -1, 0, patienceMs);
    expect(watch.orderOf(4, -1, 0, patienceMs)).toBe(-1);
    expect(watch.orderOf(6, 1, 100, patienceMs)).toBe(-1);
  });

  it('is decided by IPv6 where IPv4 is not heard, or not any more', () => {
    const watch = new FamilyWatch([4, 6]);
    expect(watch.orderOf(6, 1, 0, patienceMs)).toBe(1);
    watch.heard(4, -1, 0, patienceMs);
    expect(watch.orderOf(6, 1, patienceMs + 1, patienceMs)).toBe(1);
  });
});
