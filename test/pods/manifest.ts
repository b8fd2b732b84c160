import { z } from 'zod';

/* What a kubelet reads of a pod. Whatever else a manifest says is not tried here, and seccomp is one of it. */

const exec = z.object({ exec: z.object({ command: z.array(z.string()) }) });
const httpGet = z.object({
  httpGet: z.object({ path: z.string(), port: z.union([z.number(), z.string()]), host: z.string().optional() }),
});
const probe = z.intersection(z.union([exec, httpGet]), z.object({ periodSeconds: z.number() }));
export type Probe = z.infer<typeof probe>;

const container = z.object({
  name: z.string(),
  command: z.array(z.string()),
  env: z
    .array(
      z.object({
        name: z.string(),
        value: z.string().optional(),
        valueFrom: z.object({ fieldRef: z.object({ fieldPath: z.string() }) }).optional(),
      }),
    )
    .default([]),
  ports: z.array(z.object({ name: z.string(), containerPort: z.number() })).default([]),
  securityContext: z.object({
    runAsUser: z.number().optional(),
    runAsGroup: z.number().optional(),
    allowPrivilegeEscalation: z.literal(false),
    privileged: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    capabilities: z.object({ drop: z.tuple([z.literal('ALL')]), add: z.array(z.string()).default([]) }),
  }),
  startupProbe: probe.optional(),
  readinessProbe: probe.optional(),
  lifecycle: z.object({ preStop: exec }).optional(),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().default(false) })),
});
export type Container = z.infer<typeof container>;

const volume = z.object({
  name: z.string(),
  hostPath: z.object({ path: z.string() }).optional(),
  configMap: z.object({ name: z.string(), defaultMode: z.number() }).optional(),
  secret: z.object({ secretName: z.string(), defaultMode: z.number() }).optional(),
});
export type Volume = z.infer<typeof volume>;

export const podSpec = z.object({
  hostNetwork: z.literal(true),
  automountServiceAccountToken: z.boolean().default(false),
  terminationGracePeriodSeconds: z.number().default(30),
  securityContext: z.object({
    fsGroup: z.number().optional(),
    runAsUser: z.number().optional(),
    runAsGroup: z.number().optional(),
  }),
  initContainers: z.array(container).default([]),
  containers: z.array(container),
  volumes: z.array(volume),
});
export type PodSpec = z.infer<typeof podSpec>;

export const daemonSet = z.object({
  spec: z.object({
    minReadySeconds: z.number(),
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.object({ spec: podSpec }),
  }),
});

export const job = z.object({ spec: z.object({ template: z.object({ spec: podSpec }) }) });

/** A container that runs a command as the image's user, and sees one directory of the host. */
export const commandPod = (command: readonly string[], directory: string): PodSpec =>
  podSpec.parse({
    hostNetwork: true,
    securityContext: { runAsUser: 65_532, runAsGroup: 65_532 },
    containers: [
      {
        name: 'command',
        command,
        securityContext: {
          allowPrivilegeEscalation: false,
          privileged: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'directory', mountPath: directory, readOnly: true }],
      },
    ],
    volumes: [{ name: 'directory', hostPath: { path: directory } }],
  });
