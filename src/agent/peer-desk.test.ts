import { beforeEach, describe, expect, it } from 'vitest';
import { configOf, toldOf } from '../../test/agent/node.js';
import type { ToDataplane } from '../ipc/protocol.js';
import type { PeerAnswer } from '../log/peer-channel.js';
import { emptyLogState } from '../log/projection.js';
import { OwnNode } from './own-node.js';
import { PeerDesk } from './peer-desk.js';

let isDrained: boolean;
let isHeard: boolean;
let node: OwnNode;
let dataplane: { up: boolean; send: (message: ToDataplane) => boolean };
let sent: ToDataplane[];
let said: unknown[];
/** What the other node answers; undefined: nothing, in time. */
let answer: PeerAnswer | undefined;
let desk: PeerDesk;

beforeEach(() => {
  [isDrained, isHeard, sent, said, answer] = [false, true, [], [], undefined];
  node = new OwnNode(configOf('gw'), () => isDrained);
  node.dataplaneCame('b1', [toldOf('gw', { term: 3 })]);
  dataplane = { up: true, send: (message) => sent.push(message) > 0 };
  desk = new PeerDesk({
    node,
    log: { state: emptyLogState },
    dataplane,
    peers: {
      ask: async (to, message) => {
        said.push([to, message]);
        return answer;
      },
      tell: (to, message) => said.push([to, message]),
    },
    handovers: {
      answer: async ({ vr, to }) => ({ ready: true, reason: `${vr} to ${to}` }),
      progressed: (vr, why) => said.push([vr, why]),
    },
    leases: {
      asked: async () => ({ ready: true, reason: '', serving: 'serves' }),
      isHeardOnLan: async () => isHeard,
    },
    lanChecks: { answer: (vr, from) => ({ ready: false, reason: `${vr} of ${from} is not heard` }) },
    logger: { warn: () => undefined },
  });
});

const areYouReady = { type: 'areYouReady', from: 'r2', vr: 'gw', term: 4 } as const;

describe('another node asks', () => {
  it('whether this one could take over: with its dataplane, in service, and heard on its LAN', async () => {
    expect(await desk.answer(areYouReady)).toEqual({ ready: true, reason: '', highestTerm: 3 });
    isHeard = false;
    expect(await desk.answer(areYouReady)).toMatchObject({ ready: false, reason: /nobody on its LAN/, highestTerm: 3 });
    isHeard = true;
    isDrained = true;
    expect(await desk.answer(areYouReady)).toMatchObject({ ready: false });
    isDrained = false;
    dataplane.up = false;
    expect(await desk.answer(areYouReady)).toMatchObject({ ready: false, reason: 'gw is not running here' });
  });

  it('what others know, and is passed on', async () => {
    const ok = { ready: true, reason: '' };
    expect(desk.answer({ type: 'iServe', from: 'r2', vr: 'gw', term: 4 })).toEqual(ok);
    expect(desk.answer({ type: 'handOverToMe', from: 'r2', vr: 'gw' })).toEqual(ok);
    expect(sent).toEqual([
      { type: 'peerServes', vr: 'gw', from: 'r2', term: 4 },
      { type: 'handOver', vr: 'gw', to: 'r2' },
    ]);
    expect(desk.answer({ type: 'doYouHear', from: 'r2', vr: 'gw' })).toMatchObject({ reason: 'gw of r2 is not heard' });
    const asks = desk.answer({ type: 'doYouServe', from: 'r2', vr: 'gw', lanAddresses: [], timeoutMs: 30 });
    expect(await asks).toMatchObject({ serving: 'serves' });
    const handOver = { type: 'handOver', from: 'r2', vr: 'gw', to: 'r3', timeoutMs: 30 } as const;
    expect(await desk.answer(handOver)).toMatchObject({ reason: 'gw to r3' });
  });
});

describe('the dataplane asks another node', () => {
  it('whether it could take over, and hears no where that says nothing', async () => {
    await desk.askReady({ type: 'askReady', vr: 'gw', to: 'r2', term: 4 });
    answer = { ready: true, reason: '', highestTerm: 7 };
    await desk.askReady({ type: 'askReady', vr: 'gw', to: 'r2', term: 4 });
    expect(sent).toEqual([
      { type: 'peerReady', vr: 'gw', from: 'r2', ready: false, highestTerm: 0 },
      { type: 'peerReady', vr: 'gw', from: 'r2', ready: true, highestTerm: 7 },
    ]);
    const asked = ['r2', { ...areYouReady, from: 'r1' }];
    expect(said).toEqual([asked, ['gw', 'r2 does not answer'], asked, ['gw', '']]);
  });

  it('for a handover, unless this node is drained, and tells it that it serves', () => {
    desk.tellServing({ type: 'tellServing', to: 'r2', vr: 'gw', term: 4 });
    desk.askHandover({ type: 'askHandover', of: 'r2', vr: 'gw' });
    isDrained = true;
    desk.askHandover({ type: 'askHandover', of: 'r2', vr: 'gw' });
    expect(said).toEqual([
      ['r2', { type: 'iServe', from: 'r1', vr: 'gw', term: 4 }],
      ['r2', { type: 'handOverToMe', from: 'r1', vr: 'gw' }],
    ]);
  });
});
