import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { isRoot } from '../daemon/host.js';
import { MainProcess } from '../lab/daemon.js';
import { run } from '../lab/ip.js';
import { koiStatus } from '../lab/koi-api.js';
import { LogServer } from '../lab/log-server.js';
import { createTopology, type Router, type Topology } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';

/*
 * Two nodes with a log that arbitrates, two virtual routers in one sync group, and a file on the better node that takes
 * its priority away. Needs root, iproute2 and nats-server.
 */

const root = fileURLToPath(new URL('../..', import.meta.url));
const virtualAddresses = ['10.77.0.254', '10.77.0.253'];

describe.skipIf(!isRoot)('a pair whose log arbitrates (needs root)', () => {
  let built: BuiltKoi;
  let topology: Topology;
  let directory = '';
  let log: LogServer;
  const mains: MainProcess[] = [];

  const file = (router: Router, name: string): string => join(directory, router.name, name);
  const [r1, r2] = [0, 1].map((index) => (): Router => {
    const router = topology.routers[index];
    if (router === undefined) throw new Error('the topology has fewer than two routers');
    return router;
  }) as [() => Router, () => Router];

  function start(router: Router, priority: number): void {
    mkdirSync(file(router, 'state'), { recursive: true });
    writeFileSync(file(router, 'health'), '0');
    const vr = (name: string, id: number, address: string | undefined): string =>
      `  - {name: ${name}, interface: eth1, id: ${id}, priority: ${priority}, advertInterval: 100ms, ` +
      `addresses: [${address}/24], track: [health], syncGroup: pair}`;
    writeFileSync(
      file(router, 'koi.yaml'),
      [
        'cluster: pair',
        `node: ${router.name}`,
        `log: {servers: ["${log.url}"]}`,
        `control: ${file(router, 'koi.sock')}`,
        `stateDir: ${file(router, 'state')}`,
        'track:',
        `  - {name: health, file: ${file(router, 'health')}, weight: 1}`,
        'virtualRouters:',
        vr('gw', 51, virtualAddresses[0]),
        vr('dns', 52, virtualAddresses[1]),
      ].join('\n'),
    );
    const main = new MainProcess(router.netns, file(router, 'log'));
    main.start(process.execPath, [built.main, 'run', '-c', file(router, 'koi.yaml')]);
    mains.push(main);
  }

  const held = (router: Router): string[] =>
    virtualAddresses.filter((address) => run('ip', ['-n', router.netns, '-o', 'addr']).includes(` ${address}/`));

  const statesOf = async (router: Router): Promise<string> => {
    const { vrs } = await koiStatus(file(router, 'koi.sock'));
    return vrs.map(({ state, standing }) => `${state} ${standing}`).join(', ');
  };

  async function serves(master: Router, backup: Router): Promise<void> {
    const notYet = async (): Promise<string | undefined> => {
      try {
        const states = `${await statesOf(master)} / ${await statesOf(backup)}`;
        return states === 'master logged, master logged / backup null, backup null' ? undefined : states;
      } catch (error) {
        return String(error);
      }
    };
    await waitUntil(`${master.name} to serve both`, notYet, { deadlineMs: 15_000 }).catch((error: unknown) => {
      const logs = [master, backup]
        .map((router) => readFileSync(file(router, 'log'), 'utf8').slice(-6000))
        .join('\n\n');
      throw new Error(`${String(error)}\n${logs}`);
    });
    expect(held(master)).toEqual(virtualAddresses);
    expect(held(backup)).toEqual([]);
  }

  const movesOf = (router: Router): number =>
    readFileSync(file(router, 'log'), 'utf8').match(/"msg":"\w+: \w+ → /g)?.length ?? 0;

  beforeAll(async () => {
    built = buildKoi();
    directory = mkdtempSync(join(tmpdir(), 'koi-pair-'));
    topology = createTopology({ routerCount: 2, logHostCount: 1 });
    const [host] = topology.logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    log = new LogServer({ host, directory, logFile: join(directory, 'nats.log'), root });
    await log.start();
    start(r1(), 200);
    start(r2(), 100);
  });
  afterAll(async () => {
    for (const main of mains) await main.stop(8000);
    await log?.kill();
    topology?.remove();
    built?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('moves as one to the node that is better placed now, by a handover, and back; in between it rests', async () => {
    await serves(r1(), r2());
    writeFileSync(file(r1(), 'health'), '-150');
    await serves(r2(), r1());
    expect(readFileSync(file(r1(), 'log'), 'utf8')).toContain('handed over');
    const moves = movesOf(r1()) + movesOf(r2());
    await observeFor(3000);
    expect(movesOf(r1()) + movesOf(r2())).toBe(moves);
    writeFileSync(file(r1(), 'health'), '0');
    await serves(r1(), r2());
  }, 60_000);

  it('moves as one where a member loses its master without warning', async () => {
    await serves(r1(), r2());
    await topology.cutLan(r1());
    const notYet = (): string | undefined => (held(r2()).length === 2 ? undefined : held(r2()).join());
    await waitUntil('r2 to hold both', notYet, { deadlineMs: 5000, everyMs: 5 });
    expect(held(r1())).toEqual([]);
    await topology.mendLan(r1());
    await serves(r1(), r2());
  }, 60_000);
});
