import { expect, it } from 'vitest';
import { bootId, nodeId } from '../core/identity.js';
import type { KoiEvent } from '../log/event.js';
import { evidenceOfGivingWay, gaveWayTo } from './gave-way.js';

const told = (by: string, evidence: readonly { key: string; value: string }[], subject = 'r1'): KoiEvent => ({
  id: 'e1',
  cluster: 'edge',
  node: nodeId(by),
  boot: bootId('b1'),
  wallTimeMs: 1000,
  monotonicMs: 1000,
  vr: 'gw',
  payload: { type: 'episodeBegan', kind: 'split_brain', subject, evidence },
});

it('is told by the master that gave way, to the one it gave way to', () => {
  const event = told('r2', evidenceOfGivingWay('r1', 4200));
  expect(gaveWayTo('r1', event)).toEqual({ vr: 'gw', rival: 'r2' });
  expect(gaveWayTo('r2', event)).toBeUndefined();
  expect(gaveWayTo('r3', event)).toBeUndefined();
});

it('is not told by whoever reads of two masters in the log, or answers: two nodes would answer each other for ever', () => {
  const read = [
    { key: 'source', value: 'log' },
    { key: 'rival', value: 'r1' },
  ];
  expect(gaveWayTo('r1', told('r2', read))).toBeUndefined();
});
