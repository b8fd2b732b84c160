import pino from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { configOf } from '../../test/agent/node.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import type { ToAgent, ToDataplane } from '../ipc/protocol.js';
import { type MemoryLog, MemoryLogServer } from '../log/memory.js';
import { emptyLogState, fold } from '../log/projection.js';
import { logNames } from '../log/subjects.js';
import { OwnNode } from './own-node.js';
import { Ownerships } from './ownerships.js';

const names = logNames('edge');
let timers: ManualTimers;
let events: MemoryLog;
let log: { state: typeof emptyLogState; reachable: boolean };
let sent: ToDataplane[];
let said: unknown[];
let ownerships: Ownerships;

beforeEach(() => {
  timers = new ManualTimers(1_700_000_000_000);
  events = new MemoryLogServer(names, timers).connect();
  [log, sent, said] = [{ state: emptyLogState, reachable: true }, [], []];
  events.follow({
    from: 1,
    onEvent: (stored) => {
      log.state = fold(log.state, names, stored);
    },
  });
  let ids = 0;
  const node = new OwnNode(configOf('gw'), () => false);
  node.dataplaneCame('b1', []);
  ownerships = new Ownerships({
    node,
    events,
    log,
    dataplane: { up: true, send: (message) => sent.push(message) > 0 },
    holderVerdict: () => undefined,
    newEventId: () => `event-${++ids}`,
    clock: () => ({ wallMs: timers.nowMs(), monotonicMs: timers.nowMs() }),
    onAppend: ({ kind }) => said.push(kind),
    onWritten: (vr) => said.push(['written', vr]),
    onHandover: (vr, why, term) => said.push([vr, why, term]),
    onStored: () => said.push('news'),
    logger: pino({ level: 'silent' }),
  });
});

const claim: Extract<ToAgent, { type: 'claim' }> = {
  type: 'claim',
  vr: 'gw',
  claim: 'c1',
  term: 1,
  expected: 0,
  reason: 'master_silent',
  timeoutMs: 50,
  lanAddress: '10.77.0.1',
  virtualMac: '00:00:5e:00:01:33',
};
const handover: Extract<ToAgent, { type: 'startHandover' }> = {
  type: 'startHandover',
  vr: 'gw',
  claim: 'h2',
  term: 2,
  to: 'r2',
  expected: 1,
  reason: 'handover',
  timeoutMs: 50,
};

async function settle(work: Promise<void>): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await timers.advance(60);
  await work;
}

describe('what the dataplane wants written of an ownership', () => {
  it('is written, and it is answered', async () => {
    await settle(ownerships.claim(claim));
    expect(sent).toEqual([
      { type: 'claimAnswer', vr: 'gw', claim: 'c1', term: 1, answer: { kind: 'stored', sequence: 1 } },
    ]);
    expect(said).toEqual(['stored', ['written', 'gw'], 'news']);
    expect(ownerships.newest('gw')).toMatchObject({ owner: 'r1', boot: 'b1', term: 1, released: false });
    await settle(ownerships.startHandover(handover));
    expect(sent[1]).toMatchObject({ claim: 'h2', term: 2, answer: { kind: 'stored', sequence: 2 } });
    expect(said).toContainEqual(['gw', undefined, 2]);
  });

  it('is not asked of a log that cannot be relied on', async () => {
    log.reachable = false;
    await settle(ownerships.claim(claim));
    await settle(ownerships.startHandover(handover));
    expect(sent).toMatchObject([
      { claim: 'c1', answer: { kind: 'unavailable', maybeStored: false } },
      { claim: 'h2', answer: { kind: 'unavailable', maybeStored: false } },
    ]);
    expect(said).toEqual([['gw', 'the log did not answer', 2]]);
  });

  it('says why no handover stands in the log', async () => {
    await settle(ownerships.startHandover({ ...handover, expected: 7 }));
    expect(said).toEqual([['gw', 'something newer stood in the log', 2]]);
  });

  it('is taken when it is in the log, as a release is', async () => {
    await settle(ownerships.claim(claim));
    const at = { number: 9, wallMs: timers.nowMs(), monotonicMs: timers.nowMs() };
    ownerships.release({ type: 'released', vr: 'gw', term: 1, reason: 'shutdown', resigned: false, ...at });
    await settle(ownerships.flush());
    expect(ownerships.newest('gw')).toMatchObject({ term: 1, released: true });
    expect(sent.at(-1)).toEqual({ type: 'taken', number: 9 });
  });
});
