import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import { Outbox } from '../../src/log/outbox.js';
import { waitUntil } from '../lab/wait.js';
import { observation, transition } from './events.js';
import { NatsServer, natsServerBinary } from './nats-server.js';

describe.skipIf(natsServerBinary === undefined)('the outbox and a real log', () => {
  it('bring every event once and in order through kills of the server and a crash of the node', async () => {
    const server = await NatsServer.start();
    const directory = await mkdtemp(join(tmpdir(), 'koi-outbox-'));
    const logs: JetStreamLogs[] = [];
    const open = async (path: string): Promise<Outbox> => {
      const opened = openJetStreamLogs({
        cluster: 'edge',
        name: 'r1',
        servers: [server.url],
        replicas: 1,
        authentication: { kind: 'none' },
      });
      logs.push(opened);
      return Outbox.open({
        path,
        node: 'r1',
        names: opened.names,
        log: opened.events,
        summarize: (lost) => observation('r1', { type: 'eventsDropped', ...lost }),
        onTrouble: (error) => {
          throw error;
        },
      });
    };
    const empty = (outbox: Outbox): Promise<number> =>
      waitUntil('an empty outbox', () => (outbox.pending === 0 ? undefined : `${outbox.pending} pending`), {
        deadlineMs: 15_000,
      });
    const events = Array.from({ length: 600 }, (_, i) => transition('r1', String(i)));
    try {
      const path = join(directory, 'outbox');
      const first = await open(path);
      for (const event of events.slice(0, 200)) first.add(event);
      await waitUntil('a beginning', () => (first.pending < 150 ? undefined : String(first.pending)), {
        deadlineMs: 5000,
        everyMs: 1,
      });
      await server.kill();
      for (const event of events.slice(200, 400)) first.add(event);
      await first.durable();
      await server.up();
      await waitUntil('half', () => (first.pending < 100 ? undefined : String(first.pending)), {
        deadlineMs: 10_000,
        everyMs: 1,
      });
      // The crash: what is on disk now is all that the next run knows. The server dies in the same instant.
      await copyFile(path, `${path}.crash`);
      await server.kill();
      await first.close();

      await server.up();
      const second = await open(`${path}.crash`);
      for (const event of events.slice(400)) second.add(event);
      await empty(second);
      await second.close();
      const stored: (string | undefined)[] = [];
      for await (const { event } of logs[1]?.events.read({ deadlineMs: 1000 }) ?? []) stored.push(event?.id);
      expect(stored).toEqual(events.map((event) => event.id));
    } finally {
      for (const each of logs) await each.close();
      await server.remove();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
