import { expect, it } from 'vitest';
import type { VrStateName } from '../core/vr-state.js';
import { dataplaneStatus } from './service-status.js';

const vr = (name: string, state: VrStateName) => ({ name, state });

it('a dataplane says what it is of each virtual router, trouble first', () => {
  const vrs = [vr('a', 'backup'), vr('b', 'master'), vr('c', 'fault'), vr('d', 'master')];
  expect(dataplaneStatus(vrs, false)).toBe('fault: c; master of b, d; backup of a');
  expect(dataplaneStatus(vrs.slice(0, 1), true)).toBe('drained; backup of a');
  expect(dataplaneStatus([], false)).toBe('no virtual routers');
});

it('a dataplane with many of them counts', () => {
  const vrs = Array.from({ length: 200 }, (_, number) => vr(`vr${number}`, number < 5 ? 'backup' : 'master'));
  expect(dataplaneStatus(vrs, false)).toBe('master of 195 virtual routers; backup of 5 virtual routers');
});
