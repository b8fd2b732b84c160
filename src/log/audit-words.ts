/**
 * What an audit can find. `broken`: a promise was not kept, or the record of it is damaged. `note`: within the promises,
 * but worth a look, or a limit of what could be checked.
 */
export const auditWords = [
  'sequence_gap',
  'sequence_reversed',
  'event_repeated',
  'unreadable',
  'wrong_subject',
  'chain_broken',
  'term_reused',
  'term_fell',
  'release_by_other',
  'handover_by_other',
  'claim_unproven',
  'active_without_claim',
  'active_before_attach',
  'steps_out_of_order',
  'history_gap',
  'history_reordered',
  'overlap',
  'log_regressed',
  'overlap_explained',
  'events_dropped',
  'unknown_event',
  'front_missing',
] as const;
export type AuditWord = (typeof auditWords)[number];

interface Meaning {
  readonly level: 'broken' | 'note';
  readonly means: string;
}

export const auditMeanings: Readonly<Record<AuditWord, Meaning>> = {
  sequence_gap: { level: 'broken', means: 'events have been removed from the middle of the log' },
  sequence_reversed: { level: 'broken', means: 'the log was rewound or its events were re-ordered' },
  event_repeated: {
    level: 'broken',
    means: 'the same event is stored twice: a copy was put in, or the log forgot its ids',
  },
  unreadable: {
    level: 'broken',
    means: 'bytes are stored that are no event: the store is damaged, or another program wrote',
  },
  wrong_subject: { level: 'broken', means: 'an event speaks for another node or virtual router than its subject does' },
  chain_broken: {
    level: 'broken',
    means: 'an ownership event does not carry the hash of the one before: one was changed, lost or put in',
  },
  term_reused: { level: 'broken', means: 'one term was owned twice' },
  term_fell: { level: 'broken', means: 'an ownership has a lower term than an earlier one: terms must only grow' },
  release_by_other: { level: 'broken', means: 'a node released what it did not own' },
  handover_by_other: { level: 'broken', means: 'a node handed over what it did not own' },
  claim_unproven: {
    level: 'broken',
    means: 'a holder that had not released was claimed over without a word on how it was found to be gone',
  },
  active_without_claim: {
    level: 'broken',
    means: 'a node served with a term that the log did not give it, and did not say that it went without',
  },
  active_before_attach: { level: 'broken', means: 'a node announced before virtual MAC and addresses were in place' },
  steps_out_of_order: { level: 'broken', means: 'the steps of an attach were not taken in their order' },
  history_gap: {
    level: 'broken',
    means: 'a transition does not begin in the state in which the one before ended: one is missing',
  },
  history_reordered: {
    level: 'broken',
    means: 'transitions of one run of a node are not in the order in which they happened',
  },
  overlap: { level: 'broken', means: 'two nodes served the same virtual router for longer than the bound' },
  log_regressed: { level: 'broken', means: 'a node saw the log go back: acknowledged events were lost' },
  overlap_explained: {
    level: 'note',
    means:
      'two nodes served at once while one was cut off from the log or not running, or where the protocol alone decides',
  },
  events_dropped: {
    level: 'note',
    means: "a node's outbox was full while the log was away: its observations of that time are missing",
  },
  unknown_event: { level: 'note', means: 'a newer koi wrote it: this one cannot check it' },
  front_missing: {
    level: 'note',
    means: 'the log does not begin at its first event: what came before could not be checked',
  },
};

export interface Finding {
  readonly what: AuditWord;
  readonly level: 'broken' | 'note';
  readonly sequence: number;
  /** When it happened, by the node's clock, or was stored, by the log's; RFC 3339. */
  readonly at: string;
  readonly node: string | null;
  readonly vr: string | null;
  /** What was found here. */
  readonly detail: string;
  readonly means: string;
}

/** Tells of a finding; what it is about is known by whoever reads the event. */
export type Report = (what: AuditWord, detail: string) => void;
