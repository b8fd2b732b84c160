import { describe, expect, it } from 'vitest';
import { Machine, owned } from '../../test/core/machine.js';
import { bootId, claimId, nodeId, sequence, term } from './identity.js';
import type { VrParameters } from './vr-state.js';

/*
 * Each of these was found by the simulator, in the order of the tests: clusters whose log lost its tail, whose agents died
 * at the wrong moment, or whose handovers met other claims.
 */

describe('a log that has lost what it had acknowledged', () => {
  it('is given the claim of the master again, with the same term', () => {
    const machine = new Machine().log(owned('r2', 4, 40)).serveLogged(41);
    machine.log(owned('r2', 4, 40));
    expect(machine.phase).toBe('master');
    expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: 40 } });
  });

  it('is given it also where nothing is left', () => {
    const machine = new Machine()
      .log(owned('r2', 4, 40))
      .serveLogged(41)
      .log(undefined);
    expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: 0 } });
  });

  it('settles it where another has claimed the same term since', () => {
    const machine = new Machine()
      .log(owned('r2', 4, 40))
      .serveLogged(41)
      .log(owned('r3', 5, 41));
    expect(machine.phase).toBe('releasing');
    expect(machine.vr.lastReason).toBe('log_prefers_other');
  });

  it('makes no backup take an old release for news', () => {
    const machine = new Machine().log(owned('r2', 6, 60)).log(owned('r2', 5, 50, { released: true }));
    expect(machine.phase).toBe('backup');
    expect(machine.vr.phase).toMatchObject({ prompt: undefined });
  });
});

describe('a takeover without the log', () => {
  it('never claims a term that the log turns out to have', () => {
    const machine = new Machine({}, 4).serveProvisional();
    expect(machine.vr.phase).toMatchObject({ name: 'master', term: 5 });
    machine.log(owned('r2', 5, 50, { released: true }));
    expect(machine.find('claim')).toMatchObject({ term: 6, claim: { expected: 50 } });
  });

  it('gives way to another claim of the same term', () => {
    const machine = new Machine({}, 4).serveProvisional().log(owned('r2', 5, 50));
    expect(machine.vr.lastReason).toBe('log_prefers_other');
  });

  it('claims again when the answer died with the agent', () => {
    const machine = new Machine({}, 4).serveProvisional().log(undefined);
    expect(machine.find('claim')).toBeDefined();
    machine.log(undefined, false).log(undefined);
    expect(machine.find('claim')).toMatchObject({ term: 5 });
  });
});

describe('masters by the word of the LAN alone', () => {
  const wire = { arbitration: 'wire' } as const;

  it('leave the claim of another alone: two that do not hear each other would claim in turns for ever', () => {
    const machine = new Machine(wire).log(owned('r2', 4, 40)).serveProvisional();
    const claim = machine.find('claim');
    expect(claim).toMatchObject({ term: 5 });
    machine.log(owned('r1', 5, 41)).log(owned('r2', 6, 42));
    expect(machine.phase).toBe('master');
    expect(machine.find('claim')).toBeUndefined();
    expect(machine.expire().find('claim')).toBeUndefined();
  });

  it('claim once it is released', () => {
    const machine = new Machine(wire).log(owned('r2', 4, 40)).serveProvisional();
    machine
      .log(owned('r1', 5, 41))
      .log(owned('r2', 6, 42))
      .log(owned('r2', 6, 43, { released: true }));
    expect(machine.find('claim')).toMatchObject({ term: 7, claim: { expected: 43 } });
  });

  /** r2 releases a second after it was heard, and this node hears somebody a tenth of a second before. */
  const released = (mode: Partial<VrParameters>, heard: string | null): Machine => {
    const machine = new Machine(mode)
      .log(owned('r2', 4, 40))
      .hears(200, 'r2')
      .hears(250, heard, 900);
    machine.nowMs += 100;
    return machine.log(owned('r2', 4, 41, { released: true }));
  };

  it.each(['r3', null])('take no release for news while another than the releaser is heard: %s', (heard) => {
    const machine = released(wire, heard);
    expect(machine.vr.phase).toMatchObject({ name: 'backup', prompt: undefined });
    // Its silence is another matter.
    expect(machine.expire().phase).toBe('attaching');
    expect(machine.nowMs).toBeGreaterThan(3900);
  });

  it('take it where the releaser was heard last, or the other has been silent for as long as a master may be', () => {
    const cause = { prompt: { cause: 'master_released' } };
    expect(released(wire, 'r2').vr.phase).toMatchObject(cause);
    const late = new Machine({ ...wire, startDelayMs: 9000 }).log(owned('r2', 4, 40)).hears(250, 'r3');
    late.nowMs += 3000;
    expect(late.log(owned('r2', 4, 41, { released: true })).vr.phase).toMatchObject(cause);
  });

  it('are alone in that: where the log arbitrates, what it has released is free', () => {
    const machine = released({ arbitration: 'log' }, 'r3');
    expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: 41 } });
  });
});

describe('a handover', () => {
  const handing = (): Machine => {
    const machine = new Machine().log(owned('r2', 4, 40)).serveLogged(41);
    return machine.give({ type: 'handOver', to: nodeId('r2'), stops: false, atMs: machine.nowMs });
  };

  it('is not taken for begun by a claim of the other node', () => {
    const machine = handing().log(owned('r2', 6, 42));
    expect(machine.vr.lastReason).toBe('higher_term');
    expect(machine.phase).toBe('releasing');
  });

  it('that met a claim of the other node is over, and nobody lingers', () => {
    const machine = handing();
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: machine.nowMs });
    machine.log(owned('r2', 6, 42));
    expect(machine.vr.lastReason).toBe('higher_term');
  });

  it('has a term above what either side has used', () => {
    const machine = handing();
    const highestTerm = term(9);
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, highestTerm, atMs: machine.nowMs });
    expect(machine.find('startHandover')).toMatchObject({ term: 10, claim: { expected: 41 } });
  });

  it('is not begun over an ownership that the log does not name as this node’s', () => {
    const machine = handing().log(owned('r2', 4, 40));
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: machine.nowMs });
    expect(machine.find('startHandover')).toBeUndefined();
    expect(machine.phase).toBe('master');
  });

  it('of a term that this node has been past since is none', () => {
    const machine = new Machine({}, 7).log(owned('r2', 4, 40));
    machine.log(owned('r1', 5, 41, { handedBy: nodeId('r2') }));
    expect(machine.phase).toBe('backup');
  });

  it('to an earlier boot is meant for this one where it is news', () => {
    const earlier = owned('r1', 5, 41, { boot: bootId('b0'), handedBy: nodeId('r2') });
    expect(new Machine().log(owned('r2', 4, 40)).log(earlier).phase).toBe('attaching');
    expect(new Machine().log(earlier).phase).toBe('backup');
  });
});

describe('a log that answers a claim late', () => {
  /** r2, heard a moment ago, has released; the claim over that has gone unanswered for as long as one waits. */
  function unanswered(over: Partial<VrParameters> = {}): Machine {
    const machine = new Machine(over).log(owned('r2', 4, 40)).hears(200, 'r2', 500);
    machine.nowMs += 100;
    machine.log(owned('r2', 4, 41, { released: true }));
    expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: 41 } });
    return machine.expire();
  }
  const ofOthers = (machine: Machine): Machine => machine.log(owned('r2', 4, 41, { released: true }));

  it('is not asked again by whoever may take over without it, and its answer is used when it comes', () => {
    const machine = ofOthers(unanswered());
    expect(machine.types()).toEqual([]);
    expect(ofOthers(machine.expire()).phase).not.toBe('backup');
    const late = ofOthers(unanswered());
    late.nowMs += 30;
    expect(late.log(owned('r1', 5, 42)).find('attach')).toMatchObject({ term: 5 });
    expect(late.vr.phase).toMatchObject({ name: 'attaching', standing: { kind: 'logged' } });
  });

  it('is used as well where the answer comes before the event', () => {
    const machine = ofOthers(unanswered());
    const claim = claimId('b1.1');
    const answer = { kind: 'stored', sequence: sequence(42) } as const;
    machine.give({ type: 'claimAnswer', claim, term: term(5), answer, atMs: machine.nowMs + 10 });
    expect(machine.find('attach')).toMatchObject({ term: 5 });
  });

  it('is given back where the master is heard again meanwhile', () => {
    const machine = ofOthers(unanswered()).hears(200, 'r2', 5);
    expect(machine.log(owned('r1', 5, 42)).find('released')).toMatchObject({ term: 5, reason: 'claim_lost' });
  });

  it('takes the claim that stands in the way of the next one for its own', () => {
    const again = (): Machine => {
      const machine = ofOthers(unanswered({ onLogLoss: 'hold' })).expire();
      expect(machine.find('claim')).toMatchObject({ term: 6, claim: { expected: 41 } });
      return machine;
    };
    const read = again().log(owned('r1', 5, 42));
    expect(read.find('attach')).toMatchObject({ term: 5 });

    const refused = again();
    const { phase } = refused.vr;
    const claim = phase.name === 'claiming' ? phase.claim : undefined;
    if (claim === undefined) throw new Error('it does not claim');
    const answer = { kind: 'conflict' } as const;
    refused.give({ type: 'claimAnswer', claim: claim.id, term: term(6), answer, atMs: refused.nowMs });
    expect(refused.phase).toBe('backup');
    expect(refused.log(owned('r1', 5, 42)).find('attach')).toMatchObject({ term: 5 });
  });

  it('leaves the address to another one whose claim stands in its way', () => {
    const machine = ofOthers(unanswered({ onLogLoss: 'hold' })).expire();
    const { phase } = machine.vr;
    const claim = phase.name === 'claiming' ? phase.claim : undefined;
    if (claim === undefined) throw new Error('it does not claim');
    const answer = { kind: 'conflict' } as const;
    machine.give({ type: 'claimAnswer', claim: claim.id, term: term(6), answer, atMs: machine.nowMs });
    machine.log(owned('r3', 5, 42));
    expect(machine.vr.phase).toMatchObject({ name: 'backup', prompt: undefined, unansweredTerm: undefined });
  });

  /** It took over without the log, whose answer never came, and gave way to the one that the log names. */
  function gaveWay(over: Partial<VrParameters> = {}): Machine {
    const machine = new Machine(over)
      .log(owned('r2', 4, 40))
      .hears(200, 'r2', 0)
      .expire();
    expect(machine.verdict({ kind: 'gone', why: 'no_answer' }).find('claim')).toMatchObject({ term: 5 });
    machine.expire().log(undefined, false).expire();
    machine.give({ type: 'termSaved', term: term(5), atMs: machine.nowMs });
    machine.give({ type: 'attached', atMs: machine.nowMs });
    expect(machine.vr.phase).toMatchObject({ name: 'master', term: 5, standing: { kind: 'provisional' } });
    machine.hears(200, 'r2', 0).notice(4, true, 4);
    expect(machine.vr.lastReason).toBe('log_prefers_other');
    machine.give({ type: 'detached', atMs: machine.nowMs });
    expect(machine.find('released')).toBeUndefined();
    expect(machine.phase).toBe('backup');
    return machine;
  }

  it('is told at once where that one has given way meanwhile: everybody obeys the claim, and nobody serves', () => {
    const machine = gaveWay()
      .log(owned('r2', 4, 40))
      .log(owned('r1', 5, 41));
    expect(machine.find('released')).toMatchObject({ term: 5, reason: 'claim_lost' });
    expect(machine.phase).toBe('backup');
  });

  it('is told as well where the claim is there when the log is read again', () => {
    expect(
      gaveWay()
        .log(owned('r1', 5, 41))
        .find('released'),
    ).toMatchObject({ term: 5 });
  });

  it('is told of no claim that others have been past since', () => {
    const machine = gaveWay()
      .log(owned('r3', 6, 42))
      .log(owned('r1', 5, 41));
    expect(machine.find('released')).toBeUndefined();
  });
});
