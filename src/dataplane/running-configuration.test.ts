import { expect, it } from 'vitest';
import { virtualAddress, vrrpRouter } from '../../test/core/router-config.js';
import { sharedConfiguration } from '../config/shared-configuration.js';
import type { PreparedRouter } from './configuration-stage.js';
import { createAdapter } from './protocol-adapter.js';
import { RunningConfiguration } from './running-configuration.js';

function prepared(address: string, priority = 100): PreparedRouter {
  const config = vrrpRouter({ addresses: [virtualAddress(address)], priority });
  const adapter = createAdapter(config, { now: () => 0, wallNow: () => 0 });
  return { config, adapter, shared: sharedConfiguration(config, '') };
}

it('understands adverts of before for a while where others have to change over as well', () => {
  const first = prepared('10.0.0.254/24');
  const running = new RunningConfiguration(first);
  running.speak(prepared('10.0.0.254/24', 90), 0);
  expect(running.isAlone(0)).toBe(true);
  running.speak(prepared('10.0.0.253/24'), 0);
  expect(running.isAlone(0)).toBe(false);
  expect(running.isAlone(60_000)).toBe(true);
});

it('understands those of what waits, as long as it waits', () => {
  const running = new RunningConfiguration(prepared('10.0.0.254/24'));
  const next = prepared('10.0.0.253/24');
  expect([running.prepare(next), running.prepare(next)]).toEqual([true, false]);
  expect(running.described.prepared?.digest).toBe(next.shared.digest);
  expect(running.isAlone(0)).toBe(false);
  running.prepare(undefined);
  expect(running.described.prepared).toBe(null);
  expect(running.isAlone(0)).toBe(true);
});

it('keeps what is nobody else’s business where new addresses cannot be had', () => {
  const before = prepared('10.0.0.254/24');
  const running = new RunningConfiguration(before);
  const after = prepared('10.0.0.253/24', 90);
  running.adopt(after.config);
  const spoken = running.speak(after, 0);
  running.takeBack(spoken, before.config.addresses);
  expect(running.config).toEqual({ ...after.config, addresses: before.config.addresses });
  expect(running.adapter).toBe(before.adapter);
  expect(running.shared).toBe(before.shared);
});
