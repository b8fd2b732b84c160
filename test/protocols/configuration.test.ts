import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { nowMs } from '../lab/clock.js';
import { vip } from '../lab/topology.js';
import { observeFor, stallMs } from '../lab/wait.js';
import { ConfiguredPair, type Content } from './configured-pair.js';

/*
 * A change of what two routers have in common goes through the log: both switch together, and the client, the adverts
 * and the mastership do not notice. Needs root, iproute2, tcpdump and a nats-server.
 */
const isRoot = process.getuid?.() === 0;
const more = '10.77.0.253';
const old: Content = { addresses: [vip], password: 'secret' };
const longer: Content = { ...old, addresses: [vip, more] };
const rotated: Content = { ...longer, password: 'another' };

/** Gives the loop of adverts the time to show what has changed. */
const advertsToCome = 400;

describe.skipIf(!isRoot)('a configuration that two routers have in common (needs root)', () => {
  let koi: BuiltKoi;
  let pair: ConfiguredPair | undefined;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  afterEach(() => {
    pair?.close();
    pair = undefined;
  });

  /** The change of one router, which waits, and of the other, which completes it. */
  async function change(both: ConfiguredPair, to: Content, version: number): Promise<number> {
    const fromMs = Date.now();
    const refusedBefore = (await both.refused(0)) + (await both.refused(1));
    both.write(0, to);
    const first = both.koi(0, 'reload', '--timeout', '500ms');
    expect(first.out).toContain('gw: waiting for r2 to have the same configuration');
    expect(first.status).toBe(1);
    await both.until(1, 'the other router to say who proposes what', ({ vrs: [vr] }) =>
      vr?.warnings.some((line) => line.startsWith('r1 proposes another configuration: '))
        ? undefined
        : vr?.warnings.join(),
    );
    both.write(1, to);
    const second = both.koi(1, 'reload', '--timeout', '5s');
    expect(second.out).toContain(`gw: in force on all nodes, version ${version}`);
    expect(second.status).toBe(0);
    await both.agreed(version);
    await observeFor(advertsToCome);
    const applied = await both.switchedAtMs(fromMs);
    const spreadMs = Math.max(...applied) - Math.min(...applied);
    expect(applied).toHaveLength(2);
    expect(spreadMs).toBeLessThan(100 + stallMs);
    expect((await both.refused(0)) + (await both.refused(1))).toBe(refusedBefore);
    const moves = (await both.timeline(0, fromMs)).filter(
      ({ type, text }) => type === 'claimed' || / → (candidate|master|draining)/.test(text),
    );
    expect(moves).toEqual([]);
    return spreadMs;
  }

  /** Adverts go from one to the other at once, and never say anything else. */
  function expectOneSwitch(adverts: readonly { readonly name: string }[], from: string, to: string): void {
    const names = adverts.map(({ name }) => name);
    const at = names.indexOf(to);
    expect(at).toBeGreaterThan(0);
    expect(names.slice(0, at).every((name) => name === from)).toBe(true);
    expect(names.slice(at).every((name) => name === to)).toBe(true);
  }

  test('CARP: one address more, then another key; nobody notices', { timeout: 240_000 }, async () => {
    pair = await ConfiguredPair.begin(koi.main, 'carp', old);
    const [fromMs, probedMs] = [Date.now(), nowMs()];
    const spreadMs = await change(pair, longer, 2);
    expect(pair.addresses(0)).toEqual([more, vip]);
    expect(pair.addresses(1)).toEqual([]);
    expectOneSwitch(pair.carpAdverts(0, fromMs, { old, longer }), 'old', 'longer');

    const rotatedFromMs = Date.now();
    const rotationMs = await change(pair, rotated, 3);
    expectOneSwitch(pair.carpAdverts(0, rotatedFromMs, { longer, rotated }), 'longer', 'rotated');

    const client = await pair.prober.judge(probedMs, nowMs());
    process.stdout.write(
      `CARP: ${JSON.stringify(client)}; list: switched ${spreadMs} ms apart; key: ${rotationMs} ms apart\n`,
    );
    expect(client).toMatchObject({ lost: 0 });

    const handedMs = Date.now();
    expect(pair.koi(0, 'handover', 'gw')).toMatchObject({ status: 0 });
    await pair.until(1, 'the other to be the master', ({ vrs: [vr] }) =>
      vr?.state === 'master' ? undefined : vr?.state,
    );
    await observeFor(advertsToCome);
    const adverts = pair.carpAdverts(1, handedMs, { longer, rotated }).map(({ name }) => name);
    expect(new Set(adverts)).toEqual(new Set(['rotated']));
    expect(pair.addresses(1)).toEqual([more, vip]);
  });

  test('VRRPv3: one address more, then one less', { timeout: 240_000 }, async () => {
    pair = await ConfiguredPair.begin(koi.main, 'vrrp3', old);
    const [fromMs, probedMs] = [Date.now(), nowMs()];
    await change(pair, longer, 2);
    expectOneSwitch(pair.vrrpAdverts(0, fromMs), vip, `${vip}+${more}`);
    const lessFromMs = Date.now();
    await change(pair, old, 3);
    expectOneSwitch(pair.vrrpAdverts(0, lessFromMs), `${vip}+${more}`, vip);
    expect(pair.addresses(0)).toEqual([vip]);
    expect(await pair.prober.judge(probedMs, nowMs())).toMatchObject({ lost: 0 });
  });

  test('a router that was down comes back with its old file: it is shown, and takes nothing over', {
    timeout: 240_000,
  }, async () => {
    pair = await ConfiguredPair.begin(koi.main, 'carp', old);
    expect(await pair.stop(1)).toBe(0);
    const [fromMs, probedMs] = [Date.now(), nowMs()];
    pair.write(0, longer);
    const alone = pair.koi(0, 'reload');
    expect(alone.out).toContain('gw: no other node runs it: in force at once');
    expect(alone.status).toBe(0);
    await pair.until(0, 'its configuration to be in force', ({ vrs: [vr] }) =>
      vr?.configuration?.version === 2 ? undefined : JSON.stringify(vr?.configuration),
    );
    pair.start(1);
    await pair.until(1, 'the other to see that it differs', ({ vrs: [vr] }) =>
      vr?.reason === 'configuration_differs' ? undefined : `${vr?.state} ${vr?.reason} ${vr?.warnings.join()}`,
    );
    const words = `it lacks ${more}`;
    await pair.until(0, 'the first to say who differs in what', ({ vrs: [vr] }) =>
      vr?.warnings.includes(`r2 has another configuration than the one in force: ${words}`)
        ? undefined
        : vr?.warnings.join(),
    );
    await observeFor(2000);
    expect(pair.addresses(1)).toEqual([]);
    expect(pair.addresses(0)).toEqual([more, vip]);
    expect(pair.carpAdverts(1, fromMs, {})).toEqual([]);

    pair.write(1, longer);
    expect(pair.koi(1, 'reload')).toMatchObject({ status: 0 });
    await pair.agreed(2);
    expect(await pair.prober.judge(probedMs, nowMs())).toMatchObject({ lost: 0 });
  });

  test('each is restarted with the changed file, the master first: never two at once, and all serve it in the end', {
    timeout: 240_000,
  }, async () => {
    pair = await ConfiguredPair.begin(koi.main, 'carp', old);
    for (const index of [0, 1] as const) {
      pair.write(index, longer);
      expect(await pair.stop(index)).toBe(0);
      const stoppedMs = Date.now();
      // The other one serves on with what it has, or takes over with what it has been waiting with.
      await pair.until(1 - index, 'the other to serve', ({ vrs: [vr] }) =>
        vr?.state === 'master' && vr.standing === 'logged' ? undefined : `${vr?.state}: ${vr?.why}`,
      );
      pair.start(index);
      await pair.until(index, 'the restarted one to know where it stands', ({ vrs: [vr] }) =>
        vr?.reason === (index === 0 ? 'configuration_differs' : 'started') ? undefined : `${vr?.state} ${vr?.reason}`,
      );
      expect(pair.carpAdverts(index, stoppedMs, {})).toEqual([]);
    }
    expect(pair.addresses(0)).toEqual([more, vip]);
    expect(pair.addresses(1)).toEqual([]);
    for (const index of [0, 1] as const) {
      const { vrs } = await pair.status(index);
      expect(vrs[0]?.configuration).toMatchObject({ version: 2, prepared: null });
      expect(vrs[0]?.configuration?.inForce).toBe(vrs[0]?.configuration?.digest);
    }
  });

  test('the log goes away in the middle: nobody switches half', { timeout: 240_000 }, async () => {
    const hold = { ...old, onLogLoss: 'hold' as const };
    pair = await ConfiguredPair.begin(koi.main, 'carp', hold);
    const [fromMs, probedMs] = [Date.now(), nowMs()];
    const held = { ...longer, onLogLoss: 'hold' as const };
    pair.write(0, held);
    expect(pair.koi(0, 'reload', '--timeout', '300ms').status).toBe(1);
    await pair.log.kill();
    await pair.until(1, 'the log to be missed', ({ log }) => (log.connected ? 'it is connected' : undefined));
    pair.write(1, held);
    const waited = pair.koi(1, 'reload', '--timeout', '1s');
    expect(waited.status).toBe(1);
    expect(new Set(pair.carpAdverts(0, fromMs, { old, longer }).map(({ name }) => name))).toEqual(new Set(['old']));
    expect(pair.addresses(0)).toEqual([vip]);
    await pair.log.start();
    await pair.agreed(2);
    await observeFor(advertsToCome);
    expectOneSwitch(pair.carpAdverts(0, fromMs, { old, longer }), 'old', 'longer');
    expect((await pair.refused(0)) + (await pair.refused(1))).toBe(0);
    expect(await pair.prober.judge(probedMs, nowMs())).toMatchObject({ lost: 0 });
  });
});
