import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { MacAddress } from '../../src/wire/mac.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Site } from '../placement/site.js';
import { AddressWire } from './address-wire.js';

export const vip = '10.77.0.254';
export const virtualMac = '00:00:5e:00:01:33' as MacAddress;
export const vip6 = 'fd77::254';
export const virtualMac6 = '00:00:5e:00:02:33' as MacAddress;

export interface AddressSite {
  readonly site: Site;
  /** Of the client. */
  readonly wire: AddressWire;
}

/**
 * Before each test of the suite that calls it: Koi as its sources are now, routers without it, and a client that hears who
 * speaks for {@link vip} and {@link vip6}. After each: Koi stopped, and all of it removed.
 */
export function onEachSite(begin: (fresh: AddressSite) => void | Promise<void>): void {
  let built: BuiltKoi | undefined;
  let fresh: AddressSite | undefined;

  beforeAll(() => {
    built = buildKoi();
  }, 120_000);
  afterAll(() => built?.remove());
  beforeEach(async () => {
    if (built === undefined) throw new Error('koi is not built');
    const site = new Site(built.main);
    const wire = new AddressWire(site.netns('client'), 'eth1', { [vip]: virtualMac, [vip6]: virtualMac6 });
    fresh = { site, wire };
    await wire.ready();
    await begin(fresh);
  });
  afterEach(async () => {
    for (const node of ['r1', 'r2'] as const) await fresh?.site.stop(node);
    fresh?.wire.stop();
    fresh?.site.remove();
    fresh = undefined;
  });
}
