import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config/load.js';
import { loadWitness } from '../../src/config/load-witness.js';
import { alertRules } from '../grafana/alert-rules.js';
import {
  chartFolder,
  dataOf,
  find,
  findHelm,
  helm,
  koi,
  type Manifest,
  pods,
  render,
  type Values,
  workloads,
} from './chart.js';
import { least, matrix } from './values.js';

const helmPath = findHelm() ?? '';
const title = helmPath === '' ? 'the chart (skipped: there is no helm; npm run test:helm builds it)' : 'the chart';

const rendered = new Map<string, Manifest[]>();
/** Each shape is rendered once. */
function shape(name: string): Manifest[] {
  const made = rendered.get(name) ?? render(helmPath, matrix[name] ?? {});
  rendered.set(name, made);
  return made;
}
const shapes = Object.keys(matrix);
const carp = matrix['CARP with a password'] ?? {};
const embedded = matrix['the log in the cluster'] ?? {};
const daemonSet = (of: readonly Manifest[], component: string) => {
  const found = workloads(of).find(({ metadata }) => metadata.name === `edge-${component}`);
  if (found === undefined) throw new Error(`no ${component}`);
  return found;
};
const checksum = (of: Values, component: string): string | undefined =>
  daemonSet(render(helmPath, of), component).spec.template.metadata.annotations['checksum/config'];

describe.skipIf(helmPath === '')(title, { timeout: 120_000 }, () => {
  it.each(shapes)('passes helm lint: %s', (name) => {
    const { ok, said } = helm(helmPath, ['lint', '--strict', chartFolder], matrix[name] ?? {});
    expect(said).not.toContain('[ERROR]');
    expect(ok, said).toBe(true);
  });

  it.each(shapes)('gives no container more than it needs: %s', (name) => {
    for (const [pod, spec] of pods(shape(name))) {
      const hasToken = pod === 'edge-rollout';
      expect([pod, spec.hostPID, spec.hostIPC, spec.automountServiceAccountToken]).toEqual([
        pod,
        false,
        false,
        hasToken,
      ]);
      expect(spec.securityContext.seccompProfile.type).toBe('RuntimeDefault');
      for (const container of [...spec.initContainers, ...spec.containers]) {
        const { securityContext: has } = container;
        const isDataplane = container.name === 'dataplane';
        expect([container.name, has.capabilities]).toEqual([
          container.name,
          { drop: ['ALL'], add: isDataplane ? ['NET_ADMIN', 'NET_RAW', 'SYS_NICE'] : [] },
        ]);
        expect([has.privileged ?? false, has.allowPrivilegeEscalation, has.readOnlyRootFilesystem]).toEqual([
          false,
          false,
          true,
        ]);
        // Only the dataplane, whose capabilities reach nobody but root, and what gives the directories away.
        if (!isDataplane && container.name !== 'prepare') {
          const user = has.runAsUser ?? spec.securityContext.runAsUser;
          expect([container.name, user]).toEqual([container.name, 65532]);
        }
      }
    }
  });

  it('gives nobody SYS_NICE where no real-time priority is asked for', () => {
    const config = { ...(least.config as object), realtime: { priority: 0 } };
    const added = pods(render(helmPath, { ...least, config })).flatMap(([, spec]) =>
      spec.containers.flatMap(({ securityContext }) => securityContext.capabilities.add ?? []),
    );
    expect(added).toEqual(['NET_ADMIN', 'NET_RAW']);
  });

  const withRollout = shapes.filter((name) => name !== 'updated by its controllers');

  it.each(withRollout)('lets nobody ask the API server but the rollout, and that for what it needs: %s', (name) => {
    const manifests = shape(name);
    const kinds = manifests.map(({ kind }) => kind);
    for (const kind of ['ClusterRole', 'ClusterRoleBinding']) expect(kinds).not.toContain(kind);
    expect(manifests.filter(({ kind }) => kind === 'Role').map((each) => each.metadata.name)).toEqual(['edge-rollout']);
    expect(find(manifests, 'Role').rules).toEqual([
      { apiGroups: ['apps'], resources: ['daemonsets'], resourceNames: ['edge-dataplane'], verbs: ['get'] },
      { apiGroups: ['apps'], resources: ['controllerrevisions'], verbs: ['list'] },
      { apiGroups: [''], resources: ['pods'], verbs: ['list', 'delete'] },
    ]);
    expect(find(manifests, 'RoleBinding')).toMatchObject({
      roleRef: { kind: 'Role', name: 'edge-rollout' },
      subjects: [{ kind: 'ServiceAccount', name: 'edge-rollout', namespace: 'kube-system' }],
    });
    const accounts = pods(manifests).map(([pod, { serviceAccountName }]) => [
      pod,
      serviceAccountName === 'edge-rollout',
    ]);
    expect(accounts.filter(([, isIts]) => isIts)).toEqual([['edge-rollout', true]]);
    for (const each of manifests.filter(({ kind }) => kind === 'ServiceAccount')) {
      expect(each.automountServiceAccountToken).toBe(false);
    }
  });

  it('has no rollout, no role and no token where the controllers update', () => {
    for (const type of ['RollingUpdate', 'OnDelete']) {
      const manifests = render(helmPath, { ...least, rollout: { enabled: false }, updateStrategy: { type } });
      for (const { kind, metadata } of manifests) {
        expect(['Job', 'Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding']).not.toContain(kind);
        expect(metadata.name).not.toContain('rollout');
      }
      expect(pods(manifests).filter(([, spec]) => spec.automountServiceAccountToken)).toEqual([]);
      expect(daemonSet(manifests, 'dataplane').spec.updateStrategy.type).toBe(type);
    }
  });

  it("runs the rollout after an upgrade and a rollback, on the dataplanes' DaemonSet, and not at a first install", () => {
    const job = find(shape('single nodes'), 'Job', 'edge-rollout');
    expect(job.metadata.annotations['helm.sh/hook']).toBe('post-upgrade,post-rollback');
    const [, spec] = pods([job])[0] ?? [];
    expect(spec?.containers.map(({ command }) => command)).toEqual([
      [...['koi', 'rollout', '--namespace=kube-system', '--daemonset=edge-dataplane', '--port=9650'], '--timeout=300s'],
    ]);
    // It has to leave a node that is gone, on which Koi's own pods stay.
    expect(spec?.tolerations?.map(({ effect }) => effect)).toEqual(['NoSchedule', 'NoSchedule']);
    for (const each of workloads(shape('single nodes'))) {
      expect(each.spec.selector.matchLabels['app.kubernetes.io/component']).not.toBe('rollout');
    }
  });

  it.each(shapes)('mounts of the host only state, sockets and the network sysctls: %s', (name) => {
    for (const [pod, spec] of pods(shape(name))) {
      const isDataplane = pod === 'edge-dataplane';
      const onHost = spec.volumes.flatMap(({ hostPath }) => hostPath?.path ?? []).sort();
      const expected = ['/run/koi', '/var/lib/koi'];
      expect([pod, onHost]).toEqual([
        pod,
        ['edge-log', 'edge-rollout'].includes(pod) ? [] : isDataplane ? ['/proc/sys/net', ...expected] : expected,
      ]);
      for (const volume of spec.volumes) if (volume.secret !== undefined) expect(volume.secret.defaultMode).toBe(0o440);
    }
  });

  it.each(shapes)('probes, drains with time to spare, one node at a time: %s', (name) => {
    for (const { kind, metadata, spec } of workloads(shape(name))) {
      const pod = spec.template.spec;
      expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels);
      const [main] = pod.containers;
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
        expect([metadata.name, probe, main?.[probe] !== undefined]).toEqual([metadata.name, probe, true]);
      }
      if (kind !== 'DaemonSet') continue;
      expect([pod.hostNetwork, pod.dnsPolicy]).toEqual([true, 'ClusterFirstWithHostNet']);
      // The dataplanes' one node at a time is the rollout's.
      const isOrdered = metadata.name === 'edge-dataplane' && name !== 'updated by its controllers';
      expect(spec.updateStrategy).toEqual(
        isOrdered ? { type: 'OnDelete' } : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      );
      const [seconds = ''] = main?.lifecycle?.preStop.exec.command.slice(-1) ?? [];
      // The stop itself takes up to 15 s more.
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(Number.parseInt(seconds, 10) + 15);
    }
  });

  it('has a priority class, except where none is wanted', () => {
    const classes = (name: string) => pods(shape(name)).map(([, { priorityClassName }]) => priorityClassName);
    expect(new Set(classes('the log in the cluster'))).toEqual(new Set(['system-node-critical']));
    expect(new Set(classes('an agent of its own version'))).toEqual(new Set([undefined]));
    const { nodeSelector } = daemonSet(shape('single nodes'), 'dataplane').spec.template.spec;
    expect(nodeSelector).toEqual({ 'node-role.kubernetes.io/control-plane': '' });
  });

  it.each(shapes)('keeps what is secret in Secrets: %s', (name) => {
    const manifests = shape(name);
    const secrets = manifests.filter(({ kind }) => kind === 'Secret').flatMap((each) => Object.values(dataOf(each)));
    if (name !== 'a Secret that is there') expect(secrets.length).toBeGreaterThan(0);
    const rest = JSON.stringify(manifests.filter(({ kind }) => kind !== 'Secret'));
    for (const secret of secrets) {
      expect(rest).not.toContain(secret);
      expect(rest).not.toContain(Buffer.from(secret, 'base64').toString());
    }
  });

  const environment = { KOI_NODE: 'node-a', KOI_HOST_IP: '10.0.0.1' };

  it.each(shapes)('writes a configuration that koi takes, for every node: %s', (name) => {
    for (const [file, text] of Object.entries(dataOf(find(shape(name), 'ConfigMap', 'edge')))) {
      const parsed = parseConfig(text, { environment });
      expect([file, parsed.ok ? [] : parsed.errors]).toEqual([file, []]);
      if (!parsed.ok) continue;
      expect(parsed.config.node).toBe('node-a');
      expect(parsed.config.http.listen).toEqual({ host: '10.0.0.1', port: 9650 });
    }
  });

  const folder = mkdtempSync(join(tmpdir(), 'koi-chart-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('and koi check accepts it, with the files of its Secret', () => {
    const manifests = shape('CARP with a password');
    let text = dataOf(find(manifests, 'ConfigMap', 'edge'))['koi.yaml'] ?? '';
    for (const [name, content] of Object.entries(dataOf(find(manifests, 'Secret')))) {
      writeFileSync(join(folder, name), Buffer.from(content, 'base64'), { mode: 0o440 });
    }
    text = text.replaceAll('/etc/koi/secrets', folder);
    const file = join(folder, 'koi.yaml');
    writeFileSync(file, text);
    const { ok, said } = koi(['check', '-c', file], environment);
    expect(said).toContain('cluster kubernetes, node node-a, 1 virtual router');
    expect(ok).toBe(true);
  });

  it('writes for a node what differs there, and for the others what they have in common', () => {
    const files = dataOf(find(shape('single nodes'), 'ConfigMap', 'edge'));
    const routers = (file: string) => {
      const parsed = parse(files[file] ?? '') as { virtualRouters: { interface: unknown; priority?: number }[] };
      return parsed.virtualRouters.map(({ interface: parent, priority }) => [parent, priority]);
    };
    expect(Object.keys(files)).toEqual(['koi.yaml', 'node.node-a.yaml', 'node.node-b.example.org.yaml']);
    expect(routers('koi.yaml')).toEqual([
      ['eth0', undefined],
      ['eth0', undefined],
    ]);
    expect(routers('node.node-a.yaml')).toEqual([
      ['eno1', 200],
      ['eno1', 200],
    ]);
    expect(routers('node.node-b.example.org.yaml')).toEqual([
      [{ mac: '52:54:00:12:34:56' }, 150],
      ['eth0', undefined],
    ]);
  });

  it('leaves on a node what its own values do not name: the file of the password above all', () => {
    const nodes = { a: { virtualRouters: { gw: { carp: { advskew: 50 }, preempt: { delay: '5s' } } } } };
    const files = dataOf(find(render(helmPath, { ...carp, nodes }), 'ConfigMap', 'edge'));
    const { virtualRouters } = parse(files['node.a.yaml'] ?? '') as { virtualRouters: Values[] };
    expect(virtualRouters[0]).toMatchObject({
      carp: { advbase: 1, advskew: 50, passwordFile: '/etc/koi/secrets/carp.pass' },
      preempt: { delay: '5s' },
    });
  });

  it('restarts what has to be restarted by a change, and nothing else', () => {
    const changed = (config: Values) => ({ config: { ...(least.config as Values), ...config } });
    const before = { dataplane: checksum(least, 'dataplane'), agent: checksum(least, 'agent') };
    const restarts = (values: Values) =>
      (['dataplane', 'agent'] as const).filter((component) => checksum(values, component) !== before[component]);
    const other = [{ name: 'api', interface: 'eth0', id: 51, addresses: ['10.0.0.99/24'], priority: 9 }];
    expect(restarts(changed({ virtualRouters: other }))).toEqual([]);
    expect(restarts(changed({ log: { servers: ['nats://10.99.0.8:4222'] } }))).toEqual(['agent']);
    expect(restarts(changed({ guard: { timeout: '500ms' } }))).toEqual(['dataplane', 'agent']);
    expect(restarts({ ...least, nodes: { 'node-a': { priority: 200 } } })).toEqual(['dataplane', 'agent']);
  });

  it('upgrades the agent without touching the dataplane', () => {
    const pod = (values: Values) => JSON.stringify(daemonSet(render(helmPath, values), 'dataplane').spec.template);
    const upgraded = { ...least, agent: { image: { tag: '0.1.1' } } };
    expect(pod(upgraded)).toBe(pod(least));
    const [agent] = daemonSet(render(helmPath, upgraded), 'agent').spec.template.spec.containers;
    expect(agent?.image).toBe('koi:0.1.1');
  });

  it('runs the log with storage, names that resolve and a policy', () => {
    const manifests = shape('the log in the cluster');
    expect(find(manifests, 'Service').spec).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true });
    expect(find(manifests, 'StatefulSet').spec).toMatchObject({
      serviceName: 'edge-log',
      replicas: 3,
      volumeClaimTemplates: [{ spec: { resources: { requests: { storage: '5Gi' } } } }],
    });
    expect(find(manifests, 'PodDisruptionBudget').spec).toMatchObject({ maxUnavailable: 1 });
    expect(find(manifests, 'NetworkPolicy').spec).toMatchObject({
      ingress: [{ ports: [{ port: 4222 }] }, { ports: [{ port: 6222 }], from: [{ podSelector: {} }] }],
    });
    const parsed = parseConfig(dataOf(find(manifests, 'ConfigMap', 'edge'))['koi.yaml'] ?? '', { environment });
    expect(parsed.ok && parsed.config.log).toMatchObject({
      servers: [0, 1, 2].map((n) => `nats://edge-log-${n}.edge-log.kube-system.svc.cluster.local:4222`),
      replicas: 3,
    });
  });

  it.each(['the log in the cluster', 'one server of the log'])('with a configuration its servers take: %s', (name) => {
    const file = join(folder, 'witness.yaml');
    writeFileSync(file, dataOf(find(shape(name), 'ConfigMap', 'edge-log'))['witness.yaml'] ?? '');
    const before = process.env.KOI_NODE;
    process.env.KOI_NODE = 'edge-log-0';
    try {
      const { config } = loadWitness(file);
      expect(config.node).toBe('edge-log-0');
      expect(config.embedded.cluster?.routes.length).toBe(name === 'the log in the cluster' ? 3 : undefined);
    } finally {
      if (before === undefined) delete process.env.KOI_NODE;
      else process.env.KOI_NODE = before;
    }
  });

  it('brings the alert rules and the dashboards as they are', () => {
    const manifests = shape('all that watches');
    const { groups } = find(manifests, 'PrometheusRule').spec as { groups: { rules: ReturnType<typeof alertRules> }[] };
    const expected = alertRules().map((rule) => ({
      ...rule,
      annotations: {
        ...rule.annotations,
        runbook_url: rule.annotations.runbook_url.replace('docs/runbooks/', 'https://wiki.example.org/koi/'),
      },
    }));
    expect(groups.flatMap(({ rules }) => rules)).toEqual(expected);
    const boards = manifests.filter(({ metadata }) => metadata.labels.grafana_dashboard === '1');
    expect(boards.length).toBe(4);
    for (const board of boards) {
      for (const [file, text] of Object.entries(dataOf(board))) {
        const original = readFileSync(join(chartFolder, 'files/dashboards', file), 'utf8');
        expect(JSON.parse(text)).toEqual(JSON.parse(original));
      }
    }
    expect(find(manifests, 'PodMonitor').metadata.labels.release).toBe('prometheus');
  });

  it.each<[string, string, Values]>([
    ['a VRID that is none', '/config/virtualRouters/0/id', router({ id: 300 })],
    ['a key that is misspelt', 'adresses', router({ adresses: [] })],
    ['a virtual router without an address', '/config/virtualRouters/0/addresses', router({ addresses: [] })],
    ['an address that is none', 'config.virtualRouters[0].addresses[0]', router({ addresses: ['10.0.0.300/24'] })],
    ['a prefix length that is none', 'as 10.0.0.11/24', router({ addresses: ['10.0.0.3/33'] })],
    ['a name for an address', 'config.virtualRouters[0].addresses[1]', router({ addresses: ['::1', 'foo'] })],
    ['an address in a map that is none', 'addresses[0]', router({ addresses: [{ address: '10.0.0/24' }] })],
    [
      'an address twice',
      'config.virtualRouters[0].addresses[1]',
      router({ addresses: ['10.0.0.3/24', { address: '10.0.0.3' }] }),
    ],
    ['a track that there is not', 'config.virtualRouters[0].track[0]', router({ track: ['uplink'] })],
    [
      'a server of the log without its scheme',
      'config.log.servers[0]',
      withLog({ servers: ['nats.example.org:4222'] }),
    ],
    ['a password in a URL', 'config.log.servers[0]', withLog({ servers: ['nats://koi:secret@nats.example.org:4222'] })],
    ['a certificate beside its Secret', 'config.log.tls.ca', withLog({ tls: { ca: '/etc/ssl/ca.pem' } })],
    [
      'a password of CARP beside its Secret',
      'config.virtualRouters[0].carp.passwordFile',
      router({ protocol: 'carp', carp: { passwordFile: '/etc/koi/carp.pass' } }),
    ],
    ['a password in the ConfigMap', 'password', withLog({ user: 'koi', password: 'x' })],
    ['a token in the ConfigMap', 'token', withLog({ token: 'x' })],
    ['an unknown key beside the configuration', 'relicas', { ...least, relicas: 3 }],
    ['two servers of the log', '/log/embedded/replicas', { ...least, log: { embedded: { replicas: 2 } } }],
    ['a priority that is none', '/nodes/a/priority', { ...least, nodes: { a: { priority: 0 } } }],
    ['no virtual router', '/config/virtualRouters', { config: { log: { servers: ['nats://h:4222'] } } }],
    ['no log', 'config.log is missing', { config: { virtualRouters: (least.config as Values).virtualRouters } }],
    ['two logs', 'config.log and log.embedded', { ...least, log: { embedded: { enabled: true } } }],
    [
      'a node of an unknown router',
      'nodes.a.virtualRouters.x',
      { ...least, nodes: { a: { virtualRouters: { x: {} } } } },
    ],
    ['another port for probes', 'config.http.listen', { ...least, httpPort: 9651 }],
    [
      'a grace that the drain uses up',
      'dataplane.terminationGracePeriodSeconds',
      { ...least, dataplane: { drainSeconds: 40 } },
    ],
    [
      'a rollout that waits too briefly',
      'rollout.nodeTimeoutSeconds',
      { ...least, rollout: { nodeTimeoutSeconds: 60 } },
    ],
    [
      'a grace that the wait uses up',
      'agent.terminationGracePeriodSeconds',
      { ...least, agent: { terminationGracePeriodSeconds: 20 } },
    ],
    ['a name of a node that is too long', 'nodes.n', { ...least, nodes: { ['n'.repeat(33)]: { priority: 9 } } }],
    ['a file its Secret lacks', 'secrets.data.nats.creds', withLog({ credentials: '/etc/koi/secrets/nats.creds' })],
    ['a secret beside its Secret', 'config.log.credentials', withLog({ credentials: '/etc/nats.creds' })],
    ['two Secrets', 'secrets.existing and secrets.data', { ...least, secrets: { existing: 'mine', data: { a: 'b' } } }],
    ['a size that is none', '/log/embedded/storage/size', withStorage('5GB')],
    [
      'a network without its length',
      '/networkPolicy/nodeCidrs/0',
      { ...least, networkPolicy: { nodeCidrs: ['10.0.0.0'] } },
    ],
    ['a key that is too short', 'secrets.data.lan.key', { ...least, secrets: { data: { 'lan.key': 'short' } } }],
    ['a store as large as its volume', 'log.embedded.maxStore', withStorage('4096Mi')],
    ['a priority where there is none', 'nodes.a.priority', { ...carp, nodes: { a: { priority: 9 } } }],
  ])('refuses %s, and names the field', (_, field, values) => {
    const { ok, said } = helm(helmPath, ['template', 'edge', chartFolder, '--kube-version', '1.34'], values);
    expect(ok).toBe(false);
    expect(said).toContain(field);
  });

  it('says after an install what to do next', () => {
    // helm prints them only where there is a cluster; so here they are a template like the others.
    const copy = join(folder, 'chart');
    cpSync(chartFolder, copy, { recursive: true, dereference: true });
    cpSync(join(copy, 'templates/NOTES.txt'), join(copy, 'files/notes.txt'));
    const template = '{{- tpl (.Files.Get "files/notes.txt") . | nindent 4 }}';
    const head = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata:\n  notes: |\n';
    writeFileSync(join(copy, 'templates/notes.yaml'), `${head}    ${template}\n`);
    const notes = dataOf(find(render(helmPath, matrix['single nodes'] ?? {}, copy), 'ConfigMap', 'notes')).notes;
    expect(notes).toContain('ingress  10.0.0.11/24, 10.0.0.12/24');
    expect(notes).toContain('koi status');
    expect(notes).toContain('helm test edge -n kube-system');
  });
});

function router(changes: Values): Values {
  const { virtualRouters, ...rest } = least.config as { virtualRouters: Values[] };
  return { config: { ...rest, virtualRouters: virtualRouters.map((each) => ({ ...each, ...changes })) } };
}

function withStorage(size: string): Values {
  return { ...embedded, log: { embedded: { enabled: true, storage: { size } } } };
}

function withLog(changes: Values): Values {
  const config = least.config as { log: Values };
  return { config: { ...config, log: { ...config.log, ...changes } } };
}
