import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Host, isRoot, router } from '../daemon/host.js';
import { observeFor } from '../lab/wait.js';
import { metricsOf } from './metrics-of.js';

const scraper = fileURLToPath(new URL('scraper.mjs', import.meta.url));
const seconds = 2;
const perSecond = 100;

/** A hundred times what a busy Prometheus asks, of a master with adverts every 10 ms. */
describe.skipIf(!isRoot)('a scrape (needs root)', () => {
  let built: BuiltKoi;
  let host: Host;

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
  }, 60_000);
  afterAll(async () => {
    await host?.endAll();
    host?.remove();
    built?.remove();
  });

  it('delays no advert', { timeout: 60_000 }, async () => {
    const quiet = await during(() => observeFor(seconds * 1000));
    let said = '';
    const scraped = await during(async () => {
      const running = host.spawn([
        process.execPath,
        scraper,
        'http://127.0.0.1:9650/metrics',
        `${perSecond}`,
        `${seconds}`,
      ]);
      await running.end();
      said = running.output;
    });
    const { answered, failed, octets, median, worst } = JSON.parse(said) as Record<string, number>;
    const figures = { quiet, scraped, answered, octets, median, worst };
    process.stdout.write(
      [
        `${answered} scrapes of ${Math.round((octets ?? 0) / (answered ?? 1) / 1024)} KiB, median ${median?.toFixed(1)} ms, worst ${worst?.toFixed(1)} ms`,
        `adverts without: ${inWords(quiet)}`,
        `adverts with:    ${inWords(scraped)}`,
        '',
      ].join('\n'),
    );
    expect({ answered, failed }).toEqual({ answered: perSecond * seconds, failed: 0 });
    // Adverts went on, and nothing was lost or taken over meanwhile: times are printed, since this machine is busy.
    expect(figures.scraped.count).toBeGreaterThan(quiet.count / 4);
    expect(figures.scraped.terms).toEqual(quiet.terms);
  });

  interface Lateness {
    readonly count: number;
    /** Share of the adverts that were at most so many seconds late. */
    readonly within: readonly (readonly [string, number])[];
    readonly meanMs: number;
    readonly terms: readonly number[];
  }

  async function during(work: () => Promise<unknown>): Promise<Lateness> {
    const read = async () => {
      // What the dataplane says of itself comes once a second.
      await observeFor(1_100);
      return metricsOf(host.socket);
    };
    const before = await read();
    await work();
    const after = await read();
    const added = (series: string): number => (after.get(series) ?? 0) - (before.get(series) ?? 0);
    const count = added('koi_advert_lateness_seconds_count');
    return {
      count,
      meanMs: (added('koi_advert_lateness_seconds_sum') / count) * 1000,
      within: ['0.0005', '0.001', '0.005', '0.02', '0.1'].map((le) => [
        le,
        added(`koi_advert_lateness_seconds_bucket{le="${le}"}`) / count,
      ]),
      terms: [...after].filter(([series]) => series.startsWith('koi_vr_term{')).map(([, value]) => value),
    };
  }

  function inWords({ count, within, meanMs }: Lateness): string {
    const shares = within.map(([le, share]) => `≤ ${Number(le) * 1000} ms ${(share * 100).toFixed(1)} %`);
    return `${count} sent, late by ${meanMs.toFixed(2)} ms on average, ${shares.join(', ')}`;
  }
});
