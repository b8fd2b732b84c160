import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Host, isRoot, vip } from '../daemon/host.js';
import { processTable } from '../lab/daemon.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { expectWithin, figureMs } from './figure.js';
import { KernelWatch } from './kernel-watch.js';

/*
 * A log that does not answer, and does not close its connections either, holds up nothing that is done in the kernel. Needs
 * root and nats-server. KOI_RACES=all waits for it half a minute.
 */
const stalledMs = process.env.KOI_RACES === 'all' ? 30_000 : 3000;
const detachMaxMs = 50;
const rounds = process.env.KOI_RACES === 'all' ? 20 : 3;

describe.skipIf(!isRoot || natsServerBinary === undefined)('while the log stands still (needs root)', () => {
  let built: BuiltKoi;
  let host: Host;
  let watch: KernelWatch;

  beforeAll(async () => {
    built = buildKoi();
    host = new Host(built.main);
    watch = new KernelWatch(host.netns);
    host.configure({ more: 'onLogLoss: wire' });
    await host.startLog();
    host.koi('run');
    await host.becomesMaster();
  }, 150_000);
  afterAll(async () => {
    watch?.stop();
    await host?.endAll();
    host?.remove();
    built?.remove();
  }, 60_000);

  const signalLog = (name: NodeJS.Signals): void => {
    for (const { pid, command } of processTable(host.netns))
      if (command.includes('nats-server')) process.kill(pid, name);
  };

  it('a carrier that is lost takes the address off at once', {
    timeout: 60_000 + stalledMs + rounds * 5_000,
  }, async () => {
    signalLog('SIGSTOP');
    try {
      await new Promise((resolve) => setTimeout(resolve, stalledMs));
      expect(host.hasVip()).toBe(true);
      const tookMs: number[] = [];
      for (let round = 0; round < rounds; round += 1) tookMs.push(await cut());
      figureMs(`log stopped for ${stalledMs} ms, carrier lost ${rounds} times: address off after`, tookMs);
      expectWithin(tookMs, detachMaxMs);
    } finally {
      signalLog('SIGCONT');
    }
  });

  /** @returns how long after the carrier the address went; the host has both again then */
  async function cut(): Promise<number> {
    const carrier = (state: 'down' | 'up') => execFileSync('ip', ['-n', host.peer, 'link', 'set', 'eth1', state]);
    const seen = watch.lines().length;
    carrier('down');
    const news = () => watch.lines().slice(seen);
    const down = () => news().find(({ what }) => /^\d+: eth1@.*NO-CARRIER/.test(what))?.atMs;
    const gone = () => news().find(({ what }) => what.startsWith('Deleted') && what.includes(` ${vip}/`))?.atMs;
    const both = () => (down() !== undefined && gone() !== undefined ? undefined : JSON.stringify(news()));
    await waitUntil('the address to go', both, { deadlineMs: 10_000 });
    carrier('up');
    const isBack = () => (host.hasVip() ? undefined : 'not yet');
    await waitUntil('the address to be back', isBack, { deadlineMs: 20_000 });
    return (gone() ?? 0) - (down() ?? 0);
  }
});
