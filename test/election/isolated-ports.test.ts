import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { run } from '../lab/ip.js';
import { observeFor } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type Node, Site } from './site.js';

const isRoot = process.getuid?.() === 0;

/** So that each knows the other as a host that answers, and nobody else: the client is silent. */
const speak = ({ router }: Node, to: Node): void => {
  run('ip', ['netns', 'exec', router.netns, 'bash', '-c', `echo > /dev/udp/${to.router.lanAddress}/9`]);
};

describe.skipIf(!isRoot || natsServerBinary === undefined)('a switch that isolates the routers (needs root)', () => {
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

  test('moves no VIP where neither router hears anybody: none of them knows whose port is at fault', {
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
});
