import { spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Host, isRoot, type Running, router, vip } from '../daemon/host.js';
import type { KoiStatus } from '../lab/koi-api.js';
import { observeFor, stallMs, waitUntil } from '../lab/wait.js';
import { AdvertRecorder } from './adverts.js';

/*
 * A configuration that changes under a running daemon: what did not change misses no advert, what did changes without
 * leaving its state where that is possible. Needs root, iproute2 and tcpdump.
 */

const fast = 51;
const slow = 52;
const fastRouter = router({ name: 'fast', id: String(fast), advertInterval: '100ms' });
/** The same at an interval that a busy machine keeps. */
const firstRouter = (over: Readonly<Record<string, string>> = {}): string =>
  router({ name: 'first', id: String(fast), ...over });
const slowRouter = (over: Readonly<Record<string, string>> = {}): string =>
  router({ name: 'slow', id: String(slow), addresses: '[10.77.0.253/24]', ...over });

let built: BuiltKoi;
let host: Host;
let koi: Running;
let wire: AdvertRecorder;

function configure(virtualRouters: readonly string[], more: readonly string[] = []): void {
  host.configure({
    virtualRouters: `[${virtualRouters.join(', ')}]`,
    more: ['arbitration: wire', ...more].join('\n'),
  });
}

function reload(): { readonly status: number | null; readonly out: string; readonly err: string } {
  const words = [process.execPath, built.main, 'reload', '-c', host.configFile];
  const done = spawnSync('ip', ['netns', 'exec', host.netns, ...words], { encoding: 'utf8' });
  return { status: done.status, out: done.stdout, err: done.stderr };
}

const mastersAre =
  (...names: string[]) =>
  ({ vrs }: KoiStatus): string | undefined => {
    const masters = vrs.filter(({ state }) => state === 'master').map(({ name }) => name);
    return masters.join() === names.join() ? undefined : vrs.map(({ name, state }) => `${name} ${state}`).join();
  };

async function start(first: string, name: string): Promise<void> {
  configure([first, slowRouter()]);
  koi = host.koi('run');
  await host.until('both to be master', mastersAre(name, 'slow'));
}

const addresses = (): string[] =>
  [...host.ip('-4 -o addr').matchAll(/inet (10\.77\.0\.2\d\d)\/32/g)].map(([, address = '']) => address).sort();

/** What the daemon said about virtual routers that moved, since it had said so much. */
const movesSince = (said: number): string[] => koi.output.slice(said).match(/"msg":"\w+: \w+ → [^"]*/g) ?? [];

const advertises = (priority: number, id = slow): Promise<number> =>
  waitUntil(
    `priority ${priority}`,
    () => (wire.last(id)?.priority === priority ? undefined : JSON.stringify(wire.last(id))),
    {
      deadlineMs: 10_000,
    },
  );

const isSaid = (text: string, since: number): Promise<number> =>
  waitUntil(`"${text}"`, () => (koi.output.slice(since).includes(text) ? undefined : koi.output.slice(since)), {
    deadlineMs: 5000,
  });

describe.skipIf(!isRoot)('a reload, in a network namespace (needs root)', () => {
  beforeAll(() => {
    built = buildKoi();
  });
  afterAll(() => built?.remove());
  beforeEach(async () => {
    host = new Host(built.main);
    wire = new AdvertRecorder(host.netns.replace(/r$/, 'p'), 'eth1');
    await wire.ready();
  });
  afterEach(async () => {
    await host.endAll();
    await wire.stop();
    host.remove();
  });

  it('changes what changed and nothing else: a virtual router beside it misses no advert', async () => {
    await start(fastRouter, 'fast');
    const said = koi.output.length;
    const fromMs = Date.now();
    const steps: readonly (readonly [string, readonly string[], string])[] = [
      ['a priority', [fastRouter, slowRouter({ priority: '150' })], 'slow: priority 200 → 150\n'],
      [
        'an interval',
        [fastRouter, slowRouter({ priority: '150', advertInterval: '50ms' })],
        'slow: advertIntervalMs 100ms → 50ms\n',
      ],
      ['a new one', [fastRouter, slowRouter(), router({ name: 'new', id: '53', addresses: '[10.77.0.252/24]' })], ''],
      ['an address', [fastRouter, slowRouter({ addresses: '[10.77.0.253/24, 10.77.0.251/24]' })], ''],
      ['another id', [fastRouter, slowRouter({ id: '54' })], ''],
      ['nothing', [fastRouter, slowRouter({ id: '54' })], `${host.configFile}: nothing has changed\n`],
    ];
    for (const [, routers, expected] of steps) {
      configure(routers);
      const { status, out, err } = reload();
      expect(err).toBe('');
      expect(status).toBe(0);
      if (expected !== '') expect(out).toBe(expected);
      await observeFor(200);
    }
    const adverts = wire.of(fast, fromMs);
    const gapMs = wire.longestGapMs(fast, fromMs);
    process.stdout.write(`six reloads: ${adverts.length} adverts at 100 ms, longest gap ${gapMs.toFixed(1)} ms\n`);
    expect(movesSince(said).filter((move) => move.includes('fast'))).toEqual([]);
    // Three intervals are what a peer waits.
    expect(gapMs).toBeLessThan(300 + stallMs);
  });

  it('changes a priority without leaving the state, at once', async () => {
    await start(firstRouter(), 'first');
    const said = koi.output.length;
    configure([firstRouter(), slowRouter({ priority: '77', preempt: '{enabled: false}' })]);
    expect(reload()).toEqual({
      status: 0,
      out: 'slow: preempt {"delayMs":0,"enabled":true} → {"delayMs":0,"enabled":false}, priority 200 → 77\n',
      err: '',
    });
    await advertises(77);
    expect(movesSince(said)).toEqual([]);
  });

  it('changes addresses one by one while it is master, and the guard knows the new ones', async () => {
    await start(firstRouter(), 'first');
    const said = koi.output.length;
    const before = host.ip('-o link');
    configure([firstRouter(), slowRouter({ addresses: '[10.77.0.250/24, 10.77.0.253/24]' })]);
    expect(reload().status).toBe(0);
    expect(addresses()).toEqual(['10.77.0.250', '10.77.0.253', vip]);
    configure([firstRouter(), slowRouter({ addresses: '[10.77.0.250/24]' })]);
    expect(reload().status).toBe(0);
    expect(addresses()).toEqual(['10.77.0.250', vip]);
    await waitUntil(
      'the adverts to say so',
      () => (wire.last(slow)?.addresses.join() === '10.77.0.250' ? undefined : JSON.stringify(wire.last(slow))),
      { deadlineMs: 10_000 },
    );
    expect(movesSince(said)).toEqual([]);
    expect(host.ip('-o link')).toBe(before);
    // They are renewed: a lifetime of two seconds has passed.
    await observeFor(3500);
    expect(addresses()).toEqual(['10.77.0.250', vip]);
    process.kill(host.pid('koi dataplane'), 'SIGKILL');
    await waitUntil('the guard to take both off', () => (addresses().length === 0 ? undefined : addresses().join()), {
      deadlineMs: 300 + stallMs,
      everyMs: 2,
    });
  });

  it('moves an address from one virtual router to another', async () => {
    await start(firstRouter(), 'first');
    configure([firstRouter(), slowRouter({ addresses: '[10.77.0.253/24, 10.77.0.249/24]' })]);
    expect(reload().status).toBe(0);
    configure([firstRouter({ addresses: `[${vip}/24, 10.77.0.249/24]` }), slowRouter()]);
    expect(reload()).toMatchObject({ status: 0, err: '' });
    expect(addresses()).toEqual(['10.77.0.249', '10.77.0.253', vip]);
    const holder = /\d+: (\S+)\s+inet 10\.77\.0\.249/.exec(host.ip('-4 -o addr'))?.[1] ?? '';
    expect(host.ip(`-o link show dev ${holder}`)).toContain('00:00:5e:00:01:33');
  });

  it('keeps the addresses where a new one cannot be added, and says why', async () => {
    await start(firstRouter(), 'first');
    host.addLan('eth2', '10.77.9.1/24');
    host.ip('addr add 10.77.0.240/32 dev eth2');
    configure([firstRouter(), slowRouter({ addresses: '[10.77.0.253/24, 10.77.0.240/24]' })]);
    const { status, err } = reload();
    expect(status).toBe(0);
    expect(err).toContain('10.77.0.240 is already on eth2; it keeps the addresses it had');
    await host.until('both to be master', mastersAre('first', 'slow'));
    expect(addresses().filter((address) => address !== '10.77.0.240')).toEqual(['10.77.0.253', vip]);
  });

  it('begins anew with another id, and takes away what is gone', async () => {
    await start(firstRouter(), 'first');
    configure([slowRouter({ id: '99' })]);
    const { status, out } = reload();
    expect(status).toBe(0);
    expect(out).toBe(
      'first: removed\nslow: id 52 → 99; it is released and begins anew\n' +
        'slow: the log cannot be reached: changed on this node alone; reload the others as well\n',
    );
    const resigned = (id: number): boolean => wire.last(id)?.priority === 0;
    await waitUntil('both to resign', () => (resigned(fast) && resigned(slow) ? undefined : 'they have not'), {
      deadlineMs: 10_000,
    });
    await host.until('it to be master anew', mastersAre('slow'));
    await advertises(200, 99);
    expect(addresses()).toEqual(['10.77.0.253']);
    expect(host.ip('-o link').match(/koi:edge/g)).toHaveLength(1);
  });

  it('is refused as a whole, with every error, for a wrong file', async () => {
    await start(firstRouter(), 'first');
    const said = koi.output.length;
    configure([firstRouter(), slowRouter({ priority: '300', colour: 'red' })], ['stateDir2: /x']);
    const wrong = reload();
    expect(wrong.status).toBe(2);
    for (const what of ['has 3 errors', 'priority', 'colour', 'stateDir2']) expect(wrong.err).toContain(what);
    configure([firstRouter(), slowRouter({ priority: '150' })], ['guard: {timeout: 500ms}']);
    const fixed = reload();
    expect(fixed.status).toBe(2);
    expect(fixed.err).toContain('guard: a reload cannot change it');
    await observeFor(300);
    expect(wire.last(slow)).toMatchObject({ priority: 200 });
    expect(movesSince(said)).toEqual([]);
  });

  it('follows SIGHUP, to koi run and to all at once; a restarted agent follows the dataplane', async () => {
    await start(firstRouter(), 'first');
    configure([firstRouter(), slowRouter({ priority: '111' })]);
    let said = koi.output.length;
    koi.signal('SIGHUP');
    await isSaid('"msg":"reloaded"', said);
    await advertises(111);
    configure([firstRouter(), slowRouter({ priority: '112' })]);
    said = koi.output.length;
    koi.signal('SIGHUP', 'group');
    await isSaid('"msg":"reloaded"', said);
    expect(koi.running).toBe(true);
    await advertises(112);

    configure([firstRouter(), slowRouter({ priority: '113' })]);
    said = koi.output.length;
    process.kill(host.pid('koi agent'), 'SIGKILL');
    await isSaid('is not what the dataplane runs with', said);
    expect(wire.last(slow)).toMatchObject({ priority: 112 });
    expect(reload()).toMatchObject({ status: 0, out: 'slow: priority 112 → 113\n' });
  });
});
