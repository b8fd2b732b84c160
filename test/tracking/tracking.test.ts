import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Host, isRoot, type Running, router, vip } from '../daemon/host.js';
import { nowMs } from '../lab/clock.js';
import { observeFor, stallMs, waitUntil } from '../lab/wait.js';
import { AdvertRecorder, type SeenAdvert } from './adverts.js';

/*
 * What a virtual router tracks, its sync group and its hooks, in a real daemon in a network namespace: what counts is
 * what the other end of the wire gets to see. Needs root, iproute2 and tcpdump.
 */

let built: BuiltKoi;
let host: Host;
let koi: Running;
let wire: AdvertRecorder;

const gateway = 51;
const second = 52;

async function start(virtualRouters: readonly string[], more: readonly string[] = []): Promise<void> {
  const lines = ['arbitration: wire', ...more].join('\n');
  host.configure({ virtualRouters: `[${virtualRouters.join(', ')}]`, more: lines });
  wire = new AdvertRecorder(host.netns.replace(/r$/, 'p'), 'eth1');
  await wire.ready();
  koi = host.koi('run');
}

/** Waits for the newest advert of a virtual router to be as wanted; returns it. */
async function advertised(id: number, wanted: Partial<SeenAdvert>, deadlineMs = 15_000): Promise<SeenAdvert> {
  const isWanted = (seen: SeenAdvert | undefined): boolean => {
    try {
      expect(seen).toMatchObject(wanted);
      return true;
    } catch {
      return false;
    }
  };
  const notYet = () => {
    const seen = wire.last(id);
    return isWanted(seen)
      ? undefined
      : `the last advert of ${id} was ${JSON.stringify(seen)}\n${koi.output.slice(-2000)}`;
  };
  await waitUntil(JSON.stringify(wanted), notYet, { deadlineMs, everyMs: 5 });
  const seen = wire.last(id);
  if (seen === undefined) throw new Error('unreachable');
  return seen;
}

function program(name: string, body: string): string {
  const file = host.file(name, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}

describe.skipIf(!isRoot)('in a network namespace (needs root)', () => {
  beforeAll(() => {
    built = buildKoi();
  });
  afterAll(() => built?.remove());
  beforeEach(() => {
    host = new Host(built.main);
  });
  afterEach(async () => {
    await host.endAll();
    await wire?.stop();
    host.remove();
  });

  describe('what is tracked', () => {
    it('changes the priority on the wire: an interface, a script, a file, a process, a route', async () => {
      host.addLan('eth2', '10.78.0.1/24');
      const flag = host.file('flag', '');
      const number = host.file('number', '0');
      const check = program('check', `test -e ${flag}`);
      const quick = 'interval: 100ms, fall: 1, rise: 1';
      await start(
        [router({ track: '[uplink, check, number, busy, way]' })],
        [
          'track:',
          '  - {name: uplink, interface: eth2, weight: -100}',
          `  - {name: check, script: [${check}], ${quick}, timeout: 100ms, weight: -40}`,
          `  - {name: number, file: ${number}, weight: 1}`,
          `  - {name: busy, process: koi-test-busy, ${quick}, weight: 7}`,
          `  - {name: way, route: 203.0.113.0/24, ${quick}, weight: -20}`,
        ],
      );
      await advertised(gateway, { priority: 180 });

      host.ip('route add 203.0.113.0/24 via 10.78.0.2');
      await advertised(gateway, { priority: 200 });
      rmSync(flag);
      await advertised(gateway, { priority: 160 });
      writeFileSync(flag, '');
      await advertised(gateway, { priority: 200 });

      const changedMs = Date.now();
      writeFileSync(number, '-30\n');
      const { atMs } = await advertised(gateway, { priority: 170 });
      expect(atMs - changedMs).toBeLessThan(1000 + stallMs);
      writeFileSync(number, '0');

      const busy = host.spawn([program('koi-test-busy', 'sleep 60')]);
      await advertised(gateway, { priority: 207 });
      busy.signal('SIGKILL', 'group');
      await advertised(gateway, { priority: 200 });

      host.ip('link set eth2 down');
      // The route went with its interface.
      await advertised(gateway, { priority: 80 });
    });

    it('says a lower priority at once, not with the next advert', async () => {
      const number = host.file('number', '0');
      await start(
        [router({ track: '[number]', advertInterval: '2s' })],
        ['track:', `  - {name: number, file: ${number}, weight: 1}`],
      );
      await advertised(gateway, { priority: 200 }, 15_000);
      await observeFor(300);
      const changedMs = Date.now();
      writeFileSync(number, '-30');
      const { atMs } = await advertised(gateway, { priority: 170 }, 2000);
      expect(atMs - changedMs).toBeLessThan(1000 + stallMs);
    }, 30_000);

    it('is a fault without a weight: addresses off, a resignation, and back when it is well', async () => {
      const vital = host.file('vital', '0');
      await start([router({ track: '[vital]' })], ['track:', `  - {name: vital, file: ${vital}, weight: 0}`]);
      await advertised(gateway, { priority: 200 });
      writeFileSync(vital, '1');
      await advertised(gateway, { priority: 0 });
      expect(host.hasVip()).toBe(false);
      await host.until('the reason', ({ vrs: [vr] }) =>
        vr?.state === 'fault' && vr.why.includes('tracks') ? undefined : `${vr?.state}: ${vr?.why}`,
      );
      writeFileSync(vital, '0');
      await advertised(gateway, { priority: 200 });
    });
  });

  it('takes nothing over before the start delay is over, and says so', async () => {
    const startedMs = Date.now();
    await start([router({ startDelay: '2s' })]);
    await host.until('the reason', ({ vrs: [vr] }) =>
      vr?.state === 'backup' && vr.why.includes('start delay') ? undefined : `${vr?.state}: ${vr?.why}`,
    );
    const { atMs } = await advertised(gateway, { priority: 200 });
    expect(atMs - startedMs).toBeGreaterThan(2000);
  });

  it('moves a sync group as one: a fault of one member resigns the other', async () => {
    host.addLan('eth2', '10.78.0.1/24');
    const other = { name: 'b', interface: 'eth2', id: String(second), addresses: '[10.78.0.254/24]' };
    await start([router({ name: 'a', syncGroup: 'pair' }), router({ ...other, syncGroup: 'pair' })]);
    await advertised(gateway, { priority: 200 });
    await host.until('both to be master', ({ vrs }) =>
      vrs.every(({ state }) => state === 'master') ? undefined : vrs.map(({ state }) => state).join(),
    );
    host.ip('link set eth2 down');
    await advertised(gateway, { priority: 0 });
    expect(host.hasVip()).toBe(false);
    await observeFor(500);
    expect(wire.last(gateway)?.priority).toBe(0);
    host.ip('link set eth2 up');
    await advertised(gateway, { priority: 200 });
  });

  describe('hooks', () => {
    const record = (): string =>
      program(
        'hook',
        `has=$(ip -br addr | grep -c ${vip})\n` +
          `echo "$KOI_HOOK $KOI_VR $KOI_NODE $KOI_STATE $KOI_REASON $KOI_TERM vip=$has" >> ${host.directory}/hooks\n` +
          'sleep "$1"\n' +
          `echo "$KOI_HOOK ended" >> ${host.directory}/hooks`,
      );
    const said = (): string[] => {
      if (!existsSync(`${host.directory}/hooks`)) return [];
      return host.read('hooks').trim().split('\n');
    };

    it('run around a mastership in their order; a planned release waits for the one before it', async () => {
      const hook = record();
      const hooks = `{preAttach: [${hook}, "0.3"], postMaster: [${hook}, "0"], preRelease: [${hook}, "0.3"], postRelease: [${hook}, "0"], user: root}`;
      await start([router({ hooks })]);
      await advertised(gateway, { priority: 200 });
      await waitUntil('the hook', () => (said().includes('postMaster ended') ? undefined : said().join('; ')), {
        deadlineMs: 10_000,
      });
      koi.signal('SIGTERM');
      expect((await koi.end()).how).toBe(0);
      const lines = said().map((line) => line.replace(/ (\d+) vip/, ' TERM vip'));
      expect(lines).toEqual([
        'preAttach gw r1 candidate master_silent TERM vip=0',
        'preAttach ended',
        'postMaster gw r1 master attached TERM vip=1',
        'postMaster ended',
        'preRelease gw r1 master shutdown TERM vip=1',
        'preRelease ended',
        'postRelease gw r1 init shutdown TERM vip=0',
        'postRelease ended',
      ]);
    });

    it('never hold addresses that have to go at once', async () => {
      const hook = record();
      const hooks = `{preRelease: [${hook}, "2"], user: root}`;
      await start([router({ hooks })]);
      await advertised(gateway, { priority: 200 });
      await waitUntil('the address', () => (host.hasVip() ? undefined : 'it is not there'), { deadlineMs: 10_000 });
      const cutMs = nowMs();
      host.ip('link set eth1 down');
      await waitUntil('the address to go', () => (host.hasVip() ? 'it is there' : undefined), {
        deadlineMs: 5000,
        everyMs: 2,
      });
      expect(nowMs() - cutMs).toBeLessThan(500 + stallMs);
      await waitUntil('the hook', () => (said().length > 0 ? undefined : 'it has not run'), { deadlineMs: 10_000 });
      expect(said()[0]).toMatch(/^preRelease gw r1 \w+ (parent_down|carrier_lost) \d+ vip=0$/);
    });

    it('that fail give the takeover up where they shall, and nothing else', async () => {
      const failing = program('fails', 'exit 3');
      const hooks = (onFailure: string): string => `{preAttach: [${failing}], onFailure: ${onFailure}, timeout: 100ms}`;
      const other = { name: 'b', id: String(second), addresses: '[10.77.0.253/24]' };
      await start([router({ hooks: hooks('abort') }), router({ ...other, hooks: hooks('continue') })]);
      await advertised(second, { priority: 200 });
      await koi.says('the hook preAttach failed: it exited with 3');
      await observeFor(1000);
      expect(wire.of(gateway)).toEqual([]);
    });
  });
});
