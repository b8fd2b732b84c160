import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChallengeDesk } from '../../src/agent/challenge-desk.js';
import type { Revocation } from '../../src/agent/lease-revoker.js';
import { nodeId } from '../../src/core/identity.js';
import type { ToAgent } from '../../src/ipc/protocol.js';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import type { PeerAnswer, PeerMessage } from '../../src/log/peer-channel.js';
import { realTimers } from '../../src/log/timers.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { LeaseNode } from './leases.js';
import { NatsServer, natsServerBinary } from './nats-server.js';

/** CLOCK_MONOTONIC, as agent and dataplane read it. */
const timers = { ...realTimers, nowMs: () => Number(process.hrtime.bigint()) / 1e6 };
const settings = { ttlMs: 1500, renewMs: 250 };

let server: NatsServer;
let opened: JetStreamLogs[];
let nodes: LeaseNode[];

beforeEach(async () => {
  [opened, nodes] = [[], []];
  server = await NatsServer.start();
});

afterEach(async () => {
  for (const node of nodes) node.stop();
  await Promise.all(opened.map((logs) => logs.close()));
  await server.remove();
});

function open(node: string, answerPeer?: (message: PeerMessage) => PeerAnswer | Promise<PeerAnswer>): JetStreamLogs {
  const logs = openJetStreamLogs({
    cluster: 'edge',
    name: node,
    servers: [server.url],
    replicas: 1,
    authentication: { kind: 'none' },
    ...(answerPeer === undefined ? {} : { answerPeer }),
  });
  opened.push(logs);
  return logs;
}

function join(node: string, options: ConstructorParameters<typeof LeaseNode>[3] = {}): LeaseNode {
  const { leases, names } = open(node);
  const joined = new LeaseNode(leases, names, node, { timers, settings, ...options });
  nodes.push(joined);
  return joined;
}

const hasLease = (node: LeaseNode, name: string): Promise<number> =>
  waitUntil(
    `a lease of ${name}`,
    () => (node.desk.report(name).state === 'held' ? undefined : node.desk.report(name).state),
    {
      deadlineMs: 15_000,
    },
  );

const expired = (reader: LeaseNode, holder: string): Promise<number> =>
  waitUntil(
    `the end of ${holder}'s lease`,
    () => (reader.desk.report(holder).state === 'expired' ? undefined : 'held'),
    {
      deadlineMs: 15_000,
      everyMs: 5,
    },
  );

/** Asks until the log answers; a lease that is held is an answer. */
async function revoked(by: LeaseNode, holder: string): Promise<Revocation> {
  let answer: Revocation = { kind: 'unavailable' };
  await waitUntil(
    'the log’s word',
    async () => {
      answer = await by.revoker.revoke(holder, 1000);
      return answer.kind === 'unavailable' ? 'unavailable' : undefined;
    },
    { deadlineMs: 15_000 },
  );
  return answer;
}

describe.skipIf(natsServerBinary === undefined)('leases in JetStream', () => {
  it('are renewed by each node and seen by the others, one message for each in the stream', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await Promise.all([hasLease(r1, 'r1'), hasLease(r2, 'r2'), hasLease(r1, 'r2'), hasLease(r2, 'r1')]);
    await waitUntil('four renewals', () => (r1.told.length >= 4 ? undefined : String(r1.told.length)), {
      deadlineMs: 15_000,
    });
    expect(r1.told).not.toContain(null);
    const [logs] = opened;
    // A renewal that comes while they are read takes the place of what was to be read.
    await waitUntil(
      'one message for each',
      async () => {
        const kept: string[] = [];
        for await (const { subject } of logs?.leases.read({ deadlineMs: 2000 }) ?? []) kept.push(subject);
        const found = kept.sort().join();
        return found === 'koi.edge.lease.r1,koi.edge.lease.r2' ? undefined : found;
      },
      { deadlineMs: 15_000 },
    );
    expect(await revoked(r2, 'r1')).toMatchObject({ kind: 'leased' });
  });

  it('end for the holder before anybody else may revoke them, and are lost once somebody has', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await Promise.all([hasLease(r1, 'r1'), hasLease(r2, 'r1')]);
    const { boot } = r1;
    r1.boot = undefined;
    await expired(r2, 'r1');
    expect(r1.desk.endsAtMs).toBeLessThan(timers.nowMs());
    expect(await revoked(r2, 'r1')).toEqual({ kind: 'revoked' });
    await waitUntil('the loss', () => (r1.told.at(-1) === null ? undefined : 'held'), { deadlineMs: 5000 });
    expect(r2.revoked).toMatchObject([{ holder: 'r1' }]);
    r1.boot = boot;
    await hasLease(r1, 'r1');
    await hasLease(r2, 'r1');
  });

  it('survive a restart of the agent within the ttl', async () => {
    const first = join('r1');
    const reader = join('r2');
    await Promise.all([hasLease(first, 'r1'), hasLease(reader, 'r1')]);
    const endsAtMs = first.desk.endsAtMs ?? 0;
    first.stop();
    const second = join('r1', { life: '2' });
    await hasLease(second, 'r1');
    expect(second.told).not.toContain(null);
    expect(second.desk.endsAtMs).toBeGreaterThan(endsAtMs);
    expect(reader.desk.report('r1').state).toBe('held');
  });

  it('are not taken for expired by a reader, nor lost by their holders, when a frozen server comes back', async () => {
    const [r1, r2] = [join('r1', { settings: { ttlMs: 6000, renewMs: 250 } }), join('r2')];
    await Promise.all([hasLease(r1, 'r1'), hasLease(r2, 'r1')]);
    server.freeze();
    const renewals = r1.told.length;
    await observeFor(2000);
    expect(r1.told).toHaveLength(renewals);
    expect(await r2.revoker.revoke('r1', 100)).toMatchObject({ kind: expect.stringMatching(/leased|unavailable/) });
    server.thaw();
    await waitUntil('a renewal', () => (r1.told.length > renewals ? undefined : 'none'), { deadlineMs: 15_000 });
    expect(r1.told).not.toContain(null);
    expect(r1.troubles).toEqual([]);
  });

  it('go to the renewal or to the revocation when both race, never to both', { timeout: 120_000 }, async () => {
    const [r1, r2] = [join('r1', { settings: { ttlMs: 500, renewMs: 250 } }), join('r2')];
    await Promise.all([hasLease(r1, 'r1'), hasLease(r2, 'r2')]);
    const { boot } = r1;
    const won = { revoked: 0, leased: 0 };
    const isSettled = (round: number): boolean => round >= 10 && won.revoked > 0 && won.leased > 0;
    for (let round = 0; round < 60 && !isSettled(round); round += 1) {
      await hasLease(r1, 'r1');
      r1.boot = undefined;
      await expired(r2, 'r1');
      r1.told.length = 0;
      r1.boot = boot;
      // Whichever is written first to its socket usually wins: take turns.
      const asked = round % 2 === 0 ? r2.revoker.revoke('r1', 1000) : undefined;
      r1.desk.dataplaneUp();
      const answer = await (asked ?? r2.revoker.revoke('r1', 1000));
      if (answer.kind === 'unavailable') throw new Error('the log did not answer');
      won[answer.kind] += 1;
      await hasLease(r1, 'r1');
      expect(r1.told.includes(null)).toBe(answer.kind === 'revoked');
    }
    expect(won.revoked).toBeGreaterThan(0);
    expect(won.leased).toBeGreaterThan(0);
  });

  it('start anew on a server that has lost them', async () => {
    const [r1, r2] = [join('r1', { settings: { ttlMs: 10_000, renewMs: 250 } }), join('r2')];
    await Promise.all([hasLease(r1, 'r1'), hasLease(r2, 'r1')]);
    await server.kill();
    await server.wipe();
    await server.up();
    const renewals = r1.told.length;
    await waitUntil('a renewal', () => (r1.told.length > renewals ? undefined : 'none'), { deadlineMs: 20_000 });
    expect(await revoked(r2, 'r1')).toMatchObject({ kind: 'leased' });
  });
});

const challenge: Extract<ToAgent, { type: 'challenge' }> = {
  type: 'challenge',
  vr: 'gw',
  claim: 'b.1',
  term: 2,
  holder: 'r1',
  lanAddress: '10.77.0.2',
  timeoutMs: 500,
};

describe.skipIf(natsServerBinary === undefined)('a challenge over NATS', () => {
  function deskOf(logs: JetStreamLogs, node: string, options: { reports?: 'serves' | 'lan_down' } = {}): ChallengeDesk {
    const desk: ChallengeDesk = new ChallengeDesk({
      node: nodeId(node),
      arbitrationOf: () => 'log',
      reachable: () => true,
      leases: { hasExpired: () => false },
      revoker: { revoke: () => Promise.resolve({ kind: 'unavailable' }) },
      peers: logs.peers,
      askDataplane: ({ id }) => {
        const { reports } = options;
        if (reports !== undefined) setImmediate(() => desk.reported({ type: 'challenged', id, report: reports }));
        return true;
      },
      isMaster: () => false,
      timers: realTimers,
    });
    return desk;
  }

  const connected = (logs: JetStreamLogs): Promise<number> => {
    let state = '';
    logs.events.watch((status) => {
      state = status.state;
    });
    return waitUntil('the log', () => (state === 'connected' ? undefined : state), { deadlineMs: 15_000 });
  };

  async function challenger(): Promise<ChallengeDesk> {
    const logs = open('r2');
    await connected(logs);
    return deskOf(logs, 'r2');
  }

  it.each(['serves', 'lan_down'] as const)('brings back what the holder reports: %s', async (reports) => {
    const answering: { desk?: ChallengeDesk } = {};
    const questions: PeerMessage[] = [];
    const logs = open('r1', (message) => {
      questions.push(message);
      if (message.type !== 'doYouServe' || answering.desk === undefined) return { ready: false, reason: '' };
      return answering.desk.asked(message);
    });
    answering.desk = deskOf(logs, 'r1', { reports });
    await connected(logs);
    const desk = await challenger();
    const verdict = await desk.challenge(challenge);
    expect(verdict).toEqual(reports === 'serves' ? { kind: 'serves' } : { kind: 'gone', why: 'lan_down' });
    expect(questions).toMatchObject([{ type: 'doYouServe', from: 'r2', lanAddresses: ['10.77.0.2'] }]);
  });

  it('is answered at once where nobody of that name is there', async () => {
    const desk = await challenger();
    const startMs = timers.nowMs();
    expect(await desk.challenge({ ...challenge, timeoutMs: 5000 })).toEqual({ kind: 'gone', why: 'no_answer' });
    expect(timers.nowMs() - startMs).toBeLessThan(2500);
  });

  it('is given up after its time where the holder does not answer', async () => {
    const logs = open('r1', () => new Promise<PeerAnswer>(() => undefined));
    await connected(logs);
    const desk = await challenger();
    const startMs = timers.nowMs();
    expect(await desk.challenge({ ...challenge, timeoutMs: 100 })).toEqual({ kind: 'gone', why: 'no_answer' });
    expect(timers.nowMs() - startMs).toBeGreaterThan(95);
  });
});
