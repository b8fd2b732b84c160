import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demuxFrame } from '../../src/wire/demux.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Host, isRoot, router } from '../daemon/host.js';
import { PortRecorder } from '../interop/port-recorder.js';
import { observeFor, stallMs } from '../lab/wait.js';

const scraper = fileURLToPath(new URL('scraper.mjs', import.meta.url));
const seconds = 2;
const rounds = 3;
const intervalMs = 10;
const perSecond = 100;

/** A hundred times what a busy Prometheus asks, of a master with adverts every 10 ms, looked at where they arrive. */
describe.skipIf(!isRoot)('a scrape (needs root)', () => {
  let built: BuiltKoi;
  let host: Host;
  let recorder: PortRecorder;

  beforeAll(async () => {
    built = buildKoi();
    host = new Host(built.main);
    const more = Array.from({ length: 19 }, (_, index) =>
      router({
        name: `vr${index}`,
        id: String(60 + index),
        advertInterval: '1s',
        addresses: `[10.77.0.${60 + index}/24]`,
      }),
    );
    host.configure({
      virtualRouters: `[${[router({ advertInterval: '10ms' }), ...more].join(', ')}]`,
      more: 'arbitration: wire',
    });
    host.koi('run');
    await host.until('every virtual router to be served', ({ vrs }) =>
      vrs.every(({ state }) => state === 'master') ? undefined : vrs.map(({ state }) => state).join(' '),
    );
    recorder = new PortRecorder(host.peer, 'eth1', join(host.directory, 'pcap'), 'adverts');
    await recorder.ready();
  }, 60_000);
  afterAll(async () => {
    await recorder?.stop();
    await host?.endAll();
    host?.remove();
    built?.remove();
  });

  it('delays no advert', { timeout: 120_000 }, async () => {
    const [quiet, scraped]: [Span[], Span[]] = [[], []];
    const asked: Asked[] = [];
    // In turns: a machine that is busy for a while is so for both.
    for (let round = 0; round < rounds; round += 1) {
      quiet.push(await during(() => observeFor(seconds * 1000)));
      scraped.push(await during(async () => asked.push(await scrape())));
    }
    const sum = (what: keyof Asked): number => asked.reduce((total, each) => total + each[what], 0);
    const without = lateness(quiet);
    const withScrapes = lateness(scraped);
    process.stdout.write(
      [
        `${sum('answered')} scrapes of ${Math.round(sum('octets') / sum('answered') / 1024)} KiB, ` +
          `${perSecond} a second, worst ${Math.max(...asked.map(({ worst }) => worst)).toFixed(1)} ms`,
        `adverts at the wire without: ${inWords(without)}`,
        `adverts at the wire with:    ${inWords(withScrapes)}`,
        '',
      ].join('\n'),
    );
    expect({ answered: sum('answered'), failed: sum('failed') }).toEqual({
      answered: perSecond * seconds * rounds,
      failed: 0,
    });
    // Every advert that was due has left, as many with as without, and none of them late beyond what a busy machine stalls.
    const due = (seconds * rounds * 1000) / intervalMs;
    for (const { count } of [without, withScrapes]) expect(count).toBeGreaterThan(0.9 * due);
    expect(withScrapes.medianMs).toBeLessThan(without.medianMs + intervalMs / 2);
    expect(withScrapes.worstMs).toBeLessThan(without.worstMs + stallMs);
  });

  interface Asked {
    readonly answered: number;
    readonly failed: number;
    readonly octets: number;
    readonly worst: number;
  }

  async function scrape(): Promise<Asked> {
    const words = [scraper, 'http://127.0.0.1:9650/metrics', `${perSecond}`, `${seconds}`];
    const running = host.spawn([process.execPath, ...words]);
    await running.end();
    return JSON.parse(running.output) as Asked;
  }

  /** When adverts came to the other end of the wire while something was done, milliseconds. */
  type Span = readonly number[];

  async function during(work: () => Promise<unknown>): Promise<Span> {
    const fromMs = Date.now();
    await work();
    const untilMs = Date.now();
    // The record is read behind the wire.
    await observeFor(300);
    return recorder.frames.flatMap(({ atSeconds, bytes }) => {
      const atMs = atSeconds * 1000;
      return atMs >= fromMs && atMs < untilMs && isCounted(bytes) ? [atMs] : [];
    });
  }

  /** It leaves in both forms of checksum; one of them is enough. */
  function isCounted(bytes: Uint8Array): boolean {
    const frame = demuxFrame(bytes);
    if (frame.kind !== 'vrrp' || frame.id !== 51 || !frame.advert.ok) return false;
    return frame.advert.value.version === 3 && frame.advert.value.checksumForm === 'rfc9568';
  }

  /** How much longer than the interval it was to the advert before. */
  function lateness(spans: readonly Span[]) {
    const late = spans.flatMap((times) => times.slice(1).map((at, index) => at - (times[index] ?? at) - intervalMs));
    const sorted = late.toSorted((a, b) => a - b);
    const share = (of: number): number => sorted[Math.floor(of * (sorted.length - 1))] ?? Number.NaN;
    return { count: late.length, medianMs: share(0.5), p99Ms: share(0.99), worstMs: share(1) };
  }

  function inWords({ count, medianMs, p99Ms, worstMs }: ReturnType<typeof lateness>): string {
    const ms = (value: number): string => `${value.toFixed(2)} ms`;
    return `${count} intervals, longer than ${intervalMs} ms by ${ms(medianMs)} (median), ${ms(p99Ms)} (99 %), ${ms(worstMs)} (worst)`;
  }
});
