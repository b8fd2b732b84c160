import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { isRoot } from '../daemon/host.js';
import { linesOf, shellBlocks, yamlBlock } from '../docs/blocks.js';
import { MainProcess } from '../lab/daemon.js';
import { vip } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { natsServerBinary } from '../log/nats-server.js';
import { Cluster } from './cluster.js';
import { type Kubelet, writeHostFile } from './kubelet.js';
import { commandPod, type PodSpec, podSpec } from './manifest.js';
import { report } from './report.js';

/*
 * The control plane of docs/kubernetes.md: its koi.yaml on each of three nodes, the manifest that `koi manifest` prints of
 * it, the log on the nodes themselves, and an API server that comes and goes. Needs what pod-shape.test.ts needs but helm.
 */

const page = fileURLToPath(new URL('../../docs/kubernetes.md', import.meta.url));
const apiServer = fileURLToPath(new URL('./api-server.mjs', import.meta.url));
const pod = 'koi';
const secretNames = ['lan.key', 'nats.pass'];
const secretLines = shellBlocks(readFileSync(page, 'utf8'))
  .flatMap(linesOf)
  .filter((line) => /^(install -d|openssl rand|chgrp)\b/.test(line));
/** Longer than the track of the recipe takes to believe a change: rise 2, interval 2s. */
const believedMs = 6_000;

describe.skipIf(!isRoot || natsServerBinary === undefined)('the static pod (needs root)', { timeout: 200_000 }, () => {
  let cluster: Cluster;
  const specs = new Map<Kubelet, PodSpec>();
  const apiServers = new Map<Kubelet, MainProcess>();

  const specOf = (node: Kubelet): PodSpec => {
    const spec = specs.get(node);
    if (spec === undefined) throw new Error(`${node.place.name} has no manifest`);
    return spec;
  };

  /** The recipe's file with this node's addresses. */
  function configurationOf(node: Kubelet): string {
    const own = cluster.nodes.indexOf(node) + 1;
    const [first, second] = [1, 2, 3].filter((each) => each !== own);
    return yamlBlock(page, '/etc/koi/koi.yaml')
      .replaceAll(/10\.0\.0\.([123])\b/g, (_, each: string) => {
        const number = each === '1' ? own : each === '2' ? first : second;
        return `10.99.0.${number}`;
      })
      .replace('10.0.0.10/24', `${vip}/24`)
      .replace('interface: eth0', 'interface: eth1')
      .replace(/^cluster:/m, `node: ${node.place.name}\ncluster:`);
  }

  /** Types lines where /etc is the node's. */
  function typeOnHost(node: Kubelet, lines: readonly string[]): void {
    const script = ['mount --bind "$1" /etc', ...lines].join('\n');
    execFileSync('unshare', ['--mount', 'sh', '-ec', script, 'sh', node.hostPath('/etc')]);
  }
  const readHostFile = (node: Kubelet, path: string): string => readFileSync(node.hostPath(path), 'utf8');

  function startApiServer(node: Kubelet): void {
    const { netns, directory } = node.place;
    const server = apiServers.get(node) ?? new MainProcess(netns, join(directory, 'api-server.log'));
    apiServers.set(node, server);
    server.start(process.execPath, [apiServer, join(directory, 'api')]);
  }

  /** What `apiserver-health` says where it is not well; undefined where all are. */
  async function unready(nodes: readonly Kubelet[]): Promise<string | undefined> {
    const asked = nodes.map((node) => node.exec(pod, 'agent', ['apiserver-health']));
    return (await Promise.all(asked)).find(({ code }) => code !== 0)?.said;
  }

  beforeAll(async () => {
    cluster = new Cluster({ configMaps: {}, secrets: {} }, { socket: '/run/koi/koi.sock', dataplanePod: pod });
    const [first] = cluster.nodes;
    if (first === undefined) throw new Error('unreachable');
    for (const node of cluster.nodes) {
      writeHostFile(node, '/etc/koi/koi.yaml', configurationOf(node));
      // Made once, by the lines of the page, and the same on every node.
      if (node === first) typeOnHost(node, secretLines);
      else
        for (const name of secretNames)
          writeHostFile(node, `/etc/koi/${name}`, readHostFile(first, `/etc/koi/${name}`));
      for (const name of secretNames) {
        const { mode, gid, size } = statSync(node.hostPath(`/etc/koi/${name}`));
        expect([name, mode & 0o777, gid, size]).toEqual([name, 0o640, 65_532, 65]);
      }
      execFileSync(
        'openssl',
        [
          ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
          ...['-subj', '/CN=kubernetes', '-keyout', join(node.place.directory, 'api.key')],
          ...['-out', join(node.place.directory, 'api.crt')],
        ],
        { stdio: 'ignore' },
      );
      const printed = await node.once(
        'manifest',
        commandPod(['koi', 'manifest', '-c', '/etc/koi/koi.yaml'], '/etc/koi'),
      );
      expect(printed.code, printed.said).toBe(0);
      specs.set(node, z.object({ spec: podSpec }).parse(parse(printed.said)).spec);
    }
  }, 120_000);
  afterAll(async () => {
    report.print();
    for (const server of apiServers.values()) await server.stop(2_000).catch(() => undefined);
    await cluster?.end();
  }, 60_000);

  it('keeps the address on the first node alone, before there is an API server or a quorum of the log', async () => {
    const [first] = cluster.nodes;
    await first?.start(pod, specOf(first));
    await cluster.served();
  });

  it('stays on the first node, whose API server runs by then, when the others join', async () => {
    const [first, ...others] = cluster.nodes;
    if (first === undefined) throw new Error('unreachable');
    startApiServer(first);
    await waitUntil('the API server', () => unready([first]), { deadlineMs: 20_000, everyMs: 200 });
    await observeFor(believedMs);
    const seen = await cluster.during(async () => {
      await Promise.all(others.map((node) => node.start(pod, specOf(node))));
      await cluster.settled();
    });
    report.add('two nodes join the first', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 0]);
  });

  it('moves the address away from a node whose API server has failed, and leaves it where it went', async () => {
    for (const node of cluster.nodes.slice(1)) startApiServer(node);
    await waitUntil('the API servers', () => unready(cluster.nodes), { deadlineMs: 20_000, everyMs: 200 });
    await observeFor(believedMs);
    const before = await cluster.settled();
    const seen = await cluster.during(async () => {
      await apiServers.get(before)?.stop(2_000);
      await waitUntil(
        'another master',
        async () => ((await cluster.settled()) === before ? `${before.place.name} is it still` : undefined),
        { deadlineMs: 30_000 },
      );
    });
    report.add("the API server of the master's node fails", seen);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
    const after = await cluster.settled();
    const back = await cluster.during(async () => {
      startApiServer(before);
      await waitUntil('the API server', () => unready([before]), { deadlineMs: 20_000, everyMs: 200 });
      await cluster.settledFor(believedMs);
    });
    report.add('it is back', back);
    expect([back.lost, back.moves, await cluster.settled()]).toEqual([0, 0, after]);
  });

  it('hands over and loses no probe when the static pod of the master is replaced', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      await master.replace(pod, specOf(master), 0);
      await cluster.settled();
    });
    report.add('the static pod of the master replaced, with its log server', seen);
    expect([seen.lost, seen.moves]).toEqual([0, 1]);
  });

  it('takes over when the node of the master loses its power, its log server and its API server with it', async () => {
    const master = await cluster.settled();
    const seen = await cluster.during(async () => {
      await cluster.powerOff(master);
      await cluster.settled(new Map([[master, 'down']]));
    });
    report.add('a node without power, adverts every second', seen, 'powerOff');
    expect(seen.moves).toBe(1);
    expect(seen.outageMs).toBeLessThan(8_000);
  });
});
