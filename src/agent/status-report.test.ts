import { beforeEach, describe, expect, it } from 'vitest';
import { observation, ownershipEvent } from '../../test/log/events.js';
import type { KoiConfig } from '../config/config.js';
import { parseConfig } from '../config/load.js';
import { explainReason, transitionReasons } from '../core/reasons.js';
import { vrStates } from '../core/vr-state.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { KoiEvent } from '../log/event.js';
import { emptyLogState, fold, type LogState } from '../log/projection.js';
import { logNames, subjectOf } from '../log/subjects.js';
import type { StatusVr } from '../observe/status.js';
import { composeStatus, type StatusInputs } from './status-report.js';

const nowMs = 1_700_000_100_000;
const config = loaded(`
cluster: edge
node: r1
log: {servers: ["nats://10.99.0.9:4222"]}
virtualRouters: [{name: gw, interface: eth1, id: 51, priority: 200, addresses: [10.77.0.254/24, 10.77.0.253/24]}]
`);
let state: LogState;
let told: VrStateMessage;
let inputs: StatusInputs;

function loaded(text: string): KoiConfig {
  const parsed = parseConfig(text, { environment: {} });
  if (!parsed.ok) throw new Error(parsed.errors.map(({ message }) => message).join('; '));
  return parsed.config;
}

function happens(event: KoiEvent): void {
  const names = logNames('edge');
  const subject = subjectOf(names, event);
  state = fold(state, names, {
    sequence: state.sequence + 1,
    subject,
    storedAtMs: nowMs - 5000,
    bytes: 0,
    hash: 'h',
    event,
  });
}

beforeEach(() => {
  state = emptyLogState;
  told = {
    vr: 'gw',
    state: 'backup',
    reason: 'started',
    term: 0,
    standing: null,
    sinceWallMs: nowMs - 60_000,
    lastFrom: 'init',
    heardMaster: null,
    interface: 'lan0',
    virtualMac: '00:00:5e:00:01:33',
    lanAddress: '10.77.0.1',
    priority: 100,
    tracks: [],
    warnings: [],
  };
  inputs = {
    config,
    version: '0.1.0',
    configFile: '/etc/koi/koi.yaml',
    drainedSinceMs: undefined,
    nowMs,
    log: { state: 'connected', warnings: [], lagEvents: 3, lagging: false, reconnects: 0 },
    logReachable: true,
    leaseOf: (node) => (node === 'r2' ? { state: 'held', remainingMs: 3000 } : { state: 'none', remainingMs: 0 }),
    state,
    outboxEvents: 2,
    dataplaneUp: true,
    snapshot: undefined,
    vrs: new Map(),
  };
});

const report = (over: Partial<StatusInputs> = {}) =>
  composeStatus({ ...inputs, state, vrs: new Map([['gw', told]]), ...over });
function gw(over: Partial<StatusInputs> = {}): StatusVr {
  const [vr] = report(over).vrs;
  if (vr === undefined) throw new Error('no virtual router');
  return vr;
}

describe('the status', () => {
  it('names the node, the log and what is up', () => {
    expect(
      report({ log: { ...inputs.log, server: { version: '2.11.0', name: 'n1', url: 'x', clustered: false } } }),
    ).toMatchObject({
      node: 'r1',
      cluster: 'edge',
      version: '0.1.0',
      at: '2023-11-14T22:15:00.000Z',
      log: { connected: true, server: 'n1 2.11.0', outbox: 2, lag: 3 },
      dataplane: { up: true },
      guard: { up: false },
      warnings: [],
    });
  });

  it('does not call a guard up of which a dead dataplane spoke last', () => {
    const snapshot = { guardUp: true, vrs: [] } as unknown as NonNullable<StatusInputs['snapshot']>;
    expect(report({ snapshot }).guard.up).toBe(true);
    expect(report({ snapshot, dataplaneUp: false }).guard.up).toBe(false);
  });

  it('warns of what the log says is wrong, the problem first', () => {
    const log = { ...inputs.log, state: 'unfit', problem: 'too old', warnings: ['one replica'] } as const;
    expect(report({ log, logReachable: false })).toMatchObject({
      log: { connected: false, server: null },
      warnings: ['too old', 'one replica'],
    });
  });

  it('shows each node with its address, when it was heard of, and what it is', () => {
    const virtualRouters = [
      {
        name: 'gw',
        protocol: 'vrrp3',
        id: 51,
        priority: 100,
        interface: 'eth1',
        addresses: [],
        lanAddress: '10.77.0.2',
      },
    ];
    happens(observation('r2', { type: 'nodeStarted', version: '0.1.0', virtualRouters }));
    const shown = () => report().nodes;
    const seen = {
      name: 'r2',
      lastSeen: '2023-11-14T22:14:55.000Z',
      lanAddress: '10.77.0.2',
      drained: null,
      lease: { state: 'held', remainingMs: 3000 },
    };
    expect(shown()).toEqual([{ ...seen, vrs: [{ name: 'gw', state: 'backup', priority: 100, configuration: null }] }]);
    happens(ownershipEvent({ node: 'r2', term: 1 }));
    expect(shown()).toMatchObject([{ vrs: [{ state: 'master' }] }]);
    happens(observation('r2', { type: 'nodeStopped', reason: 'shutdown' }));
    expect(shown()).toMatchObject([{ vrs: [{ state: 'stopped' }] }]);
  });

  it('lists every address, present only where the kernel was read to have it', () => {
    expect(gw().vips).toEqual([
      { address: '10.77.0.254', present: false },
      { address: '10.77.0.253', present: false },
    ]);
    const vips = [{ address: '10.77.0.254', desired: true, present: true }];
    const snapshot = { guardUp: true, vrs: [{ name: 'gw', vips }] } as unknown as NonNullable<StatusInputs['snapshot']>;
    expect(gw({ snapshot }).vips.map(({ present }) => present)).toEqual([true, false]);
  });

  it('shows what is configured where the dataplane has said nothing', () => {
    expect(gw({ vrs: new Map(), dataplaneUp: false })).toEqual({
      name: 'gw',
      id: 51,
      checksums: [],
      nodes: gw({ vrs: new Map(), dataplaneUp: false }).nodes,
      protocol: 'vrrp3',
      interface: 'eth1',
      virtualMac: '',
      state: 'init',
      reason: 'started',
      why: 'the dataplane is not running, so this node serves nothing',
      term: 0,
      standing: null,
      priority: 200,
      preempt: true,
      owner: null,
      since: '2023-11-14T22:15:00.000Z',
      vips: gw().vips,
      lastTransition: null,
      tracks: [],
      warnings: [],
      configuration: null,
    });
  });

  it('shows the last transition with its time', () => {
    expect(gw()).toMatchObject({
      since: '2023-11-14T22:14:00.000Z',
      lastTransition: { from: 'init', to: 'backup', reason: 'started', at: '2023-11-14T22:14:00.000Z' },
    });
    told = { ...told, lastFrom: null };
    expect(gw().lastTransition).toBeNull();
  });
});

describe('the sentence that says why', () => {
  it('master, by the log', () => {
    told = { ...told, state: 'master', reason: 'attached', term: 7, standing: 'logged' };
    expect(gw()).toMatchObject({ owner: 'r1', why: 'master: it holds term 7, and the log has its claim' });
  });

  it('master, without the log', () => {
    told = { ...told, state: 'master', reason: 'attached', term: 7, standing: 'provisional' };
    expect(gw()).toMatchObject({ owner: 'r1', why: "master: it holds term 7 without the log's word so far" });
  });

  it('backup of a master that the log knows', () => {
    happens(ownershipEvent({ node: 'r2', term: 3 }));
    expect(gw()).toMatchObject({
      owner: 'r2',
      term: 3,
      why: 'not master: r2 is with term 3; here it has listened since it started',
    });
  });

  it('backup of a master that only the LAN knows', () => {
    told = { ...told, heardMaster: '10.77.0.9', reason: 'better_advert' };
    expect(gw()).toMatchObject({
      owner: '10.77.0.9',
      why: 'not master: 10.77.0.9 is; here a better master was heard on the LAN',
    });
  });

  it('backup of nobody: the holder released, or none was heard', () => {
    expect(gw()).toMatchObject({ owner: null, why: expect.stringContaining('no master has been heard yet') as string });
    happens(ownershipEvent({ node: 'r2', term: 3 }));
    const payload = { type: 'released', reason: 'shutdown', addressesReadBackGone: true } as const;
    happens(ownershipEvent({ node: 'r2', term: 3, payload }));
    expect(gw()).toMatchObject({ owner: null });
  });

  it('fault, naming what the interface lacks', () => {
    told = { ...told, state: 'fault', reason: 'parent_absent' };
    expect(gw().why).toBe('not master: its interface does not exist');
  });

  it('is a sentence in every state and for every reason', () => {
    for (const state of vrStates) {
      for (const reason of transitionReasons) {
        told = { ...told, state, reason, standing: state === 'master' ? 'logged' : null };
        const { why } = gw();
        if (state !== 'master') expect(why).toContain(explainReason(reason));
        expect(why).toMatch(/^\S.{10,}[^.]$/);
        expect(why).not.toMatch(/undefined|null|_/);
      }
    }
  });
});

describe('why each node is not the master', () => {
  const drainedAtMs = 1_699_999_000_000;

  function starts(
    node: string,
    priority: number,
    more: { readonly drained?: boolean; readonly name?: string } = {},
  ): void {
    const router = { name: more.name ?? 'gw', protocol: 'vrrp3', id: 51, priority, interface: 'eth1', addresses: [] };
    const virtualRouters = [{ ...router, lanAddress: '10.77.0.2' }];
    const drained = more.drained === true ? { drained: true } : {};
    happens(observation(node, { type: 'nodeStarted', version: '0.1.0', virtualRouters, ...drained }));
  }

  const moves = (node: string, to: string, reason: string): void =>
    happens(observation(node, { type: 'transition', from: 'init', to, reason }, { vr: 'gw', term: 3 }));

  const on = (node: string, over: Partial<StatusInputs> = {}) => gw(over).nodes.find((each) => each.node === node);

  it('this node first, as its dataplane says', () => {
    starts('r1', 200);
    starts('r2', 100);
    expect(gw().nodes.map(({ node }) => node)).toEqual(['r1', 'r2']);
    expect(on('r1')).toMatchObject({
      state: 'backup',
      reason: 'started',
      why: gw().why,
      priority: 100,
      drained: false,
    });
  });

  it('the master, and a backup of it, with what preemption would compare', () => {
    starts('r1', 200);
    starts('r2', 100);
    starts('r3', 50);
    happens(ownershipEvent({ node: 'r2', term: 3 }));
    moves('r2', 'master', 'attached');
    moves('r3', 'backup', 'claim_lost');
    expect(on('r2')).toMatchObject({ state: 'master', why: 'master: it holds term 3, and the log has its claim' });
    expect(on('r3')).toMatchObject({
      state: 'backup',
      reason: 'claim_lost',
      why: 'not master: r2 is, with term 3, with priority 100 against 50; here another node claimed first',
      since: expect.stringMatching(/^2023-/),
    });
  });

  it('one that has stopped, is drained, has lost its dataplane, is in fault, or says nothing', () => {
    starts('r2', 100);
    expect(on('r2')).toMatchObject({ state: 'unknown', why: expect.stringContaining('has not said how it stands') });
    moves('r2', 'fault', 'carrier_lost');
    expect(on('r2')).toMatchObject({ state: 'fault', why: 'not master: its interface has no carrier' });
    happens(observation('r2', { type: 'drainChanged', drained: true, force: false }));
    expect(on('r2')).toMatchObject({ drained: true, why: expect.stringMatching(/^not master: it is drained/) });
    expect(report().nodes[0]?.drained).toMatch(/^2023-/);
    starts('r2', 100);
    happens(observation('r2', { type: 'dataplaneLost', reason: 'killed' }));
    expect(on('r2')).toMatchObject({ dataplaneUp: false, why: 'not master: its dataplane is not running' });
    happens(observation('r2', { type: 'nodeStopped', reason: 'shutdown' }));
    expect(on('r2')).toMatchObject({ state: 'stopped', why: 'not master: it has stopped' });
  });

  it('one whose lease has ended', () => {
    starts('r2', 100);
    moves('r2', 'backup', 'started');
    const leaseOf = () => ({ state: 'expired', remainingMs: 0 }) as const;
    expect(on('r2', { leaseOf })?.why).toContain('its lease has run out: it may be dead or cut off from the log');
  });

  it('this one, where it is drained', () => {
    expect(on('r1', { drainedSinceMs: drainedAtMs })).toMatchObject({ drained: true });
    expect(gw({ drainedSinceMs: drainedAtMs }).why).toContain('until koi undrain (since 2023-11-14T21:56:40.000Z)');
    told = { ...told, state: 'master', standing: 'logged' };
    expect(gw({ drainedSinceMs: drainedAtMs }).why).toMatch(/^master, although .* nobody else could take it$/);
    expect(report({ drainedSinceMs: drainedAtMs }).drained).toBe('2023-11-14T21:56:40.000Z');
  });

  it('those of virtual routers that this node does not have', () => {
    starts('r2', 100, { name: 'dmz' });
    happens({ ...ownershipEvent({ node: 'r2', term: 9 }), vr: 'dmz' });
    expect(report().elsewhere).toMatchObject([{ name: 'dmz', owner: 'r2', term: 9, nodes: [{ node: 'r2' }] }]);
  });

  it('is a sentence for every state and reason', () => {
    starts('r2', 100);
    for (const state of vrStates) {
      for (const reason of transitionReasons) {
        moves('r2', state, reason);
        const told = on('r2');
        expect(told).toMatchObject({ state, reason });
        expect(told?.why).toContain(explainReason(reason));
        expect(told?.why).not.toMatch(/undefined|null|_/);
      }
    }
  });
});
