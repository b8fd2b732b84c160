import { badAbove0, stateMappings, stateNumber, transitionMarks, upDown } from './common.js';
import { clusterVariable, type Dashboard, instanceVariable, jobVariable, of } from './dashboard.js';

const masters = `(${of('koi_vr_state', 'state="master"')} == 1)`;

export const fleet: Dashboard = {
  uid: 'koi-fleet',
  title: 'Koi / Fleet',
  description: 'Every virtual router and every node at a glance: who serves, what is wrong, what changed.',
  variables: [clusterVariable, jobVariable, instanceVariable],
  annotations: transitionMarks(),
  rows: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Virtual routers',
          description: 'How many virtual routers the nodes have between them.',
          unit: 'none',
          targets: [{ expr: `count(count by (cluster, job, vr) (${of('koi_vr_info')}))`, instant: true }],
          width: 4,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Without a master',
          description: 'Virtual routers that no node serves, by their own reports. Their addresses answer nobody.',
          unit: 'none',
          targets: [
            {
              expr: `count(count by (cluster, job, vr) (${of('koi_vr_info')}) unless on (cluster, job, vr) ${masters}) or vector(0)`,
              instant: true,
            },
          ],
          thresholds: badAbove0,
          width: 4,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Split brains',
          description: 'Virtual routers of which a second master is seen right now.',
          unit: 'none',
          targets: [{ expr: `sum(max by (cluster, job, vr) (${of('koi_split_brain')}))`, instant: true }],
          thresholds: badAbove0,
          width: 4,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Open alarms',
          description: 'Episodes that the nodes have open, of every kind. koi status explains each of them.',
          unit: 'none',
          targets: [{ expr: `sum(${of('koi_episodes_open')})`, instant: true }],
          thresholds: badAbove0,
          width: 4,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Nodes that serve',
          description: 'Nodes whose dataplane runs.',
          unit: 'none',
          targets: [{ expr: `sum(${of('koi_dataplane_up')})`, instant: true }],
          thresholds: [
            [null, 'red'],
            [1, 'yellow'],
            [2, 'green'],
          ],
          width: 4,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Nodes without the log',
          description: 'Nodes that cannot reach the event log: they decide as onLogLoss says.',
          unit: 'none',
          targets: [{ expr: `count(${of('koi_log_connected')} == 0) or vector(0)`, instant: true }],
          thresholds: [
            [null, 'green'],
            [1, 'orange'],
          ],
          width: 4,
          height: 4,
        },
      ],
    },
    {
      title: 'Virtual routers',
      panels: [
        {
          kind: 'table',
          title: 'Who is master',
          description:
            'Each virtual router with its master and the term of the ownership. Two rows for one name are two masters.',
          unit: 'none',
          targets: [
            {
              expr: `max by (cluster, vr, instance) (${of('koi_vr_term')} and on (cluster, job, instance, vr) ${masters})`,
              instant: true,
              format: 'table',
            },
          ],
          columns: [
            ['cluster', 'Cluster'],
            ['vr', 'Virtual router'],
            ['instance', 'Master'],
            ['Value', 'Term'],
          ],
          link: {
            column: 'vr',
            title: 'Show this virtual router',
            url: `/d/koi-vr?var-datasource=\${datasource}&var-cluster=\${cluster}&var-job=\${job}&var-vr=\${__value.raw}`,
          },
          width: 10,
          height: 9,
        },
        {
          kind: 'state-timeline',
          title: 'States',
          description: 'The state of every virtual router on every node. One green line a virtual router is right.',
          unit: 'none',
          targets: [{ expr: stateNumber('vr, instance'), legend: '{{vr}} {{instance}}' }],
          mappings: stateMappings,
          width: 14,
          height: 9,
        },
        {
          kind: 'timeseries',
          title: 'New masters',
          description: 'Takeovers and handovers of each virtual router. A steady trickle is flapping.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (vr) (increase(${of('koi_transitions_total', 'to="master"')}[$__rate_interval]))`,
              legend: '{{vr}}',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Open alarms by kind',
          description: 'What the detectors see: split brain, wrong MAC, duplicate id and the rest. Zero is right.',
          unit: 'none',
          targets: [{ expr: `sum by (kind) (${of('koi_episodes_open')})`, legend: '{{kind}}' }],
          steps: true,
          min: 0,
          width: 12,
        },
      ],
    },
    {
      title: 'Nodes',
      panels: [
        {
          kind: 'table',
          title: 'Nodes',
          description: 'Version, dataplane, guard and log of each node, and whether an operator has drained it.',
          unit: 'none',
          targets: [
            {
              expr: `max by (instance, node, version) (${of('koi_node_info')} * on (cluster, job, instance) group_left (version) ${of('koi_build_info')})`,
              instant: true,
              format: 'table',
            },
            { expr: `max by (instance) (${of('koi_dataplane_up')})`, instant: true, format: 'table' },
            { expr: `max by (instance) (${of('koi_guard_up')})`, instant: true, format: 'table' },
            { expr: `max by (instance) (${of('koi_log_connected')})`, instant: true, format: 'table' },
            { expr: `1 - max by (instance) (${of('koi_node_drained')})`, instant: true, format: 'table' },
          ],
          columns: [
            ['instance', 'Address'],
            ['node', 'Node'],
            ['version', 'Version'],
            ['Value #B', 'Dataplane'],
            ['Value #C', 'Guard'],
            ['Value #D', 'Log'],
            ['Value #E', 'In service'],
          ],
          mappings: upDown,
          mappedColumns: ['Value #B', 'Value #C', 'Value #D', 'Value #E'],
          width: 14,
        },
        {
          kind: 'timeseries',
          title: 'Fenced',
          description: 'Times that a guard took the addresses of its node off, by cause.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (instance, reason) (increase(${of('koi_fenced_total')}[$__rate_interval]))`,
              legend: '{{instance}} {{reason}}',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 10,
        },
      ],
    },
  ],
};
