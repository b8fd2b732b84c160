import { beforeEach, describe, expect, it } from 'vitest';
import { configOf, toldOf } from '../../test/agent/node.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import type { ObservationPayload } from '../log/event.js';
import { areAnnouncedAlike, NodeAnnouncement } from './node-announcement.js';
import { OwnNode } from './own-node.js';

let timers: ManualTimers;
let node: OwnNode;
let log: { reachable: boolean };
let isDrained: boolean;
let told: ObservationPayload[];
let announcement: NodeAnnouncement;

beforeEach(() => {
  timers = new ManualTimers();
  isDrained = false;
  node = new OwnNode(configOf('gw'), () => isDrained);
  node.dataplaneCame('b1', [toldOf('gw')]);
  log = { reachable: true };
  told = [];
  announcement = new NodeAnnouncement({
    node,
    log,
    observe: (payload) => told.push(payload),
    onDue: () => announcement.look(),
    timers,
  });
});

const priorities = (): unknown[] =>
  told.map((payload) => payload.type === 'nodeStarted' && payload.virtualRouters.map(({ priority }) => priority));

describe("the node's entry in the log", () => {
  it('says of each virtual router how others find it', () => {
    announcement.look();
    expect(told).toMatchObject([
      {
        type: 'nodeStarted',
        virtualRouters: [
          {
            name: 'gw',
            protocol: 'vrrp3',
            id: 51,
            priority: 200,
            interface: 'eth1',
            addresses: ['10.77.0.250/24'],
            lanAddress: '10.77.0.1',
            arbitration: 'log',
          },
        ],
      },
    ]);
    expect(told[0]).not.toHaveProperty('drained');
  });

  it('is said once, and again only where it says something else, once a second at most', async () => {
    announcement.look();
    announcement.look();
    for (const priority of [150, 140, 130]) {
      node.tells(toldOf('gw', { priority }));
      announcement.look();
    }
    await timers.advance(999);
    expect(priorities()).toEqual([[200]]);
    await timers.advance(1);
    expect(priorities()).toEqual([[200], [130]]);
  });

  it('does not wait where it is in a hurry, or of another run', () => {
    announcement.look();
    isDrained = true;
    announcement.hurry();
    announcement.look();
    expect(told[1]).toMatchObject({ drained: true });
    announcement.forget();
    announcement.look();
    expect(priorities()).toEqual([[200], [0], [0]]);
  });

  it('stays old until it can be said', () => {
    log.reachable = false;
    announcement.age();
    announcement.look();
    expect([announcement.isOld, told]).toEqual([true, []]);
    log.reachable = true;
    announcement.look();
    expect([announcement.isOld, told.length]).toEqual([false, 1]);
  });

  it('says nothing any more where it was stopped', async () => {
    announcement.look();
    node.tells(toldOf('gw', { priority: 150 }));
    announcement.look();
    announcement.stop();
    await timers.advance(5000);
    expect(told).toHaveLength(1);
  });

  it('is the same for what only the term or the state of service changes', () => {
    const before = toldOf('gw');
    expect(areAnnouncedAlike(before, toldOf('gw', { state: 'master', term: 9 }))).toBe(true);
    expect(areAnnouncedAlike(undefined, before)).toBe(false);
    for (const over of [{ state: 'fault' }, { priority: 1 }, { lanAddress: '10.77.0.9' }] as const) {
      expect(areAnnouncedAlike(before, toldOf('gw', over))).toBe(false);
    }
  });
});
