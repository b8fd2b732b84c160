import { describe, expect, it } from 'vitest';
import { bootId, nodeId } from '../core/identity.js';
import { servingReport } from '../core/serving.js';
import { createVr } from '../core/vr-machine.js';
import type { Phase, Vr } from '../core/vr-state.js';
import { demuxFrame } from '../wire/demux.js';
import { readHolderProbe } from '../wire/holder-probe.js';
import type { MacAddress } from '../wire/mac.js';
import { probesTo, rehearseProbes } from './challenged.js';

const machine = createVr({
  node: nodeId('r1'),
  boot: bootId('b'),
  election: { protocol: 'vrrp3', priority: 100, advertIntervalMs: 100 },
  preempt: { enabled: true, delayMs: 0 },
  startDelayMs: 0,
  arbitration: 'log',
  onLogLoss: 'wire',
  onPathSplit: 'hold',
  arbitrationTimeoutMs: 50,
  challengeTimeoutMs: 30,
  leaseMs: 4000,
});
const inPhase = (phase: Pick<Phase, 'name'>): Vr => ({ ...machine, phase: { ...machine.phase, ...phase } as Phase });

describe('what a challenged node says of itself', () => {
  it.each(['master', 'handing'] as const)('%s: it serves as long as addresses and LAN are there', (name) => {
    expect(servingReport(inPhase({ name }), true, true)).toBe('serves');
    expect(servingReport(inPhase({ name }), true, false)).toBe('lan_down');
    expect(servingReport(inPhase({ name }), false, true)).toBe('not_serving');
  });

  it.each(['init', 'fault', 'backup', 'claiming', 'attaching', 'releasing'] as const)('%s: it does not', (name) => {
    expect(servingReport(inPhase({ name }), true, true)).toBe('not_serving');
  });
});

describe('the probes of the challenger', () => {
  const sources = { 4: '192.0.2.11', 6: undefined };
  const about = { protocol: 'carp', id: 7 } as const;

  it('are built once before the first challenge, for each family in use', () => {
    expect(rehearseProbes(sources, about)).toBe(10);
    expect(rehearseProbes({ ...sources, 6: 'fe80::1' }, about)).toBe(20);
  });
  const mac = '02:00:00:00:00:0a' as MacAddress;
  const read = (challenger: readonly string[]) =>
    probesTo(challenger, sources, about, mac).map((frame) => readHolderProbe(demuxFrame(frame), frame));

  it('go to its addresses of the families that this node has', () => {
    expect(read(['192.0.2.12', 'fe80::12'])).toEqual([{ ...about, source: '192.0.2.11', target: '192.0.2.12' }]);
  });

  it('are not made of what is no address of another host, and are few', () => {
    expect(read(['192.0.2.11', 'nonsense', '224.0.0.18', '', '192.0.2'])).toEqual([]);
    expect(read(Array.from({ length: 100 }, (_, host) => `192.0.2.${host + 20}`))).toHaveLength(8);
  });
});
