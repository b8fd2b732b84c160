import { afterEach, describe, expect, it } from 'vitest';
import { isRoot } from '../daemon/host.js';
import { nowMs } from '../lab/clock.js';
import { processTable } from '../lab/daemon.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import type { Site } from '../placement/site.js';
import { onEachSite, vip } from './address-site.js';
import type { AddressWire } from './address-wire.js';

/*
 * What has to end before an address may go does not end: it is not waited for beyond its deadline, and that is told. Needs
 * root, iproute2, tcpdump and a C compiler.
 */
const forcedMaxMs = 2000;

describe.skipIf(!isRoot)('a release that is stuck (needs root)', { timeout: 90_000 }, () => {
  let site: Site;
  let wire: AddressWire;

  onEachSite((fresh) => {
    ({ site, wire } = fresh);
  });
  // What was stopped ends no more.
  afterEach(() => {
    for (const { pid } of processTable(site.netns('r1'))) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // It has ended.
      }
    }
  });

  const serve = async (lines: Readonly<Record<string, unknown>> = {}, more = {}): Promise<void> => {
    site.configure('r1', [{ addresses: [`${vip}/24`], ...lines }], more);
    site.start('r1');
    await site.becomes('r1', 'master');
  };
  const offAfter = async (what: string, fromMs: number): Promise<void> => {
    const isHeld = (): string | undefined =>
      site.ip('r1', '-o -4 addr show').includes(` ${vip}/`) ? 'held' : undefined;
    await waitUntil('the address to go', isHeld, { deadlineMs: 10_000, everyMs: 2 });
    const tookMs = nowMs() - fromMs;
    process.stdout.write(`${what}: address off after ${tookMs.toFixed(0)} ms\n`);
    expect(tookMs).toBeLessThan(forcedMaxMs + stallMs);
  };
  const says = (what: string): Promise<void> =>
    site.until(`the log to say ${what}`, () => (site.log('r1').includes(what) ? undefined : 'it does not'));

  const hook = ['/bin/sleep', '600'];
  const hooksLeft = (): string[] =>
    processTable(site.netns('r1')).flatMap(({ command }) => (command.includes('sleep 600') ? [command] : []));

  it('a hook before the release that never ends is ended at its deadline', async () => {
    await serve({ hooks: { preRelease: hook, timeout: '1s' } });
    const fromMs = nowMs();
    const stopped = site.stop('r1');
    await offAfter('stopped beside a hook that never ends', fromMs);
    expect(await stopped).toBe(0);
    expect(site.log('r1')).toContain('the hook preRelease failed: ');
    expect(hooksLeft()).toEqual([]);
    await wire.expectNothingWrong();
  });

  it('with the timeout that a hook has by default, a stop waits no longer than a release may take', async () => {
    await serve({ hooks: { preRelease: hook } });
    const fromMs = nowMs();
    const stopped = site.stop('r1');
    await offAfter('stopped beside a hook that never ends and has the default timeout', fromMs);
    expect(await stopped).toBe(0);
    expect(site.log('r1')).toContain('the addresses are released all the same');
    expect(hooksLeft()).toEqual([]);
    await wire.expectNothingWrong();
  });

  it('a carrier that is lost waits for no hook', async () => {
    await serve({ hooks: { preRelease: ['/bin/sleep', '600'], timeout: '5s' } });
    const fromMs = nowMs();
    site.ip('switch', 'link set r1-0 down');
    await offAfter('carrier lost beside a hook that never ends', fromMs);
  });

  it('a dataplane that stands still is relieved of its addresses by the guard, and that is told', async () => {
    await serve();
    const dataplane = processTable(site.netns('r1')).find(({ command }) => command.startsWith('koi dataplane'));
    if (dataplane === undefined) throw new Error('no dataplane');
    const fromMs = nowMs();
    process.kill(dataplane.pid, 'SIGSTOP');
    await offAfter('a dataplane that stands still', fromMs);
    await says('dataplane');
    await site.becomes('r1', 'master');
    await wire.expectNothingWrong();
  });
});
