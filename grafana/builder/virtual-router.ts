import { badAbove0, stateMappings, stateNumber, transitionMarks, yesNo } from './common.js';
import { clusterVariable, type Dashboard, instanceVariable, jobVariable, of } from './dashboard.js';

const vr = 'vr="$vr"';

export const virtualRouter: Dashboard = {
  uid: 'koi-vr',
  title: 'Koi / Virtual router',
  description:
    'One virtual router: its state on each node, its terms and takeovers, what it announces and what is seen of it.',
  variables: [
    clusterVariable,
    jobVariable,
    instanceVariable,
    { name: 'vr', label: 'Virtual router', from: ['koi_vr_info', 'vr'], isSingle: true },
  ],
  annotations: transitionMarks(vr),
  rows: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Master',
          description: 'Who says that it is master. More than one name is a split brain, none is an outage.',
          unit: 'none',
          shows: 'name',
          targets: [
            { expr: `${of('koi_vr_state', vr, 'state="master"')} == 1`, legend: '{{instance}}', instant: true },
          ],
          thresholds: [[null, 'green']],
          width: 6,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Term',
          description: 'The number of the present ownership. It grows by one with each claim and never goes back.',
          unit: 'none',
          targets: [{ expr: `max(${of('koi_vr_term', vr)})`, instant: true }],
          width: 3,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Split brain',
          description: 'Whether a second master is seen right now.',
          unit: 'bool_yes_no',
          targets: [{ expr: `max(${of('koi_split_brain', vr)})`, instant: true }],
          thresholds: badAbove0,
          width: 3,
          height: 4,
        },
        {
          kind: 'stat',
          title: 'Open alarms',
          description: 'Episodes about this virtual router that are open on some node.',
          unit: 'none',
          targets: [{ expr: `sum(${of('koi_episodes_open', vr)})`, instant: true }],
          thresholds: badAbove0,
          width: 3,
          height: 4,
        },
        {
          kind: 'table',
          title: 'What it is',
          description: 'Id, protocol, interface and virtual MAC on each node.',
          unit: 'none',
          targets: [{ expr: of('koi_vr_info', vr), instant: true, format: 'table' }],
          columns: [
            ['instance', 'Node'],
            ['protocol', 'Protocol'],
            ['id', 'Id'],
            ['interface', 'Interface'],
            ['virtual_mac', 'Virtual MAC'],
          ],
          width: 9,
          height: 4,
        },
      ],
    },
    {
      title: 'Election',
      panels: [
        {
          kind: 'state-timeline',
          title: 'State',
          description:
            'The state on each node. Exactly one green line at any time is right; two for an instant are a handover.',
          unit: 'none',
          targets: [{ expr: stateNumber('instance', vr), legend: '{{instance}}' }],
          mappings: stateMappings,
          width: 24,
          height: 6,
        },
        {
          kind: 'timeseries',
          title: 'Term',
          description: 'The highest term that each node knows. Lines that stay apart: a node does not read the log.',
          unit: 'none',
          targets: [{ expr: of('koi_vr_term', vr), legend: '{{instance}}' }],
          steps: true,
          decimals: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Priority',
          description: 'The priority of each node, with what it tracks.',
          unit: 'none',
          targets: [{ expr: of('koi_vr_priority', vr), legend: '{{instance}}' }],
          steps: true,
          min: 0,
          decimals: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Transitions by reason',
          description: 'Changes of state and their causes, in the words of koi timeline.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (to, reason) (increase(${of('koi_transitions_total', vr)}[$__rate_interval])) > 0`,
              legend: '{{to}}: {{reason}}',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 8,
        },
      ],
    },
    {
      title: 'Takeovers',
      panels: [
        {
          kind: 'bargauge',
          title: 'Phases of a takeover, on average',
          description:
            'Detecting that the master is gone, the word of the log, virtual MAC and addresses, and the first announcement; of all takeovers in the time shown.',
          unit: 's',
          targets: [
            {
              expr: `sum by (phase) (increase(${of('koi_takeover_duration_seconds_sum', vr)}[$__range])) / sum by (phase) (increase(${of('koi_takeover_duration_seconds_count', vr)}[$__range]))`,
              legend: '{{phase}}',
              instant: true,
            },
          ],
          min: 0,
          width: 12,
        },
        {
          kind: 'bargauge',
          title: 'Phases of a takeover, 95 of 100 within',
          description:
            'The same phases, and how long the slow ones took. Detection is at most the master-down interval; the rest is milliseconds.',
          unit: 's',
          targets: [
            {
              expr: `histogram_quantile(0.95, sum by (phase, le) (increase(${of('koi_takeover_duration_seconds_bucket', vr)}[$__range])))`,
              legend: '{{phase}}',
              instant: true,
            },
          ],
          min: 0,
          width: 12,
        },
      ],
    },
    {
      title: 'Addresses',
      panels: [
        {
          kind: 'state-timeline',
          title: 'Addresses in the kernel',
          description: 'Where the kernel has each address, read back. It belongs to the master alone.',
          unit: 'bool_yes_no',
          targets: [{ expr: of('koi_vip_present', vr), legend: '{{vip}} {{instance}}' }],
          mappings: [
            { value: 1, text: 'here', colour: 'green' },
            { value: 0, text: '-', colour: 'text' },
          ],
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Not as it should be',
          description:
            'Addresses that the kernel has and should not, or should have and has not. More than an instant of it is a fault.',
          unit: 'none',
          targets: [
            {
              expr: `sum by (instance) (${of('koi_vip_present', vr)} != bool ${of('koi_vip_desired', vr)})`,
              legend: '{{instance}}: addresses',
            },
            {
              expr: `sum by (instance) ((${of('koi_virtual_mac_attached', vr)} == bool 0) and on (cluster, job, instance) (${of('koi_vr_state', vr, 'state="master"')} == 1))`,
              legend: '{{instance}}: no virtual MAC',
            },
          ],
          steps: true,
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Announcements',
          description:
            'Gratuitous ARP and neighbour advertisements sent: a burst after each takeover, then one every 15 s.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance, operation) (rate(${of('koi_announcements_sent_total', vr)}[$__rate_interval]))`,
              legend: '{{instance}} {{operation}}',
            },
          ],
          min: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Announcements failed or refused',
          description: 'Not sent, not seen leaving, or refused because the virtual MAC was not in place.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (instance, reason) (increase(${of('koi_announcements_failed_total', vr)}[$__rate_interval]))`,
              legend: '{{instance}} failed: {{reason}}',
            },
            {
              expr: `sum by (instance, reason) (increase(${of('koi_announcements_refused_total', vr)}[$__rate_interval]))`,
              legend: '{{instance}} refused: {{reason}}',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Repairs',
          description: 'Links and addresses that another program took away, and that were put back.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (instance, kind) (increase(${of('koi_link_repairs_total', vr)}[$__rate_interval]))`,
              legend: '{{instance}} {{kind}}',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 8,
        },
      ],
    },
    {
      title: 'What is seen on the LAN',
      panels: [
        {
          kind: 'timeseries',
          title: 'Who answers a probe',
          description:
            'How many hosts answer when a backup asks who has the address. One is right; none is an outage, two are a duplicate.',
          unit: 'none',
          targets: [{ expr: of('koi_probe_responders', vr), legend: '{{instance}} asks for {{vip}}' }],
          steps: true,
          min: 0,
          decimals: 0,
          width: 8,
        },
        {
          kind: 'state-timeline',
          title: 'Probes answered with the virtual MAC',
          description: 'Whether every answer to a probe carried the virtual MAC.',
          unit: 'bool_yes_no',
          targets: [{ expr: of('koi_probe_mac_match', vr), legend: '{{instance}} {{vip}}' }],
          mappings: yesNo,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Detected',
          description:
            'Second masters, wrong MACs, those that a node has kept to itself, leaks of the virtual MAC and strangers with the same id. Zero is right.',
          unit: 'short',
          targets: [
            {
              expr: `sum by (source) (increase(${of('koi_split_brain_detected_total', vr)}[$__rate_interval]))`,
              legend: 'split brain: {{source}}',
            },
            {
              expr: `sum by (kind) (increase(${of('koi_wrong_mac_detected_total', vr)}[$__rate_interval]))`,
              legend: 'wrong MAC: {{kind}}',
            },
            {
              expr: `sum by (instance) (increase(${of('koi_wrong_mac_suppressed_total', vr)}[$__rate_interval]))`,
              legend: 'wrong MAC, dropped: {{instance}}',
            },
            { expr: `sum(increase(${of('koi_virtual_mac_leaks_total', vr)}[$__rate_interval]))`, legend: 'leak' },
            {
              expr: `sum(increase(${of('koi_duplicate_id_detected_total', vr)}[$__rate_interval]))`,
              legend: 'duplicate id',
            },
          ],
          bars: true,
          stacked: true,
          min: 0,
          width: 8,
        },
        {
          kind: 'timeseries',
          title: 'Silence of the peers',
          description:
            'Seconds since the last advert of each peer. Only masters send adverts: the line of a backup rises, and that is right.',
          unit: 's',
          targets: [
            {
              expr: `timestamp(${of('koi_peer_last_seen_timestamp_seconds', vr)}) - ${of('koi_peer_last_seen_timestamp_seconds', vr)}`,
              legend: '{{instance}} of {{peer}}',
            },
          ],
          min: 0,
          width: 12,
        },
        {
          kind: 'state-timeline',
          title: 'LAN between the nodes',
          description: 'Whether the LAN between each two nodes works.',
          unit: 'bool_yes_no',
          targets: [{ expr: of('koi_lan_path_ok', vr), legend: '{{instance}} to {{peer}}' }],
          mappings: yesNo,
          width: 12,
        },
      ],
    },
  ],
};
