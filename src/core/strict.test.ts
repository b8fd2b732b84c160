import { describe, expect, it } from 'vitest';
import { Machine, owned } from '../../test/core/machine.js';
import { challengeAgainMs } from './challenge.js';
import { bootId, nodeId, sequence, term } from './identity.js';
import { dueAtMs } from './vr-machine.js';
import type { VrParameters } from './vr-state.js';

const held = owned('r2', 4, 40);
const revoked = { kind: 'gone', why: 'lease_expired' } as const;

const strict = (over: Partial<VrParameters> = {}): Machine => new Machine({ arbitration: 'strict', ...over });

/** A backup with a lease whose master r2, named by the log at 40, has been silent for too long. */
const asking = (): Machine => strict().lease(60_000).log(held).expire();

/** A holder of term 5 whose lease ends at 60 s. */
const holder = (): Machine => strict().lease(60_000).log(held).serveLogged(41);

describe('a takeover in strict', () => {
  it('takes a lease of its own', () => {
    const machine = strict()
      .log(owned('r2', 4, 40, { released: true }))
      .expire();
    expect(machine.effects).toEqual([]);
    expect(machine.vr.lastReason).toBe('lease_lost');
    machine.lease(60_000).expire();
    expect(machine.types()).toContain('claim');
  });

  it('takes a lease that is valid at that very time', () => {
    const ended = strict().lease(2999).log(undefined).expire();
    expect(ended.effects).toEqual([]);
    const unended = strict().lease(3001).log(undefined).expire();
    expect(unended.types()).toContain('claim');
  });

  it('never happens without the log, whatever onLogLoss says', () => {
    const never = strict({ onLogLoss: 'wire' }).lease(1e9);
    for (let n = 0; n < 5; n += 1) expect(never.expire().effects).toEqual([]);
    const lost = strict({ onLogLoss: 'wire' }).lease(1e9).log(held).log(undefined, false);
    for (let n = 0; n < 5; n += 1) expect(lost.expire().effects).toEqual([]);
    expect(lost.vr.lastReason).toBe('log_unreachable');
    const unanswered = asking().verdict({ kind: 'unasked' });
    expect(unanswered.expire().types()).toEqual(['challenge']);
  });

  it('follows a release that the log has, at once', () => {
    const machine = strict()
      .lease(60_000)
      .log(held)
      .log(owned('r2', 4, 41, { released: true }));
    expect(machine.find('claim')).toMatchObject({ claim: { expected: 41 } });
  });

  it('does not follow a resignation on the LAN', () => {
    const machine = strict().lease(60_000).log(held).hears(200).hears(0, 'r2', 100);
    expect(machine.effects).toEqual([]);
    expect(machine.expire().nowMs).toBe(3000);
    expect(machine.types()).toEqual(['challenge']);
  });

  it('asks even where its group takes', () => {
    const machine = strict().lease(60_000).log(held);
    machine.give({ type: 'group', move: 'take', holdOff: false, atMs: 100 });
    expect(machine.types()).toEqual(['challenge']);
  });

  it('follows a stored revocation, over what stood when it was decided', () => {
    const machine = asking().verdict(revoked);
    expect(machine.find('claim')).toMatchObject({ claim: { expected: 40 }, term: 5 });
    expect(machine.stored(41).phase).toBe('attaching');
  });

  it('waits for its term to be on disk, for as long as a lease lasts, and then gives the claim back', () => {
    const granted = (): Machine => {
      const machine = asking().verdict(revoked);
      const { claim, term: claimed } = machine.find('claim') ?? {};
      if (claim === undefined || claimed === undefined) throw new Error('no claim');
      const answer = { kind: 'stored', sequence: sequence(41) } as const;
      return machine.give({ type: 'claimAnswer', claim: claim.id, term: claimed, answer, atMs: machine.nowMs });
    };
    const slow = granted();
    expect(slow.effects).toEqual([]);
    slow.give({ type: 'tick', atMs: slow.nowMs + 3999 });
    expect(slow.effects).toEqual([]);
    expect(slow.give({ type: 'termSaved', term: term(5), atMs: slow.nowMs }).types()).toContain('attach');
    const stuck = granted();
    const grantedAtMs = stuck.nowMs;
    expect(stuck.expire().nowMs).toBe(grantedAtMs + 4000);
    expect(stuck.types()).not.toContain('attach');
    expect(stuck.find('released')).toMatchObject({ term: 5, reason: 'attach_failed' });
    expect(stuck.phase).toBe('backup');
  });

  it.each(['no_answer', 'not_serving', 'lan_down'] as const)('does not follow what proves nothing: %s', (why) => {
    const machine = asking().verdict({ kind: 'gone', why });
    expect(machine.effects).toEqual([]);
    expect(machine.vr.lastReason).toBe('holder_leased');
    machine.expire();
    expect([machine.nowMs, ...machine.types()]).toEqual([3000 + challengeAgainMs, 'challenge']);
  });

  it('does not follow silence of whoever was asked', () => {
    const machine = asking().expire();
    expect(machine.nowMs).toBe(3050);
    expect(machine.effects).toEqual([]);
    expect(machine.vr.lastReason).toBe('holder_leased');
  });

  it('looks again when the lease of the holder may have ended, not before, and then asks again', () => {
    const machine = asking().verdict({ kind: 'leased', untilMs: 9000 });
    expect(machine.vr.lastReason).toBe('holder_leased');
    expect(dueAtMs(machine.vr)).toBe(9000);
    expect(machine.expire().types()).toEqual(['challenge']);
    const past = asking().verdict({ kind: 'leased', untilMs: 1 });
    expect(dueAtMs(past.vr)).toBe(3000 + challengeAgainMs);
  });

  it('follows a release that comes before that', () => {
    const machine = asking()
      .verdict({ kind: 'leased', untilMs: 9000 })
      .log(owned('r2', 4, 41, { released: true }));
    expect(machine.types()).toContain('claim');
  });

  it('is not to be where the holder serves, even under onPathSplit take', () => {
    const machine = strict({ onPathSplit: 'take' }).lease(60_000).log(held).expire().verdict({ kind: 'serves' });
    expect(machine.types()).toEqual(['advertPath']);
    expect(machine.vr.lastReason).toBe('advert_path_lost');
  });

  it('ends with the lease: while the holder is asked, while it claims, right before it attaches, while it does', () => {
    const asked = strict().lease(3020).log(held).expire();
    const claim = asked.find('challenge')?.claim.id;
    if (claim === undefined) throw new Error('no challenge');
    expect(asked.give({ type: 'challengeAnswer', claim, verdict: revoked, atMs: 3020 }).effects).toEqual([]);

    const claiming = strict().lease(3020).log(held).expire().verdict(revoked).expire();
    expect(claiming.nowMs).toBe(3020);
    expect(claiming.find('transition')).toMatchObject({ to: 'backup', reason: 'lease_lost' });

    const granted = strict().lease(3020).log(held).expire().verdict(revoked);
    granted.nowMs = 3020;
    expect(() => granted.stored(41)).not.toThrow();
    expect(granted.phase).toBe('backup');
    expect(granted.find('attach')).toBeUndefined();

    const attaching = strict().lease(3020).log(held).expire().verdict(revoked).stored(41);
    expect(attaching.phase).toBe('attaching');
    attaching.give({ type: 'attached', atMs: 3020 });
    expect(attaching.types()).toEqual(['detach', 'transition']);
  });

  it('gives back what is granted once its lease has ended, and does not take it up with the next lease', () => {
    const machine = strict().lease(3060).log(held).expire().verdict(revoked);
    const claim = machine.find('claim');
    if (claim === undefined) throw new Error('no claim');
    machine.expire();
    expect(machine.vr.phase).toMatchObject({ name: 'backup', unansweredTerm: 5 });
    machine.nowMs = 3070;
    machine.lease(60_000);
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    machine.give({ type: 'claimAnswer', claim: claim.claim.id, term: claim.term, answer, atMs: 3071 });
    expect(machine.find('released')).toMatchObject({ term: 5 });
    expect(machine.phase).toBe('backup');
  });

  it('takes up a late grant while the same lease lasts', () => {
    const machine = asking().verdict(revoked);
    const claim = machine.find('claim');
    if (claim === undefined) throw new Error('no claim');
    machine.expire();
    expect(machine.vr.lastReason).toBe('log_unreachable');
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    machine.give({ type: 'claimAnswer', claim: claim.claim.id, term: claim.term, answer, atMs: machine.nowMs });
    expect(machine.phase).toBe('attaching');
  });
});

describe('a holder in strict', () => {
  it('does nothing at or after the end of its lease, whatever happens then', () => {
    expect(dueAtMs(holder().lease(3500).vr)).toBe(3500);
    const inputs = [
      { type: 'tick' },
      { type: 'ownLease', endsAtMs: 70_000 },
      { type: 'parent', fault: undefined },
      { type: 'handOver', to: nodeId('r2'), stops: false },
    ] as const;
    for (const input of inputs) {
      const machine = holder()
        .lease(3500)
        .give({ ...input, atMs: 3500 });
      expect(machine.types()).toEqual(['detach', 'transition']);
      expect(machine.find('transition')).toMatchObject({ to: 'fenced', reason: 'lease_lost' });
      machine.give({ type: 'detached', atMs: 3501 });
      expect(machine.types()).toEqual(['released', 'transition']);
      expect(machine.find('released')).toMatchObject({ reason: 'lease_lost', resigned: false });
    }
  });

  it('holds on with every renewal, and stops where the lease is lost', () => {
    const machine = holder().lease(3500);
    for (let atMs = 3400; atMs < 10_000; atMs += 400) {
      machine.nowMs = atMs;
      expect(machine.lease(atMs + 500).types()).toEqual([]);
    }
    expect(machine.lease(undefined).types()).toEqual(['detach', 'transition']);
  });

  it('serves on while the log is away, no longer than its lease', () => {
    const machine = holder().log(undefined, false);
    while (machine.nowMs < 59_000) expect(machine.expire().types()).toEqual(['advert']);
    machine.expire().expire();
    expect([machine.nowMs, machine.vr.lastReason]).toEqual([60_000, 'lease_lost']);
  });

  it('lets go where the log has lost its claim, which anybody may claim over', () => {
    expect(holder().log(held).vr.lastReason).toBe('log_prefers_other');
    expect(holder().log(undefined).vr.lastReason).toBe('log_prefers_other');
  });

  it('needs no leave of a peer on the LAN', () => {
    const machine = holder();
    while (machine.nowMs < 30_000) machine.hears(200, 'r2', 500);
    expect(machine.phase).toBe('master');
    expect(machine.notice(6, true, 6).vr.lastReason).toBe('higher_term');
  });

  it('tells the LAN and the log at once when it stops: nobody may claim over an ownership on the LAN’s word', () => {
    const machine = holder().give({ type: 'shutdown', atMs: 4000 }).give({ type: 'detached', atMs: 4001 });
    expect(machine.types()).toEqual(['advert', 'released', 'transition']);
    expect(machine.find('released')).toMatchObject({ resigned: false });
  });
});

describe('a handover in strict', () => {
  const ready = (stops = false): Machine => {
    const machine = holder().give({ type: 'handOver', to: nodeId('r2'), stops, atMs: 3100 });
    expect(machine.types()).toEqual(['askReady', 'transition']);
    return machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, highestTerm: term(8), atMs: 3101 });
  };
  const giving = (stops = false): Machine => ready(stops).give({ type: 'detached', atMs: 3102 });

  it('breaks before it makes: addresses off, then the log says who takes them, then its part is over', () => {
    expect(ready().types()).toEqual(['detach']);
    const machine = giving();
    expect(machine.effects).toMatchObject([{ type: 'startHandover', to: 'r2', term: 9, claim: { expected: 41 } }]);
    const started = machine.find('startHandover');
    if (started === undefined) throw new Error('no handover');
    const answer = { kind: 'stored', sequence: sequence(42) } as const;
    machine.give({ type: 'claimAnswer', claim: started.claim.id, term: started.term, answer, atMs: 3105 });
    expect(machine.types()).toEqual(['transition']);
    expect(machine.phase).toBe('backup');
  });

  it('tells the log no more once that has the handover, whichever way it hears of it', () => {
    const machine = giving();
    const started = machine.find('startHandover');
    if (started === undefined) throw new Error('no handover');
    machine.log(owned('r2', 9, 42, { handedBy: nodeId('r1') }));
    expect(machine.types()).toEqual(['transition']);
    const answer = { kind: 'stored', sequence: sequence(42) } as const;
    machine.give({ type: 'claimAnswer', claim: started.claim.id, term: started.term, answer, atMs: 3105 });
    expect(machine.effects).toEqual([]);
  });

  it('frees the address where the log has no handover, or says nothing', () => {
    expect(giving().expire().types()).toEqual(['released', 'transition']);
    const away = ready().log(undefined, false).give({ type: 'detached', atMs: 3102 });
    expect(away.types()).toEqual(['released', 'transition']);
    const taken = giving().log(owned('r3', 6, 42));
    expect(taken.types()).toEqual(['released', 'transition']);
  });

  it('ends where it was to end', () => {
    expect(giving(true).expire().vr.phase).toEqual({ name: 'init', stopped: true });
    expect(giving().give({ type: 'shutdown', atMs: 3103 }).expire().vr.phase).toEqual({ name: 'init', stopped: true });
    const faulty = giving().give({ type: 'parent', fault: 'carrier_lost', atMs: 3103 }).expire();
    expect(faulty.vr.phase).toEqual({ name: 'fault', reason: 'carrier_lost' });
  });

  it('does not begin where the other is not ready: the holder stays', () => {
    const machine = holder().give({ type: 'handOver', to: nodeId('r2'), stops: false, atMs: 3100 });
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: false, atMs: 3101 });
    expect(machine.phase).toBe('master');
  });

  it('is taken up by a claim on top of it, which a deposed target would lose', () => {
    const toR1 = owned('r1', 5, 41, { handedBy: nodeId('r2') });
    const machine = strict().lease(60_000).log(held).log(toR1);
    expect(machine.find('claim')).toMatchObject({ reason: 'handover', term: 6, claim: { expected: 41 } });
    expect(machine.stored(42).phase).toBe('attaching');
    expect(strict().log(held).log(toR1).find('claim')).toBeUndefined();
  });

  it('is taken up again where the giver said something more in between', () => {
    const machine = strict()
      .lease(60_000)
      .log(held)
      .log(owned('r1', 5, 41, { handedBy: nodeId('r2') }));
    machine.log(owned('r1', 5, 42));
    expect(machine.find('claim')).toMatchObject({ reason: 'handover', claim: { expected: 42 } });
  });

  it('is taken up again where its claim was refused before the giver’s last word was read', () => {
    const machine = strict()
      .lease(60_000)
      .log(held)
      .log(owned('r1', 5, 41, { handedBy: nodeId('r2') }));
    const claim = machine.find('claim');
    if (claim === undefined) throw new Error('no claim');
    const answer = { kind: 'conflict' } as const;
    machine.give({ type: 'claimAnswer', claim: claim.claim.id, term: claim.term, answer, atMs: machine.nowMs });
    expect(machine.phase).toBe('backup');
    expect(machine.log(owned('r1', 5, 42)).find('claim')).toMatchObject({
      reason: 'handover',
      claim: { expected: 42 },
    });
  });

  it('is not taken up again by a node that could not attach, before its time', () => {
    const machine = strict()
      .lease(60_000)
      .log(held)
      .log(owned('r1', 5, 41, { handedBy: nodeId('r2') }));
    machine
      .stored(42)
      .give({ type: 'attachFailed', atMs: machine.nowMs })
      .log(owned('r1', 6, 42));
    expect(machine.effects).toEqual([]);
    expect(machine.phase).toBe('backup');
  });

  it('is asked for by a better placed backup, as in mode log', () => {
    expect(strict().lease(60_000).log(held).hears(50).types()).toEqual(['askHandover']);
  });
});

describe('a drained node', () => {
  const drained = (machine: Machine): Machine =>
    machine.give({ type: 'drain', drained: true, force: false, atMs: machine.nowMs });

  it('gives a handover to it back at once', () => {
    const machine = drained(new Machine().log(held)).log(owned('r1', 5, 41, { handedBy: nodeId('r2') }));
    expect(machine.effects).toEqual([{ type: 'released', term: 5, reason: 'drained', resigned: false }]);
    expect(machine.phase).toBe('backup');
  });

  it('gives a claim back that is granted late', () => {
    const machine = new Machine().log(held).expire().verdict(revoked);
    machine.expire();
    drained(machine).log(owned('r1', 5, 41));
    expect(machine.find('released')).toMatchObject({ term: 5 });
  });

  it('takes nothing over whatever it hears', () => {
    for (const machine of [drained(new Machine().log(held)), drained(new Machine({ arbitration: 'wire' }))]) {
      machine.hears(0).give({ type: 'group', move: 'take', holdOff: false, atMs: 100 });
      machine.log(owned('r2', 4, 41, { released: true }));
      expect(machine.give({ type: 'tick', atMs: 1e6 }).effects).toEqual([]);
      expect(machine.phase).toBe('backup');
    }
  });

  it('keeps what it holds where nobody can take it, unless it is forced', () => {
    const machine = drained(new Machine().log(held).serveLogged(41));
    expect(machine.effects).toEqual([]);
    machine.give({ type: 'handOver', to: undefined, stops: false, atMs: machine.nowMs });
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: false, atMs: machine.nowMs });
    expect(machine.phase).toBe('master');
    machine.give({ type: 'drain', drained: true, force: true, atMs: machine.nowMs });
    expect(machine.find('transition')).toMatchObject({ to: 'draining', reason: 'drained' });
  });

  it('hands on what it was attaching when it was drained', () => {
    const machine = drained(new Machine().log(held).expire().verdict(revoked).stored(41));
    machine.log(owned('r1', 5, 41)).give({ type: 'attached', atMs: machine.nowMs });
    expect(machine.types()).toEqual(['advert', 'announce', 'transition', 'askReady', 'transition']);
    expect(machine.phase).toBe('handing');
  });
});

describe('terms', () => {
  it('are past every one that the log or a peer has told of', () => {
    const machine = new Machine().log(undefined, true, { highestTerm: term(11) }).expire();
    expect(machine.find('claim')?.term).toBe(12);
    const provisional = new Machine().log(held).log(undefined, false).serveProvisional();
    provisional.log(owned('r2', 4, 41, { released: true }), true, { highestLoggedTerm: term(7), highestTerm: term(7) });
    expect(provisional.find('claim')?.term).toBe(8);
  });

  it('a claim of an earlier boot is not this one’s', () => {
    const machine = strict()
      .lease(60_000)
      .log(owned('r1', 4, 40, { boot: bootId('b0') }))
      .expire();
    expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: 40 } });
  });
});
