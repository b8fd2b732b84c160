import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nowMs } from '../lab/clock.js';
import { type KernelState, kernelDifferences, readKernelState } from '../lab/kernel-state.js';
import type { ClientView } from '../lab/outage.js';
import { type Router, vip } from '../lab/topology.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import { mainProcess, rightsOf } from './confinement.js';
import { missing } from './debian-root.js';
import { Page, packageNamed, quickStart } from './document.js';
import type { Machine } from './machine.js';
import { thePackage } from './packages.js';
import { Site, settled, statesOf } from './site.js';

/*
 * docs/quick-start.md as it stands, typed into three Debian machines under systemd: two routers and a witness that have
 * nothing but the package's file. Needs root and debootstrap.
 */

const reason = missing();
if (reason !== undefined) process.stderr.write(`test/deb is skipped: ${reason}\n`);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

describe.skipIf(reason !== undefined)('the quick start', { timeout: 180_000 }, () => {
  let site: Site;
  let r1: Machine;
  let r2: Machine;
  let witness: Machine;
  let routers: Machine[] = [];
  let page: Page;
  let startedMs = 0;
  const kernelBefore = new Map<Machine, KernelState>();

  const next = (section: string, language?: string): string => page.next(section, language);
  async function type(text: string, ...machines: Machine[]): Promise<string> {
    let said = '';
    for (const machine of machines) said += await machine.do(text);
    return said;
  }
  const routerOf = (machine: Machine): Router => {
    const router = site.topology.routers.find(({ name }) => name === machine.name);
    if (router === undefined) throw new Error(`${machine.name} is no router`);
    return router;
  };

  /** Does something to the master, and waits until the client is answered again. */
  async function failover(what: string, action: () => Promise<unknown>): Promise<ClientView> {
    const fromMs = nowMs();
    await action();
    // What it was answered before does not count.
    const back = async (): Promise<string | undefined> =>
      nowMs() - fromMs < 1500 ? 'it has just begun' : site.prober.answering(1000);
    await waitUntil(`the address after ${what}`, back, { deadlineMs: 30_000, everyMs: 20 });
    const seen = await site.prober.judge(fromMs, nowMs());
    say(`${what}: longest gap ${seen.outageMs.toFixed(0)} ms, ${seen.lost} of ${seen.sent} probes lost`);
    return seen;
  }

  beforeAll(async () => {
    const built = thePackage();
    page = new Page(quickStart);
    const file = packageNamed(page.left[0]?.text);
    site = new Site();
    [r1, r2, witness] = await site.bootWithWitness();
    routers = [r1, r2];
    for (const machine of [r1, r2, witness]) {
      machine.copy(built, `root/${file}`);
      kernelBefore.set(machine, readKernelState(machine.netns));
    }
  }, 900_000);
  afterAll(async () => {
    await site?.remove();
  }, 60_000);

  it('ends with an address that is served, in less than ten minutes', async () => {
    startedMs = nowMs();
    await type(next('1. Install, on all three'), r1, r2, witness);

    await type(next('2. Two secrets, the same on all three'), r1);
    r2.put('etc/koi/nats.pass', r1.read('etc/koi/nats.pass'));
    r2.put('etc/koi/lan.key', r1.read('etc/koi/lan.key'));
    witness.put('etc/koi/nats.pass', r1.read('etc/koi/nats.pass'));
    await type(next('2. Two secrets, the same on all three'), r1, r2, witness);

    r1.put('etc/koi/koi.yaml', next('3. Configure', 'yaml'));
    await type(next('3. Configure'), r2);
    await type(next('3. Configure'), witness);
    await type(next('3. Configure'), r1, r2);

    await type(next('4. Start'), witness);
    await type(next('4. Start'), r1, r2);
    await settled(site, routers, 'master logged / backup null');
    const tookMs = nowMs() - startedMs;
    say(`quick start: ${(tookMs / 1000).toFixed(1)} s from the package's file to an address that is served`);
    expect(tookMs).toBeLessThan(10 * 60_000);
  });

  it('runs the log with no privilege at all', async () => {
    const none = { effective: '0', permitted: '0', bounding: '0', noNewPrivileges: true, isFiltered: true };
    for (const [machine, unit] of [[r1, 'koi-log-server'] as const, [witness, 'koi-witness'] as const]) {
      const keeper = await mainProcess(machine, unit);
      const servers = (await machine.do('pgrep nats-server')).split('\n').map(Number);
      expect(servers.length).toBe(1);
      for (const pid of [keeper, ...servers]) {
        for (const rights of rightsOf(machine, pid)) expect(rights, `${unit} ${pid}`).toMatchObject(none);
      }
    }
  });

  it('shows that nothing is wrong, and hands over without a lost packet', async () => {
    const fromMs = nowMs();
    const said = await type(next('5. Look, and try it'), r1);
    expect(said).toMatch(/gw/);
    const { sent, lost } = await site.prober.judge(fromMs, nowMs());
    say(`koi handover: ${lost} of ${sent} probes lost`);
    expect(lost).toBe(0);
  });

  it('ends with failovers that a client hardly sees', async () => {
    const isSettled = async (): Promise<string | undefined> => {
      const found = await statesOf(routers).catch(String);
      return /^master logged \/ backup null$|^backup null \/ master logged$/.test(found) ? undefined : found;
    };
    await waitUntil('one master', isSettled, { deadlineMs: 30_000 });
    const master = (await r1.do('ip -br addr')).includes(`${vip}/`) ? r1 : r2;
    const cable = await failover("the master's cable is pulled", () => site.topology.cutLan(routerOf(master)));
    expect(cable.outageMs).toBeLessThan(100 + stallMs);
    await site.topology.mendLan(routerOf(master));
    await waitUntil('one master', isSettled, { deadlineMs: 30_000 });

    const last = (await r1.do('ip -br addr')).includes(`${vip}/`) ? r1 : r2;
    const other = last === r1 ? r2 : r1;
    const power = await failover("the master's power fails", async () => {
      await Promise.all([site.topology.silenceLan(routerOf(last)), site.topology.silenceManagement(routerOf(last))]);
      await last.kill();
    });
    // Three adverts, a challenge that nobody answers, a claim; not an election inside NATS, which takes seconds.
    expect(power.outageMs).toBeLessThan(600 + stallMs);
    // The two servers that are left may have to elect first, which takes NATS seconds; the address did not wait for it.
    const why = async (): Promise<string | undefined> => {
      const { said } = await other.run('koi timeline --since 1m');
      return /master_silent/.test(said) ? undefined : said;
    };
    await waitUntil('the timeline to say why', why, { deadlineMs: 30_000, everyMs: 500 });
    say(`quick start: ${((nowMs() - startedMs) / 1000).toFixed(1)} s with two failovers`);
    expect(nowMs() - startedMs).toBeLessThan(10 * 60_000);
  });

  it('leaves nothing behind', async () => {
    const purge = next('Get rid of it');
    expect(page.left).toEqual([]);
    // The one whose power failed is not asked.
    const left = [];
    for (const machine of [r1, r2, witness]) if ((await machine.run('true')).code === 0) left.push(machine);
    expect(left.length).toBe(2);
    for (const machine of left) {
      await machine.do(purge);
      const after = readKernelState(machine.netns);
      expect(kernelDifferences(kernelBefore.get(machine) ?? new Map(), after), machine.name).toEqual([]);
      const rest =
        'pgrep -a koi; pgrep -a nats-server; ls -d /etc/koi /var/lib/koi /run/koi 2>/dev/null; getent passwd koi';
      expect((await machine.run(rest)).said, machine.name).toBe('');
    }
  });
});
