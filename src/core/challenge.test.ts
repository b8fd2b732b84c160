import { describe, expect, it } from 'vitest';
import { base, Machine, owned } from '../../test/core/machine.js';
import { challengeAgainMs } from './challenge.js';
import { nodeId, sequence } from './identity.js';
import { claimStepMs } from './takeover.js';
import type { TakeoverCause, VrParameters } from './vr-state.js';

const held = owned('r2', 4, 40);

/** A backup whose master r2, named by the log at 40, has just been silent for too long. */
const asking = (over: Partial<VrParameters> = {}): Machine => new Machine(over).log(held).expire();

/** The same, but the master's adverts were heard until then. */
const hearing = (over: Partial<VrParameters> = {}): Machine => new Machine(over).log(held).hears(200).expire();

describe('a backup whose master fell silent', () => {
  it('asks the holder that the log names, and says with what it would claim', () => {
    const machine = asking();
    expect(machine.nowMs).toBe(3000);
    expect(machine.effects).toMatchObject([{ type: 'challenge', holder: 'r2', term: 5, claim: { expected: 40 } }]);
    expect(machine.phase).toBe('backup');
  });

  it.each([
    ['nobody', undefined],
    ['one that has released', owned('r2', 4, 40, { released: true })],
    ['this node itself', owned('r1', 4, 40)],
  ] as const)('claims at once where the log names %s', (_, ownership) => {
    expect(new Machine().log(ownership).expire().types()).toContain('claim');
  });

  it('claims with what stood when it decided, whatever it has read since', () => {
    const machine = asking();
    const id = machine.find('challenge')?.claim.id;
    machine.log(held, true, { highestTerm: 9 as never }).verdict({ kind: 'gone', why: 'not_serving' });
    expect(machine.find('claim')).toMatchObject({ claim: { id, expected: 40 }, term: 10, reason: 'master_silent' });
  });

  it.each(['lease_expired', 'no_answer', 'not_serving', 'lan_down'] as const)(
    'claims where the holder is gone: %s',
    (why) => {
      expect(asking().verdict({ kind: 'gone', why }).types()).toContain('claim');
    },
  );

  it('takes no answer for an answer, and with the claim waits no longer than for a claim alone', () => {
    const machine = asking();
    machine.expire();
    expect(machine.nowMs).toBe(3030);
    expect(machine.find('claim')).toMatchObject({ claim: { expected: 40 } });
    machine.expire();
    expect(machine.nowMs).toBe(3050);
    expect(machine.vr.lastReason).toBe('log_unreachable');
    expect(machine.vr.phase).toMatchObject({ withoutLog: true, unansweredTerm: 5, prompt: { atMs: 3000 } });
  });

  it('leaves the claim a part of the time, however long a challenge may take', () => {
    const machine = asking({ challengeTimeoutMs: 5000, arbitrationTimeoutMs: 100 }).expire();
    expect(machine.nowMs).toBe(3060);
  });

  it('goes on without the log, as onLogLoss says, where the holder could not be asked', () => {
    const machine = asking().verdict({ kind: 'unasked' });
    expect(machine.vr.lastReason).toBe('log_unreachable');
    expect(machine.expire().find('saveTerm')).toMatchObject({ term: 5 });
    const holding = asking({ onLogLoss: 'hold' }).verdict({ kind: 'unasked' }).expire();
    expect(holding.phase).toBe('backup');
    expect(holding.effects).toEqual([]);
  });

  it('does so as well where the log is lost meanwhile', () => {
    const machine = asking().log(undefined, false);
    expect(machine.vr.phase).toMatchObject({ challenge: undefined, withoutLog: true, prompt: { atMs: 3000 } });
  });

  it('takes an advert for what it is, and an answer that comes later for nothing', () => {
    const machine = asking();
    const claim = machine.find('challenge')?.claim.id;
    machine.hears(200);
    expect(machine.vr.phase).toMatchObject({ challenge: undefined, silentSinceMs: 3000 });
    if (claim === undefined) throw new Error('no challenge');
    machine.give({ type: 'challengeAnswer', claim, verdict: { kind: 'gone', why: 'no_answer' }, atMs: 3020 });
    expect(machine.effects).toEqual([]);
  });

  it('claims at once, over the release, where the holder releases instead of answering', () => {
    const machine = asking().log(owned('r2', 4, 41, { released: true }));
    expect(machine.find('claim')).toMatchObject({ reason: 'master_released', claim: { expected: 41 } });
  });

  it('stays where another claims instead', () => {
    const machine = asking().log(owned('r3', 5, 41));
    expect(machine.vr.phase).toMatchObject({ name: 'backup', challenge: undefined });
    expect(machine.expire().nowMs).toBe(6000);
  });

  it('asks after those that are placed before it', () => {
    const machine = new Machine().log(held, true, { place: 2 }).expire();
    expect(machine.nowMs).toBe(3000 + 2 * claimStepMs);
  });

  it('never asks while the node is drained', () => {
    const machine = asking().give({ type: 'drain', drained: true, force: false, atMs: 3001 });
    expect(machine.vr.phase).toMatchObject({ challenge: undefined });
    expect(machine.vr.lastReason).toBe('drained');
    expect(machine.give({ type: 'tick', atMs: 99_000 }).effects).toEqual([]);
    expect(machine.give({ type: 'drain', drained: false, force: false, atMs: 99_001 }).vr.lastReason).toBe('undrained');
    expect(machine.give({ type: 'tick', atMs: 99_002 }).types()).toEqual(['challenge']);
  });
});

describe('nobody is asked', () => {
  it.each<[TakeoverCause, (machine: Machine) => Machine]>([
    ['master_resigned', (machine) => machine.hears(0)],
    ['master_resigned', (machine) => machine.hears(0, null)],
    ['master_released', (machine) => machine.log(owned('r2', 4, 41, { released: true }))],
    ['group_takes', (machine) => machine.give({ type: 'group', move: 'take', holdOff: false, atMs: 500 })],
  ])('where it is known: %s', (reason, happens) => {
    const machine = happens(new Machine().log(held));
    expect(machine.find('claim')).toMatchObject({ reason });
    expect(machine.find('challenge')).toBeUndefined();
  });

  it('but where a third node resigns, which the log does not name', () => {
    const machine = new Machine().log(held).hears(200).hears(0, 'r3');
    expect(machine.find('challenge')).toMatchObject({ holder: 'r2' });
    machine.verdict({ kind: 'serves' });
    expect(machine.effects).toEqual([]);
    expect(machine.vr.lastReason).not.toBe('advert_path_lost');
  });
});

describe('a holder that serves though its adverts are lost', () => {
  it('is left alone, told of once, and asked again after each further silence', () => {
    const machine = asking().verdict({ kind: 'serves' });
    expect(machine.effects).toEqual([{ type: 'advertPath', peer: 'r2', lost: true, durationMs: 3000 }]);
    expect(machine.vr.lastReason).toBe('advert_path_lost');
    machine.expire();
    expect(machine.nowMs).toBe(6000);
    expect(machine.types()).toEqual(['challenge']);
    expect(machine.verdict({ kind: 'serves' }).effects).toEqual([]);
    machine.hears(200, 'r2', 500);
    expect(machine.effects).toEqual([{ type: 'advertPath', peer: 'r2', lost: false, durationMs: 6500 }]);
    expect(machine.vr.lastReason).toBe('master_heard');
    expect(machine.hears(200, 'r2', 500).effects).toEqual([]);
  });

  it('proves it by the frame that comes over the LAN', () => {
    const probed = asking().give({ type: 'holderProbe', from: nodeId('r2'), atMs: 3002 });
    expect(probed.types()).toEqual(['advertPath']);
    const foreign = asking().give({ type: 'holderProbe', from: nodeId('r3'), atMs: 3002 });
    expect(foreign.effects).toEqual([]);
    expect(new Machine().log(held).give({ type: 'holderProbe', from: nodeId('r2'), atMs: 1 }).effects).toEqual([]);
  });

  it('is not asked more often than makes sense, however short the interval', () => {
    const election = { protocol: 'vrrp3', priority: 100, advertIntervalMs: 10 } as const;
    const machine = asking({ election }).verdict({ kind: 'serves' });
    const atMs = machine.nowMs;
    machine.expire();
    expect(machine.nowMs).toBe(atMs + challengeAgainMs);
  });

  it('is taken over from under onPathSplit take, which says so', () => {
    const machine = hearing({ onPathSplit: 'take' }).verdict({ kind: 'serves' });
    expect(machine.types()).toEqual(['advertPath', 'claim', 'saveTerm', 'transition']);
    expect(machine.find('claim')).toMatchObject({ reason: 'advert_path_lost', claim: { expected: 40 } });
    expect(machine.find('transition')).toMatchObject({ reason: 'advert_path_lost' });
    machine.stored(41).give({ type: 'attached', atMs: 3010 });
    expect(machine.find('advertPath')).toMatchObject({ lost: false });
  });

  it('is no concern any more once it has released, or another holds', () => {
    for (const next of [owned('r2', 4, 41, { released: true }), owned('r3', 5, 41)]) {
      const machine = asking().verdict({ kind: 'serves' });
      machine.nowMs += 100;
      machine.log(next);
      expect(machine.find('advertPath')).toEqual({ type: 'advertPath', peer: 'r2', lost: false, durationMs: 3100 });
      expect(machine.vr.pathLost).toBeUndefined();
    }
  });
});

describe('an owner without the log’s word, when the log is back', () => {
  const back = (over: Partial<VrParameters> = {}): Machine =>
    new Machine(over).log(held).log(undefined, false).serveProvisional().log(held);

  it('asks the recorded holder like a backup that lost the adverts, and claims where that one is gone', () => {
    const machine = back();
    expect(machine.effects).toMatchObject([{ type: 'challenge', holder: 'r2', claim: { expected: 40 } }]);
    machine.verdict({ kind: 'gone', why: 'no_answer' });
    expect(machine.find('claim')).toMatchObject({ term: 5, claim: { expected: 40 } });
    machine.stored(41);
    expect(machine.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' } });
  });

  it('takes no answer for an answer', () => {
    const machine = back();
    const askedAtMs = machine.nowMs;
    machine.expire();
    expect(machine.nowMs).toBe(askedAtMs + base.challengeTimeoutMs);
    expect(machine.find('claim')).toBeDefined();
  });

  it('detaches where that one serves, unless it may take', () => {
    const machine = back().verdict({ kind: 'serves' });
    expect(machine.types()).toEqual(['detach', 'transition']);
    expect(machine.vr.lastReason).toBe('log_prefers_other');
    expect(back({ onPathSplit: 'take' }).verdict({ kind: 'serves' }).types()).toEqual(['claim']);
  });

  it('asks again when the log comes back again', () => {
    const machine = back().verdict({ kind: 'unasked' }).log(undefined, false).log(held);
    expect(machine.types()).toEqual(['challenge']);
  });

  it('asks nobody where nothing is held, or its own claim is there after all', () => {
    const released = new Machine().log(held).log(undefined, false).serveProvisional();
    released.log(owned('r2', 4, 41, { released: true }));
    expect(released.find('claim')).toMatchObject({ claim: { expected: 41 } });
    const stored = new Machine().log(held).expire().expire().expire();
    expect(stored.expire().find('saveTerm')).toMatchObject({ term: 5 });
    stored.give({ type: 'termSaved', term: stored.vr.highestTerm, atMs: stored.nowMs });
    stored.give({ type: 'attached', atMs: stored.nowMs }).log(owned('r1', 5, 41));
    expect(stored.vr.phase).toMatchObject({ name: 'master', standing: { kind: 'logged' }, challenge: undefined });
    expect(stored.effects).toEqual([]);
  });

  it('ends what it held in the log where its late claim is stored while it lets go', () => {
    const machine = back();
    machine.verdict({ kind: 'gone', why: 'no_answer' });
    const claim = machine.find('claim');
    if (claim === undefined) throw new Error('no claim');
    machine.notice(4, true, 4);
    expect(machine.phase).toBe('releasing');
    const answer = { kind: 'stored', sequence: sequence(41) } as const;
    machine.give({ type: 'claimAnswer', claim: claim.claim.id, term: claim.term, answer, atMs: machine.nowMs });
    machine.give({ type: 'detached', atMs: machine.nowMs });
    expect(machine.find('released')).toMatchObject({ term: 5 });
  });
});

describe('a challenger that looks at its own LAN', () => {
  const lanDown = { kind: 'gone', why: 'lan_down' } as const;

  it('whom nobody answers takes a holder without a LAN for one that serves, and asks again', () => {
    const machine = asking().verdict(lanDown, false);
    expect(machine.types()).toEqual(['advertPath']);
    expect(machine.phase).toBe('backup');
    expect(machine.expire().types()).toEqual(['challenge']);
    expect(machine.verdict(lanDown, true).types()).toContain('claim');
  });

  it.each(['lease_expired', 'no_answer', 'not_serving'] as const)('claims without a look where it is %s', (why) => {
    expect(asking().verdict({ kind: 'gone', why }, 'unseen').types()).toContain('claim');
    expect(asking().verdict({ kind: 'gone', why }, false).types()).toContain('claim');
  });

  it('waits for what it sees, as long as it waits for an answer', () => {
    const machine = asking().verdict(lanDown, 'unseen');
    expect(machine.effects).toEqual([]);
    expect(machine.looked(true).types()).toContain('claim');
    const blind = asking().verdict(lanDown, 'unseen').expire();
    expect(blind.nowMs).toBe(3030);
    expect(blind.types()).toEqual(['advertPath']);
  });

  it('takes from one that serves only where the LAN carries, also after its frame was seen', () => {
    expect(hearing({ onPathSplit: 'take' }).verdict({ kind: 'serves' }, false).types()).toEqual(['advertPath']);
    const probed = hearing({ onPathSplit: 'take' });
    probed.give({ type: 'holderProbe', from: nodeId('r2'), atMs: probed.nowMs });
    expect(probed.effects).toEqual([]);
    expect(probed.looked(true).types()).toContain('claim');
  });

  it('takes from nobody whose adverts it has never heard: who lost the address over that path would take it back', () => {
    expect(asking({ onPathSplit: 'take' }).verdict({ kind: 'serves' }).types()).toEqual(['advertPath']);
    const other = hearing({ onPathSplit: 'take' })
      .log(owned('r3', 5, 41))
      .expire();
    expect(other.find('challenge')).toMatchObject({ holder: 'r3' });
    expect(other.verdict({ kind: 'serves' }).types()).toEqual(['advertPath']);
  });

  it('is a master without the log’s word that leaves the address to the recorded holder where nobody answers it', () => {
    const back = (over: Partial<VrParameters> = {}): Machine =>
      new Machine(over).log(held).log(undefined, false).serveProvisional().log(held);
    expect(back().verdict(lanDown, false).types()).toContain('detach');
    expect(back().verdict(lanDown).types()).toEqual(['claim']);
    expect(back({ onPathSplit: 'take' }).verdict({ kind: 'serves' }, false).types()).toContain('detach');
  });
});
