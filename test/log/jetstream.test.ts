import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { type JetStreamManager, jetstreamManager, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { nodeId, sequence } from '../../src/core/identity.js';
import { encodeEvent, eventHash } from '../../src/log/codec.js';
import type { KoiEvent } from '../../src/log/event.js';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import type { AppendResult, EventLog, LogGap, LogStatus, StoredEvent } from '../../src/log/port.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import { observation, ownershipEvent, transition } from './events.js';
import { NatsServer, natsServerBinary } from './nats-server.js';

const deadlineMs = 1000;
let server: NatsServer;
let opened: JetStreamLogs[];

beforeEach(() => {
  opened = [];
});

afterEach(async () => {
  await Promise.all(opened.map((logs) => logs.close()));
  await server?.remove();
});

interface Opening {
  readonly replicas?: number;
  readonly servers?: string[];
  readonly token?: string;
  readonly cluster?: string;
  readonly readOnly?: boolean;
  readonly inOrder?: boolean;
}

function open(node: string, options: Opening = {}): JetStreamLogs {
  const logs = openJetStreamLogs({
    cluster: options.cluster ?? 'edge',
    ...(options.readOnly === undefined ? {} : { readOnly: options.readOnly }),
    name: node,
    servers: options.servers ?? [server.url],
    inOrder: options.inOrder ?? false,
    replicas: options.replicas ?? 1,
    authentication: options.token === undefined ? { kind: 'none' } : { kind: 'token', token: options.token },
  });
  opened.push(logs);
  return logs;
}

function statusOf(log: EventLog): () => LogStatus {
  let latest: LogStatus | undefined;
  log.watch((status) => {
    latest = status;
  });
  return () => {
    if (latest === undefined) throw new Error('watch did not call back at once');
    return latest;
  };
}

async function connected(log: EventLog): Promise<LogStatus> {
  const status = statusOf(log);
  await waitUntil('the log', () => (status().state === 'connected' ? undefined : JSON.stringify(status())), {
    deadlineMs: 15_000,
  });
  return status();
}

async function openConnected(node: string): Promise<EventLog> {
  const { events } = open(node);
  await connected(events);
  return events;
}

interface Reader {
  readonly seen: StoredEvent[];
  readonly gaps: LogGap[];
  caughtUp: number;
  ids(): (string | undefined)[];
}

function follow(log: EventLog, from = 1): Reader {
  const reader: Reader = { seen: [], gaps: [], caughtUp: 0, ids: () => reader.seen.map((stored) => stored.event?.id) };
  log.follow({
    from,
    onEvent: (stored) => reader.seen.push(stored),
    onGap: (gap) => reader.gaps.push(gap),
    onCaughtUp: () => {
      reader.caughtUp += 1;
    },
  });
  return reader;
}

const hasSeen = (reader: Reader, count: number): Promise<number> =>
  waitUntil(`${count} events`, () => (reader.seen.length >= count ? undefined : `${reader.seen.length} seen`), {
    deadlineMs: 15_000,
  });

/** Appends, repeating for as long as the log is away; a promise of the tests' own, not of the log's. */
async function appendAtLast(log: EventLog, event: KoiEvent): Promise<number> {
  let stored = 0;
  await waitUntil(
    'an append',
    async () => {
      const result = await log.append(event, { deadlineMs });
      if (result.kind === 'stored') stored = result.sequence;
      return result.kind === 'stored' ? undefined : JSON.stringify(result);
    },
    { deadlineMs: 15_000 },
  );
  return stored;
}

/** Whoever follows hears nothing more, until it misses the heartbeats. */
async function deleteConsumers({ consumers }: JetStreamManager): Promise<void> {
  for await (const { name } of consumers.list('KOI_EDGE')) await consumers.delete('KOI_EDGE', name);
}

describe.skipIf(natsServerBinary === undefined)('the log in JetStream', () => {
  describe('append', () => {
    beforeEach(async () => {
      server = await NatsServer.start();
    });

    it('grants an ownership to one of two who expect the same', async () => {
      const [r1, r2] = await Promise.all([openConnected('r1'), openConnected('r2')]);
      const expect0 = { expect: { lastSubjectSequence: 0 }, deadlineMs };
      const results = await Promise.all([
        r1.append(ownershipEvent({ node: 'r1', term: 1 }), expect0),
        r2.append(ownershipEvent({ node: 'r2', term: 1 }), expect0),
      ]);
      expect(results.map((result) => result.kind).sort()).toEqual(['conflict', 'stored']);

      const next = ownershipEvent({ node: 'r2', term: 2 });
      expect(await r2.append(next, { expect: { lastSubjectSequence: 1 }, deadlineMs })).toMatchObject({
        kind: 'stored',
      });
      expect(
        await r1.append(ownershipEvent({ node: 'r1', term: 2 }), { expect: { lastSubjectSequence: 1 }, deadlineMs }),
      ).toEqual({ kind: 'conflict' });
    });

    it('is not disturbed in its expectation by observations', async () => {
      const log = await openConnected('r1');
      await log.append(ownershipEvent({ node: 'r1', term: 1 }), { expect: { lastSubjectSequence: 0 }, deadlineMs });
      for (let i = 0; i < 3; i++) await log.append(transition('r1', 'attached'), { deadlineMs });
      const result = await log.append(ownershipEvent({ node: 'r1', term: 2 }), {
        expect: { lastSubjectSequence: 1 },
        deadlineMs,
      });
      expect(result).toEqual({ kind: 'stored', sequence: 5, duplicate: false });
    });

    it('stores one id once, and says where', async () => {
      const log = await openConnected('r1');
      const claim = ownershipEvent({ node: 'r1', term: 1 });
      const options = { expect: { lastSubjectSequence: 0 }, deadlineMs };
      expect(await log.append(claim, options)).toEqual({ kind: 'stored', sequence: 1, duplicate: false });
      expect(await log.append(claim, options)).toEqual({ kind: 'stored', sequence: 1, duplicate: true });
      expect(await log.append(claim, { deadlineMs })).toEqual({ kind: 'stored', sequence: 1, duplicate: true });
    });

    it('says that an unanswered claim may have been stored, within the deadline; and it was', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      const claim = ownershipEvent({ node: 'r1', term: 1 });
      server.freeze();
      const startMs = performance.now();
      const result = await log.append(claim, { expect: { lastSubjectSequence: 0 }, deadlineMs: 50 });
      const tookMs = performance.now() - startMs;
      server.thaw();
      expect(result).toEqual({ kind: 'unavailable', reason: 'timeout', maybeStored: true });
      expect(tookMs).toBeLessThan(50 + stallMs);
      await hasSeen(reader, 1);
      expect(reader.ids()).toEqual([claim.id]);
      expect(await log.append(claim, { deadlineMs })).toEqual({ kind: 'stored', sequence: 1, duplicate: true });
    });

    it('notices a frozen server within 5 s, and sends nothing late that was refused meanwhile', async () => {
      const log = await openConnected('r1');
      const status = statusOf(log);
      server.freeze();
      await waitUntil('disconnected', () => (status().state === 'disconnected' ? undefined : status().state), {
        deadlineMs: 5000,
      });
      const refused = ownershipEvent({ node: 'r1', term: 1 });
      expect(await log.append(refused, { deadlineMs })).toEqual({
        kind: 'unavailable',
        reason: 'not_connected',
        maybeStored: false,
      });
      server.thaw();
      const witness = transition('r1', 'attached');
      await appendAtLast(log, witness);
      const reader = follow(log);
      await hasSeen(reader, 1);
      expect(reader.ids()).toEqual([witness.id]);
    });

    it('answers at once, as ambiguous, when the connection breaks under it', async () => {
      const log = await openConnected('r1');
      server.freeze();
      const startMs = performance.now();
      const pending = log.append(ownershipEvent({ node: 'r1', term: 1 }), { deadlineMs: 10_000 });
      await server.kill();
      expect(await pending).toEqual({ kind: 'unavailable', reason: 'disconnected', maybeStored: true });
      expect(performance.now() - startMs).toBeLessThan(1000 + stallMs);
      expect(await log.append(ownershipEvent({ node: 'r1', term: 1 }), { deadlineMs })).toMatchObject({
        reason: 'not_connected',
        maybeStored: false,
      });
    });

    it('refuses an event larger than the server takes', async () => {
      const log = await openConnected('r1');
      const huge = observation('r1', { type: 'configApplied', digest: '', changes: ['x'.repeat(2 ** 20)] });
      expect(await log.append(huge, { deadlineMs })).toEqual({
        kind: 'unavailable',
        reason: 'too_large',
        maybeStored: false,
      });
    });
  });

  describe('read', () => {
    beforeEach(async () => {
      server = await NatsServer.start();
    });

    it('gives what stands in the log, in order, filtered, and ends', async () => {
      const log = await openConnected('r1');
      const claim = ownershipEvent({ node: 'r1', term: 1 });
      await log.append(claim, { deadlineMs });
      for (let i = 0; i < 1200; i++) await log.append(transition('r1', `reason ${i}`), { deadlineMs });
      const all: StoredEvent[] = [];
      for await (const stored of log.read({ deadlineMs })) all.push(stored);
      expect(all.map((stored) => stored.sequence)).toEqual(Array.from({ length: 1201 }, (_, i) => i + 1));
      expect(all[0]).toMatchObject({ event: claim, hash: eventHash(encodeEvent(claim)), subject: 'koi.edge.own.gw' });
      expect(Math.abs((all[0]?.storedAtMs ?? 0) - Date.now())).toBeLessThan(60_000);

      const some: number[] = [];
      for await (const { sequence: at } of log.read({ from: 10, to: 12, deadlineMs })) some.push(at);
      expect(some).toEqual([10, 11, 12]);
      const newest: number[] = [];
      for await (const { sequence: at } of log.read({ newest: 3, deadlineMs })) newest.push(at);
      expect(newest).toEqual([1199, 1200, 1201]);
      const owned: number[] = [];
      for await (const { sequence: at } of log.read({ subjectFilter: 'koi.edge.own.*', deadlineMs })) owned.push(at);
      expect(owned).toEqual([1]);
      const none: number[] = [];
      for await (const { sequence: at } of log.read({ sinceMs: Date.now() + 60_000, deadlineMs })) none.push(at);
      for await (const { sequence: at } of log.read({ from: 5000, deadlineMs })) none.push(at);
      expect(none).toEqual([]);
    });

    it('leaves nothing behind on the server, read to the end or not', async () => {
      const log = await openConnected('r1');
      for (let i = 0; i < 3; i++) await log.append(transition('r1', `reason ${i}`), { deadlineMs });
      for await (const _ of log.read({ deadlineMs }));
      for await (const _ of log.read({ deadlineMs })) break;
      for await (const _ of log.read({ sinceMs: Date.now() + 60_000, deadlineMs }));
      const nats = await connect({ servers: server.url });
      const manager = await jetstreamManager(nats);
      const left = async (): Promise<string | undefined> => {
        const { state } = await manager.streams.info('KOI_EDGE');
        return state.consumer_count === 0 ? undefined : `${state.consumer_count} consumers`;
      };
      await waitUntil('no consumer', left, { deadlineMs: 5000 });
      await nats.close();
    });

    it('makes and mends nothing for one who only reads, and says which clusters there are', async () => {
      const nats = await connect({ servers: server.url });
      const manager = await jetstreamManager(nats);
      const { events } = open('reader', { readOnly: true });
      const status = statusOf(events);
      const unfit = () => (status().state === 'unfit' ? undefined : JSON.stringify(status()));
      await waitUntil('a verdict', unfit, { deadlineMs: 10_000 });
      expect(status().problem).toMatch(
        /^it has no stream KOI_EDGE for cluster 'edge', there is no stream of Koi; compare/,
      );
      await openConnected('r1');
      const misspelt = statusOf(open('reader', { readOnly: true, cluster: 'egde' }).events);
      await waitUntil('a verdict', () => (misspelt().state === 'unfit' ? undefined : JSON.stringify(misspelt())), {
        deadlineMs: 10_000,
      });
      expect(misspelt().problem).toContain(
        "has no stream KOI_EGDE for cluster 'egde', there is KOI_EDGE; compare cluster",
      );
      const names: string[] = [];
      for await (const name of manager.streams.names()) names.push(name);
      expect(names.sort()).toEqual(['KOI_EDGE', 'KOI_EDGE_LEASE']);
      await connected(events);
      await nats.close();
    });

    it('fails with a cause and a remedy where there is no log', async () => {
      await server.kill();
      const { events } = open('r1');
      const reading = async (): Promise<void> => {
        for await (const _ of events.read({ deadlineMs: 200 }));
      };
      await expect(reading()).rejects.toMatchObject({
        code: 'unreachable',
        remedy: expect.stringContaining('log.servers'),
      });
    });
  });

  describe('follow', () => {
    beforeEach(async () => {
      server = await NatsServer.start();
    });

    it('hands over garbage and misplaced events as refused, and goes on', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      const nats = await connect({ servers: server.url });
      nats.publish('koi.edge.own.gw', new Uint8Array([1, 2, 3]));
      nats.publish('koi.edge.own.other', encodeEvent(ownershipEvent({ node: 'r1', term: 1 })));
      await nats.drain();
      await appendAtLast(log, transition('r1', 'attached'));
      await hasSeen(reader, 3);
      expect(reader.seen.map((stored) => stored.refusal?.reason)).toEqual(['malformed', 'wrong_subject', undefined]);
    });

    it('goes on where it was when the server is killed and comes back', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      const before = [transition('r1', 'a'), transition('r1', 'b')];
      for (const event of before) await appendAtLast(log, event);
      await hasSeen(reader, 2);
      await server.kill();
      await server.up();
      const after = [transition('r1', 'c'), transition('r1', 'd')];
      for (const event of after) await appendAtLast(log, event);
      await hasSeen(reader, 4);
      expect(reader.ids()).toEqual([...before, ...after].map((event) => event.id));
      expect(reader.gaps).toEqual([]);
    });

    it('takes no append that is acknowledged while it looks at the log for a loss', { timeout: 60_000 }, async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      const events: KoiEvent[] = [];
      const append = async (): Promise<void> => {
        const event = transition('r1', String(events.length));
        events.push(event);
        await waitUntil(
          'an append',
          async () => {
            const result = await log.append(event, { deadlineMs });
            return result.kind === 'stored' ? undefined : JSON.stringify(result);
          },
          { deadlineMs: 15_000, everyMs: 2 },
        );
      };
      // The moment that counts is the one after a restart, when everybody comes back at once.
      for (let restart = 0; restart < 15; restart++) {
        for (let i = 0; i < 10; i++) await append();
        await server.kill();
        await server.up();
        await append();
      }
      await hasSeen(reader, events.length);
      expect(reader.gaps).toEqual([]);
      expect(reader.ids()).toEqual(events.map((event) => event.id));
    });

    it('starts before there is a server', async () => {
      await server.kill();
      const { events } = open('r1');
      const reader = follow(events);
      expect(statusOf(events)().state).toBe('connecting');
      await waitUntil('a reason', () => (statusOf(events)().problem === undefined ? 'none' : undefined), {
        deadlineMs: 5000,
      });
      await server.up();
      await appendAtLast(events, transition('r1', 'a'));
      await hasSeen(reader, 1);
    });

    it('notices a store that was wiped, and reads the new one from its start', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      for (const reason of ['a', 'b', 'c']) await appendAtLast(log, transition('r1', reason));
      await hasSeen(reader, 3);
      await server.kill();
      await server.wipe();
      await server.up();
      const fresh = transition('r1', 'fresh');
      expect(await appendAtLast(log, fresh)).toBe(1);
      await hasSeen(reader, 4);
      expect(reader.gaps).toEqual([{ kind: 'recreated', expectedSequence: 3, foundSequence: expect.any(Number) }]);
      expect(reader.ids().at(-1)).toBe(fresh.id);
      const stale = await log.append(ownershipEvent({ node: 'r1', term: 9 }), {
        expect: { lastSubjectSequence: sequence(3) },
        deadlineMs,
      });
      expect(stale).toEqual({ kind: 'conflict' });
    });

    it('notices a store restored from an old copy', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      const first = transition('r1', 'a');
      await appendAtLast(log, first);
      await server.kill();
      await server.backUp();
      await server.up();
      for (const reason of ['b', 'c']) await appendAtLast(log, transition('r1', reason));
      await hasSeen(reader, 3);
      await server.kill();
      await server.restore();
      await server.up();
      await hasSeen(reader, 4);
      expect(reader.gaps).toEqual([{ kind: 'rewound', expectedSequence: 3, foundSequence: 1 }]);
      expect(reader.ids().at(-1)).toBe(first.id);
    });

    it('notices the loss of an event that was acknowledged to this node but never delivered', async () => {
      const log = await openConnected('r1');
      await appendAtLast(log, transition('r1', 'a'));
      await server.kill();
      await server.backUp();
      await server.up();
      const nats = await connect({ servers: server.url });
      await connected(log);
      const reader = follow(log);
      await hasSeen(reader, 1);
      // Without its consumer the follower hears nothing more until it misses the heartbeats.
      const manager = await jetstreamManager(nats);
      await deleteConsumers(manager);
      await nats.close();
      expect(await appendAtLast(log, transition('r1', 'b'))).toBe(2);
      await server.kill();
      await server.restore();
      await server.up();
      await waitUntil('the gap', () => (reader.gaps.length > 0 ? undefined : 'none'), { deadlineMs: 10_000 });
      expect(reader.gaps).toEqual([{ kind: 'rewound', expectedSequence: 2, foundSequence: 1 }]);
    });

    /** A reader that has seen one event, whether it lagged since then, and a way to what feeds it. */
    async function fedReader() {
      server = await NatsServer.start();
      const log = await openConnected('r1');
      const reader = follow(log);
      await appendAtLast(log, transition('r1', 'a'));
      await hasSeen(reader, 1);
      const lagged: boolean[] = [];
      log.watch(({ lagging }) => lagged.push(lagging));
      const nats = await connect({ servers: server.url });
      return { log, reader, lagged, nats, manager: await jetstreamManager(nats) };
    }

    it('is read to its end although the server that fed it is gone, and nobody takes it for unread', async () => {
      const { log, reader, lagged, nats, manager } = await fedReader();
      const consumers = async (): Promise<string[]> => {
        const names: string[] = [];
        for await (const { name } of manager.consumers.list('KOI_EDGE')) names.push(name);
        return names;
      };
      // A consumer stands on one server of a cluster, and falls silent with it; here it is taken away.
      const [lost = ''] = await consumers();
      await manager.consumers.delete('KOI_EDGE', lost);
      await waitUntil(
        'another consumer',
        async () => {
          const now = await consumers();
          return now.length > 0 && !now.includes(lost) ? undefined : now.join();
        },
        { deadlineMs: 10_000 },
      );
      await nats.close();
      await appendAtLast(log, transition('r1', 'b'));
      await hasSeen(reader, 2);
      expect(lagged).not.toContain(true);
      expect(reader.gaps).toEqual([]);
    });

    it('counts as unread while the server that fed it is gone and there is more', async () => {
      const { log, reader, lagged, nats, manager } = await fedReader();
      await deleteConsumers(manager);
      await nats.close();
      await appendAtLast(log, transition('r1', 'b'));
      await hasSeen(reader, 2);
      await waitUntil('the end of the log', () => (lagged.at(-1) === false ? undefined : 'it lags'), {
        deadlineMs: 5000,
      });
      expect(lagged).toContain(true);
    });

    it('notices another history that has grown past its place', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      await appendAtLast(log, transition('r1', 'a'));
      await server.kill();
      await server.backUp();
      await server.up();
      await appendAtLast(log, transition('r1', 'b'));
      await hasSeen(reader, 2);
      await server.kill();
      await server.restore();
      const elsewhere = await server.twin();
      try {
        await elsewhere.up();
        const other = open('r2', { servers: [elsewhere.url] });
        for (const reason of ['x', 'y', 'z']) await appendAtLast(other.events, transition('r2', reason));
        await other.close();
      } finally {
        await elsewhere.kill();
      }
      await server.up();
      await hasSeen(reader, 6);
      expect(reader.gaps).toEqual([{ kind: 'diverged', expectedSequence: 2, foundSequence: 4 }]);
      expect(reader.seen.slice(2).map((stored) => stored.event?.node)).toEqual(['r1', 'r2', 'r2', 'r2']);
    });

    it('notices a stream removed under it while connected', async () => {
      const log = await openConnected('r1');
      const reader = follow(log);
      for (const reason of ['a', 'b']) await appendAtLast(log, transition('r1', reason));
      await hasSeen(reader, 2);
      const nats = await connect({ servers: server.url });
      await (await jetstreamManager(nats)).streams.delete('KOI_EDGE');
      await nats.close();
      await waitUntil('the gap', () => (reader.gaps.length > 0 ? undefined : 'none'), { deadlineMs: 10_000 });
      expect(reader.gaps[0]?.kind).toBe('recreated');
    });

    it('catches up, says so, and reports no lag', async () => {
      const log = await openConnected('r1');
      for (let i = 0; i < 300; i++) await appendAtLast(log, transition('r1', String(i)));
      const reader = follow(log);
      await waitUntil('catching up', () => (reader.caughtUp > 0 ? undefined : 'not yet'), { deadlineMs: 5000 });
      expect(reader.seen).toHaveLength(300);
      expect(statusOf(log)()).toMatchObject({ lagEvents: 0, lagging: false });
    });

    it('delivers an event to another node within 50 ms', async () => {
      const [r1, r2] = await Promise.all([openConnected('r1'), openConnected('r2')]);
      const reader = follow(r2);
      await appendAtLast(r1, transition('r1', 'warm'));
      await hasSeen(reader, 1);
      const startMs = performance.now();
      const result: AppendResult = await r1.append(transition('r1', 'measured'), { deadlineMs });
      await hasSeen(reader, 2);
      expect(result.kind).toBe('stored');
      expect(performance.now() - startMs).toBeLessThan(50 + stallMs);
    });
  });

  describe('leases', () => {
    it('keep the newest of each node, under compare-and-set', async () => {
      server = await NatsServer.start();
      const { leases } = open('r1');
      await connected(leases);
      const reader = follow(leases);
      const { vr: _, term: __, ...envelope } = ownershipEvent({ node: 'r1', term: 1 });
      const renew = (renewal: number, lastSubjectSequence: number): Promise<AppendResult> =>
        leases.append(
          { ...envelope, id: `lease-${renewal}`, payload: { type: 'leaseRenewed', renewal, ttlMs: 4000 } },
          { expect: { lastSubjectSequence }, deadlineMs },
        );
      expect(await renew(1, 0)).toMatchObject({ sequence: 1 });
      expect(await renew(2, 1)).toMatchObject({ sequence: 2 });
      expect(await renew(3, 1)).toEqual({ kind: 'conflict' });
      const { node: __node, ...rest } = envelope;
      const revocation = {
        ...rest,
        node: nodeId('r2'),
        id: 'revoke',
        payload: { type: 'leaseRevoked', holder: nodeId('r1'), reason: 'expired' },
      } as const;
      expect(await leases.append(revocation, { expect: { lastSubjectSequence: 2 }, deadlineMs })).toMatchObject({
        sequence: 3,
      });
      const newest = (): string | undefined => (reader.ids().at(-1) === 'revoke' ? undefined : String(reader.ids()));
      await waitUntil('the revocation', newest, { deadlineMs: 5000 });
      const kept: StoredEvent[] = [];
      for await (const stored of leases.read({ deadlineMs })) kept.push(stored);
      expect(kept.map((stored) => stored.event?.id)).toEqual(['revoke']);
      expect(reader.gaps).toEqual([]);
    });
  });

  describe('fitness', () => {
    it('is refused to a stream that was not made by koi, naming the field', async () => {
      server = await NatsServer.start();
      const nats = await connect({ servers: server.url });
      const manager = await jetstreamManager(nats);
      await manager.streams.add({
        name: 'KOI_EDGE',
        subjects: ['koi.edge.own.*', 'koi.edge.node.*'],
        storage: StorageType.Memory,
      });
      const { events } = open('r1');
      const status = statusOf(events);
      await waitUntil('a verdict', () => (status().state === 'unfit' ? undefined : JSON.stringify(status())), {
        deadlineMs: 5000,
      });
      expect(status().problem).toContain('stream KOI_EDGE has storage "memory" but needs "file"');
      expect(await events.append(transition('r1', 'a'), { deadlineMs })).toEqual({
        kind: 'unavailable',
        reason: 'unfit',
        maybeStored: false,
      });
      await manager.streams.delete('KOI_EDGE');
      await nats.close();
      await connected(events);
      await appendAtLast(events, transition('r1', 'a'));
    });

    it('is restored to a stream whose settings can be mended', async () => {
      server = await NatsServer.start();
      const nats = await connect({ servers: server.url });
      const manager = await jetstreamManager(nats);
      await manager.streams.add({
        name: 'KOI_EDGE',
        subjects: ['koi.edge.own.*', 'koi.edge.node.*'],
        retention: RetentionPolicy.Limits,
        max_age: 3600e9,
      });
      const { events } = open('r1');
      const status = await connected(events);
      expect(status.warnings.join()).toContain('corrected');
      const { config } = await manager.streams.info('KOI_EDGE');
      expect(config).toMatchObject({
        max_age: 0,
        deny_delete: true,
        deny_purge: true,
        discard: 'new',
        duplicate_window: 120e9,
      });
      await nats.close();
    });

    it('says that replicas need a cluster', async () => {
      server = await NatsServer.start();
      const { events } = open('r1', { replicas: 3 });
      const status = statusOf(events);
      await waitUntil(
        'the problem',
        () => (status().problem?.includes('log.replicas is 3') === true ? undefined : JSON.stringify(status())),
        { deadlineMs: 5000 },
      );
      expect(status().problem).toContain('set log.replicas: 1');
    });

    it('survives wrong credentials that are right later', async () => {
      server = await NatsServer.prepare(['--auth', 'secret']);
      await server.up();
      const wrong = open('r1', { token: 'wrong' }).events;
      const status = statusOf(wrong);
      await waitUntil(
        'the refusal',
        () => (/authorization/i.test(status().problem ?? '') ? undefined : JSON.stringify(status())),
        { deadlineMs: 5000 },
      );
      await connected(open('r2', { token: 'secret' }).events);
    });

    it('is refused to a clustered server that grants one ownership twice', async () => {
      server = await NatsServer.prepare();
      const old = await impostor({ version: '2.9.10', cluster: 'c1' });
      try {
        const { events } = open('r1', { servers: [`nats://127.0.0.1:${old.port}`] });
        const status = statusOf(events);
        await waitUntil('a verdict', () => (status().state === 'unfit' ? undefined : JSON.stringify(status())), {
          deadlineMs: 5000,
        });
        expect(status().problem).toContain('2.9.10');
        expect(status().problem).toContain('upgrade');
        expect(await events.append(transition('r1', 'a'), { deadlineMs })).toMatchObject({
          reason: 'unfit',
          maybeStored: false,
        });
        await opened.pop()?.close();
      } finally {
        old.server.close();
      }
    });

    it('is refused while another server of the cluster grants one ownership twice, and goes on without that one', async () => {
      server = await NatsServer.start();
      const old = await impostor({ version: '2.9.10', cluster: 'c1' });
      try {
        const place = `127.0.0.1:${old.port}`;
        const { events } = open('r1', { servers: [server.url, `nats://${place}`], inOrder: true });
        const status = statusOf(events);
        await waitUntil('a verdict', () => (status().state === 'unfit' ? undefined : JSON.stringify(status())), {
          deadlineMs: 5000,
        });
        expect(status().server?.url).toBe(server.url.replace('nats://', ''));
        expect(status().problem).toContain(`old (${place}): nats-server 2.9.10`);
        expect(await events.append(transition('r1', 'a'), { deadlineMs })).toMatchObject({ reason: 'unfit' });
        old.server.close();
        await waitUntil('the log', () => (status().state === 'connected' ? undefined : JSON.stringify(status())), {
          deadlineMs: 15_000,
        });
        expect(await events.append(transition('r1', 'a'), { deadlineMs })).toMatchObject({ kind: 'stored' });
      } finally {
        old.server.close();
      }
    });
  });
});

/** Speaks just enough of the protocol to be connected to. */
async function impostor(info: { version: string; cluster: string }): Promise<{ server: Server; port: number }> {
  const listening = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(
      `INFO ${JSON.stringify({ server_id: 'X', server_name: 'old', proto: 1, go: '', host: '127.0.0.1', port: 1, headers: true, jetstream: true, max_payload: 1048576, client_id: 1, ...info })}\r\n`,
    );
    socket.on('data', (chunk) => {
      for (const _ of chunk.toString().matchAll(/PING\r\n/g)) socket.write('PONG\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server: listening, port: address.port };
}
