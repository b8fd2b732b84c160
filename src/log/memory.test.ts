import { beforeEach, describe, expect, it } from 'vitest';
import { ownershipEvent, transition } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { type MemoryLog, MemoryLogServer } from './memory.js';
import type { AppendOptions, AppendResult, LogGap, StoredEvent } from './port.js';
import { logNames } from './subjects.js';

let timers: ManualTimers;
let server: MemoryLogServer;
let log: MemoryLog;
let gaps: LogGap[];
let seen: StoredEvent[];

beforeEach(() => {
  timers = new ManualTimers(1_700_000_000_000);
  server = new MemoryLogServer(logNames('edge'), timers);
  log = server.connect();
  gaps = [];
  seen = [];
});

const follow = () => log.follow({ from: 1, onEvent: (stored) => seen.push(stored), onGap: (gap) => gaps.push(gap) });
const sequences = (): number[] => seen.map((stored) => stored.sequence);

async function append(
  event: Parameters<MemoryLog['append']>[0],
  options: Partial<AppendOptions> = {},
): Promise<AppendResult> {
  const result = log.append(event, { deadlineMs: 50, ...options });
  await timers.advance(50);
  return result;
}

describe('the log in memory', () => {
  it('compares and sets per subject, and knows ids again, as JetStream does', async () => {
    const claim = ownershipEvent({ node: 'r1', term: 1 });
    const expect0 = { expect: { lastSubjectSequence: 0 } };
    expect(await append(claim, expect0)).toEqual({ kind: 'stored', sequence: 1, duplicate: false });
    expect(await append(transition('r1', 'x'))).toMatchObject({ sequence: 2 });
    expect(await append(claim, expect0)).toEqual({ kind: 'stored', sequence: 1, duplicate: true });
    expect(await append(ownershipEvent({ node: 'r2', term: 1 }), expect0)).toEqual({ kind: 'conflict' });
    const next = ownershipEvent({ node: 'r2', term: 2 });
    expect(await append(next, { expect: { lastSubjectSequence: 1 } })).toMatchObject({ sequence: 3 });
    expect(await append(claim)).toEqual({ kind: 'stored', sequence: 1, duplicate: true });
  });

  it('forgets an id after two minutes', async () => {
    const event = transition('r1', 'x');
    await append(event);
    await timers.advance(120_001);
    expect(await append(event)).toEqual({ kind: 'stored', sequence: 2, duplicate: false });
  });

  it('stalls: no answer by the deadline, stored when it wakes', async () => {
    follow();
    server.faults.stalled = true;
    expect(await append(transition('r1', 'x'))).toEqual({ kind: 'unavailable', reason: 'timeout', maybeStored: true });
    expect(server.lastSequence).toBe(0);
    server.wake();
    await timers.advance(1);
    expect(sequences()).toEqual([1]);
  });

  it('loses answers or requests: the same to the caller, not to the log', async () => {
    server.faults.losesAnswers = true;
    expect(await append(transition('r1', 'x'))).toMatchObject({ reason: 'timeout', maybeStored: true });
    expect(server.lastSequence).toBe(1);
    server.faults.losesAnswers = false;
    server.faults.losesRequests = true;
    expect(await append(transition('r1', 'y'))).toMatchObject({ reason: 'timeout', maybeStored: true });
    expect(server.lastSequence).toBe(1);
  });

  it('cuts one node off: nothing is sent, and reading fails', async () => {
    follow();
    server.faults.latencyMs = 10;
    const pending = log.append(transition('r1', 'x'), { deadlineMs: 1000 });
    await timers.advance(5);
    log.disconnect();
    expect(await pending).toEqual({ kind: 'unavailable', reason: 'disconnected', maybeStored: true });
    expect(await append(transition('r1', 'y'))).toEqual({
      kind: 'unavailable',
      reason: 'not_connected',
      maybeStored: false,
    });
    await expect(log.read({ deadlineMs: 1 })[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'unreachable',
    });
    expect(sequences()).toEqual([]);
    log.reconnect();
    await timers.advance(10);
    expect(sequences()).toEqual([1]);
  });

  it('loses an acknowledged tail, also one that was never delivered', async () => {
    await append(transition('r1', 'a'));
    follow();
    await timers.advance(1);
    server.faults.latencyMs = 10;
    const acknowledged = log.append(transition('r1', 'b'), { deadlineMs: 50 });
    await timers.advance(10);
    server.loseTail(1);
    await timers.advance(50);
    expect(await acknowledged).toMatchObject({ kind: 'stored', sequence: 2 });
    server.loseTail(0);
    await timers.advance(50);
    expect(gaps).toEqual([{ kind: 'rewound', expectedSequence: 2, foundSequence: 1 }]);
    expect(sequences()).toEqual([1, 1]);
  });

  it('is restored from a copy: another stream, with what stood in it then', async () => {
    follow();
    for (const name of ['a', 'b', 'c']) await append(transition('r1', name));
    server.restore(2);
    await timers.advance(1);
    expect(gaps).toMatchObject([{ kind: 'recreated', foundSequence: 1 }]);
    expect(sequences()).toEqual([1, 2, 3, 1]);
  });

  it('compacted: keeps the newest of each subject, and finds the one before when it loses its tail', async () => {
    server = new MemoryLogServer(logNames('edge'), timers, { compacted: true });
    log = server.connect();
    follow();
    await append(transition('r1', 'a'));
    await append(transition('r2', 'b'));
    await append(transition('r1', 'c'));
    server.loseTail(1);
    await timers.advance(1);
    expect(gaps).toMatchObject([{ kind: 'rewound', expectedSequence: 3, foundSequence: 2 }]);
    expect(sequences()).toEqual([1, 2, 3, 1, 2]);
  });

  it('is re-created empty', async () => {
    follow();
    await append(transition('r1', 'a'));
    server.recreate();
    await append(transition('r1', 'b'));
    expect(gaps).toEqual([{ kind: 'recreated', expectedSequence: 1, foundSequence: expect.any(Number) }]);
    expect(sequences()).toEqual([1, 1]);
  });

  it('reads a range, a time and a subject', async () => {
    await append(ownershipEvent({ node: 'r1', term: 1 }));
    await timers.advance(1000);
    const later = timers.nowMs();
    for (const reason of ['a', 'b', 'c']) await append(transition('r1', reason));
    const read = async (options: object): Promise<number[]> => {
      const found: number[] = [];
      for await (const stored of log.read({ deadlineMs: 1, ...options })) found.push(stored.sequence);
      return found;
    };
    expect(await read({ from: 2, to: 3 })).toEqual([2, 3]);
    expect(await read({ sinceMs: later })).toEqual([2, 3, 4]);
    expect(await read({ subjectFilter: 'koi.edge.own.*' })).toEqual([1]);
    expect(await read({ subjectFilter: 'koi.edge.>' })).toEqual([1, 2, 3, 4]);
  });
});
