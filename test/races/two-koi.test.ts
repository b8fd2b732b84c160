import { describe, expect, it } from 'vitest';
import { isRoot } from '../daemon/host.js';
import { nowMs } from '../lab/clock.js';
import { processTable } from '../lab/daemon.js';
import { koiStatus } from '../lab/koi-api.js';
import { waitUntil } from '../lab/wait.js';
import type { Site, Twin } from '../placement/site.js';
import { onEachSite, vip, virtualMac } from './address-site.js';
import type { AddressWire } from './address-wire.js';

/*
 * Koi is started a second time in one network namespace: by another unit, or by hand. Of one cluster only one dataplane runs
 * there; the second is told which process is in its way, ends, and has touched nothing. Needs root, iproute2 and tcpdump.
 */
/** For how long the second waits for the first to end, as it does in a restart. */
const patienceMs = 5000;

describe.skipIf(!isRoot)('two koi in one network namespace (needs root)', { timeout: 90_000 }, () => {
  let site: Site;
  let wire: AddressWire;

  onEachSite(async (fresh) => {
    ({ site, wire } = fresh);
    site.configure('r1', [{ addresses: [`${vip}/24`] }]);
    site.start('r1');
    await site.becomes('r1', 'master');
  });

  const dataplane = (): number | undefined =>
    processTable(site.netns('r1')).find(({ command }) => command.startsWith('koi dataplane'))?.pid;
  const kernel = (): string =>
    ['-o link show', '-o -4 addr show', 'route show table all'].map((what) => site.ip('r1', what)).join('\n');
  const withoutLifetimes = (text: string): string => text.replaceAll(/(valid|preferred)_lft \S+/g, '');

  const ended = async ({ main, log }: Twin): Promise<number | string | undefined> => {
    await waitUntil('the second to end', () => (main.running ? log().slice(-2000) : undefined), { deadlineMs: 40_000 });
    return main.ended;
  };

  it('the second is refused with the process that is in its way, and changes nothing', async () => {
    const holder = dataplane();
    expect(holder).toBeDefined();
    // The routes of an address come when it is no longer under duplicate detection.
    const isTentative = (): string | undefined => site.ip('r1', 'addr show tentative').trim() || undefined;
    await waitUntil('every address to have passed detection', isTentative, { deadlineMs: 10_000 });
    const before = withoutLifetimes(kernel());
    const startedMs = nowMs();
    const second = site.twin('r1');
    expect(await ended(second), second.log()).toBe(2);
    const tookMs = nowMs() - startedMs;

    expect(second.log()).toContain(`not free within ${patienceMs} ms, held by pid ${holder} (koi dataplane)`);
    expect(withoutLifetimes(kernel())).toBe(before);
    expect(dataplane()).toBe(holder);
    await site.becomes('r1', 'master');
    expect(site.resolves(vip)).toBe(virtualMac);
    await wire.expectNothingWrong();
    expect(tookMs).toBeGreaterThan(patienceMs);
    process.stdout.write(`a second koi: refused after ${tookMs.toFixed(0)} ms, its holder named\n`);
  });

  it('one with the same socket is refused at once, with the same process', () => {
    const said = site.koi('r1', 'run');
    expect(said).toContain('koi is running already');
    expect(said).toContain(`held by pid ${dataplane()} (koi dataplane)`);
  });

  it('the second serves where the first ends in time', async () => {
    const second = site.twin('r1');
    try {
      expect(await site.stop('r1')).toBe(0);
      const isMaster = async (): Promise<string | undefined> => {
        const status = await koiStatus(second.control).catch((error: unknown) => String(error));
        if (typeof status === 'string') return status;
        return status.vrs[0]?.state === 'master' ? undefined : `it is ${status.vrs[0]?.state}`;
      };
      await waitUntil('the second to be master', isMaster, { deadlineMs: 15_000 });
      expect(site.resolves(vip)).toBe(virtualMac);
      await wire.expectNothingWrong();
    } finally {
      expect(await second.main.stop(10_000)).toBe(0);
    }
    expect(site.ip('r1', '-o link show')).not.toContain('koi51');
  });
});
