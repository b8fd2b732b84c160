import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogAudit } from '../../src/log/audit.js';
import type { AuditWord, Finding } from '../../src/log/audit-words.js';
import { encodeEvent } from '../../src/log/codec.js';
import type { KoiEvent } from '../../src/log/event.js';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import { waitUntil } from '../lab/wait.js';
import { NatsServer, natsServerBinary } from './nats-server.js';
import { quietStory, type Story } from './recorded.js';

const deadlineMs = 2000;

/** What koi has recorded in a real server, audited as it is and after the store was tampered with. */
describe.skipIf(natsServerBinary === undefined)('an audit of a real log (needs nats-server)', () => {
  let server: NatsServer;
  let logs: JetStreamLogs;
  let story: Story;

  beforeEach(async () => {
    server = await NatsServer.start();
    story = quietStory();
    await open();
    await append(story.events);
  });
  afterEach(async () => {
    await logs?.close();
    await server?.remove();
  });

  async function open(): Promise<void> {
    logs = openJetStreamLogs({
      cluster: 'edge',
      name: 'auditor',
      servers: [server.url],
      replicas: 1,
      authentication: { kind: 'none' },
    });
    let state = '';
    logs.events.watch((status) => {
      state = status.state;
    });
    await waitUntil('the log', () => (state === 'connected' ? undefined : state), { deadlineMs: 15_000 });
  }

  async function append(events: readonly KoiEvent[]): Promise<void> {
    for (const event of events) {
      expect(await logs.events.append(event, { deadlineMs })).toMatchObject({ kind: 'stored', duplicate: false });
    }
  }

  /** Past koi: as anybody can who may publish. */
  async function publish(subject: string, bytes: Uint8Array): Promise<void> {
    const connection = await connect({ servers: server.url });
    await connection.request(subject, bytes, { timeout: deadlineMs });
    await connection.close();
  }

  async function audited(): Promise<Finding[]> {
    const findings: Finding[] = [];
    const audit = new LogAudit(logs.names, { onFinding: (finding) => findings.push(finding) });
    for await (const stored of logs.events.read({ deadlineMs })) audit.read(stored);
    audit.finish();
    expect(audit.events).toBeGreaterThan(0);
    return findings;
  }

  const words = async (): Promise<AuditWord[]> => [...new Set((await audited()).map(({ what }) => what))];

  it('finds nothing in what koi wrote', async () => {
    expect(await audited()).toEqual([]);
  });

  it('finds bytes that are no event, and events on the subject of another', async () => {
    await publish(logs.names.ownershipSubject('gw'), Uint8Array.of(1, 2, 3));
    const [claim] = story.events.filter(({ payload }) => payload.type === 'claimed');
    if (claim === undefined) throw new Error('no claim');
    await publish(logs.names.ownershipSubject('dmz'), encodeEvent(claim));
    expect(await audited()).toMatchObject([
      { what: 'unreadable', sequence: story.events.length + 1 },
      { what: 'wrong_subject', sequence: story.events.length + 2 },
    ]);
  });

  it('finds a forged claim', async () => {
    const [claim] = story.events.filter(({ payload }) => payload.type === 'claimed');
    if (claim === undefined) throw new Error('no claim');
    await publish(logs.names.ownershipSubject('gw'), encodeEvent({ ...claim, id: 'forged' }));
    expect(await words()).toEqual(['chain_broken', 'term_reused', 'claim_unproven']);
  });

  it('finds that the store is an old copy, once the nodes have gone on in it', async () => {
    const known = story.events.length;
    await logs.close();
    await server.kill();
    await server.backUp();
    await server.up();
    await open();
    story.starts('r1');
    story.pass(1000);
    story.handsOver('r2', 'r1', 7);
    await append(story.events.slice(known));
    expect(await audited()).toEqual([]);
    await logs.close();
    await server.kill();
    await server.restore();
    await server.up();
    await open();
    const before = story.events.length;
    story.pass(1000);
    story.letsGo('r1', 7, 'carrier_lost', 'fault');
    await append(story.events.slice(before));
    expect(await words()).toEqual(expect.arrayContaining(['chain_broken', 'history_gap', 'release_by_other']));
  });
});
