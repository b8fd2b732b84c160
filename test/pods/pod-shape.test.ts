import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { capabilitiesOf, isRoot } from '../daemon/host.js';
import { nowMs } from '../lab/clock.js';
import { compile } from '../lab/compile.js';
import { koiStatus } from '../lab/koi-api.js';
import { LogServer } from '../lab/log-server.js';
import { Prober } from '../lab/prober.js';
import { createTopology, type Topology, vip } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { Pod } from './pod.js';

/*
 * Two nodes with the two containers of the chart each, started with the rights and the file systems that the manifests
 * give them, and updated as a DaemonSet is: one node after the other. Needs root, iproute2, util-linux and nats-server.
 */

const root = fileURLToPath(new URL('../..', import.meta.url));
const lab = fileURLToPath(new URL('../lab', import.meta.url));

describe.skipIf(!isRoot)("the chart's pods (needs root)", { timeout: 120_000 }, () => {
  let built: BuiltKoi;
  let topology: Topology;
  let directory = '';
  let log: LogServer;
  let prober: Prober;
  const pods: Pod[] = [];

  const states = async (): Promise<string> => {
    const told = pods.map(async ({ socket }) => {
      const { vrs } = await koiStatus(socket);
      return vrs.map(({ state, standing }) => `${state} ${standing}`).join();
    });
    return (await Promise.all(told)).join(' / ');
  };

  async function settled(expected: string): Promise<void> {
    const notYet = async (): Promise<string | undefined> => {
      const found = await states().catch(String);
      return found === expected ? prober.answering(500) : found;
    };
    await waitUntil(expected, notYet, { deadlineMs: 30_000, everyMs: 50 }).catch((error: unknown) => {
      const logs = pods.flatMap((pod) => (['agent', 'dataplane'] as const).map((role) => pod.logFile(role)));
      throw new Error([String(error), ...logs.map((file) => readFileSync(file, 'utf8').slice(-3000))].join('\n\n'));
    });
  }

  const moves = (): number =>
    pods.reduce(
      (sum, pod) => sum + (readFileSync(pod.logFile('dataplane'), 'utf8').match(/→ master/g)?.length ?? 0),
      0,
    );

  beforeAll(async () => {
    built = buildKoi();
    directory = mkdtempSync(join(tmpdir(), 'koi-pods-'));
    chmodSync(directory, 0o755);
    topology = createTopology({ routerCount: 2, logHostCount: 1 });
    const [host] = topology.logHosts;
    if (host === undefined) throw new Error('the topology has no host for the log');
    log = new LogServer({ host, directory, logFile: join(directory, 'nats.log'), root });
    await log.start();
    prober = new Prober(compile(lab, 'probe', join(directory, 'bin')), topology.clientNetns, vip);
    topology.routers.forEach(({ name, netns }, index) => {
      const at = join(directory, name);
      const configuration = [
        'cluster: pods',
        `node: ${name}`,
        `log: {servers: ["${log.url}"]}`,
        `control: ${at}/run/koi.sock`,
        `stateDir: ${at}/state`,
        'virtualRouters:',
        `  - {name: api, interface: eth1, id: 51, priority: ${200 - 50 * index}, advertInterval: 100ms, ` +
          `addresses: [${vip}/24], preempt: {enabled: false}}`,
      ].join('\n');
      const pod = new Pod({ netns, directory: at, koi: [process.execPath, built.main] }, configuration);
      pods.push(pod);
      pod.start('dataplane');
      pod.start('agent');
    });
  }, 120_000);
  afterAll(async () => {
    prober?.end();
    for (const pod of pods) {
      await pod.main.agent.stop(10_000).catch(() => undefined);
      await pod.main.dataplane.stop(10_000).catch(() => undefined);
    }
    await log?.kill();
    topology?.remove();
    built?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('serve with the rights that the manifests give them, and no others', async () => {
    await waitUntil(
      'a master',
      async () => ((await states().catch(String)).includes('master logged') ? undefined : 'none'),
      {
        deadlineMs: 30_000,
      },
    );
    // Whoever came first is master; the better placed node shall be.
    const [first, second] = pods;
    if ((await states()).startsWith('backup')) await second?.run('agent', ['koi', 'handover', 'api']);
    await settled('master logged / backup null');
    const sets = (role: 'agent' | 'dataplane') => capabilitiesOf(first?.main[role].pid ?? 0)[0];
    // Bits 12 and 13: NET_ADMIN and NET_RAW.
    expect(sets('dataplane')).toMatchObject({ CapEff: '0000000000003000', CapBnd: '0000000000003000' });
    expect(sets('agent')).toMatchObject({ CapEff: '0000000000000000', CapBnd: '0000000000000000' });
  });

  it('lose no probe and hand nothing over when every agent is updated, one after the other', async () => {
    await settled('master logged / backup null');
    const before = moves();
    const fromMs = nowMs();
    for (const pod of pods) {
      await pod.stop('agent');
      pod.start('agent');
      await settled('master logged / backup null');
    }
    const { sent, lost, outageMs } = await prober.judge(fromMs, nowMs());
    process.stderr.write(`agents updated: ${lost} of ${sent} probes lost, longest gap ${outageMs.toFixed(1)} ms\n`);
    expect([lost, moves() - before]).toEqual([0, 0]);
  });

  it('hand over once, and lose no probe, when every dataplane is updated, the backup first', async () => {
    await settled('master logged / backup null');
    const before = moves();
    const fromMs = nowMs();
    for (const pod of [...pods].reverse()) {
      const drained = await pod.stop('dataplane');
      expect(drained?.code, drained?.said).toBe(0);
      pod.start('dataplane');
      await settled(pod === pods[0] ? 'backup null / master logged' : 'master logged / backup null');
      const { vrs } = await koiStatus(pod.socket);
      expect(vrs.length).toBe(1);
    }
    const { sent, lost, outageMs } = await prober.judge(fromMs, nowMs());
    process.stderr.write(`dataplanes updated: ${lost} of ${sent} probes lost, longest gap ${outageMs.toFixed(1)} ms\n`);
    expect([lost, moves() - before]).toEqual([0, 1]);
  });
});
