import { expect, it } from 'vitest';
import {
  advertLatenessBoundsSeconds,
  BucketCounter,
  type DataplaneSnapshot,
  joinSnapshots,
  snapshotOf,
  type VrSnapshot,
} from './snapshot.js';

const told = (instance: string, vrs: Readonly<Record<string, number>>, guardUp = true): DataplaneSnapshot => ({
  instance,
  guardUp,
  advertsRejected: [],
  advertLateness: new BucketCounter(advertLatenessBoundsSeconds).read(),
  fenced: [],
  sysctlDrift: [],
  vrs: Object.entries(vrs).map(([name, advertsSent]) => ({ name, advertsSent }) as VrSnapshot),
});

const sent = (snapshot: DataplaneSnapshot | undefined) =>
  Object.fromEntries((snapshot?.vrs ?? []).map(({ name, advertsSent }) => [name, advertsSent]));

it('knows of each virtual router what was told last', () => {
  const first = joinSnapshots(undefined, told('boot-1', { a: 1, b: 1 }));
  const second = joinSnapshots(first, told('boot-1', { c: 1 }, false));
  expect(sent(second)).toEqual({ a: 1, b: 1, c: 1 });
  expect(second.guardUp).toBe(false);
  expect(sent(joinSnapshots(second, told('boot-1', { b: 2 })))).toEqual({ a: 1, b: 2, c: 1 });
});

it('forgets what an earlier start told, and what is configured no more', () => {
  const before = told('boot-1', { a: 1, b: 1 });
  expect(sent(joinSnapshots(before, told('boot-2', { c: 1 })))).toEqual({ c: 1 });
  expect(sent(snapshotOf(before, ['b']))).toEqual({ b: 1 });
  expect(snapshotOf(undefined, ['b'])).toBeUndefined();
});
