import { badAbove0, transitionMarks, upDown } from './common.js';
import { clusterVariable, type Dashboard, instanceVariable, jobVariable, of } from './dashboard.js';

export const eventLog: Dashboard = {
  uid: 'koi-log',
  title: 'Koi / Event log',
  description: 'The event log as the nodes see it: reachable, fast, complete; and the leases in it.',
  variables: [clusterVariable, jobVariable, instanceVariable],
  annotations: transitionMarks(),
  rows: [
    {
      title: 'Reachable',
      panels: [
        {
          kind: 'state-timeline',
          title: 'Connected',
          description: 'Whether each node reaches the log. While it does not, it decides as onLogLoss says.',
          unit: 'bool_on_off',
          targets: [{ expr: of('koi_log_connected'), legend: '{{instance}}' }],
          mappings: upDown,
          width: 12,
          height: 6,
        },
        {
          kind: 'timeseries',
          title: 'Reconnects',
          description: 'Connections to the log that were made anew. One a restart of the server is right.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (instance) (increase(${of('koi_log_reconnects_total')}[$__rate_interval]))`,
              legend: '{{instance}}',
            },
          ],
          bars: true,
          min: 0,
          width: 6,
          height: 6,
        },
        {
          kind: 'stat',
          title: 'Regressions within a day',
          description: 'Times that the log had lost or changed what it once confirmed. It must be zero.',
          unit: 'none',
          targets: [{ expr: `sum(increase(${of('koi_log_regressions_total')}[1d]))`, instant: true }],
          thresholds: badAbove0,
          decimals: 0,
          width: 6,
          height: 6,
        },
      ],
    },
    {
      title: 'Writing and reading',
      panels: [
        {
          kind: 'timeseries',
          title: 'Time to confirm an append, 99 of 100 within',
          description: 'A takeover waits 50 ms for the log and then goes on without it.',
          unit: 's',
          targets: [
            {
              expr: `histogram_quantile(0.99, sum by (instance, le) (rate(${of('koi_log_append_duration_seconds_bucket')}[$__rate_interval])))`,
              legend: '{{instance}}',
            },
          ],
          thresholds: [
            [null, 'green'],
            [0.05, 'red'],
          ],
          min: 0,
          width: 8,
        },
        {
          kind: 'heatmap',
          title: 'Time to confirm an append',
          description:
            'How the times are spread: a second cloud above the first one is a disk or a server that stalls now and then.',
          unit: 's',
          targets: [
            {
              expr: `sum by (le) (increase(${of('koi_log_append_duration_seconds_bucket')}[$__rate_interval]))`,
              legend: '{{le}}',
              format: 'heatmap',
            },
          ],
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Appends',
          description: 'Appends each second; nearly all of them renew leases.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance) (rate(${of('koi_log_append_duration_seconds_count')}[$__rate_interval]))`,
              legend: '{{instance}}',
            },
          ],
          min: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Claims that came second',
          description: 'Appends refused because another node was first. They belong to elections; many of them do not.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (instance) (increase(${of('koi_log_append_conflicts_total')}[$__rate_interval]))`,
              legend: '{{instance}}',
            },
          ],
          bars: true,
          min: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Events that wait',
          description: 'On disk for the log, and in the log for this node. Both are zero, but for moments.',
          unit: 'none',
          targets: [
            { expr: of('koi_log_outbox_events'), legend: '{{instance}} to write' },
            { expr: of('koi_log_lag_events'), legend: '{{instance}} to read' },
          ],
          steps: true,
          min: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Leases',
          description:
            "What is left of each node's lease: a saw between the whole and that less one renewal. At zero others may take over.",
          unit: 's',
          targets: [
            { expr: of('koi_lease_remaining_seconds'), legend: '{{instance}}' },
            { expr: `max(${of('koi_lease_duration_seconds')})`, legend: 'whole' },
          ],
          min: 0,
          width: 8,
        },
      ],
    },
    {
      title: 'What was written',
      panels: [
        {
          kind: 'timeseries',
          title: 'Transitions by reason',
          description: 'Changes of state of all virtual routers, in the words of koi timeline.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (to, reason) (increase(${of('koi_transitions_total')}[$__rate_interval])) > 0`,
              legend: '{{to}}: {{reason}}',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 12,
        },
        {
          kind: 'table',
          title: 'Transitions in the time shown',
          description: 'How often each virtual router changed its state on each node, and why.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (vr, instance, to, reason) (increase(${of('koi_transitions_total')}[$__range])) > 0`,
              instant: true,
              format: 'table',
            },
          ],
          columns: [
            ['vr', 'Virtual router'],
            ['instance', 'Node'],
            ['to', 'To'],
            ['reason', 'Reason'],
            ['Value', 'Times'],
          ],
          decimals: 0,
          width: 12,
        },
      ],
    },
    {
      title: "Koi's own server",
      panels: [
        {
          kind: 'timeseries',
          title: 'nats-server of log.embedded',
          description: 'Whether it serves, and how often it was started again; zero where a node has none.',
          unit: 'none',
          targets: [
            { expr: of('koi_log_server_up'), legend: '{{instance}} serves' },
            {
              expr: `increase(${of('koi_log_server_restarts_total')}[$__rate_interval])`,
              legend: '{{instance}} started again',
            },
          ],
          steps: true,
          min: 0,
          width: 24,
          height: 6,
        },
      ],
    },
  ],
};
