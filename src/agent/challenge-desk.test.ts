import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { nodeId } from '../core/identity.js';
import type { ChallengeVerdict, VrParameters } from '../core/vr-state.js';
import type { ToAgent, ToDataplane } from '../ipc/protocol.js';
import type { PeerAnswer, PeerMessage } from '../log/peer-channel.js';
import { ChallengeDesk } from './challenge-desk.js';
import type { Revocation } from './lease-revoker.js';

type Challenge = Extract<ToAgent, { type: 'challenge' }>;
type Question = Extract<PeerMessage, { type: 'doYouServe' }>;

let timers: ManualTimers;
let desk: ChallengeDesk;
let arbitration: VrParameters['arbitration'] | undefined;
let reachable: boolean;
let expired: boolean;
let revocation: Revocation;
let answer: PeerAnswer | undefined;
let questions: { node: string; message: PeerMessage; timeoutMs: number }[];
let revocations: string[];
let hasDataplane: boolean;
let isMaster: boolean;
let challenged: Extract<ToDataplane, { type: 'challenged' }>[];

const challenge: Challenge = {
  type: 'challenge',
  vr: 'gw',
  claim: 'b1.1',
  term: 7,
  holder: 'r1',
  lanAddress: '10.77.0.2,fe80::2',
  timeoutMs: 30,
};
const question: Question = {
  type: 'doYouServe',
  from: 'r2',
  vr: 'gw',
  lanAddresses: ['10.77.0.2', 'fe80::2'],
  timeoutMs: 30,
};
const says = (serving: NonNullable<PeerAnswer['serving']>): PeerAnswer => ({
  ready: serving === 'serves',
  reason: serving,
  serving,
});

beforeEach(() => {
  timers = new ManualTimers();
  [arbitration, reachable, expired, hasDataplane, isMaster] = ['log', true, false, true, false];
  revocation = { kind: 'revoked' };
  answer = undefined;
  [questions, revocations, challenged] = [[], [], []];
  desk = new ChallengeDesk({
    node: nodeId('r2'),
    arbitrationOf: (vr) => (vr === 'gw' ? arbitration : undefined),
    reachable: () => reachable,
    leases: { hasExpired: () => expired },
    revoker: {
      revoke: (holder) => {
        revocations.push(holder);
        return Promise.resolve(revocation);
      },
    },
    peers: {
      ask: (node, message, timeoutMs) => {
        questions.push({ node, message, timeoutMs });
        return Promise.resolve(answer);
      },
    },
    askDataplane: (message) => {
      if (hasDataplane) challenged.push(message);
      return hasDataplane;
    },
    isMaster: () => isMaster,
    timers,
  });
});

describe('a challenge in mode log', () => {
  it('names the challenger and its LAN addresses, and waits as long as it may', async () => {
    await desk.challenge(challenge);
    expect(questions).toEqual([{ node: 'r1', message: question, timeoutMs: 30 }]);
    await desk.challenge({ ...challenge, lanAddress: null });
    expect(questions[1]?.message).toMatchObject({ lanAddresses: [] });
  });

  const verdicts: [string, PeerAnswer | undefined, ChallengeVerdict][] = [
    ['it serves', says('serves'), { kind: 'serves' }],
    ['its LAN is down', says('lan_down'), { kind: 'gone', why: 'lan_down' }],
    ['it does not serve', says('not_serving'), { kind: 'gone', why: 'not_serving' }],
    ['nothing', undefined, { kind: 'gone', why: 'no_answer' }],
    ['something else', { ready: true, reason: '' }, { kind: 'gone', why: 'no_answer' }],
  ];
  it.each(verdicts)('reports what the holder says: %s', async (_, said, verdict) => {
    answer = said;
    expect(await desk.challenge(challenge)).toEqual(verdict);
  });

  it('asks nobody whose lease has expired', async () => {
    expired = true;
    expect(await desk.challenge(challenge)).toEqual({ kind: 'gone', why: 'lease_expired' });
    expect(questions).toEqual([]);
    expect(revocations).toEqual([]);
  });

  it('knows nothing of the holder where the log is away, or goes away meanwhile', async () => {
    reachable = false;
    expect(await desk.challenge(challenge)).toEqual({ kind: 'unasked' });
    expect(questions).toEqual([]);
    reachable = true;
    const verdict = desk.challenge(challenge);
    reachable = false;
    expect(await verdict).toEqual({ kind: 'unasked' });
  });

  it('does not ask this node about an earlier dataplane of its own', async () => {
    expect(await desk.challenge({ ...challenge, holder: 'r2' })).toEqual({ kind: 'gone', why: 'not_serving' });
    expect(questions).toEqual([]);
  });
});

describe('a challenge in mode strict', () => {
  beforeEach(() => {
    arbitration = 'strict';
  });

  const verdicts: [Revocation, ChallengeVerdict][] = [
    [{ kind: 'revoked' }, { kind: 'gone', why: 'lease_expired' }],
    [
      { kind: 'leased', untilMs: 77 },
      { kind: 'leased', untilMs: 77 },
    ],
    [{ kind: 'unavailable' }, { kind: 'unasked' }],
  ];
  it.each(verdicts)('goes by the log alone: %j', async (found, verdict) => {
    [revocation, expired, answer] = [found, true, says('not_serving')];
    expect(await desk.challenge(challenge)).toEqual(verdict);
    expect(revocations).toEqual(['r1']);
    expect(questions).toEqual([]);
  });

  it('knows nothing while the log is away', async () => {
    reachable = false;
    expect(await desk.challenge(challenge)).toEqual({ kind: 'unasked' });
    expect(revocations).toEqual([]);
  });
});

it('nobody is challenged where the log does not arbitrate', async () => {
  arbitration = 'wire';
  expect(await desk.challenge(challenge)).toEqual({ kind: 'unasked' });
  expect(await desk.challenge({ ...challenge, vr: 'other' })).toEqual({ kind: 'unasked' });
});

describe('a challenged holder', () => {
  it('has its dataplane find out', async () => {
    const asked = desk.asked({ ...question, from: 'r3' });
    expect(challenged).toEqual([
      { type: 'challenged', id: 1, vr: 'gw', from: 'r3', lanAddresses: question.lanAddresses, timeoutMs: 30 },
    ]);
    desk.reported({ type: 'challenged', id: 1, report: 'lan_down' });
    expect(await asked).toEqual(says('lan_down'));
    // An answer that nobody waits for any more is nothing.
    desk.reported({ type: 'challenged', id: 1, report: 'serves' });
  });

  it('keeps the answers to several apart', async () => {
    const [first, second] = [desk.asked(question), desk.asked({ ...question, vr: 'other' })];
    desk.reported({ type: 'challenged', id: 2, report: 'serves' });
    desk.reported({ type: 'challenged', id: 1, report: 'not_serving' });
    expect([(await first).serving, (await second).serving]).toEqual(['not_serving', 'serves']);
  });

  it('does not serve without a dataplane, nor with one that dies or hangs', async () => {
    hasDataplane = false;
    expect(await desk.asked(question)).toEqual(says('not_serving'));
    hasDataplane = true;
    const dying = desk.asked(question);
    desk.dataplaneGone();
    expect(await dying).toEqual(says('not_serving'));
    const hanging = desk.asked(question);
    await timers.advance(30);
    expect(await hanging).toEqual(says('not_serving'));
  });

  it('says what it knows where too many ask at once', async () => {
    for (let i = 0; i < 4096; i += 1) void desk.asked(question);
    isMaster = true;
    expect(await desk.asked(question)).toEqual(says('serves'));
    expect(challenged).toHaveLength(4096);
    await timers.advance(30);
    void desk.asked(question);
    expect(challenged).toHaveLength(4097);
  });
});

describe('a node that is to take over', () => {
  it('has its dataplane look at the LAN, and tells by it whether it would be heard', async () => {
    const heard = desk.isHeardOnLan('gw', ['10.77.0.2']);
    expect(challenged).toMatchObject([{ id: 1, vr: 'gw', from: 'r2', lanAddresses: ['10.77.0.2'] }]);
    desk.reported({ type: 'challenged', id: 1, report: 'lan_down' });
    expect(await heard).toBe(false);
    const again = desk.isHeardOnLan('gw', []);
    desk.reported({ type: 'challenged', id: 2, report: 'not_serving' });
    expect(await again).toBe(true);
  });

  it('tries where that cannot be found out in time', async () => {
    const hanging = desk.isHeardOnLan('gw', []);
    await timers.advance(700);
    expect(await hanging).toBe(true);
    hasDataplane = false;
    expect(await desk.isHeardOnLan('gw', [])).toBe(true);
  });
});
