import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { nftTableName } from '../../src/kernel/names.js';
import { isRoot } from '../daemon/host.js';
import { koiMetric } from '../lab/koi-api.js';
import { observeFor, stallMs, waitUntil } from '../lab/wait.js';
import type { Site } from '../placement/site.js';
import { onEachSite, vip, vip6, virtualMac, virtualMac6 } from './address-site.js';
import type { AddressWire } from './address-wire.js';
import { asking } from './asking.js';
import { say } from './figure.js';

/*
 * The net of nf_tables under everything else: attach order and guards are taken away, and still no frame leaves with a wrong
 * MAC; what the kernel has dropped is what the metric says. Needs root, iproute2, tcpdump and nft.
 */
const isAll = process.env.KOI_RACES === 'all';
const cycles = isAll ? 50 : 5;
const metric = 'koi_wrong_mac_suppressed_total';

/** What is the same of both families, and what is not. */
const families = [
  {
    what: 'ARP',
    address: vip,
    mac: virtualMac,
    host: `${vip}/32`,
    configured: `${vip}/24`,
    more: '10.77.0.253/24',
    table: ['arp', nftTableName('site', 'r1')],
  },
  {
    what: 'neighbour discovery',
    address: vip6,
    mac: virtualMac6,
    host: `${vip6}/128 nodad`,
    configured: `${vip6}/64`,
    more: 'fd77::253/64',
    table: ['ip6', `${nftTableName('site', 'r1')}_net`],
  },
] as const;

describe.skipIf(!isRoot).each(families)(
  'the net under $what (needs root)',
  { timeout: 60_000 + cycles * 3_000 },
  ({ address, mac, host, configured, more, table }) => {
    const isIpv6 = address === vip6;
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

    const ask = (act: () => unknown): Promise<number> => asking(site, address, act);

    /** Sets the guards of the parent, and of what somebody makes on it, back to the kernel's defaults every millisecond. */
    const sabotage = (): void => {
      if (isIpv6) return;
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

    const heard = async (count: number): Promise<void> => {
      const before = wire.spoken(address).right;
      await waitUntil(
        'answers with the virtual MAC',
        () => (wire.spoken(address).right >= before + count ? undefined : `${wire.spoken(address).right - before}`),
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
            `addr add ${host} dev eth1`,
            `link add naive address ${mac} ${macvlan}`,
            'link set naive addrgenmode none',
            'link set naive up',
            `addr del ${host.split(' ')[0]} dev eth1`,
            `addr add ${host} dev naive`,
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
            `addr add ${host} dev naive`,
            `link set naive address ${mac}`,
          );
          await heard(5);
        },
      },
      {
        name: 'a backup that parks the address on a link that is down',
        cycle: async () => {
          naively(`link add naive address ${mac} ${macvlan}`, `addr add ${host} dev naive`);
          await observeFor(100);
        },
      },
    ];

    // IPv6 answers for no address of a link that is down.
    const biting = isIpv6 ? orders.slice(0, 2) : orders;

    /** Something else than Koi answers for the address beside it; and no more. */
    const misbehave = (): void => (isIpv6 ? naively(`addr add ${host} dev eth1`) : sabotage());
    const behave = (): void => {
      if (isIpv6) naively(`addr del ${host.split(' ')[0]} dev eth1`);
    };

    /** Goes through an order again and again, with the address asked for. */
    const go = (cycle: () => Promise<void>, count: number): Promise<number> =>
      ask(async () => {
        for (let at = 0; at < count; at += 1) {
          await cycle();
          naively('link del naive');
        }
      });

    /** What the kernel has dropped, by nft. */
    const dropped = (): number => {
      const listed = site.run('r1', 'nft', 'list', 'table', ...table) ?? '';
      return [...listed.matchAll(/counter packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
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
      site.run('r1', 'nft', 'list', 'table', ...table)?.includes(address) ? undefined : 'no rule';

    it.each(biting)(
      '$name: without Koi wrong frames leave; under its net none does, and each is counted',
      async ({ name, cycle }) => {
        await go(cycle, 3);
        const { wrong: before } = wire.spoken(address);
        expect(before.length, 'the harness bites').toBeGreaterThan(0);

        // Koi is there and serves nothing: its net is.
        site.configure('r1', [{ protocol: 'vrrp3', addresses: [configured], startDelay: '1h' }]);
        site.start('r1');
        await waitUntil('the net', isHeld, { deadlineMs: 15_000 });
        await site.until('the metrics', () => counted().then(() => undefined, String));
        const silent = wire.spoken(address);
        sabotage();
        const asked = await go(cycle, cycles);
        const metricAfter = await isSettled();
        const { right, wrong } = wire.spoken(address);
        say(
          `${name}, ${cycles} cycles: ${wrong.length - silent.wrong.length} wrong, ${right - silent.right} right, ${asked} asked, ` +
            `${metricAfter} dropped, by nft ${dropped()}; without the net 3 cycles had ${before.length} wrong ones`,
        );
        expect(wrong.slice(silent.wrong.length)).toEqual([]);
        expect(metricAfter).toBeGreaterThan(0);
        expect(metricAfter).toBeLessThanOrEqual(asked);
      },
    );

    const serve = async (): Promise<void> => {
      site.configure('r1', [{ protocol: 'vrrp3', addresses: [configured] }]);
      site.start('r1');
      await site.becomes('r1', 'master');
      await ask(() => heard(10));
    };
    const removeNet = async (): Promise<number> => {
      site.run('r1', 'nft', 'flush', 'ruleset');
      return waitUntil('the net', isHeld, { deadlineMs: 2000 + stallMs, everyMs: 5 });
    };

    it('the net is removed while the address is asked for: what lies above it suffices', async () => {
      await serve();
      await ask(async () => {
        await removeNet();
        await heard(100);
      });
      await wire.expectNothingWrong(address);
    });

    it('net and guards are away at once: wrong ones leave for two seconds at most', async () => {
      await serve();
      await ask(async () => {
        misbehave();
        await heard(100);
        expect((await wire.heard(address)).wrong).toEqual([]);
        const backMs = await removeNet();
        const during = (await wire.heard(address)).wrong.length;
        await heard(100);
        expect((await wire.heard(address)).wrong.length, 'none after that').toBe(during);
        say(`net and guards away at once: ${during} wrong, for ${backMs.toFixed(0)} ms`);
      });
    });

    it('while Koi serves and the guards are taken away: what is counted never becomes less, whoever removes the net', async () => {
      await serve();
      expect(await counted()).toBe(0);
      misbehave();
      const asked = await ask(() => heard(cycles * 100));
      const first = await isSettled();
      expect(first).toBeGreaterThan(0);
      expect(first).toBeLessThanOrEqual(asked);

      const backMs = await removeNet();
      expect(site.log('r1')).toContain('changed rules of the nftables net');
      expect(await counted()).toBe(first);
      await ask(() => heard(100));
      const second = await isSettled();
      expect(second).toBeGreaterThan(first);

      behave();
      // A reload makes the table anew, and a release and the next attach leave it alone.
      site.configure('r1', [{ protocol: 'vrrp3', addresses: [configured, more] }]);
      site.koi('r1', 'reload');
      await waitUntil(
        'the other address in the net',
        () =>
          site.run('r1', 'nft', 'list', 'ruleset')?.includes(more.replace(/\/.*/, ''))
            ? undefined
            : site.log('r1').slice(-500),
        { deadlineMs: 10_000 },
      );
      expect(await isSettled()).toBeGreaterThanOrEqual(second);
      site.ip('r1', 'link set eth1 down');
      await site.becomes('r1', 'fault');
      site.ip('r1', 'link set eth1 up');
      await site.becomes('r1', 'master');
      const third = await isSettled();
      expect(third).toBeGreaterThanOrEqual(second);
      if (isIpv6) misbehave();
      await ask(() => heard(100));
      expect(await isSettled()).toBeGreaterThan(third);
      await wire.expectNothingWrong(address);
      say(
        `guards taken away while Koi serves: 0 wrong, ${await counted()} dropped; a net that was removed is back after ${backMs.toFixed(0)} ms`,
      );
    });
  },
);
