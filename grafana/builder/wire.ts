import { badAbove0, transitionMarks, upDown } from './common.js';
import { clusterVariable, type Dashboard, instanceVariable, jobVariable, of } from './dashboard.js';

const vr = 'vr=~"$vr"';

export const wire: Dashboard = {
  uid: 'koi-wire',
  title: 'Koi / Wire and timing',
  description: 'Adverts on the LAN: how many, how punctual, which are refused; and what guards their sender.',
  variables: [
    clusterVariable,
    jobVariable,
    instanceVariable,
    { name: 'vr', label: 'Virtual router', from: ['koi_vr_info', 'vr'] },
  ],
  annotations: transitionMarks(vr),
  rows: [
    {
      title: 'Adverts',
      panels: [
        {
          kind: 'timeseries',
          title: 'Sent',
          description:
            'Adverts sent each second. A master sends one an interval; a gap is a dataplane that did not run.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance, vr) (rate(${of('koi_adverts_sent_total', vr)}[$__rate_interval]))`,
              legend: '{{instance}} {{vr}}',
            },
          ],
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Received',
          description:
            'Valid adverts received each second. It should be what the master sends: less is loss on the LAN.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance, vr) (rate(${of('koi_adverts_received_total', vr)}[$__rate_interval]))`,
              legend: '{{instance}} {{vr}}',
            },
          ],
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Refused',
          description:
            'Adverts that were refused, by reason. unknown_id is another cluster on this LAN; every other reason is worth a look.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance, interface, reason) (rate(${of('koi_adverts_rejected_total')}[$__rate_interval]))`,
              legend: '{{instance}} {{interface}} {{reason}}',
            },
          ],
          stacked: true,
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Silence of the peers',
          description: 'Seconds since the last advert of the master. Beyond three intervals a backup takes over.',
          unit: 's',
          targets: [
            {
              expr: `min by (instance, vr) (timestamp(${of('koi_peer_last_seen_timestamp_seconds', vr)}) - ${of('koi_peer_last_seen_timestamp_seconds', vr)})`,
              legend: '{{instance}} {{vr}}',
            },
          ],
          min: 0,
          width: 12,
        },
      ],
    },
    {
      title: 'Punctuality',
      panels: [
        {
          kind: 'heatmap',
          title: 'Lateness of adverts',
          description:
            'How late adverts left, against their schedule. A cloud that rises is a machine that does not let the dataplane run.',
          unit: 's',
          targets: [
            {
              expr: `sum by (le) (increase(${of('koi_advert_lateness_seconds_bucket')}[$__rate_interval]))`,
              legend: '{{le}}',
              format: 'heatmap',
            },
          ],
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Lateness, 99 of 100 within',
          description:
            'Backups wait three intervals; lateness beyond a tenth of a second is too much for short intervals.',
          unit: 's',
          targets: [
            {
              expr: `histogram_quantile(0.99, sum by (instance, le) (rate(${of('koi_advert_lateness_seconds_bucket')}[$__rate_interval])))`,
              legend: '{{instance}}',
            },
          ],
          thresholds: [
            [null, 'green'],
            [0.1, 'red'],
          ],
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Takeovers by phase, 95 of 100 within',
          description: 'How long each phase of the takeovers at a time took: detect, arbitrate, attach, announce.',
          unit: 's',
          targets: [
            {
              expr: `histogram_quantile(0.95, sum by (phase, le) (increase(${of('koi_takeover_duration_seconds_bucket', vr)}[$__rate_interval])))`,
              legend: '{{phase}}',
            },
          ],
          min: 0,
          width: 24,
        },
      ],
    },
    {
      title: 'Detectors',
      panels: [
        {
          kind: 'timeseries',
          title: 'Frames looked at',
          description: 'ARP and neighbour messages about virtual IPs that the detectors have looked at, each second.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance, interface) (rate(${of('koi_detector_frames_total')}[$__rate_interval]))`,
              legend: '{{instance}} {{interface}}',
            },
          ],
          min: 0,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Frames passed over',
          description:
            'Frames that came faster than the detectors look at them: a storm or an attack. Adverts are not among them.',
          unit: 'cps',
          targets: [
            {
              expr: `sum by (instance, interface) (rate(${of('koi_detector_frames_dropped_total')}[$__rate_interval]))`,
              legend: '{{instance}} {{interface}}',
            },
          ],
          min: 0,
          width: 12,
        },
      ],
    },
    {
      title: 'The host',
      panels: [
        {
          kind: 'state-timeline',
          title: 'Dataplane and guard',
          description: 'Whether the dataplane reports, and whether a guard watches it.',
          unit: 'bool_on_off',
          targets: [
            { expr: of('koi_dataplane_up'), legend: '{{instance}} dataplane' },
            { expr: of('koi_guard_up'), legend: '{{instance}} guard' },
          ],
          mappings: upDown,
          width: 12,
        },
        {
          kind: 'timeseries',
          title: 'Fenced',
          description: 'Times that the guard took the addresses off, by cause.',
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
          width: 6,
        },
        {
          kind: 'stat',
          title: 'Sysctls changed by others',
          description:
            'Sysctls that are not what Koi set them to: what keeps the host from answering with its own MAC.',
          unit: 'none',
          targets: [{ expr: `sum(${of('koi_sysctl_drift')}) or vector(0)`, instant: true }],
          thresholds: badAbove0,
          width: 6,
        },
      ],
    },
  ],
};
