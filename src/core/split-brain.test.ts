import { describe, expect, it } from 'vitest';
import { Machine, owned } from '../../test/core/machine.js';
import { nodeId } from './identity.js';
import { dueAtMs } from './vr-machine.js';

const episodes = (machine: Machine): unknown[] => machine.effects.filter(({ type }) => type === 'splitBrain');

/** A master by the log's word, of term 5 at 50. */
function master(over: Parameters<typeof owned>[3] = {}): Machine {
  const machine = new Machine().log(undefined);
  machine.expire();
  machine.log(owned('r1', machine.vr.highestTerm, 50, over));
  machine.give({ type: 'termSaved', term: machine.vr.highestTerm, atMs: machine.nowMs });
  machine.give({ type: 'attached', atMs: machine.nowMs });
  expect(machine.phase).toBe('master');
  return machine;
}

describe('a master that hears another one and stays', () => {
  it('tells of it once, and again when the other has fallen silent', () => {
    const machine = master().hears(50);
    expect(episodes(machine)).toEqual([{ type: 'splitBrain', rival: 'r2', began: true, durationMs: 0 }]);
    expect(episodes(machine.hears(50, 'r2', 500))).toEqual([]);
    const lastMs = machine.nowMs;
    while (machine.vr.rival !== undefined) {
      const dueMs = dueAtMs(machine.vr) ?? Number.NaN;
      machine.give({ type: 'tick', atMs: dueMs });
    }
    expect(machine.nowMs - lastMs).toBeGreaterThan(3000);
    expect(machine.nowMs - lastMs).toBeLessThan(4000);
    expect(episodes(machine)).toMatchObject([{ began: false, durationMs: machine.nowMs - lastMs + 500 }]);
  });

  it('names a stranger by its address', () => {
    expect(episodes(master().hears(50, null))).toMatchObject([{ rival: '10.0.0.2', began: true }]);
  });

  it('is done when it serves no more itself, or when the other resigns', () => {
    const leaves = master().hears(50);
    expect(episodes(leaves.give({ type: 'parent', fault: 'carrier_lost', atMs: leaves.nowMs }))).toMatchObject([
      { began: false },
    ]);
    expect(episodes(master().hears(50).hears(0))).toMatchObject([{ began: false }]);
  });
});

describe('no split brain', () => {
  it('is a master that gives way at once: it tells why it leaves', () => {
    const machine = new Machine({ arbitration: 'wire' }).serveProvisional().hears(200);
    expect(machine.types()).toContain('detach');
    expect(episodes(machine)).toEqual([]);
  });

  it('is the node that lingers in a handover', () => {
    expect(episodes(master({ handedBy: nodeId('r2') }).hears(50, 'r2'))).toEqual([]);
    expect(episodes(master({ handedBy: nodeId('r2') }).hears(50, 'r3'))).toHaveLength(1);
  });

  it('is the node that this one hands over to', () => {
    const machine = master();
    machine.give({ type: 'handOver', to: nodeId('r2'), stops: false, atMs: machine.nowMs });
    expect(episodes(machine.hears(50, 'r2'))).toEqual([]);
    expect(episodes(machine.hears(50, 'r3'))).toHaveLength(1);
  });
});
