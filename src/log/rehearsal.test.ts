import { expect, it } from 'vitest';
import { ownershipOf } from './projection.js';
import { rehearseEvents } from './rehearsal.js';
import { logNames } from './subjects.js';

it('goes through claim, handover and release, and each of its events is read', () => {
  const state = rehearseEvents(logNames('edge'));
  expect(ownershipOf(state, 'rehearsal')).toMatchObject({ owner: 'taker', released: true, sequence: 40 });
});
