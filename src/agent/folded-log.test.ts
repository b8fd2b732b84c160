import { beforeEach, describe, expect, it } from 'vitest';
import { ownershipEvent, transition } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import type { KoiEvent } from '../log/event.js';
import { type MemoryLog, MemoryLogServer } from '../log/memory.js';
import { ownershipOf } from '../log/projection.js';
import { logNames } from '../log/subjects.js';
import { FoldedLog } from './folded-log.js';
import { RecentEvents } from './recent-events.js';

const names = logNames('edge');
let timers: ManualTimers;
let server: MemoryLogServer;
let writer: MemoryLog;
let connection: MemoryLog;
let recent: RecentEvents;
let log: FoldedLog;
let said: unknown[];

beforeEach(() => {
  timers = new ManualTimers(1_700_000_000_000);
  server = new MemoryLogServer(names, timers);
  [writer, connection, recent, said] = [server.connect(), server.connect(), new RecentEvents(), []];
  log = new FoldedLog({
    log: connection,
    names,
    recent,
    onEvent: (stored, isNews) => said.push([stored.sequence, isNews]),
    onCaughtUp: () => said.push(['caught up', log.reachable]),
    onGap: ({ kind }) => said.push([kind, log.reachable]),
    onForgotten: () => said.push(['forgotten', log.state.sequence, log.reachable]),
    onChange: ({ before, now, hasMoved }) => said.push([before.state, now.state, hasMoved, log.reachable]),
  });
});

async function happen(...events: KoiEvent[]): Promise<void> {
  for (const event of events) void writer.append(event, { deadlineMs: 50 });
  await timers.advance(1);
}

const news = (): unknown[] => said.splice(0);

describe('the log as the agent has read it', () => {
  it('can be relied on once all that it had has been read; what comes then is news', async () => {
    await happen(ownershipEvent({ node: 'r1', term: 4 }));
    log.start();
    expect([log.reachable, log.trouble]).toEqual([false, 'it is being read, or silent']);
    await timers.advance(1);
    expect(news()).toEqual([
      ['connecting', 'connected', true, false],
      [1, false],
      ['caught up', true],
    ]);
    await happen(transition('r1', 'attached'));
    expect(news()).toEqual([[2, true]]);
    expect(ownershipOf(log.state, 'gw')?.term).toBe(4);
    expect(recent.held?.events).toHaveLength(2);
  });

  it('cannot be relied on while it is away, and after it has come back until it is read again', async () => {
    log.start();
    await timers.advance(1);
    news();
    expect(log.trouble).toBeUndefined();
    connection.disconnect();
    expect(log.trouble).toBe('the test cut the connection');
    await happen(transition('r1', 'attached'));
    connection.reconnect();
    expect(news()).toEqual([
      ['connected', 'disconnected', true, false],
      ['disconnected', 'connected', true, false],
      [1, false],
      ['caught up', true],
    ]);
  });

  it('is folded anew where it is not the one that was read', async () => {
    await happen(ownershipEvent({ node: 'r1', term: 4 }), transition('r1', 'attached'));
    log.start();
    await timers.advance(1);
    news();
    server.recreate();
    await happen(transition('r2', 'attached'));
    const [gap, forgotten, ...rest] = news();
    expect(gap).toEqual(['recreated', true]);
    expect(forgotten).toEqual(['forgotten', 0, false]);
    expect(rest).toContainEqual(['caught up', true]);
    expect(recent.held?.events.map(({ event }) => event?.node)).toEqual(['r2']);
    log.stop();
    await happen(transition('r2', 'attached'));
    expect(news()).toEqual([]);
  });
});
