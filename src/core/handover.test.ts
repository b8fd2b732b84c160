import { describe, expect, it } from 'vitest';
import { Machine, owned } from '../../test/core/machine.js';
import { readyTimeoutMs, servingTimeoutMs } from './handover.js';
import { nodeId, sequence, term } from './identity.js';
import { lateLingerMs } from './late-handover.js';
import type { VrParameters } from './vr-state.js';

const held = owned('r2', 4, 40);
const handedToR2 = owned('r2', 6, 42, { handedBy: nodeId('r1') });

/** Holds term 5 by the log's word and has asked r2 whether it could attach. */
function asking(over: Partial<VrParameters> = {}, stops = false): Machine {
  const machine = new Machine(over);
  if (over.arbitration === 'strict') machine.lease(60_000);
  machine.log(held).serveLogged(41);
  return machine.give({ type: 'handOver', to: nodeId('r2'), stops, atMs: machine.nowMs });
}

const refuse = (machine: Machine): Machine =>
  machine.give({ type: 'peerReady', from: nodeId('r2'), ready: false, atMs: machine.nowMs });

/** `HandoverStarted` was sent, and nothing was heard of it or of r2 until it was given up. */
function givenUp(): Machine {
  const machine = asking();
  machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: machine.nowMs });
  expect(machine.find('startHandover')).toMatchObject({ to: 'r2', term: 6 });
  machine.expire();
  while (machine.phase === 'handing') machine.expire();
  expect(machine.vr.phase).toMatchObject({ name: 'master', term: 7, standing: { kind: 'provisional' } });
  return machine;
}

describe('a handover that comes to nothing before the log has it', () => {
  it('leaves the master as it was', () => {
    const machine = refuse(asking());
    expect(machine.vr.phase).toMatchObject({ name: 'master', term: 5, standing: { kind: 'logged' } });
    expect(machine.types()).toEqual(['transition']);
  });

  it('is over where the log has lost what was to be given away, which is claimed again', () => {
    for (const lost of [undefined, held]) {
      const machine = asking().log(lost);
      expect(machine.vr.phase).toMatchObject({ name: 'master', term: 5, standing: { kind: 'provisional' } });
      expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: lost?.sequence ?? 0 } });
      machine.stored(50);
      expect(machine.vr.phase).toMatchObject({ standing: { kind: 'logged' } });
    }
  });

  it('claims nothing while the log is away, and again when it is back without it', () => {
    const machine = asking().log(undefined, false);
    machine.expire();
    expect(machine.nowMs).toBeGreaterThanOrEqual(readyTimeoutMs);
    expect(machine.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' } });
    expect(machine.log(undefined).find('claim')).toMatchObject({ term: 5 });
  });

  it('in strict lets go of what the log has lost: others may claim it without a word of this node', () => {
    const machine = asking({ arbitration: 'strict' }).log(undefined);
    expect(machine.types()).toContain('detach');
    expect(machine.vr.lastReason).toBe('log_prefers_other');
    const refused = refuse(asking({ arbitration: 'strict' }));
    expect(refused.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' } });
  });

  it('leaves the master attached where this node stops as well: another try may do', () => {
    const machine = refuse(asking({}, true));
    expect(machine.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' } });
    machine.give({ type: 'handOver', to: undefined, stops: true, atMs: machine.nowMs });
    expect(machine.vr.phase).toMatchObject({ name: 'handing', stops: true });
  });
});

describe('a handover that the log has acknowledged and does not deliver', () => {
  it('is claimed over with its own position, so that the log does not take the claim for one of before', () => {
    const machine = asking();
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: machine.nowMs });
    const started = machine.find('startHandover');
    if (started === undefined) throw new Error('the log was asked for nothing');
    const answer = { kind: 'stored', sequence: sequence(42) } as const;
    machine.give({ type: 'claimAnswer', claim: started.claim.id, term: started.term, answer, atMs: machine.nowMs });
    while (machine.phase === 'handing') machine.expire();
    expect(machine.find('claim')).toMatchObject({ term: 7, claim: { expected: 42 } });
    // The event comes after all: it is the one that was claimed over.
    machine.log(handedToR2);
    expect(machine.vr.phase).toMatchObject({ name: 'master', term: 7 });
  });
});

describe('a handover of which this node learns late', () => {
  it('has it linger again until the other one serves, as if it had not been given up', () => {
    const machine = givenUp().log(handedToR2);
    expect(machine.vr.phase).toMatchObject({ name: 'handing', to: 'r2', handedTerm: 6, stage: 'late' });
    expect(machine.types()).not.toContain('detach');
    expect(machine.hears(50, 'r2', 5).types()).not.toContain('detach');
    expect(machine.expire().types()).toContain('detach');
    machine.give({ type: 'detached', atMs: machine.nowMs });
    expect(machine.find('released')).toMatchObject({ reason: 'handed_over' });
    expect(machine.find('advert')).toBeUndefined();
  });

  it('heard through the log as well as on the LAN', () => {
    const machine = givenUp().log(handedToR2);
    machine.give({ type: 'peerServes', from: nodeId('r2'), term: term(6), atMs: machine.nowMs + 4 });
    expect(machine.expire().vr.lastReason).toBe('handed_over');
  });

  it('is told of its claim meanwhile, which says nothing more', () => {
    const machine = givenUp();
    const { phase } = machine.vr;
    const claim = phase.name === 'master' ? phase.confirming : undefined;
    if (claim === undefined) throw new Error('it does not claim');
    machine.log(handedToR2);
    machine.give({
      type: 'claimAnswer',
      claim: claim.id,
      term: term(7),
      answer: { kind: 'conflict' },
      atMs: machine.nowMs,
    });
    expect(machine.phase).toBe('handing');
  });

  it('asks after a moment whether the other one serves, and lets go where it does', () => {
    const machine = givenUp().log(handedToR2);
    const lateAtMs = machine.nowMs;
    machine.expire();
    expect(machine.nowMs).toBe(lateAtMs + lateLingerMs);
    expect(machine.find('challenge')).toMatchObject({ holder: 'r2', claim: { expected: 42 } });
    expect(machine.phase).toBe('master');
    expect(machine.verdict({ kind: 'serves' }).vr.lastReason).toBe('log_prefers_other');
  });

  it('and claims, still attached, where it does not', () => {
    const machine = givenUp().log(handedToR2).expire();
    machine.verdict({ kind: 'gone', why: 'not_serving' });
    expect(machine.find('claim')).toMatchObject({ term: 7, claim: { expected: 42 } });
    machine.stored(43);
    expect(machine.vr.phase).toMatchObject({ name: 'master', term: 7, standing: { kind: 'logged' } });
  });

  it('claims at once where the other one has released', () => {
    const machine = givenUp()
      .log(handedToR2)
      .log(owned('r2', 6, 43, { released: true }));
    expect(machine.find('claim')).toMatchObject({ term: 7, claim: { expected: 43 } });
    expect(machine.phase).toBe('master');
  });

  it('gives way at once where another has claimed since', () => {
    for (const claimed of [owned('r3', 7, 43), owned('r3', 8, 43), owned('r2', 8, 43)]) {
      expect(givenUp().log(handedToR2).log(claimed).types()).toContain('detach');
    }
  });

  it('lingers on while the log is away, and no longer than the moment', () => {
    const machine = givenUp().log(handedToR2).log(undefined, false);
    expect(machine.phase).toBe('handing');
    machine.expire();
    expect(machine.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'provisional' } });
  });

  it('stops where it is told to', () => {
    const machine = givenUp().log(handedToR2);
    machine.give({ type: 'handOver', to: undefined, stops: true, atMs: machine.nowMs });
    machine.give({ type: 'peerServes', from: nodeId('r2'), term: term(6), atMs: machine.nowMs });
    machine.expire();
    expect(machine.vr.phase).toMatchObject({ name: 'releasing', next: 'init' });
  });

  it('is none where it is another’s, or of an ownership that was held already', () => {
    const others = owned('r2', 6, 42, { handedBy: nodeId('r3') });
    expect(givenUp().log(others).vr.lastReason).toBe('log_prefers_other');
    const higher = owned('r2', 9, 42, { handedBy: nodeId('r1') });
    expect(givenUp().log(higher).vr.lastReason).toBe('higher_term');
  });

  it('is given up after as long a silence as ever where it is known in time', () => {
    const machine = asking();
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: machine.nowMs });
    const claim = machine.find('startHandover')?.claim.id;
    if (claim === undefined) throw new Error('no handover');
    const startedAtMs = machine.nowMs;
    const answer = { kind: 'stored', sequence: sequence(42) } as const;
    machine.give({ type: 'claimAnswer', claim, term: term(6), answer, atMs: startedAtMs });
    machine.log(handedToR2);
    const { phase } = machine.vr;
    expect(phase).toMatchObject({ stage: 'started', dueAtMs: startedAtMs + servingTimeoutMs });
  });
});
