import { expect, it } from 'vitest';
import { agentStatus } from './service-status.js';

it('an agent says what it is joined to', () => {
  expect(agentStatus({ dataplaneUp: true, logReachable: true, problem: '' })).toBe(
    'joined to the dataplane; the log follows',
  );
  expect(agentStatus({ dataplaneUp: false, logReachable: false, problem: 'connecting' })).toBe(
    'no dataplane; the log cannot be reached: connecting',
  );
});
