import { describe, expect, it } from 'vitest';
import { quietStory, readRaw } from '../../test/log/recorded.js';
import { LogAudit } from '../log/audit.js';
import { emptyLogState, fold } from '../log/projection.js';
import { logNames } from '../log/subjects.js';
import { Collected, formatAudit } from './audit.js';
import { paint } from './paint.js';
import { describeState, formatReplay, parsePoint } from './replay.js';

const plain = paint({ isTTY: false });
const names = logNames('edge');
const records = quietStory().records();

describe('koi audit', () => {
  function report(events: typeof records, max = 20) {
    const collected = new Collected(max);
    const audit = new LogAudit(names, { onFinding: (finding) => collected.add(finding) });
    for (const record of events) audit.read(readRaw(record));
    audit.finish();
    return collected.report(audit.events, 1234);
  }

  it('says in one line that all is well', () => {
    expect(formatAudit(report(records), plain)).toBe('44 events read in 1.2 s: every promise was kept\n');
  });

  it('shows each finding with its place, and once what its kind means', () => {
    const { ok, counts, ...rest } = report(records.toSpliced(8, 1).toSpliced(20, 1), 1);
    expect([ok, counts]).toEqual([false, { sequence_gap: 2, history_gap: 1, chain_broken: 1 }]);
    expect(formatAudit({ ok, counts, ...rest }, plain)).toMatchInlineSnapshot(`
      "✗ sequence_gap @10 2026-09-21T14:14:26.009Z r1 gw: 1 event missing from sequence 9 on
      ✗ history_gap @14 2026-09-21T14:14:26.037Z r1 gw: draining → backup (handed_over), but r1 was master before
      ✗ chain_broken @24 2026-09-21T14:16:26.068Z r1 gw: it follows f3750ff398e6, but 13b7de3fb67b stands before it
      sequence_gap: events have been removed from the middle of the log
      history_gap: a transition does not begin in the state in which the one before ended: one is missing
      chain_broken: an ownership event does not carry the hash of the one before: one was changed, lost or put in
      sequence_gap: 1 more
      42 events read in 1.2 s: something is broken
      "
    `);
  });
});

describe('koi replay', () => {
  it('takes a moment, a duration before now, or an event', () => {
    const nowMs = Date.UTC(2026, 0, 31, 12);
    expect(parsePoint('-10m', nowMs)).toEqual({ kind: 'time', atMs: nowMs - 600_000 });
    expect(parsePoint('10m', nowMs)).toEqual({ kind: 'time', atMs: nowMs - 600_000 });
    expect(parsePoint('2026-01-31T11:00:00Z', nowMs)).toEqual({ kind: 'time', atMs: nowMs - 3_600_000 });
    expect(parsePoint('@17', nowMs)).toEqual({ kind: 'sequence', sequence: 17 });
    for (const wrong of ['@x', 'yesterday', '']) expect(() => parsePoint(wrong, nowMs)).toThrow(/--at/);
  });

  it('shows owners, nodes and what was under way', () => {
    let state = emptyLogState;
    const handover = records.findIndex((record) => readRaw(record).event?.payload.type === 'handoverStarted');
    for (const record of records.slice(0, handover + 1)) state = fold(state, names, readRaw(record));
    const replay = describeState(state, records[handover]?.storedAtMs);
    expect(replay.vrs).toMatchObject([
      { name: 'gw', owner: 'r2', term: 2, released: false, handover: { from: 'r1', to: 'r2', state: 'started' } },
    ]);
    expect(formatReplay(replay, plain)).toMatchInlineSnapshot(`
      "as of event @10, 2026-09-21T14:14:26.009Z

      VR  OWNER  TERM  SINCE  REASON
      gw  r2     2     0s     handover, handover r1 → r2 started

      VR  NODE  STATE     SINCE  REASON
      gw  r1    draining  0s     handover
      gw  r2    backup    1m     started

      NODE  STATE    LAST SEEN  VERSION  PRIORITIES
      r1    running  0s         0.1.0    gw (200)
      r2    running  1m         0.1.0    gw (100)
      "
    `);
  });

  it('says that there was nothing yet', () => {
    expect(formatReplay(describeState(emptyLogState, undefined), plain)).toBe('the log had no event then\n');
  });
});
