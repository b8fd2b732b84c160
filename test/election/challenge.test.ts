import { execFile } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demuxFrame } from '../../src/wire/demux.js';
import { type HolderProbe, readHolderProbe } from '../../src/wire/holder-probe.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import type { CommandResult } from '../lab/daemon.js';
import { run } from '../lab/ip.js';
import { virtualMac } from '../lab/topology.js';
import { observeFor } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type Node, Site } from './site.js';

const isRoot = process.getuid?.() === 0;

interface SeenProbe extends HolderProbe {
  readonly etherSource: string;
}

/** What a node has sent over the LAN to prove that it serves. */
const probesOf = ({ recorder }: Node): SeenProbe[] =>
  recorder.frames.flatMap(({ bytes }) => {
    const frame = demuxFrame(bytes);
    const probe = readHolderProbe(frame, bytes);
    return probe === undefined || frame.kind !== 'arp' ? [] : [{ ...probe, etherSource: frame.etherSource }];
  });

/** So that each knows the other as a host that answers, and nobody else: the client is silent. */
const speak = ({ router }: Node, to: Node): void => {
  run('ip', ['netns', 'exec', router.netns, 'bash', '-c', `echo > /dev/udp/${to.router.lanAddress}/9`]);
};

describe.skipIf(!isRoot || natsServerBinary === undefined)('a holder that is challenged (needs root)', () => {
  let koi: BuiltKoi;
  let site: Site;
  let holder: Node;
  let other: Node;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());

  beforeEach(async () => {
    site = await Site.begin();
    // A machine as busy as one that tests takes its time for an answer.
    const patient = { arbitrationTimeout: '1s', challengeTimeout: '700ms' };
    holder = await site.node(0, koi.main, { priority: 100 }, patient);
    other = await site.node(1, koi.main, { priority: 200 }, patient);
    holder.start();
    await holder.isMaster('logged');
    other.start();
    await other.isBackup();
    await other.knows(holder);
  }, 60_000);
  afterEach(() => site?.close(), 60_000);

  test('whose adverts alone are lost keeps the VIP, and proves over the LAN that it serves', {
    timeout: 120_000,
  }, async () => {
    await site.topology.dropMulticast();
    await other.until('to have found out why it hears nothing', ({ state, why }) =>
      state === 'backup' && /advert/.test(why) ? undefined : `${state}: ${why}`,
    );
    await observeFor(1500);
    expect(other.hasVip).toBe(false);
    await other.isBackup();
    await holder.isMaster('logged');
    expect(holder.hasVip).toBe(true);
    const probes = probesOf(holder);
    const { lanAddress: source } = holder.router;
    const { lanAddress: target } = other.router;
    expect(probes[0]).toMatchObject({ protocol: 'vrrp3', id: 51, source, target });
    for (const { etherSource } of probes) expect(etherSource).not.toBe(virtualMac);
    expect(probesOf(other)).toEqual([]);
    process.stdout.write(`challenged: ${probes.length} probes of the holder\n`);
  });

  test('and its challenger hear nobody, since the switch isolates them: no VIP moves, since neither knows whose port is at fault', {
    timeout: 120_000,
  }, async () => {
    speak(holder, other);
    speak(other, holder);
    const before = (await holder.vr())?.term;
    await site.topology.splitLan();
    await other.until('to have found out why it hears nothing', ({ state, why }) =>
      state === 'backup' && /advert/.test(why) ? undefined : `${state}: ${why}`,
    );
    // Time for three takeovers: each takes the silence of three adverts and half of the challenge's patience.
    await observeFor(4000);
    await other.isBackup();
    await holder.isMaster('logged');
    expect((await holder.vr())?.term).toBe(before);
    expect([holder.hasVip, other.hasVip]).toEqual([true, false]);
  });

  test('hands over to nobody whom the LAN does not hear, and says why', { timeout: 120_000 }, async () => {
    const asked = await handOver(koi, holder);
    expect(asked).toMatchObject({ code: 0 });
    await other.isMaster('logged');
    await holder.isBackup();
    await site.topology.silenceLan(holder.router);
    await holder.until('to have found out why it hears nothing', ({ state, why }) =>
      state === 'backup' && /advert/.test(why) ? undefined : `${state}: ${why}`,
    );
    const refused = await handOver(koi, other);
    expect(refused.code).not.toBe(0);
    expect(refused.said).toContain('nobody on its LAN answers it');
    await other.isMaster('logged');
    expect([holder.hasVip, other.hasVip]).toEqual([false, true]);
  });
});

const handOver = (koi: BuiltKoi, { socket }: Node): Promise<CommandResult> =>
  new Promise((resolve) => {
    const args = [koi.main, 'handover', 'gw', '--socket', socket];
    execFile(process.execPath, args, { encoding: 'utf8', timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, said: `${stdout}${stderr}`.trim() });
    });
  });
