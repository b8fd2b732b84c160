import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { namedFiles } from '../config/file-checks.js';
import { parseConfig } from '../config/load.js';
import { staticPod } from './static-pod.js';

const text = `
cluster: kubernetes
node: cp1
lanKeyFile: /etc/koi/lan.key
http: {listen: "0.0.0.0:9650"}
track:
  - {name: apiserver, script: [/usr/local/bin/apiserver-health], interval: 2s, weight: 0}
virtualRouters:
  - {name: api, interface: eth0, id: 51, addresses: [10.0.0.10/24], track: [apiserver]}
log:
`;
const servers = '  servers: [tls://nats:4222]\n  credentials: /etc/nats/koi.creds\n';
const embedded =
  '  user: koi\n  passwordFile: /etc/koi/nats.pass\n  embedded: {listen: "10.0.0.1:4222", storeDir: /srv/koi-log}\n';

const mount = z.strictObject({ name: z.string(), mountPath: z.string(), readOnly: z.literal(true).optional() });
const container = z.looseObject({
  name: z.string(),
  command: z.array(z.string()),
  securityContext: z.looseObject({
    runAsUser: z.number(),
    capabilities: z.strictObject({ drop: z.array(z.string()), add: z.array(z.string()).optional() }),
  }),
  startupProbe: z.looseObject({}).optional(),
  volumeMounts: z.array(mount),
});
const pod = z.looseObject({
  spec: z.looseObject({
    terminationGracePeriodSeconds: z.number(),
    initContainers: z.array(container),
    containers: z.array(container),
    volumes: z.array(
      z.strictObject({ name: z.string(), hostPath: z.strictObject({ path: z.string(), type: z.string() }) }),
    ),
  }),
});

function made(log: string) {
  const parsed = parseConfig(text + log, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const files = namedFiles(parsed.document).map(({ file }) => file);
  const place = { image: 'koi:1', namespace: 'kube-system', configFile: '/etc/koi/koi.yaml', files };
  return pod.parse(staticPod(parsed.config, place)).spec;
}

describe('the static pod', () => {
  it('gives the dataplane its two capabilities, and nobody else any', () => {
    const { containers, initContainers } = made(servers);
    const rights = [...initContainers, ...containers].map(({ name, securityContext: { runAsUser, capabilities } }) => [
      name,
      runAsUser,
      capabilities,
    ]);
    expect(rights).toEqual([
      ['prepare', 0, { drop: ['ALL'] }],
      ['dataplane', 0, { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] }],
      ['agent', 65_532, { drop: ['ALL'] }],
    ]);
  });

  it('mounts every directory that the configuration names, once, and writes only where it must', () => {
    const { containers, volumes } = made(servers);
    expect(volumes.map(({ hostPath }) => hostPath.path)).toEqual([
      '/run/koi',
      '/var/lib/koi',
      '/etc/koi',
      '/etc/nats',
      '/proc/sys/net',
    ]);
    const agent = containers.find(({ name }) => name === 'agent');
    expect(agent?.volumeMounts.map(({ mountPath, readOnly }) => [mountPath, readOnly ?? false])).toEqual([
      ['/run/koi', false],
      ['/var/lib/koi', false],
      ['/etc/koi', true],
      ['/etc/nats', true],
    ]);
  });

  it('asks the agent where it listens', () => {
    const agent = made(servers).containers.find(({ name }) => name === 'agent');
    expect(agent?.startupProbe).toMatchObject({ httpGet: { path: '/healthz', host: '127.0.0.1', port: 9650 } });
  });

  it('runs the server of an embedded log, with its store', () => {
    const { containers, volumes } = made(embedded);
    expect(containers.map(({ command }) => command)).toEqual([
      ['koi', 'dataplane', '-c', '/etc/koi/koi.yaml'],
      ['koi', 'agent', '-c', '/etc/koi/koi.yaml'],
      ['koi', 'log-server', '-c', '/etc/koi/koi.yaml'],
    ]);
    expect(volumes.map(({ hostPath }) => hostPath.path)).toContain('/srv/koi-log');
  });

  it('has more time to end than its drain and its stop take', () => {
    expect(made(servers).terminationGracePeriodSeconds).toBeGreaterThanOrEqual(20 + 15);
  });
});
