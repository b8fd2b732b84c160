import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { evidenceOf, over, sampleAt, seen } from '../detect/episodes.js';
import { inside, ip } from '../detect/hosts.js';
import { type Node, Site } from '../election/site.js';
import { type KoiTimeline, koiStatus, koiTimeline } from '../lab/koi-api.js';
import { vip } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';

/*
 * Two masters as adverts, probes and the log tell of them, and adverts that do not come through, over IPv4 and IPv6: the
 * episode, who and what, the metric, and that it ends by itself.
 */
const isRoot = process.getuid?.() === 0;
const vips = { 4: vip, 6: '2001:db8:77::254' } as const;
const addressesOf = { 4: [`${vip}/24`], 6: [`${vips[6]}/64`] } as const;
const families = [4, 6] as const;
const say = (line: string): boolean => process.stdout.write(`${line}\n`);

describe.skipIf(!isRoot || natsServerBinary === undefined)('two masters (needs root)', { timeout: 180_000 }, () => {
  let koi: BuiltKoi;
  let site: Site;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  afterEach(() => site?.close(), 60_000);

  async function pair(lines: Readonly<Record<string, unknown>>, routerCount = 2) {
    site = await Site.begin(routerCount, 'adverts');
    const { master, backup } = await site.pair(koi.main, lines);
    for (const [node, other] of [
      [master, backup],
      [backup, master],
    ] as const)
      await knows(node, other);
    return { master, backup };
  }

  /** Until then the other is a stranger. */
  async function knows(node: Node, { name }: Node): Promise<void> {
    const known = async (): Promise<string | undefined> => {
      const { nodes } = await koiStatus(node.socket);
      const address = nodes.find((each) => each.name === name)?.lanAddress;
      return typeof address === 'string' ? undefined : `it knows ${JSON.stringify(nodes)}`;
    };
    await waitUntil(`${node.name} to know ${name}`, known, { deadlineMs: 20_000 });
  }

  /** The first alarm in the log: it may be over before anybody looks at what is wrong now. Of two masters one tells at least. */
  async function toldIn(
    reader: Node,
    since: Date,
  ): Promise<{ readonly by: string; readonly atMs: number; readonly text: string }> {
    let found: KoiTimeline[number] | undefined;
    const look = async (): Promise<string | undefined> => {
      const entries = await koiTimeline(reader.socket, since);
      found = entries.find(({ text }) => text.includes('ALARM split_brain'));
      return found === undefined ? `the log has ${entries.map(({ text }) => text).join(' | ')}` : undefined;
    };
    await waitUntil('one to tell of two masters', look, { deadlineMs: 20_000 });
    return { by: found?.node ?? '', atMs: Date.parse(found?.at ?? ''), text: found?.text ?? '' };
  }

  const metric = (node: Node, sample: string, isRight: (value: number) => boolean): Promise<number> => {
    const look = async (): Promise<string | undefined> => {
      const value = (await sampleAt(node.socket, sample)) ?? Number.NaN;
      return isRight(value) ? undefined : `it is ${value}`;
    };
    return waitUntil(`${sample} of ${node.name}`, look, { deadlineMs: 10_000 });
  };

  test.each(families)('over IPv%i in mode wire, once the LAN heals', async (family) => {
    const { master, backup } = await pair({ arbitration: 'wire', addresses: addressesOf[family] });
    await site.topology.splitLan();
    await backup.until('to be master too', ({ state }) => (state === 'master' ? undefined : state));
    // What is no mere change of masters has lasted.
    await observeFor(2000);
    const since = new Date();
    await site.topology.joinLan();
    const { by, atMs, text } = await toldIn(master, since);
    // Heard with its MAC, or read of, where the one that gave way was quicker to say so.
    const heard = `source=advert .*mac=${vrrpVirtualMac(family, 51)} advert=vrrp 51`;
    expect(text).toMatch(new RegExp(`${heard}|source=log rival=r[12]`));
    const afterMs = (atMs - since.getTime()).toFixed(0);
    say(`two masters over IPv${family}: ${by} told of it ${afterMs} ms after the LAN healed: ${text}`);
    const counts = ['advert', 'log'].map((source) => `koi_split_brain_detected_total{vr="gw",source="${source}"}`);
    const teller = by === master.name ? master : backup;
    const counted = async (): Promise<string | undefined> => {
      const values = await Promise.all(counts.map((sample) => sampleAt(teller.socket, sample)));
      return values.some((value) => value !== undefined && value > 0) ? undefined : `it is ${values.join(' and ')}`;
    };
    await waitUntil('it to be counted', counted, { deadlineMs: 10_000 });
    await backup.isBackup();
    const endMs = await over(master.socket, 'every episode to close', ({ kind }) => kind === 'split_brain');
    await metric(master, 'koi_split_brain{vr="gw"}', (value) => value === 0);
    say(`two masters over IPv${family}: over ${endMs.toFixed(0)} ms after the other gave way`);
  });

  test('by two answers with the virtual MAC, which nobody hears but who asked', async () => {
    const { backup } = await pair({ addresses: [...addressesOf[4], ...addressesOf[6]] }, 3);
    const rogue = site.topology.routers[2]?.netns ?? '';
    ip(rogue, 'addr', 'add', '2001:db8:77::3/64', 'dev', 'eth1', 'nodad');
    for (const family of families) {
      const name = `rogue${family}`;
      const address = vrrpVirtualMac(family, 51);
      ip(rogue, 'link', 'add', name, 'link', 'eth1', 'address', address, 'type', 'macvlan', 'mode', 'private');
      for (const link of [name, 'eth1', 'all']) {
        inside(rogue, 'sh', '-c', `echo 0 > /proc/sys/net/ipv4/conf/${link}/rp_filter`);
        // It answers with the virtual MAC alone.
        inside(rogue, 'sh', '-c', `echo 1 > /proc/sys/net/ipv4/conf/${link}/arp_ignore`);
      }
      ip(rogue, 'link', 'set', name, 'up');
      const extra = family === 6 ? ['nodad'] : [];
      ip(rogue, 'addr', 'add', `${vips[family]}/${family === 4 ? 32 : 128}`, 'dev', name, ...extra);
    }
    for (const family of families) {
      const { episode, afterMs } = await seen(
        backup.socket,
        'the backup to tell of two answers',
        ({ kind, subject, node }) => kind === 'split_brain' && subject === vips[family] && node === 'r2',
      );
      expect(evidenceOf(episode)).toEqual({ source: 'probe', vip: vips[family], answers: '2' });
      say(`two answers for ${vips[family]}: told after ${afterMs.toFixed(0)} ms`);
      await metric(backup, `koi_probe_responders{vr="gw",vip="${vips[family]}"}`, (value) => value === 2);
    }
    await metric(backup, 'koi_split_brain_detected_total{vr="gw",source="probe"}', (value) => value >= 1);
    await metric(backup, 'koi_split_brain{vr="gw"}', (value) => value === 1);
    for (const family of families) ip(rogue, 'link', 'del', `rogue${family}`);
    await over(backup.socket, 'one answer', ({ kind, node }) => kind === 'split_brain' && node === 'r2');
    await metric(backup, 'koi_split_brain{vr="gw"}', (value) => value === 0);
  });

  test.each(families)('adverts over IPv%i that a switch does not pass', async (family) => {
    const { master, backup } = await pair({ addresses: addressesOf[family] });
    await metric(backup, 'koi_lan_path_ok{vr="gw",peer="r1"}', (value) => value === 1);
    // Adverts alone: without neighbour discovery, which is multicast too, nobody finds anybody.
    const { switchNetns } = site.topology;
    const drops = ['ip daddr 224.0.0.18', 'ip6 daddr ff02::12'].map(
      (what) => `add rule bridge koi_lab switch ${what} drop`,
    );
    const chain = 'add chain bridge koi_lab switch { type filter hook forward priority 0; }';
    inside(switchNetns, 'nft', ['add table bridge koi_lab', chain, ...drops].join('; '));
    const isIt = ({ kind, node }: { kind: string; node: string }): boolean =>
      kind === 'advert_path_lost' && node === 'r2';
    const { episode, afterMs } = await seen(master.socket, 'the path to be lost', isIt);
    expect(evidenceOf(episode)).toEqual({ peer: 'r1' });
    await metric(backup, 'koi_lan_path_ok{vr="gw",peer="r1"}', (value) => value === 0);
    await metric(backup, 'koi_episodes_open{vr="gw",kind="advert_path_lost"}', (value) => value === 1);
    expect((await backup.vr())?.state).toBe('backup');
    inside(switchNetns, 'nft', 'delete table bridge koi_lab');
    const endMs = await over(master.socket, 'the path to be there again', isIt);
    await metric(backup, 'koi_lan_path_ok{vr="gw",peer="r1"}', (value) => value === 1);
    say(`adverts over IPv${family} not passed: told after ${afterMs.toFixed(0)} ms, over after ${endMs.toFixed(0)} ms`);
  });

  test('a second cluster with the same VHID is a duplicate id, and no split brain', async () => {
    site = await Site.begin(2, 'adverts');
    const carp = (advskew: number, password: string): Readonly<Record<string, unknown>> => {
      const passwordFile = join(site.directory, `${password}.pass`);
      writeFileSync(passwordFile, password, { mode: 0o600 });
      return { protocol: 'carp', advertInterval: undefined, carp: { advbase: 1, advskew, passwordFile } };
    };
    const master = await site.node(0, koi.main, carp(0, 'one'));
    const others = { ...carp(100, 'two'), addresses: ['10.77.0.253/24'] };
    const stranger = await site.node(1, koi.main, others, { cluster: 'other', lanKeyFile: undefined });
    master.start();
    await master.isMaster('logged');
    stranger.start();
    await stranger.isMaster('logged');
    const { episode, afterMs } = await seen(
      master.socket,
      'the master to see the duplicate VHID',
      ({ kind, node }) => kind === 'duplicate_id' && node === 'r1',
    );
    expect(evidenceOf(episode)).toEqual({
      source: stranger.router.lanAddress,
      mac: vrrpVirtualMac(4, 51),
      advert: 'carp 51',
      why: 'bad_digest',
    });
    await metric(master, 'koi_duplicate_id_detected_total{vr="gw"}', (value) => value >= 2);
    expect(await sampleAt(master.socket, 'koi_split_brain{vr="gw"}')).toBe(0);
    say(`a second cluster with the same VHID: told ${afterMs.toFixed(0)} ms after it had a master`);
  });
});
