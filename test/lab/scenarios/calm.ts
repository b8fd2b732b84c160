import type { Scenario } from '../scenario.js';
import { observeFor } from '../wait.js';

/** Nothing fails: whatever is lost here is the lab's own fault, not that of what it measures. */
export const calm: Scenario = {
  name: 'calm',
  title: 'nothing fails for half a minute',
  vip: 'stays',
  onDemand: true,
  promise: 'the lab itself loses no probe',
  bound: () => ({ lost: 0, severalMs: 0 }),
  begin: () => ({ inject: () => {}, observe: () => observeFor(30_000) }),
};
