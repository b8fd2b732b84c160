import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataOf, find, findHelm, render, type Values } from './chart.js';
import { least } from './values.js';

/* What the chart looks up in a cluster: here a server that answers helm's questions for two Secrets. */

const helmPath = findHelm() ?? '';
const program = fileURLToPath(new URL('./api-server.mjs', import.meta.url));
const inBase64 = (text: string): string => Buffer.from(text).toString('base64');
const secret = (name: string, data: Readonly<Record<string, string>>): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'kube-system' },
  data,
});
const kept = { 'lan.key': inBase64('the key of the first install'), 'nats.pass': inBase64('and its password') };

describe.skipIf(helmPath === '')('the chart in a cluster', { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'koi-lookup-'));
  let server: ChildProcess;
  const inCluster = (values: Values) =>
    render(helmPath, values, undefined, ['--dry-run=server', '--kubeconfig', join(folder, 'kubeconfig')]);

  beforeAll(async () => {
    const objects = [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kube-root-ca.crt', namespace: 'kube-system' } },
      secret('edge-secrets', kept),
      secret('mine', { 'lan.key': inBase64('a key of sixteen bytes') }),
    ];
    writeFileSync(join(folder, 'objects.json'), JSON.stringify(objects));
    server = spawn(process.execPath, [program, join(folder, 'objects.json')], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (server.stdout === null) throw new Error('unreachable');
    const [port] = (await once(server.stdout, 'data')) as [Buffer];
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${String(port).trim()}` } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      users: [{ name: 'u', user: {} }],
      'current-context': 'c',
    };
    writeFileSync(join(folder, 'kubeconfig'), JSON.stringify(config), { mode: 0o600 });
  });
  afterAll(() => {
    server?.kill();
    rmSync(folder, { recursive: true });
  });

  const { virtualRouters } = least.config as { virtualRouters: Values[] };
  const embedded: Values = { config: { virtualRouters }, log: { embedded: { enabled: true } } };

  it('keeps the keys that it made at the first install', () => {
    expect(dataOf(find(inCluster(embedded), 'Secret', 'edge-secrets'))).toEqual(kept);
  });

  it('takes a Secret that is there and has what the configuration names', () => {
    expect(inCluster({ ...least, secrets: { existing: 'mine' } }).map(({ kind }) => kind)).not.toContain('Secret');
  });

  it('refuses a Secret that is not there, and says how to make it', () => {
    const render = (): unknown => inCluster({ ...least, secrets: { existing: 'yours' } });
    expect(render).toThrow(
      'secrets.existing: there is no Secret yours in the namespace kube-system. Make it: kubectl -n kube-system create',
    );
  });

  it('refuses a Secret without a file that the configuration names', () => {
    const render = (): unknown => inCluster({ ...embedded, secrets: { existing: 'mine' } });
    expect(render).toThrow('secrets.existing: the Secret mine has no key nats.pass');
  });
});
