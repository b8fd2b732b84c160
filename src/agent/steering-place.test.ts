import { describe, expect, it } from 'vitest';
import { observation, ownershipEvent } from '../../test/log/events.js';
import { emptyLogState, fold, type LogState } from '../log/projection.js';
import { logNames, subjectOf } from '../log/subjects.js';
import { steeringPlace } from './steering-place.js';

const names = logNames('edge');
const state = [
  observation('w1', { type: 'nodeStarted', version: '0', virtualRouters: [] }),
  observation('r3', { type: 'nodeStarted', version: '0', virtualRouters: [] }),
  ownershipEvent({ node: 'r2', term: 1 }),
].reduce<LogState>(
  (before, event, index) =>
    fold(before, names, {
      sequence: index + 1,
      subject: subjectOf(names, event),
      storedAtMs: 0,
      bytes: 0,
      hash: `${index}`,
      event,
    }),
  emptyLogState,
);
const vr = (name: string, is: 'master' | 'backup' | 'candidate' | 'draining' | 'fault', sinceWallMs = 0) => ({
  vr: name,
  state: is,
  sinceWallMs,
});

describe('the moment to move the leader', () => {
  it('is while this node owns something and nothing moves; owners of others are no place for it either', () => {
    expect(steeringPlace('r1', [vr('a', 'master'), vr('b', 'backup')], state, 60_000)).toEqual({
      busy: new Set(['r1', 'r2']),
      nodes: new Set(['r1', 'w1', 'r3', 'r2']),
    });
  });

  it.each([
    [[vr('a', 'backup'), vr('b', 'fault')], 'owns nothing'],
    [[vr('a', 'master'), vr('b', 'candidate')], 'is taking over'],
    [[vr('a', 'master'), vr('b', 'draining')], 'is handing over'],
    [[vr('a', 'master'), vr('b', 'backup', 55_000)], 'has just given up'],
    [[vr('a', 'master', 55_000)], 'has just taken over'],
    [[], 'has nothing'],
  ])('%#: is not while it %s', (vrs) => {
    expect(steeringPlace('r1', vrs, state, 60_000)).toBeUndefined();
  });
});
