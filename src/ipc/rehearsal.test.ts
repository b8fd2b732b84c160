import { expect, it } from 'vitest';
import { rehearseMessages } from './rehearsal.js';

it('reads every kind of message that a takeover waits for, as it would come', () => {
  expect(rehearseMessages.toDataplane().map(({ type }) => type)).toEqual([
    'log',
    'claimAnswer',
    'peerReady',
    'peerServes',
    'challengeAnswer',
    'challenged',
  ]);
  expect(rehearseMessages.toAgent().map(({ type }) => type)).toEqual([
    'claim',
    'challenge',
    'challenged',
    'transition',
    'masterActive',
    'released',
  ]);
});
