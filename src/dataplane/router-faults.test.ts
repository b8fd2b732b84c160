import { expect, it } from 'vitest';
import { vrrpRouter } from '../../test/core/router-config.js';
import type { ParentFault } from '../core/reasons.js';
import type { TrackedItem } from '../core/tracking.js';
import { RouterFaults } from './router-faults.js';

class Stage {
  nowMs = 0;
  fault: ParentFault | undefined;
  items: TrackedItem[] = [];
  holds = false;
  readonly told: unknown[] = [];
  readonly running = { config: vrrpRouter({ arbitration: 'log' }) };
  gate: { readonly atMs: number; readonly wake: () => void } | undefined;

  readonly faults = new RouterFaults({
    vr: 'gw',
    running: this.running,
    places: this,
    trackers: { items: () => this.items },
    scheduler: {
      set: (_, atMs, wake) => {
        this.gate = atMs === undefined ? undefined : { atMs, wake: () => wake(atMs, 0) };
      },
    },
    now: () => this.nowMs,
    holdsAddresses: () => this.holds,
    give: (input) => this.told.push(input.type === 'parent' ? input.fault : input.type),
  });
}

const failing: TrackedItem = { name: 'uplink', level: { kind: 'down' }, weight: 0, reverse: false };

it('names the nearest of several, its own before its group’s', () => {
  const stage = new Stage();
  const { faults } = stage;
  faults.setGroup(true);
  expect([faults.own, faults.current]).toEqual([undefined, 'group_failed']);
  faults.setDiffering(true);
  expect(faults.current).toBe('configuration_differs');
  stage.items = [failing];
  expect(faults.weighTracks()).toEqual({ isLossOther: false, isFailureOther: true });
  expect(faults.current).toBe('tracking_failed');
  stage.fault = 'carrier_lost';
  expect(faults.current).toBe('carrier_lost');
  expect(stage.told).toEqual(['group_failed', 'configuration_differs']);
});

it('whoever serves goes on with another configuration; so does everybody where the log does not arbitrate', () => {
  const stage = new Stage();
  const { faults } = stage;
  faults.setDiffering(true);
  stage.holds = true;
  expect(faults.own).toBe(undefined);
  stage.holds = false;
  expect(faults.own).toBe('configuration_differs');
  stage.running.config = vrrpRouter({ arbitration: 'wire' });
  expect(faults.own).toBe(undefined);
});

it('a refused advert of another configuration bars until it is old', () => {
  const stage = new Stage();
  stage.faults.refused('address_mismatch');
  expect(stage.told).toEqual(['configuration_differs']);
  stage.nowMs = stage.gate?.atMs ?? 0;
  expect(stage.nowMs).toBeGreaterThan(0);
  stage.gate?.wake();
  expect(stage.told).toEqual(['configuration_differs', undefined]);
  expect(stage.gate).toBe(undefined);
});
