import { describe, expect, it } from 'vitest';
import { configOf } from '../../test/agent/node.js';
import { observation } from '../../test/log/events.js';
import { emptyLogState, fold, type LogState } from '../log/projection.js';
import { logNames, subjectOf } from '../log/subjects.js';
import { OwnNode } from './own-node.js';
import { updatedSuccessor } from './updated-successor.js';

const names = logNames('edge');
const nowMs = 1_700_000_000_000;
const node = new OwnNode(configOf('gw'), () => false);

/** r1, r2 and r3 with `gw`, of which each started so long ago. */
function startedBefore(agesMs: Readonly<Record<string, number>>): LogState {
  const [router] = configOf('gw').virtualRouters;
  if (router === undefined) throw new Error('no router');
  const { name, protocol, id } = router;
  const reported = { name, protocol, id, priority: 200, interface: 'eth1', addresses: [], lanAddress: '' };
  return Object.entries(agesMs).reduce((state, [by, ageMs]) => {
    const event = observation(by, { type: 'nodeStarted', version: '1', virtualRouters: [reported] });
    const sequence = state.sequence + 1;
    const stored = { sequence, subject: subjectOf(names, event), storedAtMs: nowMs - ageMs, bytes: 0, hash: '', event };
    return fold(state, names, stored);
  }, emptyLogState);
}

describe('who takes over from a node that restarts', () => {
  it('is the one that has restarted last, of which the log knows since when it runs', () => {
    const state = startedBefore({ r1: 9_000_000, r2: 120_000, r3: 60_000 });
    expect(updatedSuccessor(state, node, 'gw', nowMs)).toBe('r3');
    const other = startedBefore({ r1: 9_000_000, r2: 60_000, r3: 120_000 });
    expect(updatedSuccessor(other, node, 'gw', nowMs)).toBe('r2');
  });

  it('is nobody where nobody else has it', () => {
    expect(updatedSuccessor(startedBefore({ r1: 60_000, r2: 60_000 }), node, 'dns', nowMs)).toBeUndefined();
    expect(updatedSuccessor(startedBefore({ r1: 60_000 }), node, 'gw', nowMs)).toBeUndefined();
  });
});
