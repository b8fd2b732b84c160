import { beforeEach, describe, expect, it } from 'vitest';
import { LeaseNode } from '../../test/log/leases.js';
import { ManualTimers } from '../../test/log/manual-timers.js';
import { bootId, nodeId } from '../core/identity.js';
import { heldUntilMs, watchedUntilMs } from '../core/lease.js';
import type { KoiEvent } from '../log/event.js';
import { MemoryLog, MemoryLogServer } from '../log/memory.js';
import { logNames } from '../log/subjects.js';
import type { Revocation } from './lease-revoker.js';

const names = logNames('edge');
const ttlMs = 4000;

let timers: ManualTimers;
let server: MemoryLogServer;
let logs: Map<string, MemoryLog>;
let nodes: LeaseNode[];
/** What the lease stream was given, in order. */
let history: KoiEvent[];

beforeEach(() => {
  timers = new ManualTimers(1_000_000);
  server = new MemoryLogServer(names, timers, { compacted: true });
  server.faults.latencyMs = 5;
  [logs, nodes, history] = [new Map(), [], []];
  server.connect().follow({
    from: 1,
    onEvent: ({ event }) => {
      if (event !== undefined) history.push(event);
    },
  });
});

/** A node's agent; `life` where an earlier one was there. */
function join(node: string, options: ConstructorParameters<typeof LeaseNode>[3] = {}): LeaseNode {
  const log = server.connect();
  logs.set(node, log);
  const joined = new LeaseNode(log, names, node, { timers, ...options });
  nodes.push(joined);
  return joined;
}

const logOf = (node: string): MemoryLog => {
  const log = logs.get(node);
  if (log === undefined) throw new Error(`no ${node}`);
  return log;
};

const types = (): string[] => history.map(({ node, payload }) => `${node} ${payload.type}`);

async function revoking(node: LeaseNode, holder: string): Promise<Revocation> {
  let answer: Revocation | undefined;
  void node.revoker.revoke(holder, 30).then((revocation) => {
    answer = revocation;
  });
  for (let ms = 0; ms < 100 && answer === undefined; ms += 1) await timers.advance(1);
  if (answer === undefined) throw new Error('no answer in 100 ms');
  return answer;
}

describe('renewing', () => {
  it('renews at once and then once an interval, and tells the end counted from before it was sent', async () => {
    const r1 = join('r1');
    await timers.advance(100);
    // Followed after 5 ms, sent, stored and answered 5 ms each way.
    const sentMs = 1_000_005;
    expect(r1.told).toEqual([heldUntilMs(sentMs, ttlMs)]);
    await timers.advance(5000);
    expect(types()).toHaveLength(6);
    expect(r1.desk.report('r1')).toMatchObject({ state: 'held' });
    expect(r1.desk.endsAtMs).toBe(heldUntilMs(1_005_000, ttlMs));
  });

  it('renews once for a node, whatever it serves, and not at all without a dataplane or where nobody asks the log', async () => {
    const r1 = join('r1', { hasDataplane: false });
    await timers.advance(3000);
    expect(history).toEqual([]);
    r1.boot = bootId('r1-boot');
    r1.desk.dataplaneUp();
    await timers.advance(20);
    expect(types()).toEqual(['r1 leaseRenewed']);
    r1.settings.renews = false;
    await timers.advance(3000);
    expect(history).toHaveLength(1);
    expect(r1.desk.report('r1').state).toBe('held');
    await timers.advance(ttlMs);
    expect(r1.desk.report('r1')).toEqual({ state: 'expired', remainingMs: 0 });
  });

  it('gives the log less than an interval for an answer', async () => {
    const r1 = join('r1');
    await timers.advance(500);
    server.faults.losesRequests = true;
    await timers.advance(600);
    const sentMs = timers.nowMs();
    expect(r1.told).toHaveLength(1);
    server.faults.losesRequests = false;
    // The one that was lost is sent again, and a fresh one after it.
    await timers.advance(1000);
    expect(r1.desk.endsAtMs).toBeGreaterThan(heldUntilMs(sentMs, ttlMs));
    expect(r1.told).not.toContain(null);
  });

  it('keeps its lease, and no more than that, through answers that are lost', async () => {
    const r1 = join('r1');
    await timers.advance(100);
    const endsAtMs = r1.desk.endsAtMs;
    server.faults.losesAnswers = true;
    logOf('r1').disconnect();
    await timers.advance(2000);
    expect(r1.desk.endsAtMs).toBe(endsAtMs);
    server.faults.losesAnswers = false;
    logOf('r1').reconnect();
    await timers.advance(1100);
    expect(r1.desk.endsAtMs).toBeGreaterThan(endsAtMs ?? 0);
    expect(r1.told).not.toContain(null);
    expect(r1.troubles).toEqual([]);
  });

  it('goes on after the stream has lost its last renewal, where others have filled the gap since and hidden it', async () => {
    const [r1, , r3] = [join('r1'), join('r2'), join('r3')];
    await timers.advance(2500);
    // The newest renewals of r2 and r3 stand on top of that of r1, which all have read.
    logOf('r1').disconnect();
    logOf('r2').disconnect();
    server.loseTail(3);
    await timers.advance(4000);
    expect(r3.desk.report('r3').state).toBe('held');
    expect(server.lastSequence).toBeGreaterThan(9);
    logOf('r1').reconnect();
    await timers.advance(3000);
    expect(r1.desk.report('r1')).toMatchObject({ state: 'held' });
    expect(r1.desk.endsAtMs).toBeGreaterThan(timers.nowMs());
  });

  it('takes a renewal whose answer was lost for stored once it has been read', async () => {
    const r1 = join('r1');
    await timers.advance(100);
    server.faults.losesAnswers = true;
    await timers.advance(4000);
    // Every answer was lost, every renewal read back.
    expect(r1.desk.endsAtMs).toBeGreaterThanOrEqual(heldUntilMs(1_004_000, ttlMs));
    expect(r1.told).not.toContain(null);
  });

  it('goes on with the lease of an agent that was restarted, and tells its dataplane nothing before', async () => {
    const first = join('r1');
    await timers.advance(2500);
    first.stop();
    const endsAtMs = first.desk.endsAtMs ?? 0;
    const second = join('r1', { life: '2' });
    await timers.advance(2);
    expect(second.told).toEqual([]);
    await timers.advance(20);
    expect(second.told).toHaveLength(1);
    expect(second.told[0]).toBeGreaterThan(endsAtMs);
    expect(second.troubles).toEqual([]);
  });

  it('tells a dataplane that has just come until when it may hold', async () => {
    const r1 = join('r1');
    await timers.advance(100);
    r1.desk.dataplaneUp();
    expect(r1.told).toHaveLength(2);
    expect(r1.told[1]).toBe(r1.told[0]);
  });

  it('finds its lease revoked by its next renewal, and renews on top of that', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    logOf('r1').disconnect();
    await timers.advance(5000);
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'revoked' });
    logOf('r1').reconnect();
    await timers.advance(1100);
    expect(r1.told).toContain(null);
    expect(r1.troubles.join()).toContain('revoked by r2');
    expect(r1.desk.report('r1').state).toBe('held');
    expect(r2.desk.report('r1').state).toBe('held');
  });

  it('finds its lease revoked by following, before it renews', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    await timers.advance(5000);
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'revoked' });
    await timers.advance(10);
    expect(r1.told.at(-1)).toBeNull();
    expect(r1.desk.report('r1').state).toBe('revoked');
  });

  it('tells of a second node with its name', async () => {
    const r1 = join('r1');
    await timers.advance(100);
    join('r1', { life: 'twin' });
    await timers.advance(1500);
    expect(r1.troubles.join()).toContain('a name of its own');
    expect(history.length).toBeLessThan(10);
  });

  it('keeps its lease in a log that was made anew', async () => {
    const r1 = join('r1');
    await timers.advance(1500);
    server.recreate();
    await timers.advance(3000);
    expect(r1.told).not.toContain(null);
    expect(r1.desk.report('r1').state).toBe('held');
  });
});

describe('watching', () => {
  it('expires a lease when the ttl has passed since it saw the last renewal, with drift and margin', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    const expiresMs = watchedUntilMs(1_000_015, ttlMs);
    await timers.advance(expiresMs - timers.nowMs() - 1);
    expect(r2.desk.hasExpired('r1')).toBe(false);
    expect(r1.desk.report('r1').state).toBe('expired');
    expect(r2.desk.report('r1')).toMatchObject({ state: 'held' });
    await timers.advance(2);
    expect(r2.desk.hasExpired('r1')).toBe(true);
    expect(r2.desk.report('r1').state).toBe('expired');
  });

  it('trusts no silence of a time in which it could not read', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    logOf('r2').disconnect();
    r1.boot = undefined;
    await timers.advance(10_000);
    logOf('r2').reconnect();
    await timers.advance(50);
    expect(r2.desk.hasExpired('r1')).toBe(false);
    // What it has not read the log may have lost since: then a holder has a lease of which a revocation knows nothing.
    expect(await revoking(r2, 'r1')).toMatchObject({ kind: 'leased' });
    await timers.advance(4700);
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'revoked' });
  });

  it('watches a node that never had a lease from when it has read everything', async () => {
    const r2 = join('r2');
    await timers.advance(100);
    expect(r2.desk.report('r9')).toEqual({ state: 'none', remainingMs: 0 });
    expect(await revoking(r2, 'r9')).toMatchObject({ kind: 'leased' });
    await timers.advance(5000);
    expect(await revoking(r2, 'r9')).toEqual({ kind: 'revoked' });
  });

  it('starts anew in a log that was made anew', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    await timers.advance(4300);
    server.recreate();
    await timers.advance(500);
    expect(r2.desk.hasExpired('r1')).toBe(false);
    expect(await revoking(r2, 'r1')).toMatchObject({ kind: 'leased' });
    await timers.advance(4600);
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'revoked' });
  });
});

describe('revoking', () => {
  it('leaves a lease alone that has not expired', async () => {
    const [, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    const answer = await revoking(r2, 'r1');
    expect(answer).toEqual({ kind: 'leased', untilMs: watchedUntilMs(1_000_015, ttlMs) });
    expect(types()).not.toContain('r2 leaseRevoked');
  });

  it('says what it did: whose lease, and for how long it was not renewed', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    await timers.advance(6000);
    await revoking(r2, 'r1');
    expect(r2.revoked).toMatchObject([{ holder: 'r1' }]);
    expect(r2.revoked[0]?.silentMs).toBeCloseTo(6085, -1);
    expect(history.at(-1)).toMatchObject({ node: 'r2', payload: { type: 'leaseRevoked', holder: nodeId('r1') } });
  });

  it('does not depose a holder whose renewals it has not read', async () => {
    const [, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    // Its reader hangs while its appends go through.
    logOf('r2').pump = () => undefined;
    await timers.advance(6000);
    const before = types().length;
    expect(await revoking(r2, 'r1')).toMatchObject({ kind: 'leased' });
    expect(types()).toHaveLength(before);
    expect(types()).not.toContain('r2 leaseRevoked');
  });

  it('loses the race against a renewal, or wins it, and never both', async () => {
    let won = 0;
    for (let offsetMs = -8; offsetMs <= 8; offsetMs += 1) {
      server = new MemoryLogServer(names, timers, { compacted: true });
      server.faults.latencyMs = 5;
      const joinedMs = timers.nowMs();
      const [r1, r2] = [join('r1'), join('r2')];
      await timers.advance(100);
      logOf('r1').disconnect();
      await timers.advance(6000);
      r1.told.length = 0;
      logOf('r1').reconnect();
      // The renewal waits for its interval; the revocation is sent a little before or after it.
      const toTickMs = joinedMs + 7000 - timers.nowMs();
      await timers.advance(Math.max(0, toTickMs + offsetMs));
      const answer = await revoking(r2, 'r1');
      await timers.advance(40);
      const lost = r1.told.includes(null);
      expect(answer.kind).toBe(lost ? 'revoked' : 'leased');
      if (lost) won += 1;
      for (const node of nodes.splice(0)) node.stop();
    }
    expect(won).toBeGreaterThan(0);
    expect(won).toBeLessThan(17);
  });

  it('never takes silence of the log for a proof', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    await timers.advance(6000);
    server.faults.losesAnswers = true;
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'unavailable' });
    // It was stored all the same: the next one stands on top of it.
    server.faults.losesAnswers = false;
    await timers.advance(20);
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'revoked' });
    logOf('r2').disconnect();
    expect(await revoking(r2, 'r1')).toEqual({ kind: 'unavailable' });
  });

  it('two append for a thousand that ask at once, and none is given a proof older than its question', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    await timers.advance(6000);
    const answers: Revocation[] = [];
    for (let i = 0; i < 1000; i += 1) void r2.revoker.revoke('r1', 30).then((answer) => answers.push(answer));
    await timers.advance(11);
    expect(answers).toHaveLength(1);
    await timers.advance(20);
    expect(answers).toEqual(new Array(1000).fill({ kind: 'revoked' }));
    expect(types().filter((each) => each === 'r2 leaseRevoked')).toHaveLength(2);
  });

  it('gives one who asks while a revocation is under way nothing that a renewal has overtaken', async () => {
    const [r1, r2] = [join('r1'), join('r2')];
    await timers.advance(100);
    r1.boot = undefined;
    await timers.advance(6000);
    // Its answers come late.
    const { append } = MemoryLog.prototype;
    logOf('r2').append = async (event, options) => {
      const result = await append.call(logOf('r2'), event, options);
      await new Promise<void>((resolve) => void timers.after(50, resolve));
      return result;
    };
    const answers: Revocation[] = [];
    void r2.revoker.revoke('r1', 200).then((answer) => answers.push(answer));
    // Stored, and read by the holder, which comes back at once.
    await timers.advance(15);
    r1.boot = bootId('r1-boot');
    r1.desk.dataplaneUp();
    await timers.advance(15);
    expect(r1.desk.report('r1').state).toBe('held');
    expect(answers).toEqual([]);
    void r2.revoker.revoke('r1', 200).then((answer) => answers.push(answer));
    await timers.advance(200);
    expect(answers).toMatchObject([{ kind: 'revoked' }, { kind: 'leased' }]);
  });
});
