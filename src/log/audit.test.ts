import { describe, expect, it } from 'vitest';
import { quietStory, type RawRecord, readRaw, Story } from '../../test/log/recorded.js';
import { nodeId } from '../core/identity.js';
import { LogAudit } from './audit.js';
import { type AuditWord, auditWords, type Finding } from './audit-words.js';
import { encodeEvent } from './codec.js';
import type { KoiEvent } from './event.js';
import { logNames } from './subjects.js';

function audit(records: readonly RawRecord[], partial = false): Finding[] {
  const findings: Finding[] = [];
  const log = new LogAudit(logNames('edge'), { partial, onFinding: (finding) => findings.push(finding) });
  for (const record of records) log.read(readRaw(record));
  log.finish();
  return findings;
}

const words = (records: readonly RawRecord[], partial = false): AuditWord[] => [
  ...new Set(audit(records, partial).map(({ what }) => what)),
];

const told = (story: Story): AuditWord[] => words(story.records());

const renumbered = (records: readonly RawRecord[]): RawRecord[] =>
  records.map((record, index) => ({ ...record, sequence: index + 1 }));

/** The record of the first event that is like this. */
function indexOf(records: readonly RawRecord[], type: string, occurrence = 1): number {
  let found = 0;
  return records.findIndex((record) => readRaw(record).event?.payload.type === type && ++found === occurrence);
}

function changed(records: RawRecord[], at: number, change: (event: KoiEvent) => KoiEvent): RawRecord[] {
  const record = records[at];
  const event = record === undefined ? undefined : readRaw(record).event;
  if (record === undefined || event === undefined) throw new Error(`no event at ${at}`);
  return records.with(at, { ...record, encoded: encodeEvent(change(event)) });
}

describe('an audit of a log in which all is well', () => {
  it('finds nothing', () => {
    expect(audit(quietStory().records())).toEqual([]);
  });

  it('finds nothing where it begins in the middle, wherever that is', () => {
    const records = quietStory().records();
    for (let from = 1; from < records.length; from += 1)
      expect(words(records.slice(from), true), `${from}`).toEqual([]);
  });

  it('says that it cannot check what is not there at the front', () => {
    expect(words(quietStory().records().slice(7))).toEqual(['front_missing']);
  });
});

describe('an audit finds damage by its name', () => {
  const whole = quietStory().records();
  const claim = indexOf(whole, 'claimed', 2);

  it('an event dropped from the middle, whichever it is', () => {
    for (let at = 1; at < whole.length - 1; at += 1) expect(words(whole.toSpliced(at, 1))).toContain('sequence_gap');
  });

  it('an event dropped from the middle, and the sequences closed up', () => {
    expect(words(renumbered(whole.toSpliced(claim, 1)))).toEqual(
      expect.arrayContaining(['chain_broken', 'active_without_claim']),
    );
    const transition = indexOf(whole, 'transition', 5);
    expect(words(renumbered(whole.toSpliced(transition, 1)))).toContain('history_gap');
  });

  it('a flipped byte, wherever in an ownership event it is', () => {
    const record = whole[claim];
    if (record === undefined) throw new Error('no claim');
    for (let at = 0; at < record.encoded.length; at += 1) {
      const encoded = Uint8Array.from(record.encoded);
      encoded[at] = (encoded[at] ?? 0) ^ 0x15;
      const found = audit(whole.with(claim, { ...record, encoded })).filter(({ level }) => level === 'broken');
      expect(found.length, `byte ${at}`).toBeGreaterThan(0);
    }
    expect(words(whole.with(claim, { ...record, encoded: Uint8Array.of(255, 1, 2) }))).toContain('unreadable');
  });

  it('events in another order', () => {
    const swapped = whole.with(claim, whole[claim + 1] as RawRecord).with(claim + 1, whole[claim] as RawRecord);
    expect(words(swapped)).toContain('sequence_reversed');
    const release = indexOf(whole, 'released', 2);
    const other = indexOf(whole, 'released', 3);
    const both = whole.with(release, whole[other] as RawRecord).with(other, whole[release] as RawRecord);
    expect(words(renumbered(both))).toContain('chain_broken');
    const [third, fourth] = [indexOf(whole, 'transition', 2), indexOf(whole, 'transition', 3)];
    const moved = whole.with(third, whole[fourth] as RawRecord).with(fourth, whole[third] as RawRecord);
    expect(words(renumbered(moved))).toContain('history_reordered');
  });

  it('a log that was rewound and went on', () => {
    const first = indexOf(whole, 'claimed', 1);
    // What r2 did with term 2 is remembered by its observations, but the handover to it and back is lost.
    const lost = whole.filter((record, index) => {
      const { event } = readRaw(record);
      return index <= first || index > indexOf(whole, 'handoverStarted', 2) || event?.payload.type === 'masterActive';
    });
    expect(words(renumbered(lost))).toEqual(expect.arrayContaining(['chain_broken', 'history_gap']));
    const twice = renumbered([...whole, ...whole.slice(claim)]);
    expect(words(twice)).toEqual(expect.arrayContaining(['event_repeated', 'term_reused', 'chain_broken']));
    const rewound = [...whole, ...whole.slice(claim)];
    expect(words(rewound)).toContain('sequence_reversed');
  });

  it('a forged term', () => {
    const withTerm = (value: number): RawRecord[] =>
      changed(whole, claim, (event) => ({ ...event, term: value }) as KoiEvent);
    expect(words(withTerm(3))).toEqual(expect.arrayContaining(['term_reused', 'chain_broken']));
    expect(words(withTerm(99))).toEqual(expect.arrayContaining(['term_fell', 'chain_broken']));
  });

  it('a duplicated claim', () => {
    const copy = renumbered(whole.toSpliced(claim + 1, 0, whole[claim] as RawRecord));
    expect(words(copy)).toEqual(expect.arrayContaining(['event_repeated', 'term_reused', 'chain_broken']));
    const renamed = changed(copy, claim + 1, (event) => ({ ...event, id: 'forged' }));
    expect(words(renamed)).toEqual(expect.arrayContaining(['term_reused', 'chain_broken']));
  });

  it('an event on the subject of another', () => {
    const record = whole[claim] as RawRecord;
    const found = audit(whole.with(claim, { ...record, subject: 'koi.edge.own.dmz' }));
    expect(found.map(({ what }) => what)).toContain('wrong_subject');
    expect(found[0]).toMatchObject({
      sequence: record.sequence,
      level: 'broken',
      detail: expect.stringContaining('dmz'),
    });
  });
});

describe('an audit finds broken promises', () => {
  function serving(arbitration?: string): Story {
    const story = new Story();
    const more = arbitration === undefined ? {} : { arbitration };
    story.starts('r1', more);
    story.starts('r2', more);
    story.pass(1000);
    story.takesOver('r1', 1);
    story.pass(10_000);
    return story;
  }

  it('two that served at once for longer than the bound, however late the events come', () => {
    const story = serving();
    story.takesOver('r2', 2);
    story.pass(1500);
    story.letsGo('r1', 1, 'higher_term');
    const [overlap] = audit(story.records()).filter(({ what }) => what === 'overlap');
    expect(overlap?.detail).toMatch(
      /^r1 \(term 1\) and r2 \(term 2\) both served gw for 150\d ms from .*; the bound is 1250 ms$/,
    );
  });

  it('but not two that put each other right within it, nor a handover', () => {
    const story = serving();
    story.claims('r2', 2);
    story.moves('r2', 'backup', 'candidate', 'master_silent', 2);
    story.attaches('r2', 2);
    story.pass(100);
    story.moves('r1', 'master', 'draining', 'higher_term', 1);
    story.moves('r1', 'draining', 'backup', 'higher_term', 1);
    expect(told(story)).toEqual([]);
  });

  it('a handover that lingers for too long', () => {
    const story = serving();
    story.moves('r1', 'master', 'draining', 'handover', 1);
    story.owns('r1', 2, { type: 'handoverStarted', to: nodeId('r2'), reason: 'handover' });
    story.moves('r2', 'backup', 'candidate', 'handover', 2);
    story.attaches('r2', 2);
    story.pass(900);
    story.moves('r1', 'draining', 'backup', 'handed_over', 1);
    expect(told(story)).toEqual(['overlap']);
  });

  it('which is explained where one had lost the log, or did not run; in strict only by the latter', () => {
    const cut = (arbitration: string): AuditWord[] => {
      const story = serving(arbitration);
      story.sees('r1', { type: 'logLost', reason: 'x' });
      story.pass(3000);
      story.takesOver('r2', 2);
      story.pass(5000);
      story.moves('r1', 'master', 'draining', 'higher_term', 1);
      story.moves('r1', 'draining', 'backup', 'higher_term', 1);
      return told(story);
    };
    expect([cut('log'), cut('wire'), cut('strict')]).toEqual([
      ['overlap_explained'],
      ['overlap_explained'],
      ['overlap'],
    ]);
    const slept = serving('strict');
    slept.takesOver('r2', 2);
    slept.pass(5000);
    slept.moves('r1', 'master', 'fenced', 'overslept', 1);
    expect(told(slept)).toEqual(['overlap_explained']);
  });

  it('a claim over a holder without a word on how it was found to be gone, once such words are written', () => {
    const story = serving();
    story.takesOver('r2', 2, 'master_silent', 'lease_expired');
    story.pass(1000);
    story.letsGo('r2', 2, 'shutdown', 'init');
    story.starts('r1');
    story.takesOver('r1', 3, 'master_released');
    story.pass(5000);
    story.starts('r2');
    story.claims('r2', 4, 'master_silent');
    expect(told(story)).toEqual(['claim_unproven']);
  });

  it('a release and a handover of what belongs to another', () => {
    const story = serving();
    story.owns('r2', 1, { type: 'released', reason: 'shutdown', addressesReadBackGone: true });
    story.owns('r2', 2, { type: 'handoverStarted', to: nodeId('r2'), reason: 'handover' });
    expect(told(story)).toEqual(['release_by_other', 'handover_by_other']);
  });

  it('an announcement before the attach, and steps out of their order', () => {
    const early = serving();
    const active = { type: 'masterActive', detectUs: 1, arbitrateUs: 1, attachUs: 1, announceUs: 1 } as const;
    early.claims('r2', 2, 'master_released');
    early.moves('r2', 'backup', 'candidate', 'master_released', 2);
    early.sees('r2', { ...active, steps: [] }, 2);
    expect(told(early)).toEqual(['active_before_attach']);
    for (const names of [
      ['parent', 'guards', 'addresses', 'link_up', 'announce'],
      ['parent', 'guards', 'announce', 'link_up', 'addresses'],
    ]) {
      const story = serving();
      story.sees('r1', { ...active, steps: names.map((name) => ({ name, durationUs: 1 })) }, 1);
      expect(told(story), names.join()).toEqual(['steps_out_of_order']);
    }
  });

  it('a node that served with a term of its own, unless it says that it went without the log', () => {
    const silent = serving();
    silent.letsGo('r1', 1, 'carrier_lost', 'fault');
    silent.moves('r2', 'backup', 'candidate', 'master_silent', 2);
    silent.attaches('r2', 2);
    expect(told(silent)).toEqual(['active_without_claim']);
    const open = serving();
    open.letsGo('r1', 1, 'carrier_lost', 'fault');
    open.moves('r2', 'backup', 'candidate', 'master_silent', 2);
    open.moves('r2', 'candidate', 'master', 'attached', 2);
    open.sees('r2', { type: 'provisionalTakeover', reason: 'attached' }, 2);
    open.sees('r2', { type: 'masterActive', steps: [], detectUs: 1, arbitrateUs: 1, attachUs: 1, announceUs: 1 }, 2);
    expect(told(open)).toEqual([]);
  });

  it('does not count what a full outbox dropped as missing, and says so', () => {
    const story = serving();
    story.sees('r1', { type: 'eventsDropped', count: 4, firstMs: 1, lastMs: 2 });
    story.moves('r1', 'fault', 'backup', 'parent_ready');
    story.sees('r1', { type: 'logRegressed', kind: 'rewound', expectedSequence: 9, foundSequence: 3 });
    expect(told(story)).toEqual(['events_dropped', 'log_regressed']);
  });
});

it('has a meaning and a test for every word', async () => {
  const { readFileSync } = await import('node:fs');
  const text = readFileSync(new URL(import.meta.url), 'utf8');
  const untested = auditWords.filter((word) => word !== 'unknown_event' && !text.includes(`'${word}'`));
  expect(untested).toEqual([]);
});

it('finds nothing in a long log either, in which everything it remembers has been forgotten many times', () => {
  const story = new Story();
  story.starts('r1');
  story.starts('r2');
  story.takesOver('r1', 1);
  for (let term = 2; term < 1000; term += 1) {
    story.pass(1000);
    const [from, to] = term % 2 === 0 ? ['r1', 'r2'] : ['r2', 'r1'];
    story.handsOver(from as string, to as string, term);
  }
  const records = story.records();
  expect(records.length).toBeGreaterThan(5000);
  expect(audit(records)).toEqual([]);
});
