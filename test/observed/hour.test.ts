import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BuiltKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { processTable, signal } from '../lab/daemon.js';
import type { Router } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import type { ObservedSite } from './observed-site.js';
import type { Alertmanager, Prometheus } from './prometheus.js';
import { openWatchedSite, prometheusPath, type WatchedSite } from './watched-site.js';

/*
 * An hour of ordinary work in four minutes, and no alert. What rules look back over is a fifteenth (a scrape a second is
 * one every 15 s), what they wait for a fifth: processes take as long to start as ever.
 */
const faster = { spans: 15, waits: 5 };
const hourMs = 3_600_000 / faster.spans;
const say = (line: string): boolean => process.stdout.write(`${line}\n`);

describe.skipIf(!isRoot || natsServerBinary === undefined || prometheusPath === undefined)(
  'an hour of ordinary work (needs root, nats-server and prometheus)',
  { timeout: hourMs + 120_000 },
  () => {
    let watched: WatchedSite | undefined;
    let built: BuiltKoi;
    let site: ObservedSite;
    let prometheus: Prometheus;
    let alertmanager: Alertmanager | undefined;

    beforeAll(async () => {
      watched = await openWatchedSite(faster);
      ({ built, site, prometheus, alertmanager } = watched);
    }, 120_000);
    afterAll(() => watched?.close(), 60_000);

    /** One of Koi's own commands, at a node. */
    function koi(router: Router, ...words: readonly string[]): Promise<void> {
      return new Promise((resolve, reject) => {
        const args = [built.main, ...words, '--socket', site.socket(router)];
        const child = spawn(process.execPath, args, { stdio: 'inherit' });
        child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`koi ${words.join(' ')}: ${code}`))));
      });
    }

    async function handOver(to: Router): Promise<void> {
      await koi(to, 'handover', 'gw', '--to', to.name);
      await site.until(`${to.name} to serve`, to, (vr) => vr.state === 'master', ['gw']);
    }

    const settled = (router: Router): Promise<number> =>
      site.until(`${router.name} to stand`, router, ({ state }) => ['backup', 'master'].includes(state));

    /** The supervisor starts it again. */
    async function restart(router: Router, role: 'agent' | 'dataplane'): Promise<void> {
      const command = new RegExp(`\\bkoi ${role}\\b|\\bmain\\.js ${role}\\b`);
      const found = () => processTable(router.netns).filter((each) => command.test(each.command));
      const before = found().map(({ pid }) => pid);
      expect(before).not.toEqual([]);
      signal(before, 'SIGTERM');
      const isOther = (): string | undefined =>
        found().some(({ pid }) => !before.includes(pid)) ? undefined : `there is no other ${role} yet`;
      await waitUntil(`${router.name}'s ${role} to be another`, isOther, { deadlineMs: 30_000 });
      await settled(router);
    }

    async function stopAndStart(router: Router): Promise<void> {
      await site.stop(router);
      site.start(router);
      await settled(router);
    }

    it('raises no alert: handovers, restarts of agents and a dataplane, reloads, stops and starts', async () => {
      const { r1, r2 } = site;
      const work: readonly (readonly [string, () => Promise<void>])[] = [
        ['hand over to r2', () => handOver(r2)],
        ["restart r1's agent", () => restart(r1, 'agent')],
        ['reload r1', () => koi(r1, 'reload')],
        ['hand over to r1', () => handOver(r1)],
        ["restart r1's agent, the master's", () => restart(r1, 'agent')],
        ['reload r2', () => koi(r2, 'reload')],
        ['stop and start r2, the backup', () => stopAndStart(r2)],
        ["restart r2's dataplane", () => restart(r2, 'dataplane')],
        ['stop and start r1, the master', () => stopAndStart(r1)],
        ['hand over to r1', () => handOver(r1)],
      ];
      const beganMs = Date.now();
      for (const [index, [what, act]] of work.entries()) {
        await observeFor(Math.max(0, beganMs + (index * hourMs) / (work.length + 2) - Date.now()));
        const atMs = Date.now();
        await act();
        const minute = ((atMs - beganMs) * faster.spans) / 60_000;
        say(
          `minute ${minute.toFixed(0).padStart(2)}: ${what}, done after ${((Date.now() - atMs) / 1000).toFixed(1)} s`,
        );
      }
      await observeFor(Math.max(0, beganMs + hourMs - Date.now()));
      const fired = [...(await prometheus.fired())].map(([name, { labels }]) => `${name} ${labels}`);
      const told = await alertmanager?.told();
      say(`an hour of ordinary work, in ${((Date.now() - beganMs) / 1000).toFixed(0)} s: ${fired.length} alerts fired`);
      expect(fired).toEqual([]);
      if (told !== undefined) expect(told).toEqual([]);
    });
  },
);
