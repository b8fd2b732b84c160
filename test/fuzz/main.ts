import { parseArgs } from 'node:util';
import { goldenFrames } from './golden-frames.js';
import { Mutator } from './mutation.js';
import { judge, judgeRoundTrip } from './oracle.js';

/*
 * npm run fuzz -- [frames] [--seed N]
 * Sends mutated and random frames through the demultiplexer; ends with 1 at the first one that breaks a promise.
 */

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string' } } });
const frames = Number(positionals[0] ?? 10_000_000);
const seed = Number(values.seed ?? Math.floor(Date.now() / 1000) % 0x1_0000_0000);
if (!Number.isInteger(frames) || frames < 1 || !Number.isInteger(seed)) {
  process.stderr.write('usage: npm run fuzz -- [frames] [--seed N], both whole numbers\n');
  process.exit(2);
}

process.stdout.write(`${frames} frames, seed ${seed}\n`);
const mutator = new Mutator(Object.values(goldenFrames), seed);
const outcomes = new Map<string, number>();
const startedAt = performance.now();
let sinceReport = performance.now();
try {
  for (let index = 0; index < frames; index++) {
    const bytes = mutator.next();
    const { frame, label } = judge(bytes);
    judgeRoundTrip(bytes, frame);
    outcomes.set(label, (outcomes.get(label) ?? 0) + 1);
    if (index % 100_000 === 0 && performance.now() - sinceReport > 5000) {
      sinceReport = performance.now();
      process.stdout.write(`${index} frames, ${rate(index)} frames/s\n`);
    }
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.stderr.write(`again with: npm run fuzz -- ${frames} --seed ${seed}\n`);
  process.exit(1);
}

for (const [label, count] of [...outcomes].sort(([, a], [, b]) => b - a)) {
  process.stdout.write(`${String(count).padStart(10)}  ${label}\n`);
}
process.stdout.write(`${frames} frames, ${rate(frames)} frames/s, no fault\n`);

function rate(count: number): number {
  return Math.round((count / (performance.now() - startedAt)) * 1000);
}
