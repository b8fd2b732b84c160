import { expect, it } from 'vitest';
import { sentenceOf } from '../agent/node-reason.js';
import { transitionReasons } from '../core/reasons.js';
import type { Status } from '../observe/status.js';
import { paint } from './paint.js';
import { formatStatus, isHealthy } from './status.js';
import { formatTable } from './table.js';
import { formatAgo, parseTime } from './time.js';
import { formatEntry } from './timeline.js';

const plain = paint({ isTTY: false });
const nowMs = Date.UTC(2026, 0, 31, 12, 0, 0);
const at = (agoSeconds: number): string => new Date(nowMs - agoSeconds * 1_000).toISOString();

const status: Status = {
  node: 'r1',
  cluster: 'edge',
  version: '0.1.0',
  configFile: '/etc/koi/koi.yaml',
  at: at(0),
  log: { connected: true, server: '10.99.0.9:4222', outbox: 0, lag: 0 },
  dataplane: { up: true },
  guard: { up: true },
  drained: null,
  elsewhere: [],
  episodes: [],
  vrs: [
    {
      name: 'gw',
      id: 51,
      protocol: 'vrrp3',
      interface: 'eth1',
      virtualMac: '00:00:5e:00:01:33',
      state: 'master',
      reason: 'attached',
      why: 'r1 is master because virtual MAC and addresses are in place and read back',
      term: 7,
      standing: 'provisional',
      priority: 200,
      preempt: true,
      owner: 'r1',
      since: at(90),
      vips: [{ address: '10.77.0.254', present: true }],
      lastTransition: { from: 'candidate', to: 'master', reason: 'attached', at: at(90) },
      tracks: [],
      checksums: [],
      nodes: [
        {
          node: 'r1',
          state: 'master',
          reason: 'attached',
          why: 'r1 is master because virtual MAC and addresses are in place and read back',
          since: at(90),
          priority: 200,
          drained: false,
          dataplaneUp: true,
          lease: { state: 'held', remainingMs: 3000 },
        },
        {
          node: 'r2',
          state: 'backup',
          reason: 'started',
          why: 'not master: r1 is',
          since: null,
          priority: 100,
          drained: true,
          dataplaneUp: true,
          lease: { state: 'held', remainingMs: 3000 },
        },
      ],
      warnings: ['the log does not know this ownership yet'],
      configuration: null,
    },
  ],
  nodes: [
    {
      name: 'r2',
      lastSeen: at(3),
      lanAddress: '10.77.0.2',
      drained: null,
      lease: { state: 'held', remainingMs: 3240 },
      vrs: [{ name: 'gw', state: 'backup', priority: 100, configuration: '0123456789abcdef' }],
    },
    {
      name: 'r3',
      lastSeen: null,
      lanAddress: null,
      drained: null,
      lease: { state: 'revoked', remainingMs: 0 },
      vrs: [],
    },
    { name: 'r4', lastSeen: null, lanAddress: null, drained: null, lease: { state: 'none', remainingMs: 0 }, vrs: [] },
  ],
  warnings: [],
};

it('shows the status in tables, for each node why it is or is not the master', () => {
  expect(formatStatus(status, nowMs, plain)).toBe(`node r1 of edge, koi 0.1.0
dataplane up  guard up  log connected (10.99.0.9:4222)

VR  ID  PROTOCOL  INTERFACE  STATE   SINCE  TERM             PRIORITY  OWNER  ADDRESSES
gw  51  vrrp3     eth1       master  1m     7 (provisional)  200       r1     10.77.0.254*

VR  NODE  STATE   SINCE  PRIORITY  REASON    WHY
gw  r1    master  1m     200       attached  r1 is master because virtual MAC and addresses are in place and read back
gw  r2    backup  -      100       started   not master: r1 is

warning: gw: the log does not know this ownership yet

NODE  LAST SEEN  LAN ADDRESS  LEASE    VIRTUAL ROUTERS
r2    3s ago     10.77.0.2    3.2 s    gw backup (100) [01234567]
r3    never      -            revoked
r4    never      -            -
`);
});

it.each(transitionReasons)('has the word %s of each node beside the sentence', (reason) => {
  const [vr] = status.vrs;
  const [node] = vr?.nodes ?? [];
  if (vr === undefined || node === undefined) throw new Error('no virtual router');
  const why = sentenceOf(reason);
  const shown = formatStatus({ ...status, vrs: [{ ...vr, nodes: [{ ...node, reason, why }] }] }, nowMs, plain);
  expect(shown).toMatch(new RegExp(`^gw +r1 .* ${reason} +${why.replace(/[().*+?]/g, '\\$&')}$`, 'm'));
});

it('says in its second line that the node is drained', () => {
  const drained = formatStatus({ ...status, drained: at(60) }, nowMs, plain);
  expect(drained.split('\n')[1]).toBe(`drained since ${at(60)}: koi undrain takes it back`);
});

it('calls a node unhealthy whose helpers or virtual routers cannot serve', () => {
  const [vr] = status.vrs;
  if (vr === undefined) throw new Error('no virtual router');
  expect(isHealthy(status)).toBe(true);
  expect(isHealthy({ ...status, log: { ...status.log, connected: false } })).toBe(true);
  expect(isHealthy({ ...status, guard: { up: false } })).toBe(false);
  expect(isHealthy({ ...status, dataplane: { up: false } })).toBe(false);
  expect(isHealthy({ ...status, vrs: [vr, { ...vr, state: 'fault' }] })).toBe(false);
  expect(isHealthy({ ...status, vrs: [{ ...vr, state: 'backup' }] })).toBe(true);
});

it('shows an event on one line', () => {
  const entry = {
    sequence: 9,
    at: at(0),
    node: 'r2',
    vr: 'gw',
    term: 8,
    type: 'Claimed',
    text: 'gw r2 claimed term 8: master_released ← r1 released',
    cause: 'gw r1 released term 7: shutdown',
  };
  expect(formatEntry(entry, plain)).toBe(
    '2026-01-31T12:00:00.000Z  gw r2 claimed term 8: master_released ← r1 released',
  );
  expect(formatEntry({ ...entry, vr: null, term: null, cause: null, text: 'r2 stopped' }, plain)).toBe(
    '2026-01-31T12:00:00.000Z  r2 stopped',
  );
});

it('aligns columns by what is seen, not by escape codes', () => {
  expect(
    formatTable([
      [{ text: 'a', shown: '\u001b[1ma\u001b[22m' }, { text: 'b' }],
      [{ text: 'long' }, { text: 'c' }],
    ]),
  ).toBe('\u001b[1ma\u001b[22m     b\nlong  c\n');
});

it('colours only terminals, and none where NO_COLOR is set', () => {
  expect(paint({ isTTY: true }, {}).red('x')).toBe('\u001b[31mx\u001b[39m');
  expect(paint({ isTTY: true }, { NO_COLOR: '' }).red('x')).toContain('\u001b');
  expect(paint({ isTTY: true }, { NO_COLOR: '1' }).red('x')).toBe('x');
  expect(paint({ isTTY: true }, { TERM: 'dumb' }).red('x')).toBe('x');
  expect(paint({}, {}).red('x')).toBe('x');
});

it('reads times before now and absolute ones', () => {
  expect(parseTime('10m', '--since', nowMs)).toBe(nowMs - 600_000);
  expect(parseTime('2026-01-31T12:00:00Z', '--since', 0)).toBe(nowMs);
  expect(parseTime('2026-01-31 12:00:00Z', '--since', 0)).toBe(nowMs);
  for (const text of ['', 'yesterday', '12', '2026-13-01']) {
    expect(() => parseTime(text, '--since', nowMs)).toThrow(`--since: '${text}' is not a time`);
  }
});

it.each([
  [0, '0s'],
  [59, '59s'],
  [60, '1m'],
  [7_200, '2h'],
  [259_200, '3d'],
])('says %i seconds ago as %s', (seconds, text) => {
  expect(formatAgo(at(seconds), nowMs)).toBe(text);
});
