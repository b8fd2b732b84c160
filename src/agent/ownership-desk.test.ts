import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownershipEvent } from '../../test/log/events.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { bootId, nodeId } from '../core/identity.js';
import { type FailpointName, installFailpoints } from '../failpoint.js';
import { isOwnership, type OwnershipEvent } from '../log/event.js';
import { type MemoryLog, MemoryLogServer } from '../log/memory.js';
import type { AppendResult } from '../log/port.js';
import { emptyLogState, fold, type LogState } from '../log/projection.js';
import { logNames } from '../log/subjects.js';
import { OwnershipDesk } from './ownership-desk.js';

const names = logNames('edge');
const boot = bootId('boot-1');

let timers: ManualTimers;
let server: MemoryLogServer;
let state: LogState;
let results: AppendResult['kind'][];
let problems: string[];
let desk: OwnershipDesk;
let mine: MemoryLog;
/** Ownership events in the order of the log. */
let history: OwnershipEvent[];
let ids: number;

/** What the desk's own node reads; held back where it lags. */
let reading = true;

beforeEach(() => {
  timers = new ManualTimers(1_700_000_000_000);
  server = new MemoryLogServer(names, timers);
  mine = server.connect();
  [state, results, problems, history, ids, reading] = [emptyLogState, [], [], [], 0, true];
  server.connect().follow({
    from: 1,
    onEvent: ({ event }) => {
      if (event !== undefined && isOwnership(event)) history.push(event);
    },
  });
  mine.follow({
    from: 1,
    onEvent: (stored) => {
      if (reading) state = fold(state, names, stored);
    },
  });
  desk = new OwnershipDesk({
    log: mine,
    cluster: 'edge',
    node: nodeId('r1'),
    priorityOf: () => 200,
    state: () => state,
    newEventId: () => `event-${++ids}`,
    clock: () => ({ wallMs: timers.nowMs(), monotonicMs: timers.nowMs() }),
    onAppend: ({ kind }) => results.push(kind),
    onFailed: (what, vr, error) => problems.push(`${vr}: ${what}: ${String(error)}`),
  });
});
afterEach(() => installFailpoints(undefined));

/** Throws at one place, once. */
function failAt(wanted: FailpointName): void {
  let left = 1;
  const reached = async (name: FailpointName): Promise<void> => {
    if (name !== wanted || left-- <= 0) return;
    throw new Error(`broken at ${name}`);
  };
  installFailpoints({ reached, passed: () => undefined });
}

async function settle<T>(promise: Promise<T>, ms = 60): Promise<T> {
  // What was asked is under way, whatever it awaits before it comes to the log.
  await new Promise((resolve) => setImmediate(resolve));
  await timers.advance(ms);
  return promise;
}

const claim = (term: number, expected: number, vr = 'gw', id = `claim-${term}`) =>
  settle(
    desk.claim(
      {
        type: 'claim',
        vr,
        claim: id,
        term,
        expected,
        reason: 'master_silent',
        timeoutMs: 50,
        lanAddress: '10.77.0.1',
        virtualMac: '00:00:5e:00:01:33',
      },
      boot,
    ),
  );
const release = (term: number, of = boot) =>
  settle(desk.release({ vr: 'gw', term, reason: 'shutdown', boot: of }), 1100);
/** Another node's claim, right behind what stands there now. */
const rivalClaims = (term: number, expected: number) =>
  settle(
    server.connect().append(ownershipEvent({ node: 'r2', term, previousHash: state.virtualRouters.get('gw')?.hash }), {
      expect: { lastSubjectSequence: expected },
      deadlineMs: 50,
    }),
  );

describe('the log’s disk', () => {
  it('is wanted while an ownership is written or read, and for a moment after, and not otherwise', async () => {
    expect(desk.isBusy).toBe(false);
    await claim(1, 0);
    await timers.advance(100);
    expect(desk.isBusy).toBe(false);
    const written = release(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(desk.isBusy).toBe(true);
    await written;
    expect(desk.isBusy).toBe(false);
    desk.saw();
    expect(desk.isBusy).toBe(true);
    await timers.advance(50);
    expect(desk.isBusy).toBe(false);
  });
});

describe('a claim', () => {
  it('is stored where nothing stood, carries what others need, and is the newest at once', async () => {
    reading = false;
    expect(await claim(1, 0)).toEqual({ kind: 'stored', sequence: 1 });
    expect(desk.newest('gw')).toMatchObject({
      owner: 'r1',
      boot,
      term: 1,
      claim: 'claim-1.gw',
      sequence: 1,
      released: false,
    });
    expect(history).toMatchObject([
      {
        id: 'claim-1.gw',
        node: 'r1',
        boot,
        vr: 'gw',
        term: 1,
        payload: { type: 'claimed', reason: 'master_silent', priority: 200, lanAddress: '10.77.0.1' },
      },
    ]);
    expect(history[0]?.previousHash).toBeUndefined();
  });

  it('of another virtual router with the same number is another event', async () => {
    await claim(1, 0);
    expect(await claim(1, 0, 'lan')).toEqual({ kind: 'stored', sequence: 2 });
    expect(history.map(({ id }) => id)).toEqual(['claim-1.gw', 'claim-1.lan']);
  });

  it('carries the hash of the event before it, read back or not', async () => {
    await claim(1, 0);
    await claim(2, 1);
    reading = false;
    await claim(3, 2);
    await claim(4, 3);
    expect(history.map(({ term }) => term)).toEqual([1, 2, 3, 4]);
    reading = true;
    let folded = emptyLogState;
    for await (const stored of mine.read({ deadlineMs: 50 })) folded = fold(folded, names, stored);
    expect(folded.regressions).toBe(0);
  });

  it('is refused by the log where another node claimed first', async () => {
    reading = false;
    await rivalClaims(1, 0);
    expect(await claim(1, 0)).toEqual({ kind: 'conflict' });
    expect([results, history.length, desk.newest('gw')]).toEqual([['conflict'], 1, undefined]);
  });

  it('is pinned to what stood when it was decided: what was read since makes it a conflict, not a new try', async () => {
    await claim(1, 0);
    await rivalClaims(2, 1);
    expect(desk.newest('gw')?.owner).toBe('r2');
    expect(await claim(3, 1)).toEqual({ kind: 'conflict' });
    expect(history).toHaveLength(2);
  });

  it('is not sent where it expects what this agent has not read: it could not name the hash', async () => {
    reading = false;
    await rivalClaims(1, 0);
    expect(await claim(2, 1)).toEqual({ kind: 'unavailable', maybeStored: false });
    expect([results, history.length]).toEqual([[], 1]);
  });

  it('may be stored although the answer is lost, and the same claim again then finds itself', async () => {
    reading = false;
    server.faults.losesAnswers = true;
    expect(await claim(1, 0)).toEqual({ kind: 'unavailable', maybeStored: true });
    expect(desk.newest('gw')).toBeUndefined();
    server.faults.losesAnswers = false;
    expect(await claim(1, 0)).toEqual({ kind: 'stored', sequence: 1 });
    expect(history).toHaveLength(1);
  });

  it('is not stored for sure where there was no connection', async () => {
    mine.disconnect();
    expect(await claim(1, 0)).toEqual({ kind: 'unavailable', maybeStored: false });
  });

  it('is forgotten where the log turns out to be another one', async () => {
    reading = false;
    await claim(1, 0);
    desk.forget();
    expect(desk.newest('gw')).toBeUndefined();
  });
});

describe('a release', () => {
  it('ends the own ownership, names the claim as its cause, and keeps the chain', async () => {
    await claim(1, 0);
    expect(await release(1)).toBe(true);
    expect(history[1]).toMatchObject({
      term: 1,
      causeId: 'claim-1.gw',
      payload: { type: 'released', reason: 'shutdown', addressesReadBackGone: true },
    });
    expect(desk.newest('gw')).toMatchObject({ released: true, term: 1, claim: 'claim-1.gw', sequence: 2 });
    expect(state.regressions).toBe(0);
  });

  it('follows a claim that was not read back yet, and a claim follows it', async () => {
    reading = false;
    await claim(1, 0);
    expect(await release(1)).toBe(true);
    expect(await claim(2, 2)).toEqual({ kind: 'stored', sequence: 3 });
    let folded = emptyLogState;
    for await (const stored of mine.read({ deadlineMs: 50 })) folded = fold(folded, names, stored);
    expect([folded.regressions, folded.virtualRouters.get('gw')?.highestTerm]).toEqual([0, 2]);
  });

  it('is written once', async () => {
    await claim(1, 0);
    await release(1);
    expect(await release(1)).toBe(true);
    expect(history).toHaveLength(2);
  });

  it.each([
    ['nobody owns', async () => undefined, 1, boot],
    ['another node has claimed since', async () => rivalClaims(2, 1), 1, boot],
    ['the term is another', async () => undefined, 2, boot],
    ['it was another life of the dataplane', async () => undefined, 1, bootId('boot-0')],
  ])('is dropped where %s', async (which, prepare, term, of) => {
    if (which !== 'nobody owns') await claim(1, 0);
    await prepare();
    const before = history.length;
    expect(await release(term, of)).toBe(true);
    expect(history).toHaveLength(before);
  });

  it('is dropped where another node claimed first and this one has not read it', async () => {
    await claim(1, 0);
    reading = false;
    await rivalClaims(2, 1);
    expect(await release(1)).toBe(true);
    expect(results.at(-1)).toBe('conflict');
    expect(history.map(({ node }) => node)).toEqual(['r1', 'r2']);
  });

  it('is to be repeated where the log does not answer, and is not doubled where it had been stored', async () => {
    await claim(1, 0);
    reading = false;
    server.faults.losesRequests = true;
    expect(await release(1)).toBe(false);
    server.faults.losesRequests = false;
    server.faults.losesAnswers = true;
    expect(await release(1)).toBe(false);
    server.faults.losesAnswers = false;
    expect(await release(1)).toBe(true);
    expect(history.filter(({ payload }) => payload.type === 'released')).toHaveLength(1);
  });
});

describe('something that is no answer of the log goes wrong', () => {
  it('before a claim is appended: it is perhaps stored, and the problem is told', async () => {
    failAt('claim.append');
    expect(await claim(1, 0)).toEqual({ kind: 'unavailable', maybeStored: true });
    expect(problems).toEqual(['gw: a claim: Error: broken at claim.append']);
    expect(history).toEqual([]);
    expect(await claim(1, 0)).toEqual({ kind: 'stored', sequence: 1 });
  });

  it('after it: the ownership is known here, and can be released', async () => {
    failAt('claim.appended');
    expect(await claim(1, 0)).toEqual({ kind: 'unavailable', maybeStored: true });
    expect(desk.newest('gw')).toMatchObject({ owner: 'r1', term: 1, sequence: 1, released: false });
    expect(await release(1)).toBe(true);
    expect(history).toHaveLength(2);
  });

  it.each(['handover.append', 'handover.appended'] as const)('at %s', async (name) => {
    await claim(1, 0);
    failAt(name);
    const message = { type: 'startHandover', vr: 'gw', to: 'r2', claim: 'claim-2', term: 2, expected: 1 } as const;
    const answer = await settle(desk.startHandover({ ...message, reason: 'handover', timeoutMs: 50 }, boot));
    expect(answer).toEqual({ kind: 'unavailable', maybeStored: true });
    expect(problems).toEqual([`gw: a handover: Error: broken at ${name}`]);
    expect(desk.newest('gw')?.owner).toBe(name === 'handover.append' ? 'r1' : 'r2');
  });

  it.each(['release.append', 'release.appended'] as const)('at %s: the release is to be repeated', async (name) => {
    await claim(1, 0);
    failAt(name);
    expect(await release(1)).toBe(false);
    expect(problems).toEqual([`gw: a release: Error: broken at ${name}`]);
    expect(await release(1)).toBe(true);
    expect(history.filter(({ payload }) => payload.type === 'released')).toHaveLength(1);
  });
});
