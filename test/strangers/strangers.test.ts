import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { evidenceOf, over, seen } from '../detect/episodes.js';
import { inside, ip, macOf, neighbour, speak } from '../detect/hosts.js';
import { type Node, Site } from '../election/site.js';
import type { Assignment } from '../interop/company.js';
import { frrInstalled, frrParticipant } from '../interop/frr-participant.js';
import { keepalivedParticipant } from '../interop/keepalived-participant.js';
import { type Router, vip, virtualMac } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';

/*
 * Routers of other makes as they are installed, with the kernel's own sysctls: what they say wrongly is reported by a Koi
 * that is beside them, with the MAC that says it.
 */
const isRoot = process.getuid?.() === 0;
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
const hasKeepalived = spawnSync('keepalived', ['--version']).status === 0;

describe.skipIf(!isRoot || natsServerBinary === undefined)('beside others with stock sysctls (needs root)', () => {
  let koi: BuiltKoi;
  let site: Site;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  afterEach(() => site?.close(), 60_000);

  /** A Koi that is backup to a router of another make, in mode wire. */
  async function beside(): Promise<{ node: Node; assignment: Assignment }> {
    site = await Site.begin(2);
    const [router, other] = site.topology.routers;
    if (router === undefined || other === undefined) throw new Error('no routers');
    const node = await site.node(1, koi.main, { priority: 100, arbitration: 'wire' });
    return { node, assignment: assignmentOf(router, other, 'higher') };
  }

  /** Of a router of another make. */
  function assignmentOf(router: Router, other: Router, rank: Assignment['rank']): Assignment {
    // FRR gives up root early.
    chmodSync(site.directory, 0o755);
    const directory = join(site.directory, 'other');
    mkdirSync(directory, { recursive: true });
    return {
      agreement: { protocol: 'vrrp3', family: 4, intervalMs: 100 },
      rank,
      router,
      other,
      addresses: [vip],
      directory,
      logFile: join(directory, 'log'),
    };
  }

  /** As they are where nobody has set them. */
  function stockSysctls(netns: string): void {
    for (const link of ['eth1', 'vrrp-gw', 'all']) {
      inside(netns, 'sh', '-c', `cd /proc/sys/net/ipv4/conf/${link} && echo 0 > arp_ignore && echo 0 > arp_announce`);
    }
  }

  test.skipIf(!hasKeepalived)(
    'keepalived asks for a client with the virtual IP as sender',
    { timeout: 120_000 },
    async () => {
      const { node, assignment } = await beside();
      const { netns } = assignment.router;
      const keepalived = keepalivedParticipant(assignment);
      await keepalived.start();
      node.start();
      await node.until('to hear the master', ({ state, owner }) =>
        state === 'backup' && owner !== null ? undefined : `${state}, ${owner}`,
      );
      const offender = macOf(netns, 'eth1');
      const { clientNetns } = site.topology;
      const sinceMs = performance.now();
      // The reply to a client that it does not know makes the master ask for it.
      const asked = async (): Promise<string | undefined> => {
        ip(netns, 'neigh', 'flush', 'all');
        ip(clientNetns, 'neigh', 'flush', 'dev', 'eth1');
        speak(clientNetns, vip);
        return neighbour(clientNetns, vip) === offender ? undefined : `the client has ${neighbour(clientNetns, vip)}`;
      };
      await waitUntil('the client to be poisoned by keepalived', asked, { deadlineMs: 30_000 });
      const { episode } = await seen(
        node.socket,
        'koi to see what keepalived asks',
        ({ kind, subject }) => kind === 'wrong_mac' && subject === offender,
      );
      expect(evidenceOf(episode)).toMatchObject({ mac: offender, vip, expected: virtualMac, kind: 'arp_request' });
      process.stdout.write(
        `keepalived with stock sysctls asks with the virtual IP as sender: reported ${(performance.now() - sinceMs).toFixed(0)} ms after the first client\n`,
      );
      await keepalived.stop();
    },
  );

  test.skipIf(!frrInstalled())('FRR answers with more than one MAC', { timeout: 180_000 }, async () => {
    const { node, assignment } = await beside();
    const { netns } = assignment.router;
    const frr = frrParticipant(assignment);
    await frr.start();
    stockSysctls(netns);
    node.start();
    await node.until('to hear the master', ({ state, owner }) =>
      state === 'backup' && owner !== null ? undefined : `${state}, ${owner}`,
    );
    const offender = macOf(netns, 'eth1');
    const { episode, afterMs } = await seen(
      node.socket,
      'koi to see what FRR answers',
      ({ kind, subject }) => kind === 'wrong_mac' && subject === offender,
    );
    expect(evidenceOf(episode)).toMatchObject({ mac: offender, vip, kind: 'probe_answer' });
    process.stdout.write(`FRR with stock sysctls answers with ${offender}: reported after ${afterMs.toFixed(0)} ms\n`);
    await frr.stop();
    await over(node.socket, 'the episode to close by itself', ({ kind }) => kind === 'wrong_mac');
  });

  test.skipIf(!frrInstalled())(
    'FRR as a backup answers with its own MAC, and the client that believed it is put right',
    { timeout: 180_000 },
    async () => {
      site = await Site.begin(3);
      const [router, , third] = site.topology.routers;
      if (router === undefined || third === undefined) throw new Error('no routers');
      const lines = { arbitration: 'wire', preempt: { enabled: true } };
      const master = await site.node(0, koi.main, { priority: 250, ...lines });
      const backup = await site.node(1, koi.main, { priority: 240, ...lines });
      master.start();
      await master.isMaster('logged');
      backup.start();
      await backup.isBackup();
      const frr = frrParticipant(assignmentOf(third, router, 'lower'));
      await frr.start();
      stockSysctls(third.netns);
      const offender = macOf(third.netns, 'eth1');
      const { episode, afterMs } = await seen(
        backup.socket,
        'koi to see what FRR answers',
        ({ kind, subject }) => kind === 'wrong_mac' && subject === offender,
      );
      expect(evidenceOf(episode)).toMatchObject({ mac: offender, vip });
      say(`FRR with stock sysctls, backup of a Koi: reported with ${offender} after ${afterMs.toFixed(0)} ms`);
      const { clientNetns } = site.topology;
      const has = (): string | undefined => neighbour(clientNetns, vip);
      for (let round = 0, wrong = 0; round < 20 && wrong < 3; round++) {
        ip(clientNetns, 'neigh', 'flush', 'dev', 'eth1');
        speak(clientNetns, vip);
        await waitUntil('an answer', () => (has() === undefined ? 'nobody answers' : undefined), {
          deadlineMs: 20_000,
        });
        if (has() !== offender) continue;
        wrong += 1;
        const right = (): string | undefined => (has() === virtualMac ? undefined : `it is at ${has()}`);
        const healedMs = await waitUntil("the client's cache to be right", right, { deadlineMs: 6000, everyMs: 5 });
        say(`the client had believed FRR: its cache is right after ${healedMs.toFixed(0)} ms`);
      }
      expect(await master.vr()).toMatchObject({ state: 'master' });
      await frr.stop();
    },
  );

  test('koi doctor tells a switch that does not pass what the virtual MAC says', { timeout: 120_000 }, async () => {
    site = await Site.begin(2);
    const { master, backup } = await site.pair(koi.main);
    await master.knows(backup);
    await backup.knows(master);
    const path = (): { status: string; detail: string } => {
      const args = [
        'netns',
        'exec',
        master.router.netns,
        process.execPath,
        koi.main,
        'doctor',
        '-c',
        master.configFile,
      ];
      const { stdout } = spawnSync('ip', [...args, '--json'], { encoding: 'utf8', timeout: 60_000 });
      const { verdicts } = JSON.parse(stdout) as { verdicts: { check: string; status: string; detail: string }[] };
      const found = verdicts.find(({ check }) => check === 'virtual_mac_path');
      if (found === undefined) throw new Error(stdout);
      return found;
    };
    const heard = (): string | undefined => (path().status === 'ok' ? undefined : path().detail);
    await waitUntil('the peer to hear the virtual MAC', heard, { deadlineMs: 20_000, everyMs: 500 });
    await site.topology.dropMulticast();
    await seen(master.socket, 'the path to be lost', ({ kind, node }) => kind === 'advert_path_lost' && node === 'r2');
    const filtered = path();
    expect(filtered.status).toBe('failed');
    expect(filtered.detail).toContain('the host is heard, its virtual MAC is not');
  });
});
