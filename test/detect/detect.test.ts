import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { type Node, Site } from '../election/site.js';
import { koiTimeline } from '../lab/koi-api.js';
import { vip, virtualMac } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { episodesAt, evidenceOf, over, sampleAt, seen } from './episodes.js';
import { ip, macOf, neighbour, speak } from './hosts.js';

/*
 * What must not be on a LAN, made to be: each is reported with who did it, and put right where it can be. Times are
 * printed; the bounds here are those of a machine that stalls now and then.
 */
const isRoot = process.getuid?.() === 0;
const healedWithinMs = 6000;
const vip6 = '2001:db8:77::254';
const virtualMac6 = virtualMac.replace(':01:33', ':02:33');

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** Who told first of two masters since then, as the log has it, and when by its own clock in Unix milliseconds. */
async function told(socketPath: string, since: Date): Promise<{ readonly node: string; readonly atMs: number }> {
  let first: { readonly node: string; readonly at: string } | undefined;
  const look = async (): Promise<string | undefined> => {
    const entries = await koiTimeline(socketPath, since);
    first = entries.find(({ text }) => text.includes('ALARM split_brain'));
    return first === undefined ? `the log has ${entries.map(({ text }) => text).join(' | ')}` : undefined;
  };
  await waitUntil('a node to tell of two masters', look, { deadlineMs: 20_000 });
  return { node: first?.node ?? '', atMs: Date.parse(first?.at ?? '') };
}

describe.skipIf(!isRoot || natsServerBinary === undefined)('detectors (needs root)', () => {
  let koi: BuiltKoi;
  let site: Site;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  afterEach(() => site?.close(), 60_000);

  async function pair(
    routerCount: number,
    routerLines: Readonly<Record<string, unknown>> = {},
  ): Promise<{ master: Node; backup: Node }> {
    site = await Site.begin(routerCount);
    const { master, backup } = await site.pair(koi.main, routerLines);
    await master.knows(backup);
    await backup.knows(master);
    return { master, backup };
  }

  /** The client's cache, until it is right. @returns milliseconds */
  const healed = (address: string, mac: string): Promise<number> => {
    const right = (): string | undefined => {
      const found = neighbour(site.topology.clientNetns, address);
      return found === mac ? undefined : `${address} is at ${found}`;
    };
    return waitUntil("the client's cache to be right", right, { deadlineMs: healedWithinMs, everyMs: 5 });
  };

  test('a third host that takes the addresses is reported with its MAC, and clients are put right', {
    timeout: 120_000,
  }, async () => {
    const { master, backup } = await pair(3, { addresses: [`${vip}/24`, `${vip6}/64`] });
    const { clientNetns, routers } = site.topology;
    const thief = routers[2]?.netns ?? '';
    const offender = macOf(thief, 'eth1');
    for (const [netns, address] of [
      [clientNetns, '2001:db8:77::100'],
      [thief, '2001:db8:77::3'],
    ] as const) {
      ip(netns, 'addr', 'add', `${address}/64`, 'dev', 'eth1', 'nodad');
    }
    speak(clientNetns, vip);
    await healed(vip, virtualMac);
    // The backup has asked, and only the master has answered.
    const asked = async (): Promise<string | undefined> =>
      (await sampleAt(backup.socket, `koi_probe_responders{vr="gw",vip="${vip}"}`)) === 1 ? undefined : 'not yet';
    await waitUntil('the backup to have asked', asked, { deadlineMs: 30_000 });
    expect(await episodesAt(backup.socket)).toEqual([]);

    ip(thief, 'addr', 'add', `${vip}/24`, 'dev', 'eth1');
    ip(thief, 'addr', 'add', `${vip6}/64`, 'dev', 'eth1', 'nodad');
    const { episode, afterMs } = await seen(
      backup.socket,
      'the backup to see the wrong MAC',
      ({ kind, node, subject }) => kind === 'wrong_mac' && node === 'r2' && subject === offender,
    );
    const evidence = evidenceOf(episode);
    expect(evidence.mac).toBe(offender);
    expect(evidence.kind).toBe('probe_answer');
    expect([vip, vip6]).toContain(evidence.vip);
    // Everybody reads it in the log.
    await seen(master.socket, 'the master to read of it', ({ kind, node }) => kind === 'wrong_mac' && node === 'r2');
    say(`a third host has the address: reported by the backup after ${afterMs.toFixed(0)} ms (${evidence.vip})`);

    // It asks for the client with the virtual IP as sender: the client has learnt the wrong MAC before it answers.
    for (const [address, mac, client] of [
      [vip, virtualMac, '10.77.0.100'],
      [vip6, virtualMac6, '2001:db8:77::100'],
    ] as const) {
      speak(clientNetns, address);
      ip(thief, 'neigh', 'flush', 'dev', 'eth1');
      speak(thief, client, address);
      say(
        `the client's cache for ${address} is right ${(await healed(address, mac)).toFixed(0)} ms after it was told otherwise`,
      );
    }
    // Whoever asks anew may take the thief's answer, which nobody else hears.
    for (let round = 0, wrong = 0; round < 20 && wrong < 2; round++) {
      ip(clientNetns, 'neigh', 'flush', 'dev', 'eth1');
      speak(clientNetns, vip);
      const resolved = (): string | undefined =>
        neighbour(clientNetns, vip) === undefined ? 'nobody answers' : undefined;
      await waitUntil('an answer', resolved, { deadlineMs: 20_000 });
      if (neighbour(clientNetns, vip) !== offender) continue;
      wrong += 1;
      say(`the client had asked the thief: its cache is right after ${(await healed(vip, virtualMac)).toFixed(0)} ms`);
    }
    const counted = async (socket: string): Promise<number> =>
      (await sampleAt(socket, 'koi_wrong_mac_detected_total{vr="gw",kind="probe_answer"}')) ?? 0;
    await waitUntil('the metric', async () => ((await counted(backup.socket)) > 0 ? undefined : '0'), {
      deadlineMs: 10_000,
    });
    // The next question for this address may be of a while after that for the other one.
    const mismatch = async (): Promise<string | undefined> =>
      (await sampleAt(backup.socket, `koi_probe_mac_match{vr="gw",vip="${vip}"}`)) === 0 ? undefined : 'it matches';
    await waitUntil('the probe to find another MAC', mismatch, { deadlineMs: 30_000 });
    expect(master.hasVip).toBe(true);
    // It is no second master of the cluster.
    expect((await episodesAt(backup.socket)).map(({ kind }) => kind)).not.toContain('split_brain');
  });

  test('a second cluster with the same id is a duplicate id, and no split brain', { timeout: 120_000 }, async () => {
    const { master } = await pair(3);
    const stranger = await site.node(
      2,
      koi.main,
      { priority: 150, addresses: ['10.77.0.253/24'] },
      {
        cluster: 'other',
        lanKeyFile: undefined,
      },
    );
    stranger.start();
    await stranger.isMaster('logged');
    const { episode, afterMs } = await seen(
      master.socket,
      'the master to see the duplicate id',
      ({ kind, node }) => kind === 'duplicate_id' && node === 'r1',
    );
    expect(evidenceOf(episode)).toMatchObject({ source: '10.77.0.3', advert: 'vrrp 51', why: 'address_mismatch' });
    say(`a second cluster with the same id: reported ${afterMs.toFixed(0)} ms after it had a master`);
    expect((await episodesAt(master.socket)).map(({ kind }) => kind)).not.toContain('split_brain');
    expect(await sampleAt(master.socket, 'koi_split_brain{vr="gw"}')).toBe(0);
  });

  test('two masters in mode wire see each other once the LAN heals, and then it is over', {
    timeout: 120_000,
  }, async () => {
    const { master, backup } = await pair(2, { arbitration: 'wire' });
    const { clientNetns } = site.topology;
    speak(clientNetns, vip);
    await site.topology.splitLan();
    await backup.until('to be master too', ({ state }) => (state === 'master' ? undefined : state));
    // What is no mere change of masters has lasted.
    await observeFor(2000);
    const since = new Date();
    await site.topology.joinLan();
    const sinceMs = performance.now();
    await backup.isBackup();
    speak(clientNetns, vip);
    await healed(vip, virtualMac);
    const rightMs = performance.now() - sinceMs;
    // One of the two at least: whoever gives way at the first advert leaves it to the other, which has heard it.
    const { node, atMs } = await told(master.socket, since);
    say(`${node} told of two masters ${(atMs - since.getTime()).toFixed(0)} ms after the LAN healed`);
    say(`the client is right ${rightMs.toFixed(0)} ms after the LAN healed`);
    await over(master.socket, 'the episode to close', ({ kind }) => kind === 'split_brain');
    // The end of an episode is told at once, the metrics are what the dataplane says of itself once a second.
    const gauge = async (): Promise<string | undefined> => {
      const value = await sampleAt(master.socket, 'koi_split_brain{vr="gw"}');
      return value === 0 ? undefined : `it is ${value}`;
    };
    await waitUntil('the metric to be 0', gauge, { deadlineMs: 5000 });
  });
});
