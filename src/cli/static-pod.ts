import { dirname } from 'node:path';
import type { KoiConfig } from '../config/config.js';
import { dataplaneSocketPath } from '../ipc/line-channel.js';

/** Whom the image runs everything as that needs no capability; also the group that the daemons share. */
const koiUser = 65_532;
/** preStop hands over within this time, the stop after it takes up to 15 s. */
const drainSeconds = 20;
const graceSeconds = 45;

export interface StaticPodPlace {
  readonly image: string;
  readonly namespace: string;
  /** The configuration's absolute path on the host, where the pod sees it too. */
  readonly configFile: string;
  /** Every file that the configuration names. */
  readonly files: readonly string[];
}

interface Volume {
  readonly name: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly type: 'Directory' | 'DirectoryOrCreate';
}

/**
 * The manifest of a static pod that runs Koi as the kubelet starts it, before there is an API server: dataplane, agent
 * and, with log.embedded, the log's server, each with the rights it needs and no more.
 */
export function staticPod(config: KoiConfig, place: StaticPodPlace): object {
  const volumes = volumesOf(config, place);
  const mounts = volumes.map(({ name, path, readOnly }) => ({ name, mountPath: path, ...(readOnly && { readOnly }) }));
  const container = (name: string, seconds: number, rest: object): object => ({
    name,
    image: place.image,
    imagePullPolicy: 'IfNotPresent',
    command: ['koi', name, '-c', place.configFile],
    securityContext: unprivileged,
    lifecycle: { preStop: { exec: { command: ['sleep', String(seconds)] } } },
    volumeMounts: mounts,
    ...rest,
  });
  const { embedded } = config.log;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'koi', namespace: place.namespace, labels: { 'app.kubernetes.io/name': 'koi' } },
    spec: {
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: graceSeconds,
      securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
      initContainers: [prepare(config, place, mounts)],
      containers: [
        dataplane(config, place, mounts),
        // The agent has to tell the log what was handed over, and the log has to be there for it.
        container('agent', drainSeconds, probesOf(config)),
        ...(embedded === undefined ? [] : [container('log-server', drainSeconds, {})]),
      ],
      volumes: [
        ...volumes.map(({ name, path, type }) => ({ name, hostPath: { path, type } })),
        { name: 'sysctl-net', hostPath: { path: '/proc/sys/net', type: 'Directory' } },
      ],
    },
  };
}

const withoutPrivilege = {
  privileged: false,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
} as const;

const unprivileged = {
  ...withoutPrivilege,
  runAsNonRoot: true,
  runAsUser: koiUser,
  runAsGroup: koiUser,
  capabilities: { drop: ['ALL'] },
} as const;

/** The directories are root's when the kubelet makes them; their owner may give them to a group of its own. */
function prepare(config: KoiConfig, { image }: StaticPodPlace, volumeMounts: readonly object[]): object {
  return {
    name: 'prepare',
    image,
    command: ['koi-node', 'prepare'],
    env: [
      { name: 'KOI_RUN_DIRECTORY', value: dirname(config.control) },
      { name: 'KOI_STATE_DIRECTORY', value: config.stateDir },
    ],
    securityContext: {
      ...withoutPrivilege,
      runAsUser: 0,
      runAsGroup: koiUser,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts,
  };
}

function dataplane(config: KoiConfig, { image, configFile }: StaticPodPlace, mounts: readonly object[]): object {
  const isThere = { exec: { command: ['test', '-S', dataplaneSocketPath(config.control)] } };
  return {
    name: 'dataplane',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['koi', 'dataplane', '-c', configFile],
    env: [{ name: 'KOI_SYSCTL_ROOT', value: '/host/proc/sys' }],
    securityContext: {
      ...withoutPrivilege,
      // Capabilities that are added reach root only, which has none but these two here.
      runAsUser: 0,
      runAsGroup: koiUser,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
    },
    startupProbe: { ...isThere, periodSeconds: 2, failureThreshold: 30 },
    livenessProbe: { ...isThere, periodSeconds: 10 },
    lifecycle: {
      preStop: {
        exec: {
          command: ['koi', 'drain', '--until-restart', '--timeout', `${drainSeconds}s`, '--socket', config.control],
        },
      },
    },
    volumeMounts: [...mounts, { name: 'sysctl-net', mountPath: '/host/proc/sys/net' }],
  };
}

const anyAddress: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '127.0.0.1' };

function probesOf({ http: { listen } }: KoiConfig): object {
  const ask = (path: string): object => ({ path, port: listen.port, host: anyAddress[listen.host] ?? listen.host });
  return {
    startupProbe: { httpGet: ask('/healthz'), periodSeconds: 2, timeoutSeconds: 3, failureThreshold: 60 },
    livenessProbe: { httpGet: ask('/healthz'), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 12 },
    readinessProbe: { httpGet: ask('/readyz'), periodSeconds: 3, timeoutSeconds: 3 },
  };
}

function volumesOf(config: KoiConfig, { configFile, files }: StaticPodPlace): Volume[] {
  const written = [dirname(config.control), config.stateDir, config.log.embedded?.storeDir];
  const volumes: Volume[] = [];
  const isCovered = (path: string): boolean =>
    volumes.some((volume) => path === volume.path || path.startsWith(`${volume.path}/`));
  const add = (path: string, readOnly: boolean): void => {
    if (isCovered(path)) return;
    const type = readOnly ? 'Directory' : 'DirectoryOrCreate';
    volumes.push({ name: `dir-${volumes.length}`, path, readOnly, type });
  };
  for (const path of written) if (path !== undefined) add(path, false);
  for (const file of [configFile, ...files]) add(dirname(file), true);
  return volumes;
}
