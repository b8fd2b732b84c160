import { spawnSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Host } from '../attach/host.js';
import { ip } from '../kernel/cable.js';
import { expectWithin, figure, say } from './figure.js';
import { RaceSegment } from './segment.js';
import { bothFamilies, duplicates } from './specs.js';

const teardowns = process.env.KOI_RACES === 'all' ? 1000 : 60;
const framesPerSecond = 4000;
const offsetMaxMs = 20;
const tookMaxMs = 250;

let segment: RaceSegment;
let host: Host;

beforeAll(() => {
  segment = new RaceSegment();
  host = new Host();
  host.monitor.drain();
});
afterAll(() => {
  host.close();
  segment.remove();
});

/** What the kernel writes while it waits for a reference that nobody gives back, for ever. */
const stuck = (): number => spawnSync('dmesg', { encoding: 'utf8' }).stdout.split('waiting for').length - 1;

test(`${teardowns} teardowns at any moment of an attach, while another host claims the addresses: each completes`, async () => {
  const stuckBefore = stuck();
  const routesBefore = ip('-o route show table all').trim().split('\n').length;
  const watch = await segment.watch([bothFamilies], framesPerSecond, true);
  const tookMs: number[] = [];
  const refusals = new Map<string, number>();
  let finished = 0;
  let seed = 19;
  for (let round = 0; round < teardowns; round += 1) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    const attachment = host.attachment(bothFamilies, { duplicates });
    const attach = attachment.attach(segment.parent).then(
      () => 'finished',
      (error: Error) => error.message,
    );
    // Most of them while it is under way, which takes a few milliseconds.
    await pause((seed / 2 ** 32) ** 3 * offsetMaxMs);
    const startedMs = performance.now();
    attachment.detach();
    await attachment.destroy();
    tookMs.push(performance.now() - startedMs);
    const end = await attach;
    if (end === 'finished') finished += 1;
    else refusals.set(end, (refusals.get(end) ?? 0) + 1);
    expect(host.koiLinks()).toEqual([]);
    expect(host.holders(bothFamilies.addresses)).toEqual([]);
  }
  const counts = await watch.end();
  tookMs.sort((a, b) => a - b);
  const [middle = 0, longest = 0] = [tookMs[Math.floor(tookMs.length / 2)], tookMs.at(-1)];
  figure(`${teardowns} teardowns`, counts, `; ${finished} attaches had come to their end`);
  say(`  each within ${longest.toFixed(0)} ms, ${middle.toFixed(0)} in the median; ${JSON.stringify([...refusals])}`);
  expect(counts.kinds).toEqual({});
  expect(counts.dropped).toBe(0);
  expectWithin(tookMs, tookMaxMs);
  for (const refusal of refusals.keys()) expect(refusal).toMatch(/superseded|not wanted any more|released/);
  expect(ip('-o route show table all').trim().split('\n').length).toBe(routesBefore);
  expect(stuck()).toBe(stuckBefore);
});
