import { describe, expect, it } from 'vitest';
import { isRoot } from '../daemon/host.js';
import { waitUntil } from '../lab/wait.js';
import type { Site } from '../placement/site.js';
import { onEachSite, vip, virtualMac } from './address-site.js';
import type { AddressWire } from './address-wire.js';

/*
 * The virtual MAC sits on a bridge that somebody else builds, before Koi starts or after, in any order; and on a card that is a
 * bridge's port it cannot sit. Needs root, iproute2 and tcpdump. Bonds and VLANs are in test/vm.
 */

describe.skipIf(!isRoot)('a bridge as the parent (needs root)', { timeout: 90_000 }, () => {
  let site: Site;
  let wire: AddressWire;

  onEachSite((fresh) => {
    ({ site, wire } = fresh);
    site.ip('r1', 'addr flush dev eth1 scope global');
  });

  const steps = {
    koi: () => site.start('r1'),
    bridge: () => {
      site.ip('r1', 'link add lan0 type bridge stp_state 0 forward_delay 0');
      site.ip('r1', 'addr add 10.77.0.1/24 dev lan0');
    },
    up: () => void site.ip('r1', 'link set lan0 up'),
    port: () => void site.ip('r1', 'link set eth1 master lan0'),
  };

  const served = async (): Promise<void> => {
    await site.becomes('r1', 'master');
    await waitUntil('the client to find it', () => (site.resolves(vip) === virtualMac ? undefined : 'not yet'), {
      deadlineMs: 10_000,
    });
    expect(site.ip('r1', '-o link show type macvlan').match(/koi51\.\w+@lan0/g)).toHaveLength(1);
  };

  it.each([
    ['koi', 'bridge', 'up', 'port'],
    ['bridge', 'koi', 'port', 'up'],
    ['bridge', 'port', 'koi', 'up'],
    ['bridge', 'up', 'port', 'koi'],
  ] as const)('%s, %s, %s, %s: the end is the same', async (...order) => {
    site.configure('r1', [{ protocol: 'vrrp3', interface: 'lan0', addresses: [`${vip}/24`] }]);
    for (const step of order) steps[step]();
    await served();
    await wire.expectNothingWrong();
  });

  it('torn down under koi and built again', async () => {
    site.configure('r1', [{ protocol: 'vrrp3', interface: 'lan0', addresses: [`${vip}/24`] }]);
    for (const step of ['bridge', 'up', 'port', 'koi'] as const) steps[step]();
    await served();
    site.ip('r1', 'link del lan0');
    await site.becomes('r1', 'fault');
    for (const step of ['bridge', 'port', 'up'] as const) steps[step]();
    await served();
    await wire.expectNothingWrong();
  });

  it('a card that is a port already cannot carry it: koi says which, and serves once it is free', async () => {
    site.configure('r1', [{ protocol: 'vrrp3', interface: 'eth1', addresses: [`${vip}/24`] }]);
    for (const step of ['bridge', 'up', 'port', 'koi'] as const) steps[step]();
    await site.until('the reason in status', async () => {
      const status = await site.status('r1').catch(() => undefined);
      const [vr] = status?.vrs ?? [];
      return vr?.state !== 'master' && vr?.warnings.some((warning) => warning.includes('eth1')) === true
        ? undefined
        : JSON.stringify(vr);
    });
    expect(site.ip('r1', '-o addr show')).not.toContain(vip);
    site.ip('r1', 'link del lan0');
    site.ip('r1', 'addr add 10.77.0.1/24 dev eth1');
    await site.becomes('r1', 'master');
    await wire.expectNothingWrong();
  });
});
