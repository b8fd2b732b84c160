import { afterEach, describe, expect, it } from 'vitest';
import { settledMs } from '../../src/dataplane/vip-watch.js';
import { gratuitousArp } from '../../src/wire/arp.js';
import type { MacAddress } from '../../src/wire/mac.js';
import { unsolicitedNeighborAdvertisement } from '../../src/wire/ndp.js';
import { isRoot } from '../daemon/host.js';
import { nowMs } from '../lab/clock.js';
import { koiMetric } from '../lab/koi-api.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import type { Site } from '../placement/site.js';
import { onEachSite, vip, vip6, virtualMac, virtualMac6 } from './address-site.js';
import { Injector } from './injector.js';

/*
 * Frames of a forger and of a rival, put on the wire by hand: each one is seen and counted, whatever other macvlan is on
 * the parent. Needs root and iproute2. KOI_RACES=all sends a thousand of each.
 */
const frames = process.env.KOI_RACES === 'all' ? 1000 : 100;
const perSecond = 200;
const forger = '02:00:00:00:00:66' as MacAddress;
/** Metrics are told once a second. */
const toldMs = 1000;

describe.skipIf(!isRoot)('the sensor on the parent (needs root)', { timeout: 120_000 }, () => {
  let site: Site;
  let rival: Injector;

  onEachSite(async (fresh) => {
    ({ site } = fresh);
    site.ip('r1', 'addr add fd77::1/64 dev eth1 nodad');
    site.configure('r1', [{ protocol: 'vrrp3', addresses: [`${vip}/24`, `${vip6}/64`] }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    rival = await Injector.begin(site.netns('r2'));
  });
  afterEach(() => rival?.end());

  const metric = (name: string): Promise<number> => koiMetric(site.socket('r1'), name);
  const reaches = (name: string, count: number): Promise<number> =>
    waitUntil(
      `${name} to be ${count}`,
      async () => ((await metric(name)) >= count ? undefined : `${await metric(name)}`),
      {
        deadlineMs: 10_000,
      },
    );

  it.each(['none', 'private', 'bridge'] as const)(
    `${frames} frames with a wrong MAC, beside another macvlan of mode %s: all are counted`,
    async (mode) => {
      if (mode !== 'none') {
        site.ip('r1', `link add other link eth1 address 02:00:00:00:00:77 type macvlan mode ${mode}`);
        site.ip('r1', 'link set other up');
      }
      const forged = [
        gratuitousArp({ virtualMac: forger, address: vip, operation: 'request' }),
        unsolicitedNeighborAdvertisement({ virtualMac: forger, address: vip6, router: false }),
      ];
      let sent = 0;
      for (const frame of forged) sent += await rival.send(frame, frames / 2, perSecond);
      expect(sent).toBe(frames);
      await reaches('koi_wrong_mac_detected_total', frames);
      const counted = await metric('koi_wrong_mac_detected_total');
      process.stdout.write(`${sent} forged frames (ARP and NA), other macvlan ${mode}: ${counted} counted\n`);
      expect(counted).toBe(frames);
      await site.becomes('r1', 'master');
    },
  );

  const sameArp = (['request', 'reply'] as const).map((operation) =>
    gratuitousArp({ virtualMac, address: vip, operation }),
  );
  const sameNdp = [unsolicitedNeighborAdvertisement({ virtualMac: virtualMac6, address: vip6, router: false })];

  it.each([
    ['ARP', sameArp],
    ['neighbour discovery', sameNdp],
  ])('a rival that speaks with the very same virtual MAC, by %s, is told of within a second', async (what, same) => {
    // Who has just taken over hears what the one before has sent.
    const [vr] = (await site.status('r1')).vrs;
    const settledAtMs = Date.parse(vr?.since ?? '') + settledMs;
    await waitUntil('it to be long enough master', () => (Date.now() > settledAtMs ? undefined : 'not yet'), {
      deadlineMs: settledMs + stallMs,
    });
    const said = (): boolean => site.log('r1').includes('"kind":"virtual_mac_leak"');
    expect(said()).toBe(false);
    const startedMs = nowMs();
    // As one that takes over does: in both opcodes of ARP, each again after 100 ms; IPv6 has one. One frame alone may have been on its way.
    for (const frame of same) await rival.send(frame, 4 / same.length, 10);
    await waitUntil('it to be told', () => (said() ? undefined : site.log('r1').slice(-1000)), {
      deadlineMs: 5000,
      everyMs: 5,
    });
    const tookMs = nowMs() - startedMs;
    process.stdout.write(`a rival with the same virtual MAC, by ${what}: told after ${tookMs.toFixed(0)} ms\n`);
    expect(tookMs).toBeLessThan(toldMs + stallMs);
    await reaches('koi_virtual_mac_leaks_total', 1);
  });
});
