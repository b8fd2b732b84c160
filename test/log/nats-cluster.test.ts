import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import { LeaderSteering } from '../../src/log/leader-steering.js';
import type { AppendResult, LogStatus } from '../../src/log/port.js';
import { stallMs, waitUntil } from '../lab/wait.js';
import { ownershipEvent, transition } from './events.js';
import { KeptCluster } from './nats-cluster.js';
import { natsServerBinary } from './nats-server.js';

const deadlineMs = 1000;
let cluster: KeptCluster;
let opened: JetStreamLogs[];
let status: LogStatus;

function open(node: string, servers = cluster.servers.map(({ url }) => url)): JetStreamLogs {
  const logs = openJetStreamLogs({
    cluster: 'edge',
    name: node,
    servers,
    replicas: 3,
    authentication: { kind: 'token', token: 's"ecret' },
  });
  opened.push(logs);
  return logs;
}

const becomes = (state: LogStatus['state'], withinMs = 30_000): Promise<number> =>
  waitUntil(state, () => (status.state === state ? undefined : JSON.stringify(status)), { deadlineMs: withinMs });

async function leaderOf(stream: string): Promise<string> {
  const [survivor] = cluster.servers.filter((server) => server.status?.state === 'serving');
  const nats = await connect({ servers: survivor?.url ?? '', token: 's"ecret' });
  const { cluster: found } = await (await jetstreamManager(nats)).streams.info(stream);
  await nats.close();
  return found?.leader ?? '';
}

/** Takes a server's process away for good: the keeper must not bring it back. */
async function lose(name: string): Promise<void> {
  const server = cluster.server(name);
  const { pid } = server;
  // Its keeper is told to end it, which a SIGKILL has then done already.
  process.kill(pid, 'SIGKILL');
  await server.stop();
}

beforeEach(async () => {
  opened = [];
  cluster = await KeptCluster.prepare(['r1', 'r2', 'witness'], { kind: 'token', token: 's"ecret' });
  await cluster.up();
});

afterEach(async () => {
  await Promise.all(opened.map((logs) => logs.close()));
  await cluster.remove();
});

describe.skipIf(natsServerBinary === undefined)('a pair and a witness', { timeout: 120_000 }, () => {
  it('keep the log on all three, bear the loss of any one, and say so when two are gone', async () => {
    const { events } = open('r1');
    events.watch((now) => {
      status = now;
    });
    await becomes('connected');
    const nats = await connect({ servers: cluster.server('r1').url, token: 's"ecret' });
    const info = await (await jetstreamManager(nats)).streams.info('KOI_EDGE');
    await nats.close();
    expect(info.config.num_replicas).toBe(3);
    expect([info.cluster?.leader, ...(info.cluster?.replicas ?? []).map(({ name }) => name)].sort()).toEqual([
      'r1',
      'r2',
      'witness',
    ]);

    const lost = await leaderOf('KOI_EDGE');
    expect(await events.append(transition('r1', 'a'), { deadlineMs })).toMatchObject({ kind: 'stored', sequence: 1 });
    const lostAtMs = performance.now();
    await lose(lost);
    let result: AppendResult = { kind: 'conflict' };
    const claim = ownershipEvent({ node: 'r1', term: 1 });
    await waitUntil(
      'an append after the loss of the leader',
      async () => {
        result = await events.append(claim, { expect: { lastSubjectSequence: 0 }, deadlineMs });
        return result.kind === 'stored' ? undefined : JSON.stringify(result);
      },
      { deadlineMs: 30_000 },
    );
    process.stdout.write(`leader ${lost} killed: appends again after ${Math.round(performance.now() - lostAtMs)} ms\n`);
    expect(result).toMatchObject({ sequence: 2 });

    // The survivor is the one that it is connected to: only what this server tells shows that the others are gone.
    await becomes('connected');
    const next = cluster.servers.find(
      ({ settings, status: kept }) => kept?.state === 'serving' && ![lost, status.server?.name].includes(settings.name),
    );
    await lose(next?.settings.name ?? '');
    await waitUntil(
      'the log to say that it has no majority',
      async () => {
        await events.append(transition('r1', 'b'), { deadlineMs: 200 });
        return status.state === 'disconnected' ? undefined : JSON.stringify(status);
      },
      { deadlineMs: 30_000 },
    );
    process.stdout.write(`two gone: ${JSON.stringify(status.problem)}\n`);
    expect(status.problem).toMatch(/fewer than 2 of the log's 3 servers|has no leader/);
    expect(await events.append(transition('r1', 'c'), { deadlineMs: 500 })).toMatchObject({ kind: 'unavailable' });

    cluster.server(lost).start();
    await cluster.server(lost).serves();
    await becomes('connected', 60_000);
    expect(await events.append(transition('r1', 'd'), { deadlineMs: 5000 })).toMatchObject({ kind: 'stored' });
  });

  it('lead the log away from the node that owns the virtual IP, without losing an append', async () => {
    const logs = open('r1');
    logs.events.watch((now) => {
      status = now;
    });
    await becomes('connected');
    await waitUntil(
      'r1 to lead',
      async () => {
        const leaders: (string | undefined)[] = [];
        for (const stream of logs.streams) {
          const leader = await stream.leadership().then(
            (found) => found.leader,
            () => undefined,
          );
          leaders.push(leader);
          if (leader !== undefined && leader !== 'r1') await stream.stepDown('r1').catch(() => undefined);
        }
        return leaders.every((leader) => leader === 'r1') ? undefined : leaders.join();
      },
      { deadlineMs: 30_000, everyMs: 200 },
    );

    let slowestMs = 0;
    let appended = 0;
    let failed = 0;
    let isOver = false;
    const appending = (async () => {
      while (!isOver) {
        const event = transition('r1', String(appended));
        const startMs = performance.now();
        while ((await logs.events.append(event, { deadlineMs: 2000 })).kind !== 'stored') failed += 1;
        slowestMs = Math.max(slowestMs, performance.now() - startMs);
        appended += 1;
      }
    })();
    const moved: string[] = [];
    const steering = new LeaderSteering({
      streams: logs.streams,
      self: 'r1',
      place: () => ({ busy: new Set(['r1']), nodes: new Set(['r1', 'r2']) }),
      onMoved: (stream, to) => moved.push(`${stream} ${to}`),
      onTrouble: (_, error) => {
        throw error;
      },
    });
    await waitUntil(
      'the witness to lead both',
      async () => {
        const leaders = await Promise.all(logs.streams.map(async (stream) => (await stream.leadership()).leader));
        return leaders.every((leader) => leader === 'witness') ? undefined : leaders.join();
      },
      { deadlineMs: 30_000, everyMs: 200 },
    );
    steering.stop();
    isOver = true;
    await appending;
    process.stdout.write(
      `${appended} appends, slowest ${Math.round(slowestMs)} ms, ${failed} refused while the leader moved\n`,
    );
    expect(moved.sort()).toEqual(['KOI_EDGE witness', 'KOI_EDGE_LEASE witness']);
    const sequences: number[] = [];
    for await (const { sequence } of logs.events.read({ deadlineMs: 5000 })) sequences.push(sequence);
    expect(sequences).toHaveLength(appended);

    // The point of it all: the master's node dies with its server, and the log answers on.
    const others = open('r2');
    await waitUntil(
      'r2 to append',
      async () => {
        const result = await others.events.append(transition('r2', 'before'), { deadlineMs });
        return result.kind === 'stored' ? undefined : JSON.stringify(result);
      },
      { deadlineMs: 20_000 },
    );
    const r2Connection = cluster.server('r1').pid;
    process.kill(r2Connection, 'SIGKILL');
    await logs.close();
    const startMs = performance.now();
    await waitUntil(
      'r2 to append',
      async () => {
        const result = await others.events.append(transition('r2', 'after'), { deadlineMs });
        return result.kind === 'stored' ? undefined : JSON.stringify(result);
      },
      { deadlineMs: 20_000, everyMs: 5 },
    );
    process.stdout.write(`r1 killed, witness leads: r2 appended after ${Math.round(performance.now() - startMs)} ms\n`);
    expect(performance.now() - startMs).toBeLessThan(3000 + stallMs);
  });

  it('are restored from the copy of one, and all have the same log again', async () => {
    const { servers } = cluster;
    const readers = servers.map(({ settings, url }) => {
      const { events } = open(settings.name, [url]);
      const read: string[] = [];
      events.follow({
        from: 1,
        onEvent: ({ sequence, hash }) => read.push(`${sequence} ${hash}`),
        onGap: (gap) => {
          if (gap.kind !== 'missing') read.length = 0;
        },
      });
      return { events, read };
    });
    const [first] = readers;
    if (first === undefined) throw new Error('there is no reader');
    let appended = 0;
    const append = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        appended += 1;
        const event = transition('r1', String(appended));
        const stored = async (): Promise<string | undefined> => {
          const result = await first.events.append(event, { deadlineMs });
          return result.kind === 'stored' ? undefined : JSON.stringify(result);
        };
        await waitUntil('an append', stored, { deadlineMs: 30_000 });
      }
    };
    /** What each reads, through a consumer that may be on any of the servers. */
    const areAlike = (): Promise<number> =>
      waitUntil(
        'every reader to have read the same',
        () => {
          const texts = readers.map(({ read }) => read.join('\n'));
          const lengths = readers.map(({ read }) => read.length).join();
          return first.read.length > 0 && new Set(texts).size === 1 ? undefined : `read ${lengths}`;
        },
        { deadlineMs: 30_000 },
      );
    await append(10);
    const copy = join(servers[0]?.directory ?? '', 'copy');
    for (const server of servers) {
      await server.stop();
      if (server === servers[1]) cpSync(server.settings.storeDir, copy, { recursive: true });
      server.start();
      await server.serves();
      await append(5);
    }
    await areAlike();

    for (const server of servers) await server.stop();
    for (const { settings } of servers) {
      rmSync(settings.storeDir, { recursive: true });
      cpSync(copy, settings.storeDir, { recursive: true });
    }
    await cluster.up();
    for (let round = 0; round < 10; round++) {
      await append(1);
      await areAlike();
    }
    // Whatever each has read, each server has the same on its disk.
    for (const server of servers) await server.stop();
    const blocks = servers.map(({ settings }) => {
      const directory = join(settings.storeDir, 'jetstream', '$G', 'streams', 'KOI_EDGE', 'msgs');
      const files = readdirSync(directory).filter((name) => name.endsWith('.blk'));
      return Buffer.concat(files.sort().map((name) => readFileSync(join(directory, name)))).toString('hex');
    });
    expect(new Set(blocks).size).toBe(1);
    expect(first.read.length).toBeGreaterThanOrEqual(10);
  });
});
