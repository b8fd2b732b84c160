import { expect, it } from 'vitest';
import type { ChecksumForm } from '../wire/vrrp.js';
import { ChecksumKnowledge, type Said } from './protocol-checksum.js';

const intervalMs = 100;
const said = (form: ChecksumForm, priority = 100): Said => ({ form, priority, intervalMs });

it('uses both forms while nobody has been heard', () => {
  expect(new ChecksumKnowledge().forms()).toEqual(['pseudo-header', 'rfc9568']);
});

it('follows what the peers use, and uses both where they differ', () => {
  const knowledge = new ChecksumKnowledge();
  knowledge.heard('10.0.0.2', said('pseudo-header'), 0);
  expect(knowledge.forms()).toEqual(['pseudo-header']);
  knowledge.heard('10.0.0.3', said('rfc9568'), 50);
  expect(knowledge.forms()).toEqual(['pseudo-header', 'rfc9568']);
});

it('takes a repetition in the other form for no evidence, and tells it from a new advert', () => {
  const knowledge = new ChecksumKnowledge();
  const isNew = [0, 100, 200].flatMap((atMs) => [
    knowledge.heard('10.0.0.2', said('pseudo-header'), atMs),
    knowledge.heard('10.0.0.2', said('rfc9568'), atMs + 0.1),
  ]);
  expect(isNew).toEqual([true, false, true, false, true, false]);
  expect(knowledge.forms()).toEqual(['pseudo-header', 'rfc9568']);
  expect(knowledge.tallies()).toEqual([{ peer: '10.0.0.2', rfc9568: 3, pseudoHeader: 3 }]);
});

it('takes nothing else for a repetition: a farewell right after an advert, or an answer', () => {
  const knowledge = new ChecksumKnowledge();
  const hears = (priority: number, atMs: number): boolean[] =>
    (['pseudo-header', 'rfc9568'] as const).map((form) => knowledge.heard('10.0.0.2', said(form, priority), atMs));
  expect(hears(100, 0)).toEqual([true, false]);
  expect(hears(100, 10)).toEqual([true, false]);
  expect(hears(0, 20)).toEqual([true, false]);
  expect(hears(100, 30)).toEqual([true, false]);
});

it('is not misled when one of two forms is lost now and then', () => {
  const knowledge = new ChecksumKnowledge();
  for (let atMs = 0; atMs < 3000; atMs += 100) {
    knowledge.heard('10.0.0.2', said('pseudo-header'), atMs);
    if (atMs % 400 === 0) knowledge.heard('10.0.0.2', said('rfc9568'), atMs + 0.1);
    expect(knowledge.forms()).toEqual(['pseudo-header', 'rfc9568']);
  }
});

it('notices a peer that was configured anew', () => {
  const knowledge = new ChecksumKnowledge();
  knowledge.heard('10.0.0.2', said('pseudo-header'), 0);
  for (let atMs = 5000; atMs <= 6100; atMs += 100) knowledge.heard('10.0.0.2', said('rfc9568'), atMs);
  expect(knowledge.forms()).toEqual(['rfc9568']);
});

it('remembers sixteen peers, and forgets the one silent for longest', () => {
  const knowledge = new ChecksumKnowledge();
  for (let host = 1; host <= 17; host++) knowledge.heard(`10.0.0.${host}`, said('pseudo-header'), host);
  const peers = knowledge.tallies().map(({ peer }) => peer);
  expect(peers).toHaveLength(16);
  expect(peers).not.toContain('10.0.0.1');
});
