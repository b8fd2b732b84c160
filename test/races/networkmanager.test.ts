import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isRoot } from '../daemon/host.js';
import { koiMetric } from '../lab/koi-api.js';
import { waitUntil } from '../lab/wait.js';
import type { Site } from '../placement/site.js';
import { onEachSite, vip, virtualMac } from './address-site.js';
import type { AddressWire } from './address-wire.js';
import { NetworkManager, networkManagerDirectory } from './network-manager.js';

/*
 * NetworkManager configures the interface that Koi's virtual MAC sits on, and has the snippet that the package brings. Needs
 * root, iproute2, util-linux, tcpdump, and what scripts/nm-packages fetches. KOI_RACES=all runs at full length.
 */
const boots = process.env.KOI_RACES === 'all' ? 20 : 4;
const canRun = isRoot && networkManagerDirectory !== undefined;

describe.skipIf(!canRun)('beside NetworkManager (needs root, scripts/nm-packages)', { timeout: 400_000 }, () => {
  let site: Site;
  let wire: AddressWire;
  let manager: NetworkManager;

  onEachSite((fresh) => {
    ({ site, wire } = fresh);
    site.configure('r1', [{ protocol: 'vrrp3', addresses: [`${vip}/24`] }]);
    site.ip('r1', 'addr flush dev eth1');
    site.ip('r1', 'link set eth1 down');
    manager = new NetworkManager(site.netns('r1'), join(site.directory, 'nm'), 'eth1', '10.77.0.1/24');
  });
  afterEach(() => manager.stop());

  const link = (): string => /(koi51\.\w+)@/.exec(site.ip('r1', '-o link show'))?.[1] ?? '';
  const repairs = (): Promise<number> => koiMetric(site.socket('r1'), 'koi_link_repairs_total');
  const isHeld = (): boolean => site.ip('r1', '-o -4 addr show').includes(` ${vip}/32 `);
  const expectBoth = async (): Promise<void> => {
    await manager.manages('eth1');
    await site.becomes('r1', 'master');
    expect(isHeld()).toBe(true);
    expect(site.ip('r1', '-o -4 addr show dev eth1')).toContain(' 10.77.0.1/24 ');
    expect(manager.stateOf(link())).toBe('unmanaged');
    expect(site.resolves(vip)).toBe(virtualMac);
  };

  it(`started together with koi ${boots} times, in either order: both stay, koi's link is left alone`, async () => {
    for (let boot = 0; boot < boots; boot += 1) {
      site.ip('r1', 'addr flush dev eth1');
      site.ip('r1', 'link set eth1 down');
      if (boot % 2 === 0) site.start('r1');
      manager.start();
      if (boot % 2 === 1) site.start('r1');
      await expectBoth();
      expect(await repairs()).toBe(0);
      expect(await site.stop('r1')).toBe(0);
      await manager.stop();
    }
    await wire.expectNothingWrong();
    process.stdout.write(
      `started together with NetworkManager ${boots} times: 0 wrong ends, 0 repairs, 0 wrong frames\n`,
    );
  });

  it('it is killed and started again while koi serves, and activates the interface anew: the address stays, or comes back', async () => {
    manager.start();
    site.start('r1');
    await expectBoth();
    await manager.stop();
    manager.start();
    await expectBoth();
    expect(await repairs()).toBe(0);

    expect(manager.ask('device', 'disconnect', 'eth1'), manager.log.slice(-1500)).toBeDefined();
    await waitUntil('the address to go', () => (isHeld() ? 'held' : undefined), { deadlineMs: 10_000, everyMs: 5 });
    expect(manager.ask('connection', 'up', 'eth1'), manager.log.slice(-1500)).toBeDefined();
    await expectBoth();
    await wire.expectNothingWrong();
  });
});
