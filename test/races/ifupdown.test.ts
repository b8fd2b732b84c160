import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { waitUntil } from '../lab/wait.js';
import { Site } from '../placement/site.js';
import { vip } from './address-site.js';
import { KernelWatch } from './kernel-watch.js';

/*
 * Debian's ifupdown works on the interface that Koi's virtual MAC sits on. While it does, it holds a lock, and Koi puts
 * nothing on the interface. Needs root, iproute2, util-linux and ifupdown. KOI_RACES=all runs at full length.
 */
const isAll = process.env.KOI_RACES === 'all';
const rounds = isAll ? 20 : 3;
const boots = isAll ? 20 : 3;
const hasIfupdown = spawnSync('ifup', ['--version']).status === 0;

describe.skipIf(!isRoot || !hasIfupdown)('beside ifupdown (needs root, ifupdown)', { timeout: 400_000 }, () => {
  let built: BuiltKoi;
  let site: Site;
  let directory: string;
  let watch: KernelWatch;
  const state = (): string => join(directory, 'state');
  const trace = (): string => join(directory, 'trace');

  beforeAll(() => {
    built = buildKoi();
  }, 120_000);
  afterAll(() => built?.remove());
  beforeEach(() => {
    site = new Site(built.main);
    directory = mkdtempSync(join(tmpdir(), 'koi-ifupdown-'));
    mkdirSync(state());
    writeFileSync(trace(), '');
    const stamp = `date +%s%N >> ${trace()}`;
    writeFileSync(
      join(directory, 'interfaces'),
      `iface eth1 inet static\n  address 10.77.0.1/24\n  pre-up ${stamp}\n  up sleep 0.5\n  up ${stamp}\n`,
    );
    site.configure('r1', [{ addresses: [`${vip}/24`] }]);
    site.ip('r1', 'addr flush dev eth1 scope global');
    site.ip('r1', 'link set eth1 down');
    watch = new KernelWatch(site.netns('r1'));
  });
  afterEach(async () => {
    await site.stop('r1');
    watch.stop();
    site.remove();
    rmSync(directory, { recursive: true });
  });

  const words = (command: 'ifup' | 'ifdown'): string[] => {
    const options = ['--no-scripts', '--state-dir', state(), '-i', join(directory, 'interfaces'), 'eth1'];
    return ['netns', 'exec', site.netns('r1'), command, ...options];
  };
  const run = (command: 'ifup' | 'ifdown'): void => {
    execFileSync('ip', words(command), { stdio: 'pipe', timeout: 60_000 });
  };
  /** Its /run is its own, so that this machine's ifupdown is not met; or it has none at all. */
  const startKoi = (with_: 'with ifupdown' | 'without'): void => {
    const shared = with_ === 'with ifupdown' ? `mkdir /run/network && mount --bind ${state()} /run/network &&` : '';
    const script = `mount -t tmpfs koi /run && ${shared} exec "$@"`;
    site.start('r1', ['unshare', '--mount', 'sh', '-c', script, 'sh']);
  };
  const holds = (): boolean => site.ip('r1', '-o -4 addr show').includes(` ${vip}/32 `);
  const held = (): Promise<number> =>
    waitUntil('the address', () => (holds() ? undefined : site.log('r1').slice(-2000)), { deadlineMs: 30_000 });
  const gone = (): Promise<number> =>
    waitUntil('the address to go', () => (holds() ? 'it is there' : undefined), { deadlineMs: 30_000 });

  /** When a virtual-MAC link was made, or the address put on it. */
  const acts = (): { readonly atMs: number; readonly what: string }[] => {
    const known = new Set<string>();
    return watch.lines().filter(({ what }) => {
      const index = /^(\d+): koi51/.exec(what)?.[1];
      if (index === undefined) return false;
      const isNew = !known.has(index);
      known.add(index);
      return isNew || what.includes(` ${vip}/32 `);
    });
  };

  /** What Koi did on the interface between the first and the last act of an `ifup`. */
  const interleaved = (): string[] => {
    const stamps = readFileSync(trace(), 'utf8')
      .trim()
      .split('\n')
      .map((ns) => Number(ns) / 1e6);
    return acts().flatMap(({ atMs, what }) => {
      const at = stamps.filter((stamp) => stamp <= atMs).length;
      return at % 2 === 1 ? [what] : [];
    });
  };

  it('the harness bites: where koi does not see the locks, it works on the interface while ifup does', async () => {
    startKoi('without');
    await site.becomes('r1', 'fault');
    run('ifup');
    await held();
    await waitUntil('the watch to see it', () => (acts().length > 1 ? undefined : 'not yet'), {
      deadlineMs: 20_000,
    });
    const seen = `${readFileSync(trace(), 'utf8')}\n${JSON.stringify(acts(), null, 1)}`;
    expect(interleaved().length, seen).toBeGreaterThan(0);
  });

  it(`eth1 is taken down and up ${rounds} times: koi works on it before and after, not meanwhile`, async () => {
    startKoi('with ifupdown');
    await site.becomes('r1', 'fault');
    for (let round = 0; round < rounds; round += 1) {
      run('ifup');
      await held();
      expect(site.ip('r1', '-o -4 addr show dev eth1')).toContain('10.77.0.1/24');
      run('ifdown');
      await gone();
    }
    // What the kernel has told is written down a moment later.
    const notYet = (): string | undefined =>
      acts().length >= 2 * rounds ? undefined : `${acts().length} of ${2 * rounds}`;
    await waitUntil('the acts of koi to be seen', notYet, { deadlineMs: 20_000 });
    expect(interleaved()).toEqual([]);
    process.stdout.write(`ifup and ifdown ${rounds} times beside koi: ${acts().length} acts of koi, 0 interleaved\n`);
  });

  it('an ifup that hangs is named in status, and the address comes when it ends', async () => {
    const go = join(directory, 'go');
    const waits = `up while [ ! -e ${go} ]; do sleep 0.05; done`;
    writeFileSync(join(directory, 'interfaces'), `iface eth1 inet static\n  address 10.77.0.1/24\n  ${waits}\n`);
    startKoi('with ifupdown');
    await site.becomes('r1', 'fault');
    const ifup = spawn('ip', words('ifup'), { stdio: 'ignore' });
    const ended = once(ifup, 'exit');
    try {
      await site.until('status to say so', async () => {
        const said = (await site.status('r1')).vrs.flatMap(({ warnings }) => warnings).join();
        return /lock of file .*ifstate\.eth1: not free.*held by pid \d+ \(ifup\)/.test(said) ? undefined : said;
      });
      expect(holds()).toBe(false);
    } finally {
      writeFileSync(go, '');
      await ended;
    }
    await held();
  });

  it(`booted ${boots} times with koi and ifup started together, in either order: the end is always the same`, async () => {
    for (let boot = 0; boot < boots; boot += 1) {
      if (boot % 2 === 0) startKoi('with ifupdown');
      const ifup = spawn('ip', words('ifup'), { stdio: 'ignore' });
      const ended = once(ifup, 'exit');
      if (boot % 2 === 1) startKoi('with ifupdown');
      expect(await ended).toEqual([0, null]);
      await held();
      await site.becomes('r1', 'master');
      expect(site.ip('r1', '-o -4 addr show dev eth1')).toContain('10.77.0.1/24');
      expect(site.ip('r1', '-o link show').match(/koi51/g)).toHaveLength(1);
      expect(await site.stop('r1')).toBe(0);
      run('ifdown');
      expect(site.ip('r1', '-o link show')).not.toContain('koi51');
    }
    expect(interleaved()).toEqual([]);
    expect(existsSync(join(state(), 'ifstate.eth1'))).toBe(true);
    process.stdout.write(`booted ${boots} times beside ifup: 0 wrong ends, 0 interleaved\n`);
  });
});
