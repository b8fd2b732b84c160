import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ApiNode, KubeApi, makeCertificate } from '../../test/pods/kube-api.js';
import { ApiServer } from './api-server.js';
import { askNode } from './node-status.js';
import { type RolloutReport, rollOut } from './rollout.js';

/* An API server over TLS, and three nodes whose Koi answers over HTTP; times are a hundredth of what they are. */

const faster = 100;
const rules = [
  { apiGroups: ['apps'], resources: ['daemonsets'], resourceNames: ['koi-dataplane'], verbs: ['get'] },
  { apiGroups: ['apps'], resources: ['controllerrevisions'], verbs: ['list'] },
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'delete'] },
];
const names = ['a', 'b', 'c'];
const addressOf = (node: string): string => `127.0.0.${11 + names.indexOf(node)}`;

const folder = mkdtempSync(join(tmpdir(), 'koi-rollout-'));
const koi = new Map<string, Server>();
let httpPort = 0;
let api: KubeApi;
let port = 0;
let said: string[] = [];
/** The master of each virtual router. */
const masters = new Map<string, string>();
const drained = new Set<string>();
const silent = new Set<string>();
let restarted: string[] = [];

const node = (name: string): ApiNode => ({
  name,
  address: addressOf(name),
  stop: async () => {
    const to = restarted.at(-1) ?? names.find((each) => each !== name) ?? '';
    for (const [vr, master] of masters) if (master === name) masters.set(vr, to);
    restarted.push(name);
  },
  start: async () => undefined,
});

const statusOf = (own: string): object => ({
  vrs: [...masters].map(([name, owner]) => ({
    name,
    state: owner === own ? 'master' : 'backup',
    owner,
    preempt: false,
    nodes: names.map((each) => ({ node: each, priority: 100 })),
  })),
});
const readinessOf = (own: string): object => ({
  ok: !drained.has(own),
  checks: [{ name: 'service', ok: !drained.has(own), detail: 'drained since yesterday; koi undrain takes it back' }],
});

const inCluster = (changes: NodeJS.ProcessEnv = {}): ApiServer =>
  ApiServer.ofPod(
    { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port), ...changes },
    undefined,
    folder,
  );

const run = (options: { dryRun?: boolean; daemonSet?: string; timeoutMs?: number } = {}, cluster = inCluster()) =>
  rollOut(
    {
      cluster,
      askNode,
      say: (line) => said.push(line),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms / faster)),
      nowMs: () => performance.now() * faster,
      wallNowMs: Date.now,
    },
    {
      daemonSet: options.daemonSet ?? 'koi-dataplane',
      port: httpPort,
      nodeTimeoutMs: options.timeoutMs ?? 3_000_000,
      dryRun: options.dryRun ?? false,
    },
  );
const failing = async (asked: Promise<RolloutReport>): Promise<{ code: string; text: string }> => {
  const error: unknown = await asked.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  const { code, message, remedy } = error as { code: string; message: string; remedy: string };
  return { code, text: `${message} → ${remedy}` };
};

beforeAll(async () => {
  makeCertificate(folder, '127.0.0.1');
  writeFileSync(join(folder, 'namespace'), 'kube-system\n');
  for (const name of names) {
    const server = createServer((request, response) => {
      if (silent.has(name)) request.destroy();
      else response.end(JSON.stringify(request.url === '/readyz' ? readinessOf(name) : statusOf(name)));
    });
    await new Promise<void>((resolve) => server.listen(httpPort, addressOf(name), resolve));
    httpPort = (server.address() as AddressInfo).port;
    koi.set(name, server);
  }
});
afterAll(() => {
  for (const server of koi.values()) server.close();
  rmSync(folder, { recursive: true });
});

beforeEach(async () => {
  said = [];
  restarted = [];
  masters.clear();
  masters.set('api', 'a');
  drained.clear();
  silent.clear();
  writeFileSync(join(folder, 'token'), 'secret');
  api = new KubeApi(
    folder,
    names.map(node),
    {
      namespace: 'kube-system',
      daemonSet: 'koi-dataplane',
      labels: { 'app.kubernetes.io/name': 'koi', 'app.kubernetes.io/component': 'dataplane' },
      minReadySeconds: 0,
      controllerMs: 10,
      token: 'secret',
    },
    rules,
  );
  await new Promise<void>((resolve) => api.server.listen(0, '127.0.0.1', resolve));
  port = (api.server.address() as AddressInfo).port;
});
afterEach(() => {
  api.server.close();
  expect(api.failures).toEqual([]);
});

describe('a rollout', () => {
  it('replaces every pod, the master last, says so beforehand, and uses every right that it is given', async () => {
    api.upgrade();
    expect(await run()).toMatchObject({
      pods: 3,
      replaced: [{ node: 'b' }, { node: 'c' }, { node: 'a', masterOf: ['api'] }],
    });
    expect([api.deleted, api.allNewest, api.unused]).toEqual([['b', 'c', 'a'], true, []]);
    expect(masters.get('api')).toBe('c');
    expect(said).toContain('order, as masters are now: b, c, a');
    expect(said).toContain('moves expected of api: 1');
    expect(said.at(-1)).toMatch(/^koi-dataplane in kube-system: done, 3 of 3 pods replaced in /);
  });

  it('has nothing to do where nothing of the dataplanes has changed', async () => {
    expect((await run()).replaced).toEqual([]);
    expect(api.deleted).toEqual([]);
    expect(said).toEqual([
      'koi-dataplane in kube-system: nothing to do, all 3 pods are of the newest revision and well',
    ]);
  });

  it('only tells what it would do', async () => {
    api.upgrade();
    expect(await run({ dryRun: true })).toMatchObject({
      replaced: [{ node: 'b' }, { node: 'c' }, { node: 'a' }],
      expectedMoves: [{ vr: 'api', moves: 1 }],
    });
    expect(api.deleted).toEqual([]);
  });

  it('looks again before each step: who has become master meanwhile comes last', async () => {
    api.upgrade();
    const moves = setInterval(() => {
      if (api.deleted.length === 1) masters.set('api', 'c');
    }, 1);
    await run();
    clearInterval(moves);
    expect(api.deleted).toEqual(['b', 'a', 'c']);
  });

  it('stops where a pod does not get ready, touches no other, and goes on from there when it is run again', async () => {
    api.upgrade();
    api.neverReady.add('b');
    const { code, text } = await failing(run({ timeoutMs: 200_000 }));
    expect(code).toBe('timeout');
    expect(text).toMatch(
      /^koi-dataplane in kube-system, node b: stopped after 200.0 s, 1 replaced so far: its pod koi-data/,
    );
    expect(text).toContain('is not ready yet');
    expect(text).toContain('kubectl -n kube-system get pods -o wide --field-selector spec.nodeName=b');
    expect(text).toContain('run it again (helm upgrade with the same values): it goes on where it stopped');
    expect(api.deleted).toEqual(['b']);
    api.relent();
    await run();
    expect(api.deleted).toEqual(['b', 'c', 'a']);
  });

  it('says in the words of Koi why a node is not well', async () => {
    api.upgrade();
    const watch = setInterval(() => {
      if (api.deleted.length === 1) drained.add('b');
    }, 1);
    const { text } = await failing(run({ timeoutMs: 200_000 }));
    clearInterval(watch);
    expect(text).toContain('is not ready yet: service: drained since yesterday; koi undrain takes it back');
  });

  it('replaces nothing where a node does not tell what it is master of', async () => {
    api.upgrade();
    silent.add('c');
    const { code, text } = await failing(run({ timeoutMs: 200_000 }));
    expect([code, api.deleted]).toEqual(['timeout', []]);
    expect(text).toMatch(/node c: .* does not tell what it is master of: http:\/\/127.0.0.13:\d+: /);
  });
});

describe('an API server', () => {
  it('that allows no deletion is an error of privilege, and nothing is replaced', async () => {
    api.upgrade();
    api.rules = rules.map((rule) => ({ ...rule, verbs: rule.verbs.filter((verb) => verb !== 'delete') }));
    const { code, text } = await failing(run());
    expect(code).toBe('privilege');
    expect(text).toMatch(
      /^not allowed to delete the pod koi-dataplane-\d+ in the namespace kube-system: pods is forbidden/,
    );
    expect(text).toContain("the chart's Role and RoleBinding (rollout.enabled=true)");
    expect(api.deleted).toEqual([]);
  });

  it('that allows nothing, or does not know the token, says which', async () => {
    api.rules = [];
    expect(await failing(run())).toMatchObject({
      code: 'privilege',
      text: expect.stringContaining('not allowed to get the DaemonSet koi-dataplane'),
    });
    writeFileSync(join(folder, 'token'), 'of another cluster');
    expect(await failing(run())).toMatchObject({ code: 'privilege', text: expect.stringContaining('who asks') });
  });

  it('without such a DaemonSet is told by its name', async () => {
    api.rules = [...rules, { ...(rules[0] as (typeof rules)[0]), resourceNames: ['koi-dataplan'] }];
    expect(await failing(run({ daemonSet: 'koi-dataplan' }))).toMatchObject({
      code: 'config',
      text: expect.stringContaining('there is no DaemonSet koi-dataplan in the namespace kube-system'),
    });
  });

  it('that is away is waited for, and then told of', async () => {
    api.server.close();
    const { code, text } = await failing(run({ timeoutMs: 50_000 }));
    expect(code).toBe('unreachable');
    expect(text).toMatch(/the API server at https:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });

  it('that is away is not waited for long where nothing would be done', async () => {
    api.server.close();
    const startMs = performance.now();
    const { code, text } = await failing(run({ dryRun: true }));
    expect([code, text]).toEqual(['unreachable', expect.stringContaining('ECONNREFUSED')]);
    // The timeout of a node's return would be 30 s here.
    expect(performance.now() - startMs).toBeLessThan(5_000);
    expect(said).toEqual([expect.stringMatching(/^waiting: the API server at .*ECONNREFUSED/)]);
  });

  it('whose certificate is of somebody else is refused', async () => {
    const other = mkdtempSync(join(folder, 'other-'));
    makeCertificate(other, '127.0.0.1');
    for (const name of ['token', 'namespace']) writeFileSync(join(other, name), 'x');
    const environment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) };
    const { text } = await failing(run({ timeoutMs: 50_000 }, ApiServer.ofPod(environment, 'kube-system', other)));
    expect(text).toMatch(/certificate|signature/i);
  });

  it('deletes no pod but the one that was looked at', async () => {
    const cluster = inCluster();
    const set = await cluster.daemonSet('koi-dataplane');
    const [pod] = await cluster.pods(set);
    if (pod === undefined) throw new Error('unreachable');
    expect(await cluster.deletePod({ ...pod, uid: 'of its predecessor' })).toBe(false);
    expect(await cluster.deletePod({ ...pod, name: 'gone' })).toBe(false);
    expect(api.deleted).toEqual([]);
    expect(await cluster.deletePod(pod)).toBe(true);
  });
});

it('outside of a pod there is no token, and that is said', () => {
  expect(() => ApiServer.ofPod({})).toThrow('this is no pod');
  expect(() => ApiServer.ofPod({ KUBERNETES_SERVICE_HOST: 'h' }, undefined, '/nonexistent')).toThrow(
    'this pod has no token',
  );
  expect(() => ApiServer.at('localhost', 'kube-system')).toThrow("'localhost' is no URL");
});
