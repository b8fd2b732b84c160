import { describe, expect, it } from 'vitest';
import { bootId, nodeId, term } from '../core/identity.js';
import type { PeerAnswer, PeerMessage } from '../log/peer-channel.js';
import { emptyLogState, type LogState } from '../log/projection.js';
import type { DataplaneSnapshot } from '../observe/snapshot.js';
import { ClockWatch } from './clock-watch.js';
import { LanCheckDesk } from './lan-check-desk.js';

const nowMs = 100_000;

function snapshot(state: string, lastSeenMs?: number): DataplaneSnapshot {
  const peers = lastSeenMs === undefined ? [] : [{ peer: 'r1', lastSeenMs }];
  return { vrs: [{ name: 'gw', state, peers }] } as unknown as DataplaneSnapshot;
}

const node = (name: string) => ({
  node: nodeId(name),
  boot: bootId('b'),
  version: undefined,
  virtualRouters: [{ name: 'gw' }],
  stopped: false,
  drainedSinceMs: undefined,
  dataplaneLostMs: undefined,
  lastSeenMs: nowMs,
  run: { boot: bootId('b1'), sinceMs: nowMs },
});
const state = {
  ...emptyLogState,
  nodes: new Map(['r1', 'r2', 'r3'].map((name) => [nodeId(name), node(name)])),
  virtualRouters: new Map([['gw', { holding: { owner: nodeId('r1'), released: false, term: term(1) } }]]),
} as unknown as LogState;

function desk(self: string, first: DataplaneSnapshot, answers: Readonly<Record<string, PeerAnswer>> = {}) {
  const asked: (PeerMessage & { to: string })[] = [];
  const lost: { vr: string; peer: string }[] = [];
  /** `later` is what the dataplane tells meanwhile. */
  const shot = { now: first, later: first };
  const made = new LanCheckDesk({
    node: self,
    peers: {
      ask: async (to, message) => {
        asked.push({ ...message, to });
        return answers[to];
      },
    },
    state: () => state,
    snapshot: () => shot.now,
    lostPaths: () => lost,
    wallNow: () => nowMs,
    pause: async () => {
      shot.now = shot.later;
    },
  });
  return { desk: made, asked, lost, shot };
}

describe('whether the virtual MAC is heard', () => {
  it('a master asks every other node that has the virtual router', async () => {
    const answers = { r2: { ready: true, reason: '' } };
    const { desk: made, asked } = desk('r1', snapshot('master'), answers);
    expect(await made.check()).toMatchObject([
      { listener: 'r2', hears: true },
      { listener: 'r3', hears: null },
    ]);
    expect(asked.map(({ type, to }) => `${type} ${to}`)).toEqual(['doYouHear r2', 'doYouHear r3']);
  });

  it('a backup says what it hears of the master', async () => {
    expect(await desk('r2', snapshot('backup', nowMs - 1000)).desk.check()).toMatchObject([{ hears: true }]);
    expect(await desk('r2', snapshot('backup', nowMs - 9000)).desk.check()).toMatchObject([
      { hears: false, parentHeard: false, why: 'its last advert was heard 9 s ago' },
    ]);
    expect(await desk('r2', snapshot('backup')).desk.check()).toMatchObject([{ hears: false }]);
  });

  it('a backup that has only just begun to hear the master is asked once more', async () => {
    const { desk: made, shot } = desk('r2', snapshot('backup'));
    shot.later = snapshot('backup', nowMs - 100);
    expect(await made.check()).toMatchObject([{ hears: true }]);
  });

  it('a backup tells a lost advert path from a dead LAN', () => {
    const { desk: made, lost } = desk('r2', snapshot('backup', nowMs - 1000));
    expect(made.answer('gw', 'r1')).toEqual({ ready: true, reason: '' });
    lost.push({ vr: 'gw', peer: 'r1' });
    expect(made.answer('gw', 'r1')).toMatchObject({ ready: false, parentHeard: true });
    expect(made.answer('none', 'r1')).toMatchObject({ ready: false });
  });
});

describe('the clock', () => {
  it('jumps where it leaves the monotonic one, and not where it is slewed', () => {
    const watch = new ClockWatch();
    for (let second = 0; second < 10; second++) watch.look(second * 1000 + second * 0.5, second * 1000);
    expect(watch.jumps.count).toBe(0);
    watch.look(10_000 - 3600_000, 10_000);
    watch.look(11_000 - 3600_000, 11_000);
    expect(watch.jumps.count).toBe(1);
    expect(watch.jumps.lastMs).toBeCloseTo(-3600_004.5, 0);
  });
});
