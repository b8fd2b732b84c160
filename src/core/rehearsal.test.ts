import { expect, it } from 'vitest';
import type { Election } from './election-rules.js';
import { bootId, nodeId } from './identity.js';
import { rehearse } from './rehearsal.js';
import type { VrParameters } from './vr-state.js';

const elections: readonly Election[] = [
  { protocol: 'vrrp3', priority: 100, advertIntervalMs: 1000 },
  { protocol: 'vrrp3', priority: 255, advertIntervalMs: 10 },
  { protocol: 'vrrp2', priority: 100, advertIntervalMs: 1000 },
];

it('goes through a whole takeover and a release in every mode', () => {
  for (const arbitration of ['wire', 'log', 'strict'] as const) {
    for (const election of elections) {
      const parameters: VrParameters = {
        node: nodeId('r1'),
        boot: bootId('b'),
        election,
        preempt: { enabled: true, delayMs: 0 },
        startDelayMs: 5000,
        arbitration,
        onLogLoss: 'hold',
        onPathSplit: 'hold',
        arbitrationTimeoutMs: 50,
        challengeTimeoutMs: 30,
        leaseMs: 4000,
      };
      // In `strict` nobody is asked while the lease may run.
      const before = { wire: [], log: ['challenging', 'backup', 'claiming'], strict: ['claiming'] }[arbitration];
      expect(rehearse(parameters)).toEqual(['backup', ...before, 'attaching', 'master', 'releasing', 'fault']);
    }
  }
});
