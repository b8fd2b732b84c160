import { describe, expect, it } from 'vitest';
import { Machine, owned } from '../../test/core/machine.js';
import { dueAtMs } from './vr-machine.js';

const strict = { arbitration: 'strict' } as const;
const held = owned('r2', 4, 40);

/** Lets time pass, tick by tick, until the machine has asked for one of these, or that time has come. */
function runTo(machine: Machine, untilMs: number, ...until: string[]): Machine {
  for (let dueMs = dueAtMs(machine.vr); dueMs !== undefined && dueMs <= untilMs; dueMs = dueAtMs(machine.vr)) {
    machine.give({ type: 'tick', atMs: Math.max(dueMs, machine.nowMs) });
    if (machine.types().some((type) => until.includes(type))) return machine;
  }
  return machine;
}

describe('strict, where the log says nothing of a holder', () => {
  it('does not believe it before it has followed the log for as long as a lease lasts', () => {
    const machine = new Machine(strict).lease(60_000).log(undefined).proof(9000);
    runTo(machine, 60_000, 'claim');
    expect(machine.types()).toContain('claim');
    expect(machine.nowMs).toBeGreaterThanOrEqual(9000);
    expect(machine.nowMs).toBeLessThan(9300);
  });

  it('says why it waits', () => {
    const machine = runTo(new Machine(strict).lease(60_000).log(undefined).proof(9000), 8000, 'claim');
    expect(machine.vr.lastReason).toBe('log_unproven');
  });

  it('nor that an older holder is still the one', () => {
    const machine = new Machine(strict).lease(60_000).log(held).proof(undefined);
    expect(runTo(machine, 30_000, 'challenge').types()).not.toContain('challenge');
    expect(runTo(machine.proof(31_000), 60_000, 'challenge').types()).toContain('challenge');
    expect(machine.nowMs).toBeGreaterThanOrEqual(31_000);
  });

  it('believes a release that it has just read', () => {
    const machine = new Machine(strict).lease(60_000).log(held).proof(9000);
    machine.log(owned('r2', 4, 41, { released: true }));
    expect(machine.types()).toContain('claim');
    expect(machine.nowMs).toBe(0);
  });
});
