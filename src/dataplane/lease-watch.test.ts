import { expect, it } from 'vitest';
import { guardAfterMs } from '../core/lease.js';
import type { Input } from '../core/vr-state.js';
import { LeaseWatch } from './lease-watch.js';

function watched() {
  const told: string[] = [];
  const router = (name: string) => ({
    give: (input: Input) => told.push(`${name} ${input.type === 'ownLease' ? input.endsAtMs : input.type}`),
  });
  const guard = { leaseEndsAt: (ns: bigint) => told.push(`guard ${ns}`) };
  const watch = new LeaseWatch({ guard, routers: () => [router('a'), router('b')], now: () => 1 });
  return { watch, told, router };
}

const guardNs = (ms: number): bigint => BigInt((ms + guardAfterMs) * 1e6);

it('tells the guard before the virtual routers', () => {
  const { watch, told } = watched();
  watch.said(4000);
  expect(told).toEqual([`guard ${guardNs(4000)}`, 'a 4000', 'b 4000']);
});

it('leaves the guard the last end where there is no lease any more', () => {
  const { watch, told } = watched();
  watch.said(4000);
  told.length = 0;
  watch.said(null);
  expect(told).toEqual(['a undefined', 'b undefined']);
});

it('tells a new virtual router what was said last, and nothing before the agent has spoken', () => {
  const { watch, told, router } = watched();
  watch.tell(router('new'));
  expect(told).toEqual([]);
  watch.said(4000);
  told.length = 0;
  watch.tell(router('new'));
  expect(told).toEqual(['new 4000']);
});

it('never has the guard come before the end, however fine the clock', () => {
  const { watch, told } = watched();
  const endsAtMs = 123_456_789.123_456_7;
  watch.said(endsAtMs);
  const ns = BigInt(told[0]?.split(' ')[1] ?? '0');
  expect(Number(ns) / 1e6).toBeGreaterThanOrEqual(endsAtMs + guardAfterMs);
});
