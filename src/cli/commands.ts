import type { CommandEntry } from './command.js';

/** Every subcommand, in the order of `koi --help`. A new one is a module with `define` and a line here. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'run',
    summary: 'run agent, dataplane and guard together, in the foreground',
    load: () => import('./run.js'),
  },
  { name: 'agent', summary: 'run the agent alone: log, HTTP, control socket', load: () => import('./agent.js') },
  {
    name: 'dataplane',
    summary: 'run the dataplane alone: everything on the network',
    load: () => import('./dataplane.js'),
  },
  {
    name: 'log-server',
    summary: 'run and watch the nats-server of log.embedded alone',
    load: () => import('./log-server.js'),
  },
  {
    name: 'witness',
    summary: 'run and watch a nats-server that only votes, on a machine without koi nodes',
    load: () => import('./witness.js'),
  },
  {
    name: 'check',
    summary: 'check a configuration file; prints every error at once',
    load: () => import('./check.js'),
  },
  { name: 'schema', summary: 'print the JSON Schema of the configuration', load: () => import('./schema.js') },
  {
    name: 'import',
    summary: 'print a koi configuration made of a keepalived.conf',
    load: () => import('./import.js'),
  },
  {
    name: 'manifest',
    summary: 'print the static pod that runs koi on a node of a Kubernetes control plane',
    load: () => import('./manifest.js'),
  },
  {
    name: 'rollout',
    summary: 'replace the pods of the dataplanes of a Kubernetes cluster, the master of most last',
    load: () => import('./rollout.js'),
  },
  {
    name: 'status',
    summary: 'show virtual routers, nodes and the log, as the local daemon sees them',
    load: () => import('./status.js'),
  },
  {
    name: 'timeline',
    summary: 'show the events of the log in order, with their causes',
    load: () => import('./timeline.js'),
  },
  {
    name: 'replay',
    summary: 'show the state of the cluster as it was at a moment, from the log',
    load: () => import('./replay.js'),
  },
  {
    name: 'audit',
    summary: 'check on the recorded log that the promises were kept',
    load: () => import('./audit.js'),
  },
  {
    name: 'reload',
    summary: 'apply the changed configuration file; prints what changed',
    load: () => import('./reload.js'),
  },
  {
    name: 'handover',
    summary: 'give a virtual router to another node, without losing a packet',
    load: () => import('./handover.js'),
  },
  {
    name: 'drain',
    summary: 'hand over everything, and take nothing until koi undrain',
    load: () => import('./drain.js'),
  },
  { name: 'undrain', summary: 'take this node back into service', load: () => import('./undrain.js') },
  {
    name: 'simulate',
    summary: 'run whole clusters in virtual time, against everything that can fail',
    load: () => import('./simulate.js'),
  },
  {
    name: 'doctor',
    summary: 'look at host, network and log for what keeps koi from its promises, each with a remedy',
    load: () => import('./doctor.js'),
  },
  {
    name: 'clean',
    summary: 'remove what an earlier run left in the kernel, and restore sysctls',
    load: () => import('./clean.js'),
  },
];
