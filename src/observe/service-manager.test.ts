import { describe, expect, it } from 'vitest';
import { serviceManager, takeServiceManager } from './service-manager.js';

describe('what the environment says of a service manager', () => {
  it('is nothing where nobody asked', () => {
    expect(takeServiceManager({ PATH: '/bin', WATCHDOG_USEC: '5000000' }, 7)).toBeUndefined();
    expect(takeServiceManager({ NOTIFY_SOCKET: '' }, 7)).toBeUndefined();
    // Neither a path nor abstract: vsock:2:9999 is for machines, not for their processes.
    expect(takeServiceManager({ NOTIFY_SOCKET: 'vsock:2:9999' }, 7)).toBeUndefined();
    expect(takeServiceManager({ NOTIFY_SOCKET: '@' }, 7)).toBeUndefined();
  });

  it('is taken out of it, so that no child speaks in our name', () => {
    const environment = { PATH: '/bin', NOTIFY_SOCKET: '/run/systemd/notify', WATCHDOG_USEC: '5', WATCHDOG_PID: '7' };
    takeServiceManager(environment, 7);
    expect(environment).toEqual({ PATH: '/bin' });
  });

  it.each([
    ['for this process', { WATCHDOG_USEC: '5000000', WATCHDOG_PID: '7' }, 5000],
    ['for whoever reads it', { WATCHDOG_USEC: '1500' }, 1.5],
    ['for another process', { WATCHDOG_USEC: '5000000', WATCHDOG_PID: '8' }, undefined],
    ['not at all', {}, undefined],
    ['in no number', { WATCHDOG_USEC: '5s' }, undefined],
    ['with zero', { WATCHDOG_USEC: '0' }, undefined],
  ])('watches %s', (_, variables, watchdogMs) => {
    expect(takeServiceManager({ NOTIFY_SOCKET: '@koi', ...variables }, 7)).toEqual({ socket: '@koi', watchdogMs });
  });
});

describe('what a service manager is told', () => {
  function told(watchdogMs?: number) {
    const sent: string[] = [];
    const clock = { ns: 1_000_000_000_123n };
    const manager = serviceManager(watchdogMs, { send: (text) => sent.push(text), monotonicNs: () => clock.ns });
    return { sent, clock, manager };
  }

  it('is each state in its own message, a reload with the time it began', () => {
    const { sent, manager } = told();
    manager.ready();
    manager.reloading();
    manager.ready();
    manager.stopping();
    expect(sent).toEqual(['READY=1', 'RELOADING=1\nMONOTONIC_USEC=1000000000', 'READY=1', 'STOPPING=1']);
  });

  it('is a status only where it is news, in one line whatever is in it', () => {
    const { sent, manager } = told();
    manager.status('backup of gw');
    manager.status('backup of gw');
    manager.status('master of gw\nREADY=1');
    expect(sent).toEqual(['STATUS=backup of gw', 'STATUS=master of gw READY=1']);
  });

  it('is the tick at half of the time that is given, however often the loop goes round', () => {
    const { sent, clock, manager } = told(5000);
    for (let ms = 0; ms < 10_000; ms += 50) {
      manager.tick();
      clock.ns += 50_000_000n;
    }
    expect(sent).toEqual(['WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
  });

  it('is no tick where it does not watch', () => {
    const { sent, manager } = told();
    manager.tick();
    expect(sent).toEqual([]);
  });
});
