import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { capabilitiesOf, isRoot } from '../daemon/host.js';
import { dataOf, find, findHelm, type Manifest, render } from '../helm/chart.js';
import { vip } from '../lab/topology.js';
import { observeFor } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { Cluster } from './cluster.js';
import type { Kubelet } from './kubelet.js';
import { daemonSet, type PodSpec, podSpec } from './manifest.js';
import { report } from './report.js';

/*
 * Three nodes, each with the two pods that the chart renders: command, arguments, environment, user, capabilities, mounts
 * and read-only root are read from the manifests. Needs root, iproute2, util-linux, curl, openssl, helm and nats-server.
 */

const helmPath = findHelm() ?? '';
const canRun = isRoot && helmPath !== '' && natsServerBinary !== undefined;
const values = {
  config: {
    log: { servers: ['nats://10.99.0.11:4222'] },
    virtualRouters: [
      {
        name: 'api',
        interface: 'eth1',
        id: 51,
        advertInterval: '200ms',
        preempt: { enabled: false },
        addresses: [`${vip}/24`],
      },
    ],
  },
  // The chart's own are longer, and only longer.
  minReadySeconds: 2,
  agent: { lingerSeconds: 3 },
  nodes: { r1: { priority: 200 }, r2: { virtualRouters: { api: { priority: 150 } } } },
};

describe.skipIf(!canRun)("the chart's pods on three nodes (needs root and helm)", { timeout: 300_000 }, () => {
  let manifests: Manifest[];
  let cluster: Cluster;
  const spec = (role: Role): PodSpec => set(role).spec.template.spec;
  const set = (role: Role) => daemonSet.parse(find(manifests, 'DaemonSet', `edge-${role}`));
  const minReadySeconds = (): number => set('agent').spec.minReadySeconds;
  const update = async (role: Role, nodes: readonly Kubelet[]): Promise<void> => {
    for (const node of nodes) await node.replace(role, spec(role), minReadySeconds());
  };

  beforeAll(async () => {
    manifests = render(helmPath, values);
    const objects = {
      configMaps: { edge: dataOf(find(manifests, 'ConfigMap', 'edge')) },
      secrets: { 'edge-secrets': dataOf(find(manifests, 'Secret')) },
    };
    cluster = new Cluster(objects, { socket: '/run/koi/koi.sock', dataplanePod: 'dataplane' });
    await cluster.log.start();
    await Promise.all(cluster.nodes.flatMap((node) => roles.map((role) => node.start(role, spec(role)))));
    await Promise.all(cluster.nodes.flatMap((node) => roles.map((role) => node.ready(role))));
  }, 180_000);
  afterAll(async () => {
    report.print();
    await cluster?.end();
  }, 60_000);

  it('serve with the rights that the manifests give them, and no others', async () => {
    const master = await cluster.settled();
    const rights = (role: Role) => capabilitiesOf(master.container(role, role).pid ?? 0);
    // Bits 12, 13 and 23: NET_ADMIN, NET_RAW and SYS_NICE.
    for (const thread of rights('dataplane')) {
      expect(thread).toMatchObject({ CapEff: '0000000000803000', CapBnd: '0000000000803000', NoNewPrivs: '1' });
    }
    for (const thread of rights('agent')) {
      expect(thread).toMatchObject({ CapEff: '0000000000000000', CapBnd: '0000000000000000', NoNewPrivs: '1' });
    }
    const user = (role: Role) => master.exec(role, role, ['id', '-u']);
    expect([(await user('dataplane')).said, (await user('agent')).said]).toEqual(['0\n', '65532\n']);
    for (const role of roles) {
      for (const path of ['/usr/x', '/etc/koi/config/x', '/proc/sys/net/ipv4/ip_forward']) {
        const { code, said } = await master.exec(role, role, ['sh', '-c', `echo 1 > ${path}`]);
        expect([role, path, code, said]).toEqual([role, path, 2, expect.stringMatching(/Read-only|Permission denied/)]);
      }
    }
  });

  it('pass helm test on each node', async () => {
    await cluster.settled();
    const { spec } = z.object({ spec: podSpec }).parse(find(manifests, 'Pod'));
    for (const node of cluster.nodes) {
      const { code, said } = await node.once('test', spec);
      expect(code, said).toBe(0);
      expect(said).toContain(`ok (cluster kubernetes, node ${node.place.name}, 1 virtual router)`);
      expect(said).toMatch(/api[^\n]*(master|backup)/);
    }
  });

  it('lose no probe and hand nothing over when every agent is updated', async () => {
    await cluster.settled();
    const seen = await cluster.during(async () => {
      await update('agent', cluster.nodes);
      await cluster.settled();
    });
    report.add('agents updated, one node after the other', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
  });

  it('hand over once and lose no probe when everything is updated, the master last', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      // Two DaemonSets, which know nothing of each other.
      await Promise.all([
        update('agent', cluster.nodes),
        update('dataplane', [...cluster.nodes.filter((node) => node !== master), master]),
      ]);
      await cluster.settled();
    });
    report.add('everything updated, the master last', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
  });

  it('hand over once, to the one that is updated already, when the master is neither the first nor the last', async () => {
    const master = await cluster.settled();
    const [first, ...others] = cluster.nodes.filter((node) => node !== master).reverse();
    const seen = await cluster.during(async () => {
      // A backup, the master, and the one that the priorities would have handed it to.
      for (const node of [first, master, ...others]) {
        await node?.replace('dataplane', spec('dataplane'), minReadySeconds());
      }
      expect(await cluster.settled()).toBe(first);
    });
    report.add('dataplanes updated, the master in between', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
  });

  it('hand over twice and lose no probe when everything is updated in the order that moves most', async () => {
    await cluster.settled();
    const seen = await cluster.during(async () => {
      const left = new Set(cluster.nodes);
      while (left.size > 0) {
        const master = await cluster.settled();
        const next = left.has(master) ? master : [...left][0];
        if (next === undefined) break;
        left.delete(next);
        await Promise.all(roles.map((role) => next.replace(role, spec(role), minReadySeconds())));
      }
      await cluster.settled();
    });
    report.add('everything updated, the master first each time', seen);
    expect(seen.lost).toBe(0);
    // Whoever takes over from the first has to be updated, too.
    expect(seen.moves).toBe(2);
  });

  it('hand over and lose no probe when a dataplane is stopped while its agent restarts', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      await master.stop('agent');
      const back = observeFor(2_000).then(() => master.start('agent', spec('agent')));
      await master.replace('dataplane', spec('dataplane'), 0);
      await back;
      await cluster.settled();
    });
    report.add('dataplane stopped while its agent is away', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
  });

  it('hand over and lose no probe when the node of the master is drained', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      const drained = await master.exec('agent', 'agent', ['koi', 'drain']);
      expect(drained.code, drained.said).toBe(0);
      await cluster.settled();
    });
    report.add('a node drained: koi drain', seen, 'stop');
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
    const undrained = await master.exec('agent', 'agent', ['koi', 'undrain']);
    expect(undrained.code, undrained.said).toBe(0);
  });

  it('hand over and lose no probe when the node of the master shuts down', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      await Promise.all(roles.map((role) => master.stop(role)));
      await cluster.settled(new Map([[master, 'down']]));
    });
    report.add('a node shut down: all its pods stopped', seen, 'stop');
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
    await Promise.all(roles.map((role) => master.start(role, spec(role))));
    await cluster.settled();
  });

  it('take over when the node of the master loses its power', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      await cluster.powerOff(master);
      await cluster.settled(new Map([[master, 'down']]));
    });
    report.add('a node without power', seen, 'powerOff');
    expect(seen.moves).toBe(1);
    expect(seen.outageMs).toBeLessThan(2_000);
    await cluster.powerOn(master);
    await Promise.all(roles.map((role) => master.start(role, spec(role))));
    await cluster.settled();
  });

  it('serve on while the log stands still for half a minute', async () => {
    await cluster.settled();
    const seen = await cluster.during(async () => {
      cluster.log.freeze();
      await observeFor(30_000);
      cluster.log.thaw();
      await cluster.settled();
    });
    report.add('the log stands still for 30 s', seen, 'storeStall');
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
  });

  it('take over when the master is cut off, and have one master again when it is back', async () => {
    const master = await cluster.settled();
    const router = cluster.router(master);
    const cut = await cluster.during(async () => {
      await Promise.all([cluster.topology.silenceLan(router), cluster.topology.silenceManagement(router)]);
      await cluster.served();
      await observeFor(10_000);
    });
    report.add('the master cut off from both networks for 10 s', cut, 'partition');
    expect(cut.outageMs).toBeLessThan(5_000);
    const back = await cluster.during(async () => {
      await Promise.all([cluster.topology.mendLan(router), cluster.topology.mendManagement(router)]);
      await cluster.settled();
    });
    report.add('the two see each other again', back);
  });
});

const roles = ['dataplane', 'agent'] as const;
type Role = (typeof roles)[number];
