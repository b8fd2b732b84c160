import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeLeftovers } from '../../src/attach/leftovers.js';
import { failpointNames } from '../../src/failpoint.js';
import { ADDRESS_PROTO } from '../../src/kernel/names.js';
import { confPath, readSysctl } from '../../src/kernel/sysctl.js';
import { cluster, Host } from '../attach/host.js';
import { ip } from '../kernel/cable.js';
import { say } from './figure.js';
import { RaceSegment } from './segment.js';
import { bothFamilies, duplicates } from './specs.js';

const onTheWay = failpointNames.filter((name) => /^(link|attach|detach)\./.test(name));
const program = fileURLToPath(new URL('./attacher.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));

let segment: RaceSegment;

beforeAll(() => {
  segment = new RaceSegment();
});
afterAll(() => {
  segment.remove();
});

const guards = () =>
  ['eth1', 'eth2', 'default'].flatMap((name) =>
    (['arp_ignore', 'arp_announce'] as const).map((key) => readSysctl(confPath(name, key))),
  );
const routes = () => ip('route show table all 10.99.0.0/24').trim();

test.each(onTheWay)('killed after %s: the next run puts all of it in order', async (name) => {
  const guardsBefore = guards();
  const linksBefore = ip('-o link show').split('\n').length;
  const directory = mkdtempSync(join(tmpdir(), 'koi-crash-'));
  const run = spawnSync(process.execPath, ['--import', 'tsx', program, directory, name], {
    cwd: root,
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(run.signal, `${run.stdout}${run.stderr}`).toBe('SIGKILL');

  const host = new Host(directory);
  try {
    const left = await removeLeftovers(host.netlink, cluster);
    say(`killed after ${name}: ${left.links.length} links, ${left.addresses.length} addresses were left, and removed`);
    expect(host.koiLinks()).toEqual([]);
    expect(host.holders(bothFamilies.addresses)).toEqual([]);
    expect(routes()).toBe('');

    host.monitor.drain();
    const attachment = host.attachment(bothFamilies, { duplicates });
    const token = await attachment.attach(segment.parent);
    expect(token.valid).toBe(true);
    expect(host.koiLinks().map(({ name: link, mac, flags }) => [link, mac, flags.up])).toEqual([
      [bothFamilies.linkName, bothFamilies.virtualMac, true],
    ]);
    const held = host.holders(bothFamilies.addresses);
    expect(held.map(({ address, ifindex, proto }) => [address, ifindex, proto]).sort()).toEqual(
      bothFamilies.addresses.map((address) => [address, attachment.linkIfindex, ADDRESS_PROTO]).sort(),
    );
    expect(routes().split('\n')).toHaveLength(1);
    attachment.detach();
    await attachment.destroy();
    expect(host.holders(bothFamilies.addresses)).toEqual([]);
  } finally {
    host.close();
  }
  expect(ip('-o link show').split('\n').length).toBe(linksBefore);
  expect(guards()).toEqual(guardsBefore);
});
