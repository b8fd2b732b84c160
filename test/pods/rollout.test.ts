import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isRoot } from '../daemon/host.js';
import { dataOf, find, findHelm, type Manifest, render, type Values } from '../helm/chart.js';
import { MainProcess } from '../lab/daemon.js';
import { vip } from '../lab/topology.js';
import { waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { Cluster } from './cluster.js';
import type { RunningContainer } from './container.js';
import { KubeApi, makeCertificate } from './kube-api.js';
import type { Kubelet } from './kubelet.js';
import { daemonSet, job, type PodSpec } from './manifest.js';
import { report } from './report.js';
import type { Finished } from './run-async.js';

/*
 * The chart's Job as it runs after helm upgrade: its container on one of three nodes, with its rights and its token, asks
 * an API server that holds it to the chart's Role, and replaces the nodes' dataplanes. Needs what pod-shape.test.ts needs.
 */

const helmPath = findHelm() ?? '';
const canRun = isRoot && helmPath !== '' && natsServerBinary !== undefined;
const forwarder = fileURLToPath(new URL('./forward.mjs', import.meta.url));
const apiPort = 6443;
const runsMs = 200_000;

const router = (name: string, id: number, address: string, preempt: boolean): Values => ({
  ...{ name, id, interface: 'eth1', advertInterval: '200ms' },
  ...{ preempt: { enabled: preempt }, addresses: [`${address}/24`] },
});

/** The pods of the chart on three nodes, and the API server that the Job asks. */
class Updated {
  readonly cluster: Cluster;
  readonly api: KubeApi;
  readonly #manifests: Manifest[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'koi-kube-api-'));
  readonly #forward: MainProcess;

  constructor(virtualRouters: readonly Values[], nodes: Values) {
    this.#manifests = render(helmPath, {
      config: { log: { servers: ['nats://10.99.0.11:4222'] }, virtualRouters },
      // The chart's own are longer, and only longer.
      ...{ minReadySeconds: 2, agent: { lingerSeconds: 3 }, nodes },
    });
    const host = '10.99.0.11';
    makeCertificate(this.#folder, host);
    const files = {
      token: 'the token of the rollout',
      'ca.crt': readFileSync(join(this.#folder, 'ca.crt'), 'utf8'),
      namespace: 'kube-system',
    };
    const objects = {
      configMaps: { edge: dataOf(find(this.#manifests, 'ConfigMap', 'edge')) },
      secrets: { 'edge-secrets': dataOf(find(this.#manifests, 'Secret')) },
      api: { host, port: apiPort, files },
    };
    this.cluster = new Cluster(objects, { socket: '/run/koi/koi.sock', dataplanePod: 'dataplane' });
    const nodesOfApi = this.cluster.nodes.map((node) => ({
      name: node.place.name,
      address: node.place.hostIp,
      stop: () => node.stop('dataplane'),
      start: async () => {
        await node.start('dataplane', this.spec('dataplane'));
        await node.ready('dataplane');
      },
    }));
    const { minReadySeconds, selector } = this.#set('dataplane').spec;
    const options = {
      ...{ namespace: 'kube-system', daemonSet: 'edge-dataplane', token: files.token },
      ...{ labels: selector.matchLabels, minReadySeconds, controllerMs: 200 },
    };
    this.api = new KubeApi(this.#folder, nodesOfApi, options, find(this.#manifests, 'Role', 'edge-rollout').rules);
    const [logHost] = this.cluster.topology.logHosts;
    this.#forward = new MainProcess(logHost?.netns ?? '', join(this.#folder, 'forward.log'));
  }

  async begin(): Promise<void> {
    const socket = join(this.#folder, 'api.sock');
    await new Promise<void>((resolve) => this.api.server.listen(socket, resolve));
    this.#forward.start(process.execPath, [forwarder, socket, '10.99.0.11', String(apiPort)]);
    await this.cluster.log.start();
    const { nodes } = this.cluster;
    await Promise.all(nodes.flatMap((node) => roles.map((role) => node.start(role, this.spec(role)))));
    await Promise.all(nodes.flatMap((node) => roles.map((role) => node.ready(role))));
  }

  async end(): Promise<void> {
    await this.#forward.stop(2_000).catch(() => undefined);
    this.api.server.close();
    await this.cluster.end();
    rmSync(this.#folder, { recursive: true });
  }

  spec(role: Role): PodSpec {
    return this.#set(role).spec.template.spec;
  }

  /** The Job's pod, with another patience where it is to give up. */
  #jobSpec(timeout?: string): PodSpec {
    const { spec } = job.parse(find(this.#manifests, 'Job', 'edge-rollout')).spec.template;
    const command = (each: PodSpec['containers'][number]): string[] =>
      timeout === undefined ? each.command : [...each.command, `--timeout=${timeout}`];
    return { ...spec, containers: spec.containers.map((each) => ({ ...each, command: command(each) })) };
  }

  /** As the Job's pod on a node. */
  run(on: Kubelet, timeout?: string): Promise<Finished> {
    return on.once('rollout', this.#jobSpec(timeout), runsMs);
  }

  container(on: Kubelet): RunningContainer {
    const container = on.single('rollout', this.#jobSpec());
    writeFileSync(container.logFile, '');
    return container;
  }

  #set(role: Role) {
    return daemonSet.parse(find(this.#manifests, 'DaemonSet', `edge-${role}`));
  }

  /** By hand, before anything is looked at. */
  async makeMaster(vr: string, node: Kubelet): Promise<void> {
    const { code, said } = await node.exec('agent', 'agent', ['koi', 'handover', vr, '--to', node.place.name]);
    expect(code, said).toBe(0);
  }
}

const roles = ['dataplane', 'agent'] as const;
type Role = (typeof roles)[number];
const nameOf = ({ place }: Kubelet): string => place.name;

describe.skipIf(!canRun)("the chart's rollout on three nodes (needs root and helm)", { timeout: 300_000 }, () => {
  let updated: Updated;
  /** How many of the API server's records are of earlier tests. */
  let seenBefore = 0;
  const deleted = (): string[] => updated.api.deleted.slice(seenBefore);

  beforeAll(async () => {
    updated = new Updated([router('api', 51, vip, false)], {
      r1: { priority: 200 },
      r2: { virtualRouters: { api: { priority: 150 } } },
    });
    await updated.begin();
  }, 180_000);
  afterEach(() => {
    seenBefore = updated.api.deleted.length;
    expect(updated.api.failures).toEqual([]);
  });
  afterAll(async () => {
    report.print();
    await updated?.end();
  }, 60_000);

  it.each(['r1', 'r2', 'r3'])('moves the address once and loses no probe where the master is %s', async (name) => {
    const { cluster, api } = updated;
    const master = cluster.nodes.find((node) => nameOf(node) === name);
    if (master === undefined) throw new Error('unreachable');
    if ((await cluster.settled()) !== master) await updated.makeMaster('api', master);
    expect(await cluster.settled()).toBe(master);
    api.upgrade();
    const seen = await cluster.during(async () => {
      // Where the Job runs makes no difference: here on the master itself.
      const { code, said } = await updated.run(master);
      expect(code, said).toBe(0);
      expect(said).toContain('moves expected of api: 1\n');
      expect(said).toMatch(/done, 3 of 3 pods replaced in /);
      await cluster.settled();
    });
    report.add(`koi rollout, ${name} is the master`, seen);
    expect([deleted().at(-1), deleted().toSorted(), api.allNewest]).toEqual([name, ['r1', 'r2', 'r3'], true]);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
    expect(api.unused).toEqual([]);
  });

  it('moves it once and loses no probe where the agents are updated at the same time, in any order', async () => {
    const { cluster, api } = updated;
    const master = await cluster.settled();
    api.upgrade();
    const seen = await cluster.during(async () => {
      const agents = async (): Promise<void> => {
        for (const node of [master, ...cluster.nodes.filter((each) => each !== master)]) {
          await node.replace('agent', updated.spec('agent'), 2);
        }
      };
      const [{ code, said }] = await Promise.all([updated.run(master), agents()]);
      expect(code, said).toBe(0);
      await cluster.settled();
    });
    report.add("koi rollout while the agents' DaemonSet is updated", seen);
    expect([deleted().length, seen.lost, seen.moves]).toEqual([3, 0, 1]);
  });

  it('replaces no dataplane and moves nothing after a change of the agents alone', async () => {
    const { cluster } = updated;
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      const { code, said } = await updated.run(master);
      expect(code, said).toBe(0);
      expect(said).toContain('nothing to do, all 3 pods are of the newest revision and well');
    });
    report.add('koi rollout where only the agents have changed', seen);
    expect([deleted(), seen.lost, seen.moves]).toEqual([[], 0, 0]);
  });

  it('is interrupted, goes on where it stopped when it runs again, and still moves the address once', async () => {
    const { cluster, api } = updated;
    const master = await cluster.settled();
    api.upgrade();
    const seen = await cluster.during(async () => {
      const first = updated.container(master);
      first.start();
      await waitUntil('a pod to be deleted', () => (deleted().length > 0 ? undefined : 'none yet'), {
        deadlineMs: 60_000,
      });
      expect(await first.stop(5_000)).toEqual({ ended: 143, killed: false });
      expect(readFileSync(first.logFile, 'utf8')).toContain('interrupted: run it again');
      const { code, said } = await updated.run(master);
      expect(code, said).toBe(0);
      expect(said).toMatch(/done, 2 of 3 pods replaced/);
      await cluster.settled();
    });
    report.add('koi rollout, interrupted and run again', seen);
    expect([deleted().length, deleted().at(-1), api.allNewest]).toEqual([3, nameOf(master), true]);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
  });

  it('stops where the API server does not allow it, with nothing replaced, and says what it lacks', async () => {
    const { cluster, api } = updated;
    const master = await cluster.settled();
    api.upgrade();
    const { rules } = api;
    api.rules = rules.map((rule) => ({ ...rule, verbs: rule.verbs.filter((verb) => verb !== 'delete') }));
    const { code, said } = await updated.run(master);
    api.rules = rules;
    expect([code, deleted()], said).toEqual([3, []]);
    expect(said).toContain('not allowed to delete the pod edge-dataplane-');
  });

  it('stops at a pod that does not get ready, moves nothing, and is done when it is run again', async () => {
    const { cluster, api } = updated;
    const master = await cluster.settled();
    const [next] = cluster.nodes.filter((node) => node !== master);
    if (next === undefined) throw new Error('unreachable');
    api.neverReady.add(nameOf(next));
    const seen = await cluster.during(async () => {
      // Its template is the one of the test before.
      const { code, said } = await updated.run(master, '15s');
      expect([code, deleted()], said).toEqual([1, [nameOf(next)]]);
      expect(said).toContain(`node ${nameOf(next)}: stopped after 15.0 s, 1 replaced so far`);
    });
    report.add('koi rollout, a pod does not get ready', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
    api.relent();
    const { code, said } = await updated.run(master);
    expect(code, said).toBe(0);
    expect([deleted().length, api.allNewest]).toEqual([3, true]);
  });
});

describe.skipIf(!canRun)("the chart's rollout where every node is master of something", { timeout: 300_000 }, () => {
  let updated: Updated;

  beforeAll(async () => {
    const routers = [
      router('api', 51, vip, true),
      router('ingress', 52, '10.77.0.253', false),
      router('dns', 53, '10.77.0.252', false),
    ];
    updated = new Updated(routers, { r3: { virtualRouters: { api: { priority: 200 } } } });
    await updated.begin();
  }, 180_000);
  afterAll(async () => {
    report.print();
    await updated?.end();
  }, 60_000);

  it('moves what the first node has twice, what is taken back twice, and says both beforehand', async () => {
    const { cluster, api } = updated;
    const [r1, r2, r3] = cluster.nodes;
    if (r1 === undefined || r2 === undefined || r3 === undefined) throw new Error('unreachable');
    const isMaster = (vr: string, node: Kubelet) => async (): Promise<string | undefined> => {
      const { said } = await node.exec('agent', 'agent', ['koi', 'status', '--json']);
      const { vrs } = JSON.parse(said) as { vrs: { name: string; state: string }[] };
      const state = vrs.find(({ name }) => name === vr)?.state;
      return state === 'master' ? undefined : `${vr} is ${state} on ${nameOf(node)}`;
    };
    await waitUntil('r3 to take what it is best placed for', isMaster('api', r3), { deadlineMs: 30_000, everyMs: 200 });
    await updated.makeMaster('ingress', r1);
    await updated.makeMaster('dns', r2);
    api.upgrade();
    const seen = await cluster.during(async () => {
      const { code, said } = await updated.run(r1);
      expect(code, said).toBe(0);
      expect(said).toContain('order, as masters are now: r1, r2, r3');
      expect(said).toContain('moves expected of api: 2 (r3 has the highest priority and takes it back)');
      expect(said).toContain('moves expected of dns: 1\n');
      expect(said).toContain(
        'moves expected of ingress: 2 (r1 is the first, and whoever takes it over is to be replaced',
      );
      await waitUntil('r3 to have it back', isMaster('api', r3), { deadlineMs: 30_000, everyMs: 200 });
    });
    report.add('koi rollout of three routers, each node master of one (2 + 1 + 2)', seen);
    expect([seen.lost, seen.moves, api.allNewest]).toEqual([0, 5, true]);
  });
});
