import { expect } from 'vitest';
import { runCampaign } from '../../src/sim/campaign.js';
import type { Mode } from '../../src/sim/world.js';

const tailLines = 30;

/** Runs these seeds and demands that every promise was kept; a broken one is shown with its replay and its last moments. */
export async function expectPromisesKept(mode: Mode, firstSeed: number, runs: number): Promise<void> {
  const { failures, tally } = await runCampaign({ firstSeed, runs, mode });
  const told = failures.map(({ seed, violation, trace }) => {
    const tail = trace.slice(-tailLines).map(({ atMs, node, text }) => `  ${atMs.toFixed(3)} ${node} ${text}`);
    return [`koi simulate --seed ${seed} --mode ${mode} --verbose: ${violation?.text}`, ...tail].join('\n');
  });
  expect(told).toEqual([]);
  // Otherwise nothing was put to the test.
  expect(tally.switches).toBeGreaterThan(0);
  expect(tally.takeovers).toBeGreaterThan(runs);
}
