import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { find, findHelm, koi, type Manifest, render } from './chart.js';
import { hasKubeconform, kubeconform, writeSchemas } from './kubeconform.js';
import { matrix } from './values.js';

const helmPath = findHelm() ?? '';
const canRun = helmPath !== '' && hasKubeconform;
const title = "the chart's objects, as the API server takes them";

describe.skipIf(!canRun)(canRun ? title : `${title} (skipped: npm run test:helm brings helm and kubeconform)`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'koi-kubeconform-'));
  beforeAll(() => writeSchemas(folder));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(Object.keys(matrix))('are valid: %s', { timeout: 60_000 }, (name) => {
    expect(kubeconform(folder, render(helmPath, matrix[name] ?? {}))).toEqual([]);
  });

  it('are valid, the static pod of koi manifest too', () => {
    const config = join(folder, 'koi.yaml');
    const router = '{name: api, interface: eth0, id: 51, addresses: [10.0.0.10/24]}';
    const embedded = 'embedded: {listen: "127.0.0.1:4222", storeDir: /var/lib/koi/nats}';
    writeFileSync(config, `cluster: c\nnode: n\nlog: {${embedded}}\nvirtualRouters: [${router}]\n`);
    const { ok, said } = koi(['manifest', '-c', config, '--json']);
    expect(ok, said).toBe(true);
    expect(kubeconform(folder, [JSON.parse(said)])).toEqual([]);
  });

  let everything: Manifest[] | undefined;
  /** An object with one thing changed, deep in it. */
  const spoilt = (object: Manifest, from: string, to: string): Manifest => {
    const text = JSON.stringify(object);
    expect(text).toContain(from);
    return JSON.parse(text.replace(from, to)) as Manifest;
  };

  it.each<[kind: string, from: string, to: string, message: string]>([
    ['DaemonSet', '"hostNetwork"', '"hostNetwrok"', 'hostNetwrok'],
    ['DaemonSet', '"mountPath"', '"mountpath"', 'mountpath'],
    ['DaemonSet', '"failureThreshold":60', '"failureThreshold":"sixty"', 'failureThreshold'],
    ['DaemonSet', '"selector"', '"selectors"', 'selector'],
    ['StatefulSet', '"volumeClaimTemplates"', '"volumeClaims"', 'volumeClaims'],
    ['Service', '"clusterIP"', '"clusterIp"', 'clusterIp'],
    ['NetworkPolicy', '"ingress"', '"ingres"', 'ingres'],
    ['PodDisruptionBudget', '"maxUnavailable"', '"maxUnavailble"', 'maxUnavailble'],
    ['PodMonitor', '"podMetricsEndpoints"', '"podMetricEndpoints"', 'podMetric'],
    ['PrometheusRule', '"expr"', '"exp"', 'exp'],
    ['Secret', '"data"', '"dat"', 'dat'],
    ['ServiceAccount', '"automountServiceAccountToken"', '"automountToken"', 'automountToken'],
    ['Pod', '"restartPolicy"', '"restart"', 'restart'],
    ['ConfigMap', '"data"', '"files"', 'files'],
    ['Job', '"backoffLimit"', '"backOffLimit"', 'backOffLimit'],
    ['Role', '"verbs"', '"verb"', 'verb'],
    ['RoleBinding', '"roleRef"', '"role"', 'role'],
  ])('would be found out: %s with %s as %s', (kind, from, to, message) => {
    everything = everything ?? render(helmPath, { ...matrix['all that watches'], ...matrix['the log in the cluster'] });
    expect(kubeconform(folder, [spoilt(find(everything, kind), from, to)])).toEqual([expect.stringContaining(message)]);
  });
});
