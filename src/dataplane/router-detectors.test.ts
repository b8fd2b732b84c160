import { describe, expect, it } from 'vitest';
import { Machine } from '../../test/core/machine.js';
import { vrrpRouter } from '../../test/core/router-config.js';
import type { MacAddress } from '../wire/mac.js';
import { Detection } from './detection.js';
import type { WatchListener } from './lan-watch.js';
import type { ParentPort } from './parent-port.js';
import { RouterCounters } from './router-counters.js';
import { RouterDetectors } from './router-detectors.js';

const virtualMac = '00:00:5e:00:01:33' as MacAddress;

describe('the virtual MAC in another node’s frames', () => {
  it('is a leak two seconds after this node has become master, whether it has looked at anything before or not', () => {
    let nowMs = 0;
    let phase: 'backup' | 'master' = 'backup';
    const { vr } = new Machine();
    const listeners: WatchListener[] = [];
    const watch = {
      add: (each: WatchListener) => listeners.push(each),
      remove: () => undefined,
      changed: () => undefined,
    };
    const told: unknown[] = [];
    const counters = new RouterCounters();
    const detectors = new RouterDetectors({
      vr: 'gw',
      running: { config: vrrpRouter({ arbitration: 'log' }) },
      machine: {
        vr,
        get phase() {
          return phase;
        },
      },
      parts: [{ port: { watch } as unknown as ParentPort, virtualMac, addresses: ['192.0.2.1'] }],
      scheduler: { set: () => undefined },
      detection: new Detection({
        keep: (news) => told.push(news),
        now: () => nowMs,
        wallNow: () => nowMs,
        log: { warn: () => undefined, info: () => undefined },
      }),
      counters,
      now: () => nowMs,
      random: () => 0.5,
      nodeAt: () => undefined,
      announceAgain: () => undefined,
      onAdvertisement: () => undefined,
    });
    const hear = (): void => {
      for (const listener of listeners)
        for (let frame = 0; frame < 3; frame += 1) listener.spoken(virtualMac, () => '');
    };
    phase = 'master';
    detectors.phaseChanged();
    nowMs = 1900;
    hear();
    // Frames of the master before it may have been on their way.
    expect([counters.leaks, told.length]).toEqual([0, 0]);
    nowMs = 2000;
    hear();
    expect([counters.leaks, told.length]).toEqual([3, 1]);
  });
});
