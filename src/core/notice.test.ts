import { describe, expect, it } from 'vitest';
import { base, Machine, owned } from '../../test/core/machine.js';
import { bootId, nodeId, term } from './identity.js';
import { answerLimitMs, highestLoggedTerm, noticeWaitMs, standoffMs } from './notice.js';
import type { Ownership } from './ownership.js';
import { createVr, dueAtMs, step } from './vr-machine.js';
import type { Effect, HeardAdvert, HeardNotice, Input, Vr, VrParameters } from './vr-state.js';

const held = owned('r2', 4, 40);

/** Holds term 5 by the log's word. */
const loggedMaster = (over: Partial<VrParameters> = {}): Machine => new Machine(over).log(held).serveLogged(41);
const strictMaster = (): Machine => new Machine({ arbitration: 'strict' }).lease(60_000).log(held).serveLogged(41);
/** Holds term 5, and the log is away. */
const provisionalMaster = (): Machine => new Machine().log(held).log(undefined, false).serveProvisional();

describe('a master that hears another of its cluster', () => {
  it('says at once what it holds, whatever the priorities, and at most every 100 ms to each', () => {
    const machine = loggedMaster().hears(200);
    expect(machine.types()).toEqual(['advert', 'notice', 'announce', 'splitBrain']);
    expect(machine.find('notice')).toEqual({ type: 'notice', termHeld: 5, logged: true, highestLoggedTerm: 5 });
    expect(machine.hears(200, 'r2', answerLimitMs - 1).effects).toEqual([]);
    expect(machine.hears(50, 'r3').types()).toContain('notice');
    expect(machine.hears(200, 'r2', 1).types()).toContain('notice');
    expect(machine.phase).toBe('master');
  });

  it('says so when it holds without the log', () => {
    expect(provisionalMaster().hears(50).find('notice')).toMatchObject({
      termHeld: 5,
      logged: false,
      highestLoggedTerm: 4,
    });
  });

  it('goes by the protocol with a stranger, and in mode wire with everybody', () => {
    const better = loggedMaster().hears(200, null);
    expect(better.types()).toEqual(['advert', 'notice', 'splitBrain']);
    const heardAtMs = better.nowMs;
    expect(better.hears(200, null, noticeWaitMs - 1).effects).toEqual([]);
    expect(better.expire().types()).toContain('detach');
    expect(better.nowMs).toBe(heardAtMs + noticeWaitMs);
    const worse = loggedMaster().hears(50, null);
    expect(worse.types()).toEqual(['advert', 'notice', 'announce', 'splitBrain']);
    expect(worse.hears(50, null, 10).types()).toEqual(['advert', 'announce']);
    expect(worse.hears(50, null, answerLimitMs).types()).toEqual(['advert', 'notice', 'announce']);
    const wire = new Machine({ arbitration: 'wire' }).serveProvisional();
    expect(wire.hears(50).types()).toEqual(['advert', 'announce', 'splitBrain']);
    expect(wire.notice(9, true, 9).effects).toEqual([]);
    expect(wire.hears(200).types()).toContain('detach');
  });
});

describe('a notice', () => {
  it('deposes a holder whose logged term is below a highest logged one, whoever has that', () => {
    for (const machine of [
      loggedMaster().notice(6, true, 6),
      loggedMaster().notice(3, false, 6),
      loggedMaster().notice(6, true, 4),
    ]) {
      expect(machine.types()).toEqual(['detach', 'transition']);
      expect(machine.vr.lastReason).toBe('higher_term');
      expect(machine.give({ type: 'detached', atMs: machine.nowMs }).find('advert')).toBeUndefined();
    }
  });

  it('leaves a holder alone that is not superseded, for as long as the other answers', () => {
    const machine = loggedMaster();
    for (let n = 0; n < 100; n += 1) {
      machine.hears(200, 'r2', 100).notice(9, false, 4);
      expect(machine.phase).toBe('master');
    }
  });

  it('deposes one without the log’s word before one that has it', () => {
    const machine = provisionalMaster().hears(50).notice(4, true, 4);
    expect(machine.types()).toEqual(['detach', 'transition', 'splitBrain']);
    expect(machine.vr.lastReason).toBe('log_prefers_other');
  });

  it('but not before one that is superseded itself', () => {
    const machine = provisionalMaster().hears(50).notice(4, true, 6);
    expect(machine.phase).toBe('master');
    expect(machine.vr.highestTerm).toBe(6);
  });

  it('remembers what others know of the log until the log speaks itself', () => {
    const machine = provisionalMaster().notice(4, true, 8);
    expect(highestLoggedTerm(machine.vr)).toBe(8);
    machine.log(held, true, { highestLoggedTerm: term(4) });
    expect(highestLoggedTerm(machine.vr)).toBe(4);
  });

  it('leaves two without the log’s word to the protocol’s rule', () => {
    const worse = provisionalMaster().hears(200).notice(6, false, 4);
    expect(worse.vr.lastReason).toBe('better_advert');
    const better = provisionalMaster().hears(50).notice(6, false, 4);
    expect(better.phase).toBe('master');
    const before = provisionalMaster().notice(6, false, 4);
    expect(before.phase).toBe('master');
    expect(before.hears(200).types()).toContain('detach');
  });

  it('again, from one without the log’s word whose adverts cannot be taken, is from one that stays', () => {
    const machine = provisionalMaster().notice(6, false, 4);
    machine.nowMs += noticeWaitMs - 1;
    expect(machine.notice(6, false, 4).phase).toBe('master');
    machine.nowMs += 1000;
    expect(machine.notice(6, false, 4).vr.lastReason).toBe('better_advert');
    const hearing = provisionalMaster().notice(6, false, 4).hears(50);
    hearing.nowMs += 1000;
    expect(hearing.notice(6, false, 4).phase).toBe('master');
    const named = loggedMaster().notice(4, false, 4);
    named.nowMs += 1000;
    expect(named.notice(4, false, 4).phase).toBe('master');
  });

  it('from one that is superseded is answered, for its adverts may not be taken here; at most every 100 ms', () => {
    const own = { type: 'notice', termHeld: 5, logged: true, highestLoggedTerm: 5 };
    for (const machine of [loggedMaster().notice(6, false, 4), loggedMaster().notice(4, true, 4)]) {
      expect(machine.effects).toEqual([own]);
      machine.nowMs += answerLimitMs - 1;
      expect(machine.notice(6, false, 4).effects).toEqual([]);
      machine.nowMs += 1;
      expect(machine.notice(6, false, 4).effects).toEqual([own]);
    }
    const informed = provisionalMaster().notice(3, true, 3);
    expect(informed.find('notice')).toEqual({ ...own, logged: false, highestLoggedTerm: 4 });
    expect(provisionalMaster().notice(6, false, 4).effects).toEqual([]);
  });

  it('reaches one that attaches', () => {
    const machine = new Machine().log(held).log(undefined, false).expire();
    machine.give({ type: 'termSaved', term: machine.vr.highestTerm, atMs: machine.nowMs });
    expect(machine.phase).toBe('attaching');
    expect(machine.notice(6, false, 4).phase).toBe('attaching');
    expect(machine.notice(4, true, 4).types()).toContain('detach');
  });

  it('does not depose who lingers in a handover before the other one serves', () => {
    const machine = loggedMaster().give({ type: 'handOver', to: nodeId('r2'), stops: false, atMs: 3100 });
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: 3100 });
    expect(machine.notice(4, true, 6, 'r3').phase).toBe('handing');
    expect(machine.notice(6, true, 6).phase).toBe('handing');
    expect(machine.expire().vr.lastReason).toBe('handed_over');
  });

  it('of a third node that is below both is answered by who lingers: the target may not serve yet', () => {
    const machine = loggedMaster().give({ type: 'handOver', to: nodeId('r2'), stops: false, atMs: 3100 });
    machine.give({ type: 'peerReady', from: nodeId('r2'), ready: true, atMs: 3100 });
    expect(machine.notice(4, true, 4, 'r3').effects).toEqual([
      { type: 'notice', termHeld: 5, logged: true, highestLoggedTerm: 5 },
    ]);
    expect(machine.phase).toBe('handing');
  });

  it('deposes who lingers where a third node is past both', () => {
    const machine = loggedMaster().give({ type: 'handOver', to: nodeId('r2'), stops: false, atMs: 3100 });
    expect(machine.notice(7, true, 7, 'r3').vr.lastReason).toBe('higher_term');
  });
});

describe('a node of the cluster that the log has not heard of yet', () => {
  it('does not drive out the holder by its priority: its notice decides', () => {
    for (const strict of [false, true]) {
      const machine = strict ? strictMaster() : loggedMaster();
      machine.hears(200, null).notice(6, false, 4);
      expect(machine.phase).toBe('master');
      for (let n = 0; n < 5; n += 1) expect(machine.hears(200, null, 20).phase).toBe('master');
      expect(machine.expire().phase).toBe('master');
    }
  });

  it('drives it out where it holds a higher logged term', () => {
    expect(loggedMaster().hears(200, null).notice(6, true, 6).vr.lastReason).toBe('higher_term');
    expect(loggedMaster().hears(50, null).notice(6, true, 6).vr.lastReason).toBe('higher_term');
  });

  it('is obeyed at once by whoever has not the log’s word either, and is told by it what it holds', () => {
    expect(provisionalMaster().hears(200, null).vr.lastReason).toBe('better_advert');
    expect(provisionalMaster().hears(50, null).types()).toEqual(['advert', 'notice', 'announce', 'splitBrain']);
    expect(provisionalMaster().hears(50, null).notice(4, true, 4).vr.lastReason).toBe('log_prefers_other');
  });

  it('is a peer like any other once the log names it', () => {
    const machine = loggedMaster()
      .hears(200, null)
      .hears(200, 'r2', noticeWaitMs + 1);
    expect(machine.phase).toBe('master');
    expect(machine.vr.phase).toMatchObject({ contests: [{ peer: 'r2' }] });
  });

  it('fills no memory, however many addresses are made up', () => {
    const machine = loggedMaster();
    for (let n = 0; n < 200; n += 1) {
      const candidacy = { kind: 'vrrp', priority: 1, intervalMs: 1000 } as const;
      const advert: HeardAdvert = { source: `10.0.1.${n}`, sourceOrder: 1, candidacy, node: undefined };
      machine.give({ type: 'advert', advert, atMs: machine.nowMs });
    }
    const { phase } = machine.vr;
    expect(phase.name === 'master' && phase.contests.length).toBe(16);
  });
});

describe('where no notice comes', () => {
  it('the protocol’s rule decides after a while without the log', () => {
    const machine = loggedMaster().log(undefined, false).hears(200);
    expect(machine.phase).toBe('master');
    const heardAtMs = machine.nowMs;
    machine.expire();
    expect(machine.nowMs).toBe(heardAtMs + noticeWaitMs);
    expect(machine.vr.lastReason).toBe('better_advert');
  });

  it('it decides after a longer one even against the one that the log names, but not before', () => {
    const machine = loggedMaster();
    const firstAtMs = machine.nowMs + 1000;
    while (machine.phase === 'master' && machine.nowMs < 60_000) machine.hears(200, 'r2', 1000);
    expect(machine.nowMs).toBe(firstAtMs + standoffMs);
    expect(machine.vr.lastReason).toBe('better_advert');
  });

  it('and never in favour of one that is not heard any more', () => {
    const machine = loggedMaster().hears(200);
    for (let n = 0; n < 10; n += 1) machine.expire();
    machine.log(undefined, false);
    for (let n = 0; n < 10; n += 1) machine.expire();
    expect(machine.phase).toBe('master');
  });
});

describe('who was handed the virtual router', () => {
  const handed = (over: Partial<Ownership> = {}): Ownership => owned('r1', 5, 41, { handedBy: nodeId('r2'), ...over });
  const taken = (ownership: Ownership): Machine => {
    const machine = new Machine().log(held).log(ownership);
    return machine.give({ type: 'attached', atMs: machine.nowMs });
  };

  it.each([
    ['its boot is not the one that the giver knew', taken(handed({ boot: bootId('b0') }))],
    ['the log went away since', taken(handed()).log(handed(), false)],
  ])('does not give way to the last adverts of who lingers, though %s', (_, machine) => {
    machine.hears(200).hears(200, 'r2', 10);
    for (let n = 0; n < 10; n += 1) machine.expire();
    expect(machine.phase).toBe('master');
  });

  it('gives way as one that the log names does, where the giver stays', () => {
    const machine = taken(handed({ boot: bootId('b0') }));
    const firstAtMs = machine.nowMs;
    machine.hears(200);
    while (machine.phase === 'master' && machine.nowMs < 60_000) machine.hears(200, 'r2', 1000);
    expect(machine.nowMs).toBe(firstAtMs + standoffMs);
  });

  it('has no such patience with a third node, nor with the giver when that one is long gone', () => {
    for (const [node, afterMs] of [
      ['r3', 0],
      ['r2', 20_000],
    ] as const) {
      const machine = taken(handed({ boot: bootId('b0') })).hears(200, node, afterMs);
      machine.expire();
      expect(machine.vr.lastReason).toBe('better_advert');
    }
  });
});

/** Two masters that hear each other over a LAN of a millisecond, with or without notices, until one gives way. */
class Meeting {
  nowMs: number;
  readonly vrs: [Vr, Vr];
  readonly sent: string[] = [];
  #queue: { readonly atMs: number; readonly to: 0 | 1; readonly input: (atMs: number) => Input }[] = [];

  constructor(
    first: Vr,
    second: Vr,
    readonly hasKey: boolean,
    atMs: number,
  ) {
    this.vrs = [first, second];
    this.nowMs = atMs;
  }

  get masters(): number[] {
    return [0, 1].filter((index) => this.vrs[index]?.phase.name === 'master');
  }

  /** Runs for so long, or until one has given way; how long it took. */
  run(forMs: number): number {
    const sinceMs = this.nowMs;
    while (this.masters.length > 1 && this.nowMs < sinceMs + forMs) {
      const ticks = this.vrs.map((vr) => dueAtMs(vr) ?? Infinity);
      this.nowMs = Math.max(this.nowMs, Math.min(...ticks, ...this.#queue.map(({ atMs }) => atMs)));
      const due = this.#queue.filter(({ atMs }) => atMs <= this.nowMs);
      this.#queue = this.#queue.filter(({ atMs }) => atMs > this.nowMs);
      for (const { to, input } of due) this.#give(to, input(this.nowMs));
      for (const index of [0, 1] as const) {
        if ((dueAtMs(this.vrs[index]) ?? Infinity) <= this.nowMs) this.#give(index, { type: 'tick', atMs: this.nowMs });
      }
    }
    return this.nowMs - sinceMs;
  }

  #give(index: 0 | 1, input: Input): void {
    const { vr, effects } = step(this.vrs[index], input);
    this.vrs[index] = vr;
    for (const effect of effects) this.#carry(index, effect);
  }

  #carry(index: 0 | 1, effect: Effect): void {
    const node = nodeId(`r${index + 1}`);
    const to = index === 0 ? 1 : 0;
    const later = (input: (atMs: number) => Input): void => void this.#queue.push({ atMs: this.nowMs + 1, to, input });
    if (effect.type === 'advert' || effect.type === 'notice') this.sent.push(effect.type);
    if (effect.type === 'advert') {
      const { candidacy } = effect;
      const advert: HeardAdvert = { source: node, sourceOrder: index === 0 ? -1 : 1, candidacy, node };
      later((atMs) => ({ type: 'advert', advert, atMs }));
    }
    if (effect.type === 'notice' && this.hasKey) {
      const { type: _, ...said } = effect;
      const notice: HeardNotice = { node, source: node, ...said };
      later((atMs) => ({ type: 'notice', notice, atMs }));
    }
  }
}

type Kind = 'logged 4' | 'logged 5' | 'provisional';

/** A master with that ownership and priority that cannot reach the log. */
function masterWith(node: 'r1' | 'r2', kind: Kind, priority: number, namedByLog = false): Vr {
  const election = { protocol: 'vrrp3', priority, advertIntervalMs: 1000 } as const;
  const vr = createVr({ ...base, node: nodeId(node), boot: bootId('b1'), election });
  const logged = kind !== 'provisional';
  const own = owned('r1', kind === 'logged 5' ? 5 : 4, 40, { owner: nodeId(node), boot: bootId('b1') });
  return {
    ...vr,
    highestTerm: term(6),
    logSeen: true,
    logLostAtMs: 0,
    log: {
      ...vr.log,
      reachable: namedByLog,
      ownership: logged ? own : owned('r3', 4, 40),
      highestLoggedTerm: logged ? own.term : term(4),
    },
    phase: {
      name: 'master',
      term: logged ? own.term : term(6),
      standing: logged ? { kind: 'logged' } : { kind: 'provisional', expected: own.sequence },
      advertAtMs: 1000,
      confirming: undefined,
      challenge: undefined,
      contests: [],
    },
  };
}

describe('two masters that hear each other', () => {
  const kinds: readonly Kind[] = ['logged 4', 'logged 5', 'provisional'];
  const rank = { provisional: 0, 'logged 4': 1, 'logged 5': 2 } as const;

  for (const first of kinds) {
    for (const second of kinds) {
      it(`${first} and ${second}: the right one is left within milliseconds, and both have fallen silent`, () => {
        for (const [own, other] of [
          [200, 100],
          [100, 200],
          [100, 100],
        ] as const) {
          const meeting = new Meeting(masterWith('r1', first, own), masterWith('r2', second, other), true, 1000);
          expect(meeting.run(10_000)).toBeLessThanOrEqual(10);
          const byPriority = own > other ? 0 : 1;
          const winner = rank[first] === rank[second] ? byPriority : rank[first] > rank[second] ? 0 : 1;
          expect(meeting.masters).toEqual([winner]);
        }
      });

      it(`${first} and ${second} without notices: the protocol’s rule`, () => {
        const meeting = new Meeting(masterWith('r1', first, 100), masterWith('r2', second, 200), false, 1000);
        expect(meeting.run(10_000)).toBeLessThanOrEqual(noticeWaitMs + 10);
        expect(meeting.masters).toEqual([1]);
      });
    }
  }

  it('of which the log names the worse one: no longer than the bound without notices', () => {
    const named = masterWith('r1', 'logged 5', 100, true);
    const meeting = new Meeting(named, masterWith('r2', 'provisional', 200), false, 1000);
    expect(meeting.run(60_000)).toBeLessThanOrEqual(standoffMs + 1000);
    expect(meeting.masters).toHaveLength(1);
    const perSecond = meeting.sent.length / (meeting.nowMs / 1000 - 1);
    expect(perSecond).toBeLessThanOrEqual(60);
  });
});
