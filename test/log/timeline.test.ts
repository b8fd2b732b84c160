import { afterEach, describe, expect, it } from 'vitest';
import { RecentEvents } from '../../src/agent/recent-events.js';
import { Timeline } from '../../src/agent/timeline.js';
import { type JetStreamLogs, openJetStreamLogs } from '../../src/log/jetstream.js';
import type { LogStatus } from '../../src/log/port.js';
import { waitUntil } from '../lab/wait.js';
import { transition } from './events.js';
import { NatsServer, natsServerBinary } from './nats-server.js';

const all = { vr: undefined, sinceMs: undefined, limit: 100 };
let server: NatsServer;
let logs: JetStreamLogs;

afterEach(async () => {
  server.thaw();
  await logs.close();
  await server.remove();
});

describe.skipIf(natsServerBinary === undefined)('the timeline of a log whose servers fall silent', () => {
  it('is told at once by an agent that has read it', { timeout: 30_000 }, async () => {
    server = await NatsServer.start();
    logs = openJetStreamLogs({
      cluster: 'edge',
      name: 'r1',
      servers: [server.url],
      inOrder: false,
      replicas: 1,
      authentication: { kind: 'none' },
    });
    const { events } = logs;
    let status: LogStatus | undefined;
    events.watch((now) => {
      status = now;
    });
    await waitUntil('the log', () => (status?.state === 'connected' ? undefined : JSON.stringify(status)), {
      deadlineMs: 15_000,
    });
    const recent = new RecentEvents();
    events.follow({ from: 1, onEvent: (stored) => recent.add(stored), onCaughtUp: () => recent.caughtUp() });
    for (let i = 0; i < 3; i++) await events.append(transition('r1', `reason ${i}`), { deadlineMs: 1000 });
    const hasRead = (): string | undefined => (recent.held?.events.length === 3 ? undefined : 'fewer');
    await waitUntil('three events', hasRead, { deadlineMs: 5000 });

    server.freeze();
    const timeline = new Timeline({ log: events, recent, trouble: () => undefined, now: () => performance.now() });
    const beforeMs = performance.now();
    const { entries } = await timeline.read(all);
    expect(entries.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(performance.now() - beforeMs).toBeLessThan(1000);
  });
});
