import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { linkGroup } from '../../src/kernel/names.js';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { nowMs } from '../lab/clock.js';
import { waitUntil } from '../lab/wait.js';
import { AddressWire } from '../races/address-wire.js';
import { expectWithin, figureMs } from '../races/figure.js';
import { Site } from './site.js';

/*
 * Virtual IPs of a container, which is known by its process: declared together with their virtual MAC, they come and go with
 * it, under a flood of requests for the address. Needs root, iproute2, tcpdump and util-linux. KOI_RACES=all starts it two hundred
 * times.
 */
const isRoot = process.getuid?.() === 0;
const restarts = process.env.KOI_RACES === 'all' ? 200 : 5;
const vip = '10.77.0.254';
const virtualMac = '00:00:5e:00:01:33';
const root = fileURLToPath(new URL('../..', import.meta.url));
const flood = ['--import', 'tsx', fileURLToPath(new URL('../attach/flood.ts', import.meta.url)), 'eth1', '10.77.0.100'];

/** A process with a network namespace of its own, which is all that a container is here; begun in a router's. */
class Container {
  readonly #router: string;
  readonly #child: ChildProcess;

  constructor(router: string) {
    this.#router = router;
    const words = ['netns', 'exec', router, 'unshare', '--net', 'sleep', '86400'];
    this.#child = spawn('ip', words, { stdio: 'ignore' });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the container did not start');
    return pid;
  }

  /** Resolves when it has left the namespace of this test, which nobody may be told to configure. */
  begun(): Promise<void> {
    return this.#leaves(() => [namespaceOf('self')]);
  }

  /** Resolves when its namespace is its own. */
  isolated(): Promise<void> {
    return this.#leaves(() => [namespaceOf('self'), `net:[${statSync(`/run/netns/${this.#router}`).ino}]`]);
  }

  async #leaves(namespaces: () => string[]): Promise<void> {
    await waitUntil('a namespace', () => (namespaces().includes(namespaceOf(this.pid)) ? 'not yet' : undefined), {
      deadlineMs: 20_000,
      everyMs: 1,
    });
  }

  run(...words: string[]): string {
    return execFileSync('nsenter', ['-t', String(this.pid), '-n', ...words], { encoding: 'utf8', stdio: 'pipe' });
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const namespaceOf = (process: string | number): string => readlinkSync(`/proc/${process}/ns/net`);

describe.skipIf(!isRoot)('virtual IPs of a container (needs root)', { timeout: 60_000 + restarts * 5000 }, () => {
  let koi: BuiltKoi;
  let site: Site;
  let directory: string;
  let container: Container | undefined;
  let wire: AddressWire;
  let asking: ChildProcess | undefined;
  const pidFile = (): string => join(directory, 'web.pid');

  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  beforeEach(async () => {
    site = new Site(koi.main);
    directory = mkdtempSync(join(tmpdir(), 'koi-container-'));
    wire = new AddressWire(site.netns('client'), 'eth1', { [vip]: virtualMac });
    await wire.ready();
  });
  afterEach(async () => {
    asking?.kill('SIGKILL');
    asking = undefined;
    wire.stop();
    await site.stop('r1');
    await container?.stop();
    container = undefined;
    site.remove();
    rmSync(directory, { recursive: true });
  });

  /** As a container's manager may: the number can be read before the namespace is its own. */
  const started = async (): Promise<Container> => {
    container = new Container(site.netns('r1'));
    await container.begun();
    writeFileSync(pidFile(), `${container.pid}\n`);
    return container;
  };
  const configure = (namespace: object): void =>
    site.configure('r1', [{ addresses: [{ address: `${vip}/24`, prefixRoute: true }], namespace }]);

  test(`it is started ${restarts} times: link and addresses come and go with it, with the right MAC from the first message on`, async () => {
    configure({ pidFile: pidFile() });
    site.start('r1');
    await site.becomes('r1', 'fault', 'namespace');
    const linkMs: number[] = [];
    const addressMs: number[] = [];
    for (let round = 0; round < restarts; round += 1) {
      const web = await started();
      await web.isolated();
      const startedMs = nowMs();
      let link = '';
      const seen = (what: string, isThere: () => boolean): Promise<number> =>
        waitUntil(what, () => (isThere() ? undefined : `${link}\n${site.log('r1').slice(-1500)}`), {
          deadlineMs: 20_000,
          everyMs: 1,
        });
      await seen('the virtual MAC', () => {
        link = web.run('ip', '-o', 'link', 'show');
        return link.includes('koi51');
      });
      linkMs.push(nowMs() - startedMs);
      // Whenever the link is seen, it has its MAC: nobody sets it afterwards.
      expect(link).toMatch(new RegExp(`koi51\\.\\w+@.*link/ether ${virtualMac} `));
      await seen('the address', () => web.run('ip', '-o', '-4', 'addr', 'show').includes(` ${vip}/32 `));
      addressMs.push(nowMs() - startedMs);
      if (round === 0) {
        await site.until('an answer', () => (site.answers(vip) ? undefined : web.run('ip', 'addr')));
        expect(site.resolves(vip)).toBe(virtualMac);
        expect(site.run('r1', 'cat', '/proc/sys/net/ipv4/conf/eth1/arp_ignore')?.trim()).toBe('0');
        asking = spawn(
          'ip',
          ['netns', 'exec', site.netns('client'), process.execPath, ...flood, `${vip}=${virtualMac}`],
          {
            cwd: root,
            stdio: ['pipe', 'ignore', 'inherit'],
          },
        );
      }
      await web.stop();
      container = undefined;
      // A manager that starts it anew at once, or one that takes its time.
      if (round % 2 === 0) await site.becomes('r1', 'fault', 'namespace');
    }
    figureMs(`container started ${restarts} times, virtual MAC in it after`, linkMs);
    figureMs('  virtual IP in it after (election with adverts of 100 ms included)', addressMs);
    expectWithin(linkMs, 100);
    await wire.expectNothingWrong();
    const { right } = wire.spoken();
    expect(right).toBeGreaterThan(restarts);
    process.stdout.write(
      `  under 2,000 requests a second, the host's settings as they were: 0 wrong beside ${right} frames\n`,
    );
    expect(site.ip('r1', '-br link')).not.toContain('koi51');
    expect(await site.stop('r1')).toBe(0);
  });

  test('by the number of its process; the guard takes the addresses off in there too, and koi leaves it as it was', async () => {
    const web = await started();
    await web.isolated();
    configure({ pid: web.pid });
    const links = (): string => web.run('ip', '-br', 'link');
    const before = links();
    site.start('r1');
    await site.becomes('r1', 'master');
    expect(site.resolves(vip)).toBe(virtualMac);

    site.kill('r1', 'dataplane');
    await site.until('the guard to take it off', () => (links().includes('koi51') ? links() : undefined));
    await site.becomes('r1', 'master');
    expect(await site.stop('r1')).toBe(0);
    expect(links()).toBe(before);

    site.start('r1');
    await site.becomes('r1', 'master');
    site.killAll('r1');
    expect(site.koi('r1', 'clean')).toMatch(/^links: koi51\.\w+\n/);
    expect(links()).toBe(before);
  });

  describe('a process that leaves its namespace, where others go on living', () => {
    let roaming: ChildProcess | undefined;
    let old: string;
    const within = (...words: string[]): string => site.inNamespace(old, ...words);
    const settings = (): string =>
      within('sh', '-c', 'cd /proc/sys/net/ipv4/conf && grep . */arp_ignore */arp_announce | sort');

    afterEach(() => {
      roaming?.kill('SIGKILL');
      roaming = undefined;
    });

    /** Koi is master in the old namespace, with its guards in force; then the process goes to one of its own. */
    const leaves = async (before: string): Promise<number> => {
      const words = ['netns', 'exec', old, 'sh', '-c', 'read leave && exec unshare --net sleep 86400'];
      roaming = spawn('ip', words, { stdio: ['pipe', 'ignore', 'ignore'] });
      const { pid, stdin } = roaming;
      if (pid === undefined || stdin === null) throw new Error('the process did not start');
      const [first, own] = [`net:[${statSync(`/run/netns/${old}`).ino}]`, namespaceOf('self')];
      await site.until('the process to be there', () => (namespaceOf(pid) === first ? undefined : 'not yet'));
      configure({ pid });
      site.start('r1');
      await site.becomes('r1', 'master');
      expect(within('ip', 'addr')).toContain(` ${vip}/`);
      expect(settings(), 'the guards are in force').not.toBe(before);
      stdin.write('\n');
      await site.until('the process to leave', () => ([first, own].includes(namespaceOf(pid)) ? 'not yet' : undefined));
      return pid;
    };

    beforeEach(() => {
      old = site.namespace('old');
      execFileSync('ip', ['netns', 'add', old]);
      within('ip', 'link', 'add', 'own0', 'type', 'veth', 'peer', 'name', 'own1');
    });

    test('links, addresses and settings there are those of before', async () => {
      const before = settings();
      const pid = await leaves(before);
      await site.until('the old namespace to be as it was', () => {
        const now = `${within('ip', '-br', 'link')}\n${settings()}`;
        return now.includes('koi51') || settings() !== before ? now : undefined;
      });
      await site.until('the address where the process is now', () => {
        const there = execFileSync('nsenter', ['-t', String(pid), '-n', 'ip', 'addr'], { encoding: 'utf8' });
        return there.includes(` ${vip}/`) ? undefined : there;
      });
      expect(await site.stop('r1')).toBe(0);
      expect(settings()).toBe(before);
    });

    test('where a virtual MAC of another Koi is there, its guards stay, and that is said', async () => {
      within('ip', 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
      within('ip', 'link', 'set', 'other0', 'group', String(linkGroup('another', 'r1')));
      const before = settings();
      await leaves(before);
      await site.until('a warning', () =>
        site.log('r1').includes('links of koi are still in the namespace: its guards stay') ? undefined : 'none',
      );
      expect(settings()).toContain('own0/arp_ignore:1\n');
      expect(settings()).toContain('default/arp_ignore:1\n');
      expect(within('ip', '-br', 'link')).not.toContain('koi51');
      expect(await site.stop('r1')).toBe(0);
    });
  });

  test('a file that names no process, or one in the namespace of koi itself, is waited for and said so', async () => {
    writeFileSync(pidFile(), 'soon\n');
    configure({ pidFile: pidFile() });
    site.start('r1');
    await site.becomes('r1', 'fault', 'namespace');
    const expected = `the network namespace of the process in ${pidFile()} does not exist: koi waits for it`;
    await site.until('the reason in status', async () => {
      const said = (await site.status('r1')).vrs.flatMap(({ warnings }) => warnings);
      return said.includes(expected) ? undefined : said.join();
    });
    await started();
    await site.becomes('r1', 'master');
  });
});
