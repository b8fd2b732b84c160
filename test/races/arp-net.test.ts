import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { nftTableName } from '../../src/kernel/names.js';
import { arpProbe } from '../../src/wire/arp.js';
import type { MacAddress } from '../../src/wire/mac.js';
import { isRoot } from '../daemon/host.js';
import { koiMetric } from '../lab/koi-api.js';
import { observeFor, stallMs, waitUntil } from '../lab/wait.js';
import type { Site } from '../placement/site.js';
import { onEachSite, vip, virtualMac } from './address-site.js';
import type { AddressWire } from './address-wire.js';
import { say } from './figure.js';
import { Injector } from './injector.js';

/*
 * The net of nf_tables under everything else: attach order and guards are taken away, and still no frame leaves with a wrong
 * MAC; what the kernel has dropped is what the metric says. Needs root, iproute2, tcpdump and nft.
 */
const isAll = process.env.KOI_RACES === 'all';
const cycles = isAll ? 50 : 5;
const requestsPerSecond = 1000;
const metric = 'koi_wrong_mac_suppressed_total';

describe.skipIf(!isRoot)('the net under the guards (needs root)', { timeout: 60_000 + cycles * 3_000 }, () => {
  let site: Site;
  let wire: AddressWire;
  let saboteur: ChildProcess | undefined;

  onEachSite((fresh) => {
    ({ site, wire } = fresh);
  });
  afterEach(() => {
    saboteur?.kill('SIGKILL');
    saboteur = undefined;
  });

  /** Sets the guards of the parent, and of what somebody makes on it, back to the kernel's defaults every millisecond. */
  const sabotage = (): void => {
    const code = `
      const { writeFileSync } = require('node:fs');
      setInterval(() => {
        for (const name of ['eth1', 'naive']) {
          for (const key of ['arp_ignore', 'arp_announce']) {
            try { writeFileSync('/proc/sys/net/ipv4/conf/' + name + '/' + key, '0'); } catch {}
          }
        }
      }, 1);`;
    saboteur = spawn('ip', ['netns', 'exec', site.netns('r1'), process.execPath, '-e', code], { stdio: 'ignore' });
  };

  /** Asks for the address all the time while `act` goes on. @returns how often it was asked */
  const asking = async (act: () => Promise<void>): Promise<number> => {
    const link = JSON.parse(site.ip('client', '-j link show dev eth1')) as [{ address: string }];
    const senderMac = link[0].address as MacAddress;
    const request = arpProbe({ senderMac, senderAddress: '10.77.0.100', targetAddress: vip });
    const injector = await Injector.begin(site.netns('client'));
    let asked = 0;
    let isOver = false;
    const flood = (async () => {
      while (!isOver) asked += await injector.send(request, requestsPerSecond / 10, requestsPerSecond);
    })();
    try {
      await act();
    } finally {
      isOver = true;
      await flood;
      injector.end();
    }
    return asked;
  };

  const heard = async (count: number): Promise<void> => {
    const before = wire.spoken().right;
    await waitUntil(
      'answers with the virtual MAC',
      () => (wire.spoken().right >= before + count ? undefined : `${wire.spoken().right - before}`),
      { deadlineMs: 5000, everyMs: 10 },
    );
  };
  const naively = (...commands: readonly string[]): void => {
    for (const command of commands) site.ip('r1', command);
  };
  const macvlan = 'link eth1 type macvlan mode private';

  /** Rows of what was measured of the naive orders: by `ip`, as scripts do it. */
  const orders = [
    {
      name: 'the address on the parent first, then moved to the virtual MAC',
      cycle: async () => {
        naively(
          `addr add ${vip}/32 dev eth1`,
          `link add naive address ${virtualMac} ${macvlan}`,
          'link set naive addrgenmode none',
          'link set naive up',
          `addr del ${vip}/32 dev eth1`,
          `addr add ${vip}/32 dev naive`,
        );
        await heard(5);
      },
    },
    {
      name: 'the address on a link that gets the virtual MAC last',
      cycle: async () => {
        naively(
          `link add naive ${macvlan}`,
          'link set naive addrgenmode none',
          'link set naive up',
          `addr add ${vip}/32 dev naive`,
          `link set naive address ${virtualMac}`,
        );
        await heard(5);
      },
    },
    {
      name: 'a backup that parks the address on a link that is down',
      cycle: async () => {
        naively(`link add naive address ${virtualMac} ${macvlan}`, `addr add ${vip}/32 dev naive`);
        await observeFor(100);
      },
    },
  ];

  /** Goes through an order again and again, with the address asked for. */
  const go = (cycle: () => Promise<void>, count: number): Promise<number> =>
    asking(async () => {
      for (let at = 0; at < count; at += 1) {
        await cycle();
        naively('link del naive');
      }
    });

  /** What the kernel has dropped, by nft. */
  const dropped = (): number => {
    const table = site.run('r1', 'nft', 'list', 'table', 'arp', nftTableName('site', 'r1')) ?? '';
    return [...table.matchAll(/counter packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
  };
  const counted = (): Promise<number> => koiMetric(site.socket('r1'), metric);
  /** Once nobody asks any more. */
  const isSettled = async (): Promise<number> => {
    await waitUntil(
      'the metric to be what the kernel has counted',
      async () => ((await counted()) === dropped() ? undefined : `${await counted()} of ${dropped()}`),
      { deadlineMs: 2000 + 1000 + 2 * stallMs },
    );
    return counted();
  };
  const isHeld = (): string | undefined =>
    site.run('r1', 'nft', 'list', 'table', 'arp', nftTableName('site', 'r1'))?.includes(vip) ? undefined : 'no rule';

  it.each(orders)(
    '$name: without Koi wrong frames leave; under its net none does, and each is counted',
    async ({ name, cycle }) => {
      await go(cycle, 3);
      const { wrong: before } = wire.spoken();
      expect(before.length, 'the harness bites').toBeGreaterThan(0);

      // Koi is there and serves nothing: its net is.
      site.configure('r1', [{ protocol: 'vrrp3', addresses: [`${vip}/24`], startDelay: '1h' }]);
      site.start('r1');
      await waitUntil('the net', isHeld, { deadlineMs: 15_000 });
      const silent = wire.spoken();
      sabotage();
      const asked = await go(cycle, cycles);
      const metricAfter = await isSettled();
      const { right, wrong } = wire.spoken();
      say(
        `${name}, ${cycles} cycles: ${wrong.length - silent.wrong.length} wrong, ${right - silent.right} right, ${asked} asked, ` +
          `${metricAfter} dropped, by nft ${dropped()}; without the net 3 cycles had ${before.length} wrong ones`,
      );
      expect(wrong.slice(silent.wrong.length)).toEqual([]);
      expect(metricAfter).toBeGreaterThanOrEqual(cycles);
      expect(metricAfter).toBeLessThanOrEqual(asked);
    },
  );

  it('while Koi serves and the guards are taken away: what is counted never becomes less, whoever removes the net', async () => {
    site.configure('r1', [{ protocol: 'vrrp3', addresses: [`${vip}/24`] }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    expect(await counted()).toBe(0);
    sabotage();
    const asked = await asking(() => heard(cycles * 100));
    const first = await isSettled();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(asked);

    site.run('r1', 'nft', 'flush', 'ruleset');
    const backMs = await waitUntil('the net', isHeld, { deadlineMs: 2000 + stallMs, everyMs: 5 });
    expect(site.log('r1')).toContain('changed rules of the nftables net');
    expect(await counted()).toBe(first);
    await asking(() => heard(100));
    const second = await isSettled();
    expect(second).toBeGreaterThan(first);

    // A reload makes the table anew, and a release and the next attach leave it alone.
    const more = ['10.77.0.253/24'];
    site.configure('r1', [{ protocol: 'vrrp3', addresses: [`${vip}/24`, ...more] }]);
    site.koi('r1', 'reload');
    await waitUntil(
      'the other address in the net',
      () =>
        site.run('r1', 'nft', 'list', 'ruleset')?.includes('10.77.0.253') ? undefined : site.log('r1').slice(-500),
      { deadlineMs: 10_000 },
    );
    expect(await isSettled()).toBeGreaterThanOrEqual(second);
    site.ip('r1', 'link set eth1 down');
    await site.becomes('r1', 'fault');
    site.ip('r1', 'link set eth1 up');
    await site.becomes('r1', 'master');
    const third = await isSettled();
    expect(third).toBeGreaterThanOrEqual(second);
    await asking(() => heard(100));
    expect(await isSettled()).toBeGreaterThan(third);
    wire.expectNothingWrong();
    say(
      `guards taken away while Koi serves: 0 wrong, ${await counted()} dropped; a net that was removed is back after ${backMs.toFixed(0)} ms`,
    );
  });
});
