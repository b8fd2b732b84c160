import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

export const chartFolder = fileURLToPath(new URL('../../helm/koi', import.meta.url));

/** The helm to test with; undefined where there is none. */
export function findHelm(): string | undefined {
  const found = spawnSync(fileURLToPath(new URL('../../scripts/helm-path', import.meta.url)), { encoding: 'utf8' });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
});
/** What helm renders, with the parts that every object has. */
export type Manifest = z.infer<typeof manifest>;

export type Values = Readonly<Record<string, unknown>>;

interface Answer {
  readonly ok: boolean;
  readonly said: string;
}

/** Runs helm on the chart with these values in a file. */
export function helm(helmPath: string, words: readonly string[], values: Values): Answer {
  const folder = mkdtempSync(join(tmpdir(), 'koi-helm-'));
  try {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, JSON.stringify(values));
    const environment = { PATH: process.env.PATH ?? '', HOME: folder };
    const ran = spawnSync(helmPath, [...words, '--values', file], {
      encoding: 'utf8',
      env: environment,
      timeout: 60_000,
      maxBuffer: 64 << 20,
    });
    return { ok: ran.status === 0, said: ran.status === 0 ? ran.stdout : `${ran.stdout}${ran.stderr}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @throws Error with what helm said where it refuses the values */
export function render(
  helmPath: string,
  values: Values,
  chart = chartFolder,
  more: readonly string[] = [],
): Manifest[] {
  const words = ['template', 'edge', chart, '--namespace', 'kube-system', '--kube-version', '1.34', ...more];
  const { ok, said } = helm(helmPath, words, values);
  if (!ok) throw new Error(said);
  return parseAllDocuments(said).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const value: unknown = document.toJS();
    return value === null ? [] : [manifest.parse(value)];
  });
}

const securityContext = z.strictObject({
  privileged: z.boolean().optional(),
  allowPrivilegeEscalation: z.boolean(),
  readOnlyRootFilesystem: z.boolean(),
  runAsNonRoot: z.boolean().optional(),
  runAsUser: z.number().optional(),
  runAsGroup: z.number().optional(),
  capabilities: z.strictObject({ drop: z.array(z.string()), add: z.array(z.string()).default([]) }),
});

/** What the tests look at of a container. */
export const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  command: z.array(z.string()),
  securityContext,
  resources: z.looseObject({ requests: z.looseObject({}), limits: z.looseObject({ memory: z.string() }) }),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() })),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).default([]),
  startupProbe: z.looseObject({}).optional(),
  livenessProbe: z.looseObject({}).optional(),
  readinessProbe: z.looseObject({}).optional(),
  lifecycle: z
    .looseObject({ preStop: z.looseObject({ exec: z.looseObject({ command: z.array(z.string()) }) }) })
    .optional(),
});

const podSpec = z.looseObject({
  hostNetwork: z.boolean().default(false),
  hostPID: z.boolean().default(false),
  hostIPC: z.boolean().default(false),
  dnsPolicy: z.string().default('ClusterFirst'),
  automountServiceAccountToken: z.boolean(),
  serviceAccountName: z.string().optional(),
  tolerations: z.array(z.looseObject({ effect: z.string().optional() })).optional(),
  priorityClassName: z.string().optional(),
  nodeSelector: z.record(z.string(), z.string()).optional(),
  terminationGracePeriodSeconds: z.number().optional(),
  securityContext: z.looseObject({ seccompProfile: z.looseObject({ type: z.string() }) }),
  initContainers: z.array(container).default([]),
  containers: z.array(container),
  volumes: z.array(
    z.looseObject({
      name: z.string(),
      hostPath: z.looseObject({ path: z.string() }).optional(),
      secret: z.looseObject({ secretName: z.string(), defaultMode: z.number().optional() }).optional(),
    }),
  ),
});
export type PodSpec = z.infer<typeof podSpec>;

const workload = z.looseObject({
  spec: z.looseObject({
    updateStrategy: z.looseObject({
      type: z.string(),
      rollingUpdate: z.looseObject({ maxUnavailable: z.number() }).optional(),
    }),
    selector: z.looseObject({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.looseObject({
      metadata: z.looseObject({
        labels: z.record(z.string(), z.string()),
        annotations: z.record(z.string(), z.string()),
      }),
      spec: podSpec,
    }),
  }),
});
export type Workload = Manifest & z.infer<typeof workload>;

/** The DaemonSets and StatefulSets among them, checked to have all that is asked of every one. */
export function workloads(manifests: readonly Manifest[]): Workload[] {
  return manifests
    .filter(({ kind }) => kind === 'DaemonSet' || kind === 'StatefulSet')
    .map((each) => ({ ...each, ...workload.parse(each) }));
}

const job = z.looseObject({ spec: z.looseObject({ template: z.looseObject({ spec: podSpec }) }) });

/** Every pod that is rendered, by the name of what makes it. */
export function pods(manifests: readonly Manifest[]): [string, PodSpec][] {
  const made = workloads(manifests).map(({ metadata, spec }): [string, PodSpec] => [metadata.name, spec.template.spec]);
  const single = manifests
    .filter(({ kind }) => kind === 'Pod')
    .map((each): [string, PodSpec] => [each.metadata.name, podSpec.parse(each.spec)]);
  const jobs = manifests
    .filter(({ kind }) => kind === 'Job')
    .map((each): [string, PodSpec] => [each.metadata.name, job.parse(each).spec.template.spec]);
  return [...made, ...single, ...jobs];
}

export const find = (manifests: readonly Manifest[], kind: string, name?: string): Manifest => {
  const found = manifests.find((each) => each.kind === kind && (name === undefined || each.metadata.name === name));
  if (found === undefined) throw new Error(`no ${kind} ${name ?? ''}`);
  return found;
};

/** The files of a ConfigMap or a Secret. */
export const dataOf = (of: Manifest): Record<string, string> => z.record(z.string(), z.string()).parse(of.data ?? {});

/** Runs the command line of this checkout. */
export function koi(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Answer {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  try {
    const said = execFileSync(process.execPath, ['--import', 'tsx', join(root, 'src/cli/main.ts'), ...words], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, ...environment },
      timeout: 60_000,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return { ok: true, said };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { ok: false, said: `${stdout}${stderr}` };
  }
}
