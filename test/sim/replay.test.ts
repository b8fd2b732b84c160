import { describe, expect, it } from 'vitest';
import { simulate } from '../../src/sim/simulation.js';

describe('a seed', () => {
  it('does the same again, whether or not anybody reads along', async () => {
    for (const seed of [1, 2, 3, 4711]) {
      const first = await simulate({ seed });
      const second = await simulate({ seed, keepsTrace: true });
      expect(second.traceHash).toBe(first.traceHash);
      expect(second.trace.length).toBeGreaterThan(100);
      expect(first.trace).toEqual([]);
    }
  });

  it('is another run than its neighbour', async () => {
    const hashes = await Promise.all([1, 2, 3, 4, 5].map(async (seed) => (await simulate({ seed })).traceHash));
    expect(new Set(hashes).size).toBe(5);
  });

  it('without faults elects one master, and nothing happens to it', async () => {
    for (const mode of ['log', 'wire'] as const) {
      const { violation, tally } = await simulate({ seed: 7, mode, nodes: 3, faults: [] });
      expect(violation).toBeUndefined();
      expect(tally.takeovers).toBeGreaterThan(0);
      expect(tally).toMatchObject({ needlessClaims: 0, splitBrains: 0, logResets: 0 });
    }
  });
});
