import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dashboards } from '../../grafana/builder/all.js';
import { metricWords } from '../../src/agent/metric-words.js';
import { logSubject } from '../../src/core/detect/episode.js';
import { vrStates } from '../../src/core/vr-state.js';
import { metricCatalogue } from '../../src/observe/metric-catalogue.js';
import { announcementOperations, splitBrainSources, takeoverPhases } from '../../src/observe/snapshot.js';
import type { BuiltKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { evidenceOf, sampleAt, seen } from '../detect/episodes.js';
import { withoutGrafana } from '../grafana/promql.js';
import { programPath, promtool } from '../grafana/tools.js';
import { koiTimeline } from '../lab/koi-api.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { chromiumPath, screenshot } from '../status-page/browser.js';
import { metricsOf, metricsText } from './metrics-of.js';
import type { ObservedSite } from './observed-site.js';
import type { Alertmanager, Prometheus } from './prometheus.js';
import { openWatchedSite, prometheusPath, type WatchedSite } from './watched-site.js';

const promtoolPath = programPath('promtool');
/** Rules are made for a scrape every 15 s; here one is made every second. */
const factor = 5;
const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Two real routers, watched by a real Prometheus and a real browser on the management network. */
describe.skipIf(
  !isRoot || natsServerBinary === undefined || prometheusPath === undefined || promtoolPath === undefined,
)('a pair that is watched (needs root, nats-server and prometheus)', { timeout: 180_000 }, () => {
  let watched: WatchedSite | undefined;
  let built: BuiltKoi;
  let site: ObservedSite;
  let prometheus: Prometheus;
  let alertmanager: Alertmanager | undefined;

  beforeAll(async () => {
    watched = await openWatchedSite({ spans: factor, waits: factor });
    ({ built, site, prometheus, alertmanager } = watched);
  }, 180_000);
  afterAll(() => watched?.close(), 60_000);

  it('shows metrics that Prometheus finds nothing to complain of', async () => {
    const said = promtool(promtoolPath ?? '', ['check', 'metrics'], await metricsText(site.socket(site.r1)));
    expect(said.trim()).toBe('');
  });

  it('has a series of every metric, and of every word that a label can take, before anything has happened', async () => {
    const series = [...(await metricsOf(site.socket(site.r2))).keys()];
    const names = series.map((each) => each.replace(/\{.*/, ''));
    const isSeriesOf = (metric: string): boolean =>
      names.some(
        (name) =>
          name === metric || (name.startsWith(metric) && /^_(bucket|sum|count)$/.test(name.slice(metric.length))),
      );
    expect(metricCatalogue().flatMap(({ name }) => (isSeriesOf(name) ? [] : [name]))).toEqual([]);
    const words = metricWords();
    const wanted = ['gw', 'wired'].flatMap((vr) => [
      ...vrStates.map((state) => `koi_vr_state{vr="${vr}",state="${state}"}`),
      ...words.transitions.map(({ to, reason }) => `koi_transitions_total{vr="${vr}",to="${to}",reason="${reason}"}`),
      ...takeoverPhases.map((phase) => `koi_takeover_duration_seconds_count{vr="${vr}",phase="${phase}"}`),
      ...announcementOperations.map((word) => `koi_announcements_sent_total{vr="${vr}",operation="${word}"}`),
      ...words.announcementFailures.map((word) => `koi_announcements_failed_total{vr="${vr}",reason="${word}"}`),
      ...words.announcementRefusals.map((word) => `koi_announcements_refused_total{vr="${vr}",reason="${word}"}`),
      ...splitBrainSources.map((word) => `koi_split_brain_detected_total{vr="${vr}",source="${word}"}`),
      ...words.wrongMacKinds.map((word) => `koi_wrong_mac_detected_total{vr="${vr}",kind="${word}"}`),
      ...words.linkRepairKinds.map((word) => `koi_link_repairs_total{vr="${vr}",kind="${word}"}`),
      ...words.episodeKinds.map((word) => `koi_episodes_open{vr="${vr}",kind="${word}"}`),
      ...[
        'koi_wrong_mac_suppressed_total',
        'koi_duplicate_id_detected_total',
        'koi_virtual_mac_leaks_total',
        'koi_split_brain',
      ].map((name) => `${name}{vr="${vr}"}`),
    ]);
    const others = [
      ...words.advertRejections.map((word) => `koi_adverts_rejected_total{interface="eth1",reason="${word}"}`),
      ...words.fenceReasons.map((word) => `koi_fenced_total{reason="${word}"}`),
      ...['arp_ignore', 'arp_announce'].map((key) => `koi_sysctl_drift{interface="eth1",key="${key}"}`),
    ];
    expect([...wanted, ...others].filter((each) => !series.includes(each))).toEqual([]);
    say(
      `${new Set(names).size} names, ${series.length} series of a backup, ${wanted.length + others.length} by their words`,
    );
  });

  it('raises no alert in ordinary work: handovers forth and back, a restart of each node, a reload', async () => {
    const before = Date.now();
    await handOver('r2');
    await handOver('r1');
    await site.stop(site.r2);
    site.start(site.r2);
    await site.until('r2 to stand by', site.r2, (vr) => vr.state === 'backup');
    await site.stop(site.r1);
    await site.until('r2 to serve', site.r2, (vr) => vr.state === 'master');
    site.start(site.r1);
    await site.until('r1 to be back', site.r1, (vr) => ['backup', 'master'].includes(vr.state));
    await koi('reload');
    // What came last has to be seen, and to have lasted.
    await observeFor(15_000);
    say(
      `ordinary work: ${((Date.now() - before) / 1000).toFixed(0)} s, which the rules take for ${(((Date.now() - before) / 60_000) * factor).toFixed(1)} min`,
    );
    expect([...(await prometheus.fired())].map(([name, { labels }]) => `${name} ${labels}`)).toEqual([]);
  });

  it('has data for every panel of every dashboard', async () => {
    const values = {
      __rate_interval: '5s',
      __interval: '5s',
      __range: '5m',
      cluster: '.*',
      job: '.*',
      instance: '.*',
      vr: 'gw',
    };
    const panels = Object.entries(dashboards).flatMap(([file, { rows }]) =>
      rows.flatMap((row) => row.panels.map((panel) => ({ name: `${file}: ${panel.title}`, targets: panel.targets }))),
    );
    const queries = panels.flatMap(({ targets }) =>
      targets.map(({ expr, instant = false }) => ({ expr: withoutGrafana(expr, values), instant })),
    );
    const answers = await prometheus.ask(queries);
    let at = 0;
    const empty = panels.filter(({ targets }) => {
      const own = answers.slice(at, at + targets.length);
      at += targets.length;
      return !own.some((series) => series.some(({ values: points }) => points.some(([, value]) => value !== 'NaN')));
    });
    say(`${panels.length} panels, ${queries.length} queries, ${empty.length} without data`);
    expect(empty.map(({ name }) => name)).toEqual([]);
  });

  it('alarms while the LAN between two masters is cut, and is quiet by itself when it heals', async () => {
    const both = ['wired'];
    await site.topology.splitLan();
    await site.until('r1 to serve alone', site.r1, (vr) => vr.state === 'master', both);
    await site.until('r2 to serve alone', site.r2, (vr) => vr.state === 'master', both);
    const splitMs = Date.now();
    const fires = (alert: string): Promise<number> =>
      waitUntil(alert, async () => ((await prometheus.fired()).has(alert) ? undefined : 'it does not fire'), {
        deadlineMs: 40_000,
        everyMs: 300,
      });
    await fires('KoiTwoMastersReported');
    // The log has both, by their own word and their leases, while neither hears the other.
    const byLog = await seen(
      site.socket(site.r1),
      'two in the log',
      (each) => each.subject === logSubject && each.vr === 'wired',
    );
    expect(evidenceOf(byLog.episode)).toMatchObject({ source: 'log', r1: expect.any(String), r2: expect.any(String) });
    expect(await sampleAt(site.socket(site.r1), 'koi_split_brain_detected_total{vr="wired",source="log"}')).toBe(1);
    const healedMs = Date.now();
    await site.topology.joinLan();
    const oneMs = await site.until('one to give way', site.r2, (vr) => vr.state === 'backup', both);
    await fires('KoiSplitBrain');
    await tells((told) => told.includes('KoiSplitBrain to pager'));
    const fired = await prometheus.fired();
    const after = (alert: string): string => `${((fired.get(alert)?.firstS ?? 0) - splitMs / 1000).toFixed(1)} s`;
    say(
      `two masters: reported after ${after('KoiTwoMastersReported')}, split brain after ${after('KoiSplitBrain')}; ` +
        `healed after ${((healedMs - splitMs) / 1000).toFixed(1)} s, one master ${oneMs.toFixed(0)} ms later`,
    );
    const quiet = async (): Promise<string | undefined> => {
      const expr = 'ALERTS{alertstate="firing",severity="critical"}';
      const [firing = []] = await prometheus.ask([{ expr, instant: true }]);
      return firing.length === 0 ? undefined : firing.map(({ metric }) => metric.alertname).join(', ');
    };
    const quietMs = await waitUntil('the alerts to end', quiet, { deadlineMs: 60_000, everyMs: 500 }).catch(told);
    await tells((told) => !told.some((each) => each.endsWith('to pager')));
    say(`quiet ${(quietMs / 1000).toFixed(0)} s after that`);
  });

  it.skipIf(chromiumPath === undefined)(
    'shows a failover on the status page while that is open (needs chromium)',
    async () => {
      const wrapper = join(site.directory, 'chromium');
      writeFileSync(wrapper, `#!/bin/sh\nexec ip netns exec ${site.watcherNetns} ${chromiumPath} "$@"\n`);
      chmodSync(wrapper, 0o755);
      const browser = await chromium.launch({
        executablePath: wrapper,
        args: ['--no-sandbox', '--disable-gpu'],
        timeout: 60_000,
      });
      try {
        const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
        page.setDefaultTimeout(30_000);
        await page.goto(site.url(site.r2));
        const [master, other] = (await isMaster('r1')) ? [site.r1, site.r2] : [site.r2, site.r1];
        const who = page.locator('details', { hasText: 'gw' }).locator('.who').first();
        await who.filter({ hasText: `${master.name} is master` }).waitFor();
        const cutMs = Date.now();
        await site.topology.cutLan(master);
        await who.filter({ hasText: `${other.name} is master` }).waitFor();
        say(`the page shows the new master ${Date.now() - cutMs} ms after the cable was cut`);
        await page
          .locator('#timeline li', { hasText: `gw ${other.name} active` })
          .first()
          .waitFor();
        await screenshot(page, 'real-failover');
        await site.topology.mendLan(master);
        await page.getByText('cannot be served').first().waitFor({ state: 'detached' });
      } finally {
        await browser.close();
      }
    },
  );

  /** Adds to an error what the log has of the last minutes. */
  async function told(error: unknown): Promise<never> {
    const lines = (await koiTimeline(site.socket(site.r1), new Date(Date.now() - 180_000))).map(
      ({ at, text }) => `${at} ${text}`,
    );
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${lines.slice(-60).join('\n')}`);
  }

  /** Waits until what Alertmanager tells people is right; where there is no Alertmanager, nobody is told anything. */
  async function tells(isRight: (told: readonly string[]) => boolean): Promise<void> {
    const teller = alertmanager;
    if (teller === undefined) return;
    const notYet = async (): Promise<string | undefined> => {
      const told = await teller.told();
      return isRight(told) ? undefined : `it tells ${told.join(', ') || 'nothing'}`;
    };
    await waitUntil('what Alertmanager tells', notYet, { deadlineMs: 120_000, everyMs: 500 });
  }

  const isMaster = async (node: 'r1' | 'r2'): Promise<boolean> =>
    (await metricsText(site.socket(site[node]))).includes('koi_vr_state{vr="gw",state="master"} 1');

  async function koi(...words: readonly string[]): Promise<void> {
    const running = spawnKoi(words);
    expect(await running).toBe(0);
  }
  const spawnKoi = (words: readonly string[]): Promise<number | null> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [built.main, ...words, '--socket', site.socket(site.r1)], {
        stdio: 'ignore',
      });
      child.once('exit', (code) => resolve(code));
    });

  async function handOver(to: 'r1' | 'r2'): Promise<void> {
    await koi('handover', 'gw', '--to', to);
    await site.until(`${to} to serve`, site[to], (vr) => vr.state === 'master', ['gw']);
  }
});
