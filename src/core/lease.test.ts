import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sequence } from './identity.js';
import {
  addressLifetimeSeconds,
  clockDriftMax,
  expiresAtMs,
  hasFallenSilent,
  heldUntilMs,
  type LeaseLedger,
  type LeaseMessage,
  leaseMarginMs,
  nextRenewal,
  noLease,
  noWatches,
  ownLeaseCaughtUp,
  ownLeaseGap,
  ownLeaseRead,
  type Renewal,
  renewalAnswered,
  watchCaughtUp,
  watchedUntilMs,
  watchGap,
  watchOf,
  watchRead,
} from './lease.js';

const ttlMs = 4000;
const at = sequence;
const renewed = (number: number, id = `r${number}`, lastsMs = ttlMs): LeaseMessage => ({
  kind: 'renewed',
  sequence: at(number),
  id,
  ttlMs: lastsMs,
});
const revoked = (number: number): LeaseMessage => ({ kind: 'revoked', sequence: at(number), id: `v${number}` });

/** Sends the next renewal; a test that cannot is wrong. */
function send(ledger: LeaseLedger, id: string, atMs: number): { ledger: LeaseLedger; renewal: Renewal } {
  const sent = nextRenewal(ledger, { id, atMs, ttlMs });
  if (sent === undefined) throw new Error('nothing to renew on');
  return sent;
}

/** A ledger with a lease that was sent at 1000 and stored at 5. */
function leased(): LeaseLedger {
  const { ledger, renewal } = send(ownLeaseCaughtUp(noLease), 'a', 1000);
  return renewalAnswered(ledger, renewal, { kind: 'stored', sequence: at(5) });
}

describe('the holder’s ledger', () => {
  it('renews nothing before it has read what stands on its subject', () => {
    expect(nextRenewal(noLease, { id: 'a', atMs: 1, ttlMs })).toBeUndefined();
    expect(send(ownLeaseCaughtUp(noLease), 'a', 1).renewal.expected).toBe(0);
  });

  it('counts from before the renewal was sent, less the margin', () => {
    expect(leased()).toMatchObject({ endsAtMs: 1000 + ttlMs - leaseMarginMs, newest: 5, lost: false });
  });

  it('goes on from what an earlier process of this node has renewed', () => {
    const read = ownLeaseRead(noLease, renewed(7));
    expect(read).toMatchObject({ newest: 7, endsAtMs: undefined, lost: false });
    const { ledger, renewal } = send(ownLeaseCaughtUp(read), 'b', 50);
    expect(renewal.expected).toBe(7);
    expect(renewalAnswered(ledger, renewal, { kind: 'stored', sequence: at(8) }).endsAtMs).toBe(heldUntilMs(50, ttlMs));
  });

  it('finds that an earlier process’s lease was revoked', () => {
    expect(ownLeaseRead(noLease, revoked(7))).toMatchObject({ newest: 7, endsAtMs: undefined, lost: true });
  });

  it('gains nothing by an ambiguous answer, and asks for the same again with its first time', () => {
    const first = send(leased(), 'b', 2000);
    const unknown = renewalAnswered(first.ledger, first.renewal, { kind: 'unavailable', maybeStored: true });
    expect(unknown.endsAtMs).toBe(heldUntilMs(1000, ttlMs));
    const again = send(unknown, 'c', 3000);
    expect(again.renewal).toMatchObject({ id: 'b', sentAtMs: 2000, expected: 5 });
    // Once it may have been stored, a sending that surely was not proves nothing of the first.
    const still = renewalAnswered(again.ledger, again.renewal, { kind: 'unavailable', maybeStored: false });
    expect(send(still, 'd', 3500).renewal.id).toBe('b');
    const stored = renewalAnswered(still, again.renewal, { kind: 'stored', sequence: at(6) });
    expect(stored).toMatchObject({ endsAtMs: heldUntilMs(2000, ttlMs), newest: 6, pending: undefined });
  });

  it('takes the very renewal read back for its answer', () => {
    const first = send(leased(), 'b', 2000);
    const unknown = renewalAnswered(first.ledger, first.renewal, { kind: 'unavailable', maybeStored: true });
    const read = ownLeaseRead(unknown, renewed(6, 'b'));
    expect(read).toMatchObject({ endsAtMs: heldUntilMs(2000, ttlMs), newest: 6, pending: undefined });
    expect(renewalAnswered(read, first.renewal, { kind: 'stored', sequence: at(6) })).toEqual(read);
  });

  it('gives up a renewal that surely was not stored', () => {
    const first = send(leased(), 'b', 2000);
    const refused = renewalAnswered(first.ledger, first.renewal, { kind: 'unavailable', maybeStored: false });
    expect(send(refused, 'c', 3000).renewal).toMatchObject({ id: 'c', sentAtMs: 3000, expected: 5 });
  });

  it('has no lease after a conflict until one is stored on top of what was read', () => {
    const first = send(leased(), 'b', 2000);
    const lost = renewalAnswered(first.ledger, first.renewal, { kind: 'conflict' });
    expect(lost).toMatchObject({ endsAtMs: undefined, lost: true, newest: undefined });
    expect(nextRenewal(lost, { id: 'c', atMs: 2100, ttlMs })).toBeUndefined();
    const read = ownLeaseRead(lost, revoked(6));
    const second = send(read, 'c', 2200);
    expect(second.renewal.expected).toBe(6);
    expect(renewalAnswered(second.ledger, second.renewal, { kind: 'stored', sequence: at(7) })).toMatchObject({
      endsAtMs: heldUntilMs(2200, ttlMs),
      lost: false,
    });
  });

  it('goes on from the revocation where that was read before the conflict was answered', () => {
    const first = send(leased(), 'b', 2000);
    const read = ownLeaseRead(first.ledger, revoked(6));
    expect(renewalAnswered(read, first.renewal, { kind: 'conflict' })).toMatchObject({ newest: 6, lost: true });
  });

  it('gains nothing by an answer that comes after a revocation was read', () => {
    const first = send(leased(), 'b', 2000);
    const read = ownLeaseRead(first.ledger, revoked(7));
    const late = renewalAnswered(read, first.renewal, { kind: 'stored', sequence: at(6) });
    expect(late).toMatchObject({ endsAtMs: undefined, lost: true, newest: 7 });
  });

  it('ends with a renewal that it did not write: another node has its name', () => {
    expect(ownLeaseRead(leased(), renewed(6, 'other'))).toMatchObject({ endsAtMs: undefined, lost: true });
  });

  it('runs on in a log that was made anew, and is renewed on top of what stands there', () => {
    const gap = ownLeaseGap(leased());
    expect(gap.endsAtMs).toBe(heldUntilMs(1000, ttlMs));
    expect(send(ownLeaseCaughtUp(gap), 'b', 2000).renewal.expected).toBe(0);
    // A log that lost its tail delivers an older renewal of its own again.
    expect(ownLeaseRead(gap, renewed(2, 'older'))).toMatchObject({ newest: 2, endsAtMs: heldUntilMs(1000, ttlMs) });
    expect(ownLeaseRead(gap, revoked(2))).toMatchObject({ endsAtMs: undefined, lost: true });
  });

  it('is as short as a shorter renewal from when that was sent', () => {
    const sent = nextRenewal(leased(), { id: 'b', atMs: 1500, ttlMs: 1000 });
    expect(sent?.ledger.endsAtMs).toBe(heldUntilMs(1500, 1000));
  });
});

describe('a reader’s watch', () => {
  it('knows nothing before everything stored was read', () => {
    const watches = watchRead(noWatches, 'r1', renewed(3), 100, ttlMs);
    expect(watchOf(watches, 'r1', ttlMs)).toBeUndefined();
    expect(watchOf(watchCaughtUp(watches, 120), 'r1', ttlMs)).toMatchObject({ sequence: 3, seenAtMs: 100 });
  });

  it('watches a node it never read of from when it had read everything', () => {
    const watches = watchCaughtUp(watchCaughtUp(noWatches, 100), 900);
    expect(watchOf(watches, 'r1', ttlMs)).toEqual({ sequence: 0, seenAtMs: 100, ttlMs, revoked: false });
  });

  it('counts from when it saw the renewal, with drift and margin', () => {
    const watches = watchCaughtUp(watchRead(noWatches, 'r1', renewed(3, 'a', 12_000), 100, ttlMs), 100);
    const watch = watchOf(watches, 'r1', ttlMs);
    expect(watch === undefined ? undefined : expiresAtMs(watch)).toBeCloseTo(
      100 + 12_000 * (1 + clockDriftMax) + leaseMarginMs,
    );
  });

  it('keeps the time of the last renewal across a revocation, and starts again with the next renewal', () => {
    let watches = watchCaughtUp(watchRead(noWatches, 'r1', renewed(3), 100, ttlMs), 100);
    watches = watchRead(watches, 'r1', revoked(4), 9000, ttlMs);
    expect(watchOf(watches, 'r1', ttlMs)).toMatchObject({ sequence: 4, seenAtMs: 100, revoked: true });
    expect(watchRead(watches, 'r1', renewed(3), 9500, ttlMs)).toBe(watches);
    watches = watchRead(watches, 'r1', renewed(5), 9600, ttlMs);
    expect(watchOf(watches, 'r1', ttlMs)).toMatchObject({ sequence: 5, seenAtMs: 9600, revoked: false });
  });

  it('starts anew in a log that was made anew, and remembers how long a lease lasts', () => {
    let watches = watchCaughtUp(watchRead(noWatches, 'r1', renewed(30, 'a', 12_000), 100, ttlMs), 100);
    watches = watchGap(watches, 20_000);
    expect(watchOf(watches, 'r1', ttlMs)).toBeUndefined();
    watches = watchCaughtUp(watches, 20_100);
    expect(watchOf(watches, 'r1', ttlMs)).toEqual({ sequence: 0, seenAtMs: 20_000, ttlMs: 12_000, revoked: false });
    expect(watchOf(watches, 'r9', ttlMs)).toMatchObject({ seenAtMs: 20_100 });
  });

  it('takes a message it cannot read for a renewal', () => {
    const strange: LeaseMessage = { kind: 'renewed', sequence: at(9), id: undefined, ttlMs: undefined };
    const watches = watchCaughtUp(watchRead(noWatches, 'r1', strange, 100, ttlMs), 100);
    expect(watchOf(watches, 'r1', ttlMs)).toMatchObject({ sequence: 9, ttlMs });
  });
});

// ── two clocks ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A holder, a log and a reader in true time; each of the two has a clock of its own. */
interface Passage {
  readonly waitMs: number;
  readonly toLogMs: number;
  readonly toReaderMs: number;
  readonly backMs: number;
  readonly ttlMs: number;
  readonly fate: 'answered' | 'answer_lost' | 'never_arrives' | 'arrives_late';
}

const passage: fc.Arbitrary<Passage> = fc.record({
  waitMs: fc.integer({ min: 1, max: 6000 }),
  toLogMs: fc.integer({ min: 0, max: 3000 }),
  toReaderMs: fc.integer({ min: 0, max: 3000 }),
  backMs: fc.integer({ min: 0, max: 3000 }),
  ttlMs: fc.integer({ min: 500, max: 12_000 }),
  fate: fc.constantFrom('answered', 'answer_lost', 'never_arrives', 'arrives_late'),
});

/** Rates whose ratio keeps to the bound, either way round. */
const clocks = fc
  .record({
    slower: fc.double({ min: 0.5, max: 1.5, noNaN: true }),
    ahead: fc.double({ min: 0, max: clockDriftMax, noNaN: true }),
    readerIsFaster: fc.boolean(),
    holderOffsetMs: fc.integer({ min: 0, max: 1e9 }),
    readerOffsetMs: fc.integer({ min: 0, max: 1e9 }),
  })
  .map(({ slower, ahead, readerIsFaster, holderOffsetMs, readerOffsetMs }) => {
    const faster = slower * (1 + ahead);
    const [holderRate, readerRate] = readerIsFaster ? [slower, faster] : [faster, slower];
    return {
      holder: (trueMs: number) => holderOffsetMs + trueMs * holderRate,
      reader: (trueMs: number) => readerOffsetMs + trueMs * readerRate,
      holderTrue: (clockMs: number) => (clockMs - holderOffsetMs) / holderRate,
      readerTrue: (clockMs: number) => (clockMs - readerOffsetMs) / readerRate,
    };
  });

describe('a node taken for one that runs no more', () => {
  const watch = { sequence: sequence(3), seenAtMs: 0, ttlMs, revoked: false };
  const [never, endMs] = [Number.NEGATIVE_INFINITY, watchedUntilMs(0, ttlMs)];
  const own = endMs + 1000;

  it('is one whose lease has ended, by the word of a node that has one and reads the others’', () => {
    expect(hasFallenSilent(watch, own, never, endMs - 1)).toBe(false);
    expect(hasFallenSilent(watch, own, never, endMs)).toBe(true);
    expect(hasFallenSilent({ ...watch, revoked: true }, own, never, 1)).toBe(true);
    expect(hasFallenSilent(undefined, own, never, endMs)).toBe(false);
    expect(hasFallenSilent(watch, undefined, never, endMs)).toBe(false);
    expect(hasFallenSilent(watch, endMs, never, endMs)).toBe(false);
  });

  it('is none that has just spoken elsewhere in the log, and none that never had a lease', () => {
    expect(hasFallenSilent(watch, own, 500, endMs + 499)).toBe(false);
    expect(hasFallenSilent(watch, own, 500, endMs + 500)).toBe(true);
    expect(hasFallenSilent({ ...watch, revoked: true }, own, 500, endMs)).toBe(false);
    expect(hasFallenSilent({ ...watch, sequence: sequence(0) }, own, never, endMs)).toBe(false);
  });
});

describe('with two clocks within the drift bound', () => {
  it('a watch never expires before the holder’s own end', () => {
    fc.assert(
      fc.property(
        clocks,
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        fc.double({ min: 0, max: 1e4, noNaN: true }),
        fc.integer({ min: 500, max: 600_000 }),
        (two, sentMs, travelMs, lastsMs) => {
          const heldMs = two.holderTrue(heldUntilMs(two.holder(sentMs), lastsMs));
          const watchedMs = two.readerTrue(watchedUntilMs(two.reader(sentMs + travelMs), lastsMs));
          expect(watchedMs).toBeGreaterThan(heldMs);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('a revocation that the log accepts never meets a holder that still counts on its lease', () => {
    fc.assert(
      fc.property(
        clocks,
        fc.array(passage, { minLength: 1, maxLength: 12 }),
        fc.option(fc.integer({ min: 0, max: 40_000 }), { nil: undefined }),
        (two, passages, gapAtMs) => revocationMeetsNobody(two, passages, gapAtMs),
      ),
      { numRuns: 2000 },
    );
  });
});

type TwoClocks = typeof clocks extends fc.Arbitrary<infer T> ? T : never;

/** Plays the passages; tries to revoke at each instant at which the watch has just expired, and looks at the holder. */
function revocationMeetsNobody(two: TwoClocks, passages: readonly Passage[], gapAtMs: number | undefined): void {
  const planned: { atMs: number; order: number; run: () => void }[] = [];
  let nowMs = 0;
  let order = 0;
  const plan = (atMs: number, run: () => void): void => {
    planned.push({ atMs, order, run });
    order += 1;
  };

  let ledger = ownLeaseCaughtUp(noLease);
  let watches = watchCaughtUp(noWatches, two.reader(0));
  let stored: { sequence: number; id: string } = { sequence: 0, id: '' };
  let isOver = false;

  const tryRevoking = (): void => {
    const watch = watchOf(watches, 'h', 500);
    if (isOver || watch === undefined || watch.sequence === 0) return;
    if (two.reader(nowMs) < expiresAtMs(watch) || watch.sequence !== stored.sequence) return;
    isOver = true;
    stored = { sequence: stored.sequence + 1, id: 'revoked' };
    const endMs = ledger.endsAtMs === undefined ? Number.NEGATIVE_INFINITY : two.holderTrue(ledger.endsAtMs);
    expect(endMs).toBeLessThanOrEqual(nowMs);
  };

  const seen = (at: number, id: string, lastsMs: number): void => {
    watches = watchRead(watches, 'h', renewed(at, id, lastsMs), two.reader(nowMs), 500);
    const watch = watchOf(watches, 'h', 500);
    // The watch expires exactly then, so an instant later is the worst that can happen.
    if (watch !== undefined) plan(two.readerTrue(expiresAtMs(watch)) + 0.001, tryRevoking);
  };

  const sendOne = (each: Passage, index: number): void => {
    const sent = nextRenewal(ledger, { id: `r${index}`, atMs: two.holder(nowMs), ttlMs: each.ttlMs });
    if (sent === undefined) return;
    ledger = sent.ledger;
    const { renewal } = sent;
    const answered = (answer: Parameters<typeof renewalAnswered>[2]): void => {
      ledger = renewalAnswered(ledger, renewal, answer);
      // Whatever the answer gives after a revocation has to have run out by then.
      if (isOver && ledger.endsAtMs !== undefined) {
        expect(two.holderTrue(ledger.endsAtMs)).toBeLessThanOrEqual(nowMs);
      }
    };
    if (each.fate === 'never_arrives') {
      plan(nowMs + each.backMs, () => answered({ kind: 'unavailable', maybeStored: true }));
      return;
    }
    plan(nowMs + each.toLogMs + (each.fate === 'arrives_late' ? 5000 : 0), () => {
      const isTwin = stored.id === renewal.id;
      if (!isTwin && stored.sequence !== renewal.expected) {
        plan(nowMs + each.backMs, () => answered({ kind: 'conflict' }));
        return;
      }
      if (!isTwin) {
        stored = { sequence: stored.sequence + 1, id: renewal.id };
        const { sequence: position } = stored;
        plan(nowMs + each.toReaderMs, () => seen(position, renewal.id, renewal.ttlMs));
        plan(nowMs + each.backMs + 1, () => {
          ledger = ownLeaseRead(ledger, renewed(position, renewal.id, renewal.ttlMs));
        });
      }
      const { sequence: position } = stored;
      if (each.fate === 'answered')
        plan(nowMs + each.backMs, () => answered({ kind: 'stored', sequence: at(position) }));
    });
    if (each.fate !== 'answered') plan(nowMs + each.backMs, () => answered({ kind: 'unavailable', maybeStored: true }));
  };

  let startMs = 0;
  passages.forEach((each, index) => {
    startMs += each.waitMs;
    plan(startMs, () => sendOne(each, index));
  });
  if (gapAtMs !== undefined) {
    // The reader looks at a log that lost nothing, but has to begin anew.
    plan(gapAtMs, () => {
      watches = watchGap(watches, two.reader(nowMs));
      const { sequence: position, id } = stored;
      if (position > 0) seen(position, id, 12_000);
      watches = watchCaughtUp(watches, two.reader(nowMs));
    });
  }
  for (let steps = 0; planned.length > 0 && steps < 1000; steps += 1) {
    planned.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    const next = planned.shift();
    if (next === undefined) break;
    nowMs = Math.max(nowMs, next.atMs);
    next.run();
  }
}

describe('the kernel’s lifetime of an address that is leased', () => {
  /** The kernel looks up to 1.25 s late. */
  const goneBy = (nowMs: number, seconds: number): number => nowMs + seconds * 1000 + 1250;

  it('ends before anybody else may take over, whenever it was renewed last', () => {
    const sentAtMs = 10_000;
    const endsAtMs = heldUntilMs(sentAtMs, ttlMs);
    for (let nowMs = sentAtMs; nowMs < endsAtMs; nowMs += 10) {
      const seconds = addressLifetimeSeconds(endsAtMs, nowMs);
      if (seconds >= 1) expect(goneBy(nowMs, seconds)).toBeLessThanOrEqual(endsAtMs + leaseMarginMs);
    }
  });

  it('is long enough while a lease is renewed in time', () => {
    expect(addressLifetimeSeconds(heldUntilMs(0, 4000), 1000)).toBe(1);
    expect(addressLifetimeSeconds(heldUntilMs(0, 12_000), 1000)).toBeGreaterThanOrEqual(2);
    expect(addressLifetimeSeconds(heldUntilMs(0, 1000), 0)).toBe(0);
  });
});
