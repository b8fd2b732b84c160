import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { nowMs } from '../lab/clock.js';
import { compile } from '../lab/compile.js';
import { MainProcess, processTable, signal } from '../lab/daemon.js';
import { koiStatus, koiTimeline } from '../lab/koi-api.js';
import { LogServer } from '../lab/log-server.js';
import { Owners } from '../lab/owners.js';
import { createTopology, processesIn, type Router, type Topology, vip } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { type BuiltKoi, buildKoi } from './build.js';
import { isRoot } from './host.js';

/*
 * Two nodes in mode `strict`, a real log, real kernels. Who holds the virtual IP is read from the kernels' own
 * notifications; two at once, for however short a time, is what must never be.
 */

const root = fileURLToPath(new URL('../..', import.meta.url));
const ttlMs = 6000;
const renewMs = 500;
/** From the freeze on: the last renewal is at most an interval old, and is waited for with a tenth of drift and twice 0.2 s. */
const earliestMs = ttlMs - renewMs - 400;
const latestMs = ttlMs * 1.1 + 3000;
/** The kernel counts an address's lifetime in seconds, and looks up to one late: it may end by so much before the lease. */
const kernelEarlyMs = 1600;

describe.skipIf(!isRoot || natsServerBinary === undefined)('a strict pair (needs root and nats-server)', () => {
  let built: BuiltKoi;
  let topology: Topology;
  let directory = '';
  let log: LogServer;
  let owners: Owners;
  let mains: MainProcess[];

  const routerAt = (index: number): Router => {
    const router = topology.routers[index];
    if (router === undefined) throw new Error('the topology has fewer than two routers');
    return router;
  };
  const r1 = (): Router => routerAt(0);
  const r2 = (): Router => routerAt(1);
  const file = (router: Router, name: string): string => join(directory, router.name, name);

  function start(router: Router, priority: number): void {
    mkdirSync(file(router, 'state'), { recursive: true });
    writeFileSync(
      file(router, 'koi.yaml'),
      [
        'cluster: strict',
        `node: ${router.name}`,
        `log: {servers: ["${log.url}"]}`,
        'arbitration: strict',
        'onLogLoss: release',
        `lease: {ttl: ${ttlMs}ms, renew: ${renewMs}ms}`,
        'arbitrationTimeout: 500ms',
        'challengeTimeout: 200ms',
        `lanKeyFile: ${join(directory, 'lan.key')}`,
        `control: ${file(router, 'koi.sock')}`,
        `stateDir: ${file(router, 'state')}`,
        'virtualRouters:',
        `  - {name: gw, interface: eth1, id: 51, priority: ${priority}, advertInterval: 100ms, addresses: [${vip}/24]}`,
      ].join('\n'),
    );
    const main = new MainProcess(router.netns, file(router, 'log'));
    main.start(process.execPath, [built.main, 'run', '-c', file(router, 'koi.yaml')]);
    mains.push(main);
  }

  const pidsOf = (router: Router, name: string): number[] =>
    processTable(router.netns)
      .filter(({ command }) => command.startsWith(name))
      .map(({ pid }) => pid);

  const stateOf = async (router: Router): Promise<string> => {
    const { vrs } = await koiStatus(file(router, 'koi.sock'));
    return vrs.map(({ state, standing, why }) => `${state} ${standing}: ${why}`).join(', ');
  };

  /** Until this router alone holds the address and the log says so; how long that took. */
  async function serves(router: Router, deadlineMs = 20_000): Promise<number> {
    const notYet = async (): Promise<string | undefined> => {
      const holders = owners.now().join();
      if (holders !== router.name) return `${holders || 'nobody'} holds it`;
      const state = await stateOf(router).catch(String);
      return state.startsWith('master logged') ? undefined : state;
    };
    return waitUntil(`${router.name} to serve`, notYet, { deadlineMs, everyMs: 5 }).catch((error: unknown) => {
      const words = [r1(), r2()].map((each) => readFileSync(file(each, 'log'), 'utf8').slice(-8000));
      throw new Error(`${String(error)}\n${words.join('\n\n')}`);
    });
  }

  /** Until this router holds nothing. */
  const letsGo = (router: Router, deadlineMs: number): Promise<number> =>
    waitUntil(`${router.name} to let go`, () => (owners.now().includes(router.name) ? 'it holds' : undefined), {
      deadlineMs,
      everyMs: 2,
    });

  beforeAll(() => {
    built = buildKoi();
  }, 60_000);
  afterAll(() => built?.remove());

  beforeEach(async () => {
    mains = [];
    directory = mkdtempSync(join(tmpdir(), 'koi-strict-'));
    writeFileSync(join(directory, 'lan.key'), 'ab'.repeat(32), { mode: 0o600 });
    topology = createTopology({ routerCount: 2, logHostCount: 1 });
    owners = new Owners(compile(join(root, 'test/lab'), 'owners', join(directory, 'tools')), topology, [vip]);
    await owners.ready();
    const [host] = topology.logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    log = new LogServer({ host, directory, logFile: join(directory, 'nats.log'), root });
    await log.start();
    start(r1(), 200);
    await serves(r1());
    start(r2(), 100);
    const isBackup = async (): Promise<string | undefined> => {
      const state = await stateOf(r2()).catch(String);
      return state.startsWith('backup') && !state.includes('no master') ? undefined : state;
    };
    await waitUntil('r2 to be backup', isBackup, { deadlineMs: 15_000 });
  }, 60_000);
  afterEach(async () => {
    for (const router of topology?.routers ?? []) signal(processesIn(router.netns), 'SIGCONT');
    for (const main of mains) if (main.running) await main.stop(10_000);
    await log?.kill();
    topology?.remove();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  const report = (what: string, sinceMs: number, takenMs: number): void => {
    const { severalMs, noneMs } = owners.judge(sinceMs, nowMs());
    expect(severalMs, 'two owners at once').toBe(0);
    process.stdout.write(
      `strict, ${what}: taken over after ${takenMs.toFixed(0)} ms, ${noneMs.toFixed(0)} ms without an owner\n`,
    );
  };

  it('a dataplane that stands still is fenced, released, and followed', { timeout: 60_000 }, async () => {
    const frozenMs = signal(pidsOf(r1(), 'koi dataplane'), 'SIGSTOP');
    await serves(r2());
    const takenMs = nowMs() - frozenMs;
    await observeFor(2000);
    expect(owners.now()).toHaveLength(1);
    report('dataplane frozen', frozenMs, takenMs);
  });

  it('a node that stands still is followed once its lease has run out, and wakes holding nothing', {
    timeout: 90_000,
  }, async () => {
    const frozen = processesIn(r1().netns);
    const frozenMs = signal(frozen, 'SIGSTOP');
    await serves(r2());
    const takenMs = nowMs() - frozenMs;
    expect(takenMs).toBeGreaterThan(earliestMs);
    expect(takenMs).toBeLessThan(latestMs);
    const timeline = await koiTimeline(file(r2(), 'koi.sock'), new Date(Date.now() - 60_000));
    expect(timeline.find(({ type }) => type === 'leaseEnded')?.text).toMatch(
      /^r2 revoked the lease of r1, not renewed for /,
    );
    signal(frozen, 'SIGCONT');
    // Better placed, it is given the address back by a handover, which breaks before it makes.
    await serves(r1());
    report('whole node frozen', frozenMs, takenMs);
  });

  it('an agent that stands still costs the address towards the end of the lease, and not before', {
    timeout: 90_000,
  }, async () => {
    const agents = pidsOf(r1(), 'koi agent');
    expect(agents).toHaveLength(1);
    const frozenMs = signal(agents, 'SIGSTOP');
    await letsGo(r1(), ttlMs + 1000);
    const heldMs = nowMs() - frozenMs;
    expect(heldMs).toBeGreaterThan(ttlMs - renewMs - kernelEarlyMs - 500);
    expect(heldMs).toBeLessThan(ttlMs);
    await serves(r2());
    const takenMs = nowMs() - frozenMs;
    expect(takenMs).toBeGreaterThan(heldMs);
    signal(agents, 'SIGCONT');
    report(`agent frozen, let go after ${heldMs.toFixed(0)} ms`, frozenMs, takenMs);
  });

  it('an agent that is restarted within the ttl costs nothing', { timeout: 60_000 }, async () => {
    const killedMs = signal(pidsOf(r1(), 'koi agent'), 'SIGKILL');
    await observeFor(ttlMs * 1.5);
    const { severalMs, noneMs, owners: holders } = owners.judge(killedMs, nowMs());
    expect({ severalMs, noneMs, holders }).toEqual({ severalMs: 0, noneMs: 0, holders: ['r1'] });
    const { nodes } = await koiStatus(file(r1(), 'koi.sock'));
    expect(nodes.find(({ name }) => name === 'r1')?.lease.state).toBe('held');
  });

  it('a log that stands still costs the address when the lease ends, and gives it to one of them afterwards', {
    timeout: 90_000,
  }, async () => {
    log.freeze();
    const frozenMs = nowMs();
    await letsGo(r1(), ttlMs + 1000);
    const heldMs = nowMs() - frozenMs;
    expect(heldMs).toBeLessThan(ttlMs);
    await observeFor(2000);
    expect(owners.now()).toEqual([]);
    log.thaw();
    const oneNotYet = (): string | undefined =>
      owners.now().length === 1 ? undefined : owners.now().join() || 'nobody';
    await waitUntil('one of them to serve', oneNotYet, { deadlineMs: 20_000, everyMs: 5 });
    report(`log frozen, let go after ${heldMs.toFixed(0)} ms`, frozenMs, nowMs() - frozenMs);
  });
});
