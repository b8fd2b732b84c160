import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nkeys } from '@nats-io/nats-core';
import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeId, sequence } from '../../src/core/identity.js';
import { encodeEvent } from '../../src/log/codec.js';
import type { LeaseEvent } from '../../src/log/event.js';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import type { EventLog, StoredEvent } from '../../src/log/port.js';
import { waitUntil } from '../lab/wait.js';
import { observation, ownershipEvent, transition } from '../log/events.js';
import { NatsServer, natsServerBinary } from '../log/nats-server.js';
import { permissionRecipe } from './recipe.js';

const deadlineMs = 10_000;
const appendMs = 3000;

interface User {
  readonly publicKey: string;
  readonly seed: Uint8Array;
  readonly file: string;
}

/*
 * The server's configuration is the one that docs/log.md shows, letter by letter but for the keys.
 */
describe.skipIf(natsServerBinary === undefined)('the permissions of docs/log.md (needs nats-server)', () => {
  let directory: string;
  let server: NatsServer;
  let users: Record<'r1' | 'r2', User>;
  let r1: JetStreamLogs;
  let r2: JetStreamLogs;
  let thief: NatsConnection;

  function makeUser(name: string): User {
    const pair = nkeys.createUser();
    const file = join(directory, `${name}.nkey`);
    writeFileSync(file, pair.getSeed(), { mode: 0o600 });
    return { publicKey: pair.getPublicKey(), seed: pair.getSeed(), file };
  }

  async function open(name: 'r1' | 'r2'): Promise<JetStreamLogs> {
    const logs = openJetStreamLogs({
      cluster: 'edge',
      name,
      servers: [server.url],
      replicas: 1,
      authentication: { kind: 'nkey', file: users[name].file },
      answerPeer: (message) => ({ ready: true, reason: `${name} heard ${message.from}` }),
    });
    for (const log of [logs.events, logs.leases]) {
      let state = '';
      log.watch((status) => {
        state = status.state === 'connected' ? '' : JSON.stringify(status);
      });
      await waitUntil(`${name} to join`, () => state || undefined, { deadlineMs });
    }
    return logs;
  }

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'koi-permissions-'));
    users = { r1: makeUser('r1'), r2: makeUser('r2') };
    const settings = permissionRecipe({ R1: users.r1.publicKey, R2: users.r2.publicKey });
    writeFileSync(join(directory, 'nats.conf'), settings);
    server = await NatsServer.prepare(['-c', join(directory, 'nats.conf')]);
    await server.up();
    r1 = await open('r1');
    r2 = await open('r2');
    thief = await connect({ servers: server.url, authenticator: nkeyAuthenticator(users.r1.seed) });
  }, 40_000);
  afterAll(async () => {
    await thief?.close();
    await r1?.close();
    await r2?.close();
    await server?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  function follow(log: EventLog): StoredEvent[] {
    const seen: StoredEvent[] = [];
    log.follow({ from: 1, onEvent: (stored) => seen.push(stored) });
    return seen;
  }

  const append = (logs: JetStreamLogs, event: Parameters<EventLog['append']>[0], after?: number) =>
    logs.events.append(event, {
      deadlineMs: appendMs,
      ...(after === undefined ? {} : { expect: { lastSubjectSequence: sequence(after) } }),
    });

  /** What the server says to a message of the thief's. */
  async function refusal(subject: string, payload: Uint8Array | string = '{}'): Promise<string> {
    return thief.request(subject, payload, { timeout: appendMs }).then(
      (answer) => `answered: ${answer.string()}`,
      (error: unknown) => String(error),
    );
  }

  const lease = (node: string): LeaseEvent => ({
    ...observation(node, { type: 'transition', from: 'backup', to: 'master', reason: 'x' }),
    payload: { type: 'leaseRenewed', ttlMs: 4000, renewal: 1 },
  });

  it('let a node do all that it has to: claim, record, renew, follow, read, ask and answer', async () => {
    const [seenBy1, seenBy2] = [follow(r1.events), follow(r2.events)];
    const claim = ownershipEvent({ node: 'r1', term: 1 });
    expect(await append(r1, claim, 0)).toMatchObject({ kind: 'stored' });
    expect(await append(r2, ownershipEvent({ node: 'r2', term: 1 }), 0)).toEqual({ kind: 'conflict' });
    for (const [node, logs] of [
      ['r1', r1],
      ['r2', r2],
    ] as const) {
      expect(await append(logs, transition(node, 'adverts_lost'))).toMatchObject({ kind: 'stored' });
      const renewed = await logs.leases.append(lease(node), { deadlineMs: appendMs });
      expect(renewed).toMatchObject({ kind: 'stored' });
    }
    const all = (seen: StoredEvent[]) => () => (seen.length >= 3 ? undefined : `${seen.length} events`);
    await waitUntil('r1 to follow', all(seenBy1), { deadlineMs });
    await waitUntil('r2 to follow', all(seenBy2), { deadlineMs });
    const read: StoredEvent[] = [];
    for await (const stored of r2.events.read({ deadlineMs: appendMs })) read.push(stored);
    expect(read).toHaveLength(3);
    const answer = await r2.peers.ask('r1', { type: 'areYouReady', from: 'r2', vr: 'gw', term: 2 }, appendMs);
    expect(answer).toMatchObject({ ready: true, reason: 'r1 heard r2' });
    // Nothing of all that was refused in silence.
    expect(server.output).not.toMatch(/violation/i);
  });

  it('a stolen credential writes no other node’s observations and renews no other node’s lease', async () => {
    expect(await refusal('koi.edge.node.r2', encodeEvent(transition('r2', 'forged')))).toMatch(
      /permissions violation/i,
    );
    expect(await refusal('koi.edge.lease.r2', encodeEvent(lease('r2')))).toMatch(/permissions violation/i);
    expect(await r1.leases.append(lease('r2'), { deadlineMs: appendMs })).toMatchObject({
      kind: 'unavailable',
      reason: 'rejected',
    });
  });

  it('what it writes for another under its own subject, nobody reads as such', async () => {
    const forged = transition('r2', 'forged');
    const seen = follow(r2.events);
    expect(await refusal('koi.edge.node.r1', encodeEvent(forged))).toMatch(/answered: .*"seq"/);
    const found = () => seen.find(({ event, refusal: why }) => event === undefined && why?.reason === 'wrong_subject');
    await waitUntil('the forged event', () => (found() === undefined ? `${seen.length} events` : undefined), {
      deadlineMs,
    });
    expect(seen.some(({ event }) => event?.id === forged.id)).toBe(false);
  });

  it('neither removes nor changes a stream, nor hears what is said to another node', async () => {
    for (const api of [
      'STREAM.DELETE',
      'STREAM.PURGE',
      'STREAM.UPDATE',
      'STREAM.MSG.DELETE',
      'STREAM.LEADER.STEPDOWN',
      'CONSUMER.NAMES',
    ])
      expect(await refusal(`$JS.API.${api}.KOI_EDGE`), api).toMatch(/permissions violation/i);
    expect(await refusal('_INBOX.somebody.answer')).toMatch(/permissions violation/i);
    const heard = new Promise((resolve) =>
      thief.subscribe('koi.edge.peer.r2', { callback: (error) => resolve(error) }),
    );
    expect(String(await heard)).toMatch(/permissions violation/i);
  });

  it('claims in another’s name are not for the server to refuse: the document says so', async () => {
    const forged = ownershipEvent({ node: 'r2', term: 2 });
    expect(forged.node).toBe(nodeId('r2'));
    expect(await refusal('koi.edge.own.gw', encodeEvent(forged))).toMatch(/answered: .*"seq"/);
    expect(readFileSync('docs/log.md', 'utf8')).toContain('cannot be kept from claiming');
  });
});
