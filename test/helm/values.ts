import type { Values } from './chart.js';

const api = { name: 'api', interface: 'eth0', id: 51, addresses: ['10.0.0.10/24'] };

/** The least that a user has to write. */
export const least: Values = {
  config: { log: { servers: ['nats://10.99.0.9:4222'] }, virtualRouters: [api] },
};

/** What the tests render: each shape that the chart can have, once. */
export const matrix: Readonly<Record<string, Values>> = {
  'servers that are there': least,
  'the log in the cluster': { config: { virtualRouters: [api] }, log: { embedded: { enabled: true } } },
  'one server of the log': { config: { virtualRouters: [api] }, log: { embedded: { enabled: true, replicas: 1 } } },
  'a Secret that is there': {
    config: {
      log: { servers: ['tls://nats.example.org:4222'], replicas: 3, credentials: '/etc/koi/secrets/nats.creds' },
      virtualRouters: [api],
    },
    secrets: { existing: 'my-secret' },
  },
  'single nodes': {
    config: {
      log: { servers: ['nats://10.99.0.9:4222'] },
      onLogLoss: 'hold',
      lease: { ttl: '6s', renew: '1s' },
      track: [{ name: 'apiserver', script: ['/bin/true'], interval: '2s', weight: 0 }],
      virtualRouters: [
        { ...api, track: ['apiserver'], preempt: { enabled: false } },
        { ...api, name: 'ingress', id: 52, addresses: ['10.0.0.11/24', { address: '10.0.0.12/24' }] },
      ],
    },
    nodes: {
      'node-a': { interface: 'eno1', priority: 200 },
      'node-b.example.org': { virtualRouters: { api: { interface: { mac: '52:54:00:12:34:56' }, priority: 150 } } },
    },
    nodeSelector: { 'node-role.kubernetes.io/control-plane': '' },
  },
  'CARP with a password': {
    config: {
      log: { servers: ['nats://10.99.0.9:4222'] },
      virtualRouters: [
        {
          name: 'gw',
          protocol: 'carp',
          interface: 'eth0',
          id: 7,
          addresses: ['10.0.0.20/24'],
          carp: { advbase: 1, advskew: 10, passwordFile: '/etc/koi/secrets/carp.pass' },
        },
      ],
    },
    secrets: { data: { 'carp.pass': 'correct horse', 'lan.key': 'a key of at least sixteen bytes' } },
  },
  'all that watches': {
    ...least,
    podMonitor: { enabled: true, labels: { release: 'prometheus' } },
    prometheusRule: { enabled: true, runbookUrl: 'https://wiki.example.org/koi/' },
    dashboards: { enabled: true, annotations: { 'k8s-sidecar-target-directory': '/tmp/koi' } },
  },
  'updated by its controllers': { ...least, rollout: { enabled: false } },
  'an agent of its own version': {
    ...least,
    image: { repository: 'registry.example.org/koi', tag: '0.1.0' },
    agent: { image: { tag: '0.1.1' } },
    priorityClassName: '',
    podLabels: { team: 'net' },
    podAnnotations: { note: 'x' },
    networkPolicy: { enabled: false },
  },
};
