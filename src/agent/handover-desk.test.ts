import { beforeEach, describe, expect, it, vi } from 'vitest';
import { observation, ownershipEvent } from '../../test/log/events.js';
import { nodeId } from '../core/identity.js';
import { installFailpoints } from '../failpoint.js';
import type { ToDataplane, VrStateMessage } from '../ipc/protocol.js';
import type { KoiEvent } from '../log/event.js';
import type { PeerAnswer, PeerMessage } from '../log/peer-channel.js';
import { emptyLogState, fold, type LogState, ownershipOf } from '../log/projection.js';
import { logNames, subjectOf } from '../log/subjects.js';
import { HandoverDesk, type HandoverOutcome, type HandoverPlace } from './handover-desk.js';

const names = logNames('edge');
let state: LogState;
let told: VrStateMessage;
let sent: ToDataplane[];
let asked: { readonly node: string; readonly message: PeerMessage }[];
let peerAnswer: PeerAnswer | undefined;
let desk: HandoverDesk;
let place: { -readonly [Key in keyof HandoverPlace]: HandoverPlace[Key] };

const router = (priority: number) => ({
  name: 'gw',
  protocol: 'vrrp3',
  id: 51,
  priority,
  interface: 'eth1',
  addresses: [],
  lanAddress: '',
});

function happens(event: KoiEvent): void {
  const sequence = state.sequence + 1;
  const stored = {
    sequence,
    subject: subjectOf(names, event),
    storedAtMs: sequence,
    bytes: 0,
    hash: `h${sequence}`,
    event,
  };
  state = fold(state, names, stored);
}

function starts(node: string, priority: number, drained = false): void {
  const virtualRouters = [router(priority)];
  happens(observation(node, { type: 'nodeStarted', version: '1', virtualRouters, ...(drained ? { drained } : {}) }));
}

function says(over: Partial<VrStateMessage>): void {
  told = { ...told, ...over };
  desk.stateChanged(told);
}

beforeEach(() => {
  vi.useFakeTimers();
  state = emptyLogState;
  sent = [];
  asked = [];
  peerAnswer = undefined;
  starts('r1', 200);
  starts('r2', 100);
  happens(ownershipEvent({ node: 'r1', term: 1 }));
  told = {
    vr: 'gw',
    state: 'master',
    reason: 'attached',
    term: 1,
    standing: 'logged',
    sinceWallMs: 0,
    lastFrom: 'candidate',
    heardMaster: null,
    interface: 'eth1',
    virtualMac: '',
    lanAddress: null,
    priority: 200,
    tracks: [],
    warnings: [],
  };
  place = {
    node: nodeId('r1'),
    state: () => state,
    reachable: () => true,
    told: () => told,
    newest: (vr) => ownershipOf(state, vr),
    arbitrationOf: () => 'log',
    ownRouters: () => ['gw'],
    send: (message) => sent.push(message) > 0,
    peers: {
      ask: async (node, message) => {
        asked.push({ node, message });
        return peerAnswer;
      },
    },
    now: () => performance.now(),
  };
  desk = new HandoverDesk(place);
  return () => {
    installFailpoints(undefined);
    vi.useRealTimers();
  };
});

const handOver = (to?: string): Promise<HandoverOutcome> => desk.handOver({ vr: 'gw', to, timeoutMs: 1000 });

describe('a handover', () => {
  it('ends when the dataplane has handed over; the new owner and its term are those of the log', async () => {
    const ended = handOver();
    expect(sent).toEqual([{ type: 'handOver', vr: 'gw', to: 'r2' }]);
    says({ state: 'draining', reason: 'handover' });
    happens(
      ownershipEvent({
        node: 'r1',
        term: 2,
        payload: { type: 'handoverStarted', to: nodeId('r2'), reason: 'handover' },
      }),
    );
    await vi.advanceTimersByTimeAsync(30);
    says({ state: 'backup', reason: 'handed_over' });
    expect(await ended).toEqual({ kind: 'moved', vr: 'gw', from: 'r1', to: 'r2', term: 2, tookMs: 30 });
  });

  it('that this node has not read back yet is told with its own term', async () => {
    const ended = handOver();
    says({ state: 'draining', reason: 'handover' });
    desk.progressed('gw', '');
    desk.progressed('gw', undefined, 2);
    says({ state: 'backup', reason: 'handed_over' });
    expect(await ended).toMatchObject({ kind: 'moved', to: 'r2', term: 2 });
  });

  it('that somebody has taken over since is told as it stands', async () => {
    const ended = handOver();
    says({ state: 'draining', reason: 'handover' });
    desk.progressed('gw', undefined, 2);
    happens(ownershipEvent({ node: 'r3', term: 3 }));
    says({ state: 'backup', reason: 'handed_over' });
    expect(await ended).toMatchObject({ kind: 'moved', to: 'r3', term: 3 });
  });

  it('that fails says what the other node said', async () => {
    const ended = handOver('r2');
    says({ state: 'draining', reason: 'handover' });
    desk.progressed('gw', 'gw is fault: its interface has no carrier');
    says({ state: 'master', reason: 'handover_failed' });
    expect(await ended).toMatchObject({
      kind: 'failed',
      code: 'protocol',
      why: 'r2 did not take gw over: gw is fault: its interface has no carrier; r1 goes on serving it',
    });
  });

  it('goes to who has not been tried in vain, where there is one', async () => {
    starts('r3', 50);
    const order = { vr: 'gw', to: undefined, timeoutMs: 1000 };
    void desk.handOverHere({ ...order, passOver: new Set([nodeId('r2')]) });
    expect(sent).toEqual([{ type: 'handOver', vr: 'gw', to: 'r3' }]);
    says({ state: 'draining', reason: 'handover' });
    says({ state: 'master', reason: 'handover_failed' });
    await vi.advanceTimersByTimeAsync(1);
    const ended = desk.handOverHere({ ...order, passOver: new Set([nodeId('r2'), nodeId('r3')]) });
    says({ state: 'draining', reason: 'handover' });
    says({ state: 'master', reason: 'handover_failed' });
    expect(await ended).toMatchObject({ kind: 'failed', by: 'r2' });
  });

  it('that the other node agreed to, and then was silent, says so', async () => {
    const ended = handOver('r2');
    says({ state: 'draining', reason: 'handover' });
    desk.progressed('gw', '');
    desk.progressed('gw', undefined);
    says({ state: 'master', reason: 'handover_failed' });
    expect(await ended).toMatchObject({
      why: 'r2 did not take gw over: r2 did not serve in time; r1 goes on serving it',
    });
  });

  it('that the dataplane does not begin, or does not end, is given up', async () => {
    const first = handOver();
    await vi.advanceTimersByTimeAsync(501);
    expect(await first).toMatchObject({ code: 'timeout', why: 'gw: the dataplane did not begin within 500 ms' });
    const second = handOver();
    says({ state: 'draining', reason: 'handover' });
    await vi.advanceTimersByTimeAsync(1001);
    expect(await second).toMatchObject({ why: 'gw: the handover to r2 has not ended within 1000 ms' });
  });

  it('that something else overtakes says what', async () => {
    const ended = handOver();
    says({ state: 'draining', reason: 'handover' });
    says({ state: 'fault', reason: 'carrier_lost' });
    expect(await ended).toMatchObject({
      why: 'gw: this node left it for another cause: its interface has no carrier',
    });
  });

  it.each(['handover.sent', 'handover.left'] as const)('that breaks at %s is told, and is over', async (wanted) => {
    const broken = (name: string): Promise<void> =>
      name === wanted ? Promise.reject(new Error(`broken at ${name}`)) : Promise.resolve();
    installFailpoints({ reached: broken, passed: () => undefined });
    const ended = handOver();
    await vi.advanceTimersByTimeAsync(0);
    if (wanted === 'handover.left') says({ state: 'backup', reason: 'handed_over' });
    expect(await ended).toMatchObject({
      kind: 'failed',
      code: 'internal',
      why: `the handover of gw to r2 was begun, its end is not known: broken at ${wanted}`,
    });
    installFailpoints(undefined);
    says({ state: 'master', reason: 'attached' });
    const again = handOver();
    says({ state: 'draining', reason: 'handover' });
    says({ state: 'backup', reason: 'handed_over' });
    expect(await again).toMatchObject({ kind: 'moved', to: 'r2' });
  });

  it('is one at a time for a virtual router', async () => {
    const first = handOver();
    expect(await handOver()).toMatchObject({ why: 'a handover of gw is under way' });
    desk.dataplaneGone();
    expect(await first).toMatchObject({ why: 'gw: the dataplane is gone' });
  });
});

describe('a handover is refused', () => {
  it('for a name that nobody knows, with what was probably meant', async () => {
    expect(await desk.handOver({ vr: 'gww', to: undefined, timeoutMs: 1000 })).toMatchObject({
      code: 'usage',
      why: "there is no virtual router 'gww'",
      remedy: "did you mean 'gw'?",
    });
    expect(await handOver('r9')).toMatchObject({ code: 'usage', remedy: 'the nodes are r1, r2' });
    expect(sent).toEqual([]);
  });

  it('where nobody can take it, with what each lacks', async () => {
    starts('r2', 0, true);
    const drained = 'it is drained: it takes nothing over until koi undrain';
    expect(await handOver()).toMatchObject({
      code: 'protocol',
      why: `there is nobody to hand gw over to (r2: ${drained})`,
    });
    expect(await handOver('r2')).toMatchObject({ code: 'protocol', why: `r2 cannot take gw over: ${drained}` });
  });

  it('with arbitration wire, without the log, and while the log does not have the ownership', async () => {
    place.arbitrationOf = () => 'wire';
    expect(await handOver()).toMatchObject({ code: 'protocol', why: expect.stringContaining('arbitration: wire') });
    place.arbitrationOf = () => 'log';
    place.reachable = () => false;
    const away = handOver();
    await vi.advanceTimersByTimeAsync(600);
    expect(await away).toMatchObject({ code: 'log' });
    place.reachable = () => true;
    told = { ...told, standing: 'provisional' };
    const unknown = handOver();
    await vi.advanceTimersByTimeAsync(600);
    expect(await unknown).toMatchObject({ code: 'log', why: "the log does not have r1's ownership of gw yet" });
    expect(sent).toEqual([]);
  });
});

describe('a log that has just begun anew', () => {
  const begun = { type: 'handOver', vr: 'gw', to: 'r2' };

  it('is waited for, and so is the ownership that it does not have yet', async () => {
    place.reachable = () => false;
    told = { ...told, standing: 'provisional' };
    const ended = handOver();
    await vi.advanceTimersByTimeAsync(200);
    place.reachable = () => true;
    await vi.advanceTimersByTimeAsync(200);
    expect(sent).toEqual([]);
    told = { ...told, standing: 'logged' };
    await vi.advanceTimersByTimeAsync(20);
    expect(sent).toEqual([begun]);
    says({ state: 'draining', reason: 'handover' });
    says({ state: 'backup', reason: 'handed_over', standing: null });
    expect(await ended).toMatchObject({ kind: 'moved', to: 'r2' });
  });

  it('is waited for where another node asks, and no longer than half of the time', async () => {
    place.reachable = () => false;
    const asks = desk.answer({ vr: 'gw', to: undefined, timeoutMs: 1000 });
    await vi.advanceTimersByTimeAsync(480);
    place.reachable = () => true;
    await vi.advanceTimersByTimeAsync(20);
    expect(sent).toEqual([begun]);
    // What is left is the handover's: half of that for the dataplane to begin.
    await vi.advanceTimersByTimeAsync(260);
    expect(await asks).toMatchObject({ ready: false, reason: expect.stringContaining('did not begin within') });
  });
});

describe('asked on another node', () => {
  beforeEach(() => {
    place.node = nodeId('r2');
    told = { ...told, state: 'backup', standing: null };
  });

  it('it is passed on to the master, and its answer is the answer', async () => {
    peerAnswer = { ready: true, reason: '', handover: { owner: 'r2', term: 2, tookMs: 12 } };
    expect(await handOver()).toEqual({ kind: 'moved', vr: 'gw', from: 'r1', to: 'r2', term: 2, tookMs: 12 });
    expect(asked).toEqual([
      { node: 'r1', message: { type: 'handOver', from: 'r2', vr: 'gw', to: null, timeoutMs: 1000 } },
    ]);
    peerAnswer = { ready: false, reason: 'r2 did not take gw over: no' };
    expect(await handOver()).toMatchObject({ code: 'protocol', why: 'r2 did not take gw over: no' });
    peerAnswer = undefined;
    expect(await handOver()).toMatchObject({ code: 'unreachable' });
  });

  it('nothing is done where the one that is wanted is the master already, or nobody is', async () => {
    expect(await handOver('r1')).toEqual({ kind: 'there', vr: 'gw', to: 'r1', term: 1 });
    happens(
      ownershipEvent({ node: 'r1', term: 1, payload: { type: 'released', reason: 'x', addressesReadBackGone: true } }),
    );
    expect(await handOver()).toMatchObject({ why: 'nobody is the master of gw now, so there is nothing to hand over' });
    expect(asked).toEqual([]);
  });
});
