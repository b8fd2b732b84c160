import type { z } from 'zod';
import { rehearsals } from '../rehearsals.js';
import { type ToAgent, type ToDataplane, toAgent, toDataplane } from './protocol.js';

const vr = 'rehearsal';
const clocks = { number: 0, wallMs: 0, monotonicMs: 0 };
const phases = { detectUs: 0, arbitrateUs: 0, attachUs: 0, announceUs: 0 };
const ownership = { owner: vr, boot: vr, term: 1, claim: vr, sequence: 1, released: true, handedBy: null };
const logged = { name: vr, ownership, place: 0, successor: vr, highestTerm: 1, highestLoggedTerm: 1 };

/** What the agent tells the dataplane in a takeover. */
const told: readonly ToDataplane[] = [
  { type: 'log', reachable: true, vrs: [logged], nodes: [{ node: vr, lanAddresses: [vr] }] },
  { type: 'claimAnswer', vr, claim: vr, term: 1, answer: { kind: 'stored', sequence: 2 } },
  { type: 'peerReady', vr, from: vr, ready: true, highestTerm: 1 },
  { type: 'peerServes', vr, from: vr, term: 1 },
  { type: 'challengeAnswer', vr, claim: vr, verdict: { kind: 'gone', why: 'no_answer' } },
  { type: 'challenged', id: 1, vr, from: vr, lanAddresses: [vr], timeoutMs: 1 },
];

const claimed = { vr, claim: vr, term: 2, timeoutMs: 1, lanAddress: vr };
/** What the dataplane tells the agent in a takeover and in a release. */
const asked: readonly ToAgent[] = [
  { type: 'claim', ...claimed, expected: 1, reason: 'master_released', virtualMac: vr },
  { type: 'challenge', ...claimed, holder: vr },
  { type: 'challenged', id: 1, report: 'serves' },
  {
    type: 'transition',
    ...clocks,
    ...{ vr, from: 'candidate', to: 'master', reason: 'attached', term: 2, standing: 'logged' },
  },
  { type: 'masterActive', ...clocks, vr, term: 2, steps: [{ name: vr, durationUs: 0 }], phases },
  { type: 'released', ...clocks, vr, term: 2, reason: 'carrier_lost', resigned: true },
];

function rehearse<Message>(schema: z.ZodType<Message>, messages: readonly Message[]): readonly Message[] {
  let read: readonly Message[] = [];
  for (let round = 0; round < rehearsals; round++) {
    read = messages.map((message) => schema.parse(JSON.parse(JSON.stringify(message))));
  }
  return read;
}

/**
 * The first message of a kind costs a millisecond or more, since the code that checks it is only made then. So each kind that a
 * takeover waits for is read once before, at the end that will read it.
 *
 * @returns what was read, for tests
 */
export const rehearseMessages = {
  toAgent: (): readonly ToAgent[] => rehearse(toAgent, asked),
  toDataplane: (): readonly ToDataplane[] => rehearse(toDataplane, told),
};
