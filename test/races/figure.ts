import { expect } from 'vitest';
import { stallMs } from '../lab/wait.js';
import type { Counts } from './segment.js';

/** A line that the outer test prints for whoever wants the numbers. */
export function figure(what: string, { wrong, right, asked, seen }: Counts, more = ''): void {
  say(`${what}: ${wrong} wrong, ${right} right, ${asked} asked, ${seen} seen${more}`);
}

export const say = (text: string): void => void process.stdout.write(`figure: ${text}\n`);

/** A line with the middle, the 99th percentile and the longest of these. @returns the longest */
export function figureMs(what: string, tookMs: readonly number[], digits = 0): number {
  const sorted = [...tookMs].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const longest = sorted.at(-1) ?? 0;
  const [middle, most] = [at(0.5), at(0.99)].map((ms) => ms.toFixed(digits));
  process.stdout.write(
    `${what}: median ${middle} ms, 99 of 100 within ${most} ms, at most ${longest.toFixed(digits)} ms\n`,
  );
  return longest;
}

/**
 * A bound on what the machine's other work delays. At full length, with the machine to itself, 99 of 100 hold it and none of
 * fewer is late; in the short form, among other tests, nine of ten. None is later by more than a stall.
 */
export function expectWithin(tookMs: readonly number[], boundMs: number): void {
  const late = tookMs.filter((ms) => ms > boundMs);
  const excused = process.env.KOI_RACES === 'all' ? Math.floor(tookMs.length / 100) : Math.ceil(tookMs.length / 10);
  expect(late.length, `of ${tookMs.length}, later than ${boundMs} ms: ${late.join(', ')}`).toBeLessThanOrEqual(excused);
  expect(Math.max(...late, 0)).toBeLessThan(boundMs + stallMs);
}
