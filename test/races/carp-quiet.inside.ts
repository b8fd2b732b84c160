import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { getLink } from '../../src/kernel/links.js';
import { Host, specOf } from '../attach/host.js';
import { good, ip } from '../kernel/cable.js';
import { figure, say } from './figure.js';
import { attachCycles, parentAddress, RaceSegment } from './segment.js';
import { bothFamilies, duplicates, ipv4, ipv6 } from './specs.js';

const isAll = process.env.KOI_RACES === 'all';
const silence = isAll ? { flaps: 10, eachMs: 6000 } : { flaps: 3, eachMs: 500 };
const flatCycles = isAll ? 10_000 : 200;
/** So many virtual routers at once: what is given up together is deleted together, and ten thousand take minutes. */
const together = 10;

let segment: RaceSegment;
let host: Host;

beforeAll(() => {
  segment = new RaceSegment();
});
beforeEach(() => {
  host = new Host();
  host.monitor.drain();
});
afterEach(() => {
  host.close();
});
afterAll(() => {
  segment.remove();
});

test(`a backup is silent while its parent goes down and up ${silence.flaps} times`, async () => {
  const parentMac = good(getLink(host.netlink, segment.parent)).mac;
  if (parentMac === undefined) throw new Error('eth1 has no MAC');
  const attachments = [ipv4, ipv6].map((spec) => host.attachment(spec));
  for (const attachment of attachments) attachment.prepare(segment.parent);
  // The parent's own address answers, which shows that the watch hears what this host says.
  const parent = { addresses: [parentAddress], virtualMac: parentMac };
  const watch = await segment.watch([ipv4, ipv6, parent], 3000);
  const startMs = performance.now();
  for (let flap = 1; flap <= silence.flaps; flap++) {
    ip('link set eth1 down');
    ip('link set eth1 up');
    do await watch.answered(100);
    while (performance.now() < startMs + flap * silence.eachMs);
  }
  await Promise.all(attachments.map((attachment) => attachment.destroy()));
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const counts = await watch.end();
  figure(`backup, ${silence.flaps} flaps in ${seconds} s`, counts, `, by source ${JSON.stringify(counts.sources)}`);
  expect(counts.dropped).toBe(0);
  expect(Object.keys(counts.speakers)).toEqual([parentAddress]);
  for (const { virtualMac } of [ipv4, ipv6]) expect(Object.keys(counts.sources)).not.toContain(virtualMac);
});

/** Bytes on the heap that somebody still holds. */
function heldBytes(): number {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

test(`${flatCycles} takeovers and releases: descriptors, memory and links are what they were`, async () => {
  const others = Array.from({ length: together - 1 }, (_, at) =>
    specOf(71 + at, [`10.77.0.${11 + at}`, `fd77::${11 + at}`]),
  );
  const attachments = [bothFamilies, ...others].map((spec) => host.attachment(spec, { duplicates }));
  const state = () => ({
    descriptors: readdirSync('/proc/self/fd').length,
    links: host.links().length,
    addresses: ip('-o addr show').trim().split('\n').length,
    routes: ip('-o route show table all').trim().split('\n').length,
    parent: ip('-o addr show dev eth1').trim(),
  });
  await attachCycles(20, { attachments, segment });
  const before = { state: state(), held: heldBytes(), rss: process.memoryUsage().rss };
  const refusals: string[] = [];
  const onRefused = (why: string): void => void refusals.push(why);
  await attachCycles(flatCycles / together, { attachments, segment, onRefused });
  const after = { state: state(), held: heldBytes(), rss: process.memoryUsage().rss };
  const kibibytes = (bytes: number) => `${Math.round(bytes / 1024)} KiB`;
  say(
    `${flatCycles} cycles, ${together} at once: ${JSON.stringify(before.state)} before and ${JSON.stringify(after.state)} after; heap held ` +
      `${kibibytes(after.held - before.held)} more, resident ${kibibytes(after.rss - before.rss)} more; ` +
      `${refusals.length} refused ${[...new Set(refusals)].join(' | ')}`,
  );
  expect(after.state).toEqual(before.state);
  expect(refusals.length).toBeLessThan(flatCycles / 100);
  expect(after.held - before.held).toBeLessThan(2 * 1024 * 1024);
  expect(after.rss - before.rss).toBeLessThan(64 * 1024 * 1024);
  await Promise.all(attachments.map((attachment) => attachment.destroy()));
  expect(host.koiLinks()).toEqual([]);
});
