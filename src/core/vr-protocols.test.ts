import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidacy, type Election, rulesOf } from './election-rules.js';
import { bootId, claimId, nodeId, sequence, term } from './identity.js';
import { emptyLogView } from './ownership.js';
import { createVr, dueAtMs, step } from './vr-machine.js';
import { type Effect, type HeardAdvert, type Input, stateName, type Vr, type VrParameters } from './vr-state.js';

/* The virtual-router machine under the rules of each protocol. */

const protocols = ['vrrp2', 'vrrp3', 'openbsd', 'freebsd'] as const;
type Protocol = (typeof protocols)[number];

/** The middle one of three routers: there are better and worse ones. */
function electionOf(protocol: Protocol, rank: 'best' | 'middle' | 'worst' = 'middle'): Election {
  if (protocol === 'vrrp2' || protocol === 'vrrp3') {
    return { protocol, priority: { best: 200, middle: 100, worst: 50 }[rank], advertIntervalMs: 1000 };
  }
  const advskew = { best: 0, middle: 50, worst: 100 }[rank];
  return { protocol: 'carp', flavor: protocol, advbase: 1, advskew, demotion: 0 };
}

const parametersOf = (election: Election, over: Partial<VrParameters> = {}): VrParameters => ({
  node: nodeId('r1'),
  boot: bootId('boot-r1'),
  election,
  preempt: { enabled: true, delayMs: 0 },
  startDelayMs: 0,
  arbitration: 'wire',
  onLogLoss: 'wire',
  onPathSplit: 'hold',
  arbitrationTimeoutMs: 50,
  challengeTimeoutMs: 30,
  leaseMs: 4000,
  ...over,
});

/** Everything an advert of another router can be to this one. */
const kinds = ['resigned', 'failing', 'worse', 'tie, yielding', 'tie, staying', 'better'] as const;
type Kind = (typeof kinds)[number];

function candidacyOf(protocol: Protocol, kind: Kind): Candidacy {
  const own = rulesOf(electionOf(protocol));
  switch (kind) {
    case 'resigned':
      return own.farewell;
    case 'worse':
      return rulesOf(electionOf(protocol, 'worst')).candidacy;
    case 'better':
      return rulesOf(electionOf(protocol, 'best')).candidacy;
    case 'failing':
      // VRRP knows no such thing: priority 1 is the worst there is.
      if (protocol === 'openbsd') return { kind: 'carp', advbase: 1, advskew: 0, demote: 3 };
      return protocol === 'freebsd'
        ? { kind: 'carp', advbase: 4, advskew: 0, demote: 0 }
        : { kind: 'vrrp', priority: 1, intervalMs: 1000 };
    default:
      return own.candidacy;
  }
}

/** VRRP's equal gives way to the higher address, CARP's to the lower. */
function sourceOrderOf(protocol: Protocol, kind: Kind): -1 | 1 {
  const yieldsTo = protocol === 'vrrp2' || protocol === 'vrrp3' ? 1 : -1;
  return kind === 'tie, yielding' ? yieldsTo : yieldsTo === 1 ? -1 : 1;
}

const advertInput = (protocol: Protocol, kind: Kind, atMs: number): Input => ({
  type: 'advert',
  advert: {
    source: '10.0.0.2',
    sourceOrder: sourceOrderOf(protocol, kind),
    candidacy: candidacyOf(protocol, kind),
    node: undefined,
  },
  atMs,
});

const states = ['init', 'fault', 'backup', 'patient backup', 'claiming', 'attaching', 'master', 'releasing'] as const;
type State = (typeof states)[number];

/** A virtual router brought into a state, at 10 s. */
function inState(protocol: Protocol, state: State): Vr {
  const election = electionOf(protocol);
  const over: Partial<VrParameters> =
    state === 'patient backup'
      ? { preempt: { enabled: false, delayMs: 0 } }
      : state === 'claiming'
        ? { arbitration: 'log' }
        : {};
  let vr = createVr(parametersOf(election, over));
  const give = (input: Input): void => {
    vr = step(vr, input).vr;
  };
  if (state === 'init') return vr;
  if (state === 'fault') {
    give({ type: 'parent', fault: 'carrier_lost', atMs: 0 });
    return vr;
  }
  give({ type: 'parent', fault: undefined, atMs: 10_000 });
  if (state === 'backup' || state === 'patient backup') return vr;
  if (state === 'claiming') {
    const view = { ...emptyLogView, reachable: true };
    give({ type: 'log', view, atMs: 10_000 });
  }
  give({ type: 'tick', atMs: dueAtMs(vr) ?? Number.NaN });
  if (state === 'claiming' || state === 'attaching') return vr;
  give({ type: 'attached', atMs: 14_000 });
  if (state === 'releasing') give({ type: 'overslept', atMs: 14_000 });
  return vr;
}

/** What a step did, in a word. */
function outcome(before: Vr, input: Input): string {
  const { vr, effects } = step(before, input);
  const types = effects.map(({ type }) => type).filter((type) => type !== 'transition');
  if (types.length > 0) return types.join('+');
  const timer = (of: Vr): number | undefined => (of.phase.name === 'backup' ? dueAtMs(of) : undefined);
  const [was, is] = [timer(before), timer(vr)];
  if (was === undefined || is === undefined || was === is) return 'nothing';
  return is > was ? 'follows' : 'waits less';
}

type Row = Readonly<Record<Kind, string>>;
const all = (word: string): Row => Object.fromEntries(kinds.map((kind) => [kind, word])) as Row;
const follows: Row = all('follows');
const ofMaster: Row = {
  resigned: 'advert',
  failing: 'advert+announce+splitBrain',
  worse: 'advert+announce+splitBrain',
  'tie, yielding': 'detach',
  'tie, staying': 'advert+announce+splitBrain',
  better: 'detach',
};
const ofAttaching: Row = { ...all('nothing'), 'tie, yielding': 'detach', better: 'detach' };

/** RFC 9568 §6.4.2 and §6.4.3, RFC 3768 §6.4. */
const vrrpTable: Readonly<Record<State, Row>> = {
  init: all('nothing'),
  fault: all('nothing'),
  backup: { ...follows, resigned: 'waits less', failing: 'nothing', worse: 'nothing' },
  'patient backup': { ...follows, resigned: 'waits less' },
  claiming: all('nothing'),
  attaching: ofAttaching,
  master: ofMaster,
  releasing: all('nothing'),
};

/** `carp_proto_input_c` of both BSDs, but for the tie, where both would give way. */
const carpTable: Readonly<Record<State, Row>> = {
  ...vrrpTable,
  backup: { ...follows, resigned: 'attach', failing: 'attach', worse: 'attach' },
  'patient backup': { ...follows, resigned: 'attach', failing: 'attach' },
};

describe.each(protocols)('%s: every state with every advert', (protocol) => {
  const table = protocol === 'vrrp2' || protocol === 'vrrp3' ? vrrpTable : carpTable;

  it.each(states)('%s', (state) => {
    const before = inState(protocol, state);
    // In backup 14 s is past the timer: there the advert comes a second after the start.
    const atMs = state.endsWith('backup') ? 11_000 : 14_000;
    const seen = Object.fromEntries(kinds.map((kind) => [kind, outcome(before, advertInput(protocol, kind, atMs))]));
    expect(seen).toEqual(table[state]);
  });
});

describe.each(protocols)('%s: every state with every other input', (protocol) => {
  const others: readonly Input[] = [
    { type: 'parent', fault: undefined, atMs: 20_000 },
    { type: 'parent', fault: 'carrier_lost', atMs: 20_000 },
    { type: 'tick', atMs: 20_000 },
    { type: 'attached', atMs: 20_000 },
    { type: 'attachFailed', atMs: 20_000 },
    { type: 'detached', atMs: 20_000 },
    { type: 'termSaved', term: term(1), atMs: 20_000 },
    { type: 'overslept', atMs: 20_000 },
    { type: 'interference', atMs: 20_000 },
    { type: 'shutdown', atMs: 20_000 },
    {
      type: 'log',
      view: {
        ...emptyLogView,
        reachable: true,
        ownership: {
          owner: nodeId('r2'),
          boot: bootId('boot-r2'),
          term: term(9),
          claim: claimId('boot-r2.1'),
          sequence: sequence(90),
          released: false,
          handedBy: undefined,
        },
        place: 0,
        successor: undefined,
      },
      atMs: 20_000,
    },
  ];
  const adverts = kinds.map((kind) => advertInput(protocol, kind, 20_000));

  /** What no step may do, in no protocol. */
  function judge(before: Vr, input: Input): Vr {
    const { vr, effects } = step(before, input);
    const types = effects.map(({ type }) => type);
    const { farewell, candidacy } = rulesOf(electionOf(protocol));
    for (const effect of effects) {
      if (effect.type !== 'advert') continue;
      const isFarewell = JSON.stringify(effect.candidacy) === JSON.stringify(farewell);
      if (isFarewell) expect(input.type).toBe('detached');
      else {
        expect(effect.candidacy).toEqual(candidacy);
        expect(vr.phase.name).toBe('master');
      }
    }
    if (types.includes('announce')) expect(vr.phase.name).toBe('master');
    if (types.includes('attach')) expect(vr.phase.name).toBe('attaching');
    if (before.phase.name === 'master' && vr.phase.name !== 'master') expect(types).toContain('detach');
    if (stateName(before.phase) !== stateName(vr.phase)) expect(types).toContain('transition');
    const due = dueAtMs(vr);
    if (due !== undefined) expect(Number.isFinite(due)).toBe(true);
    return vr;
  }

  it('keeps to what holds in all protocols', () => {
    for (const state of states) for (const input of [...others, ...adverts]) judge(inState(protocol, state), input);
  });

  it('and does so in any order', () => {
    const inputs = [...others, ...adverts];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(inputs.length - 1), fc.integer({ min: 0, max: 4000 })), { maxLength: 60 }),
        fc.constantFrom('wire' as const, 'log' as const),
        (moves, arbitration) => {
          let vr = createVr(parametersOf(electionOf(protocol), { arbitration }));
          let atMs = 0;
          for (const [pick, afterMs] of moves) {
            atMs += afterMs;
            const input = inputs[pick];
            if (input !== undefined) vr = judge(vr, { ...input, atMs });
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

/** Two routers on one wire, driven by their own deadlines; attaching and detaching take a millisecond. */
class Pair {
  nowMs = 0;
  readonly vrs: Vr[];
  readonly isUp = [true, true];
  isCut = false;
  #queue: { readonly atMs: number; readonly to: number; readonly input: (atMs: number) => Input }[] = [];

  constructor(elections: readonly [Election, Election]) {
    this.vrs = elections.map((election, index) =>
      createVr(parametersOf(election, { node: nodeId(`r${index + 1}`), boot: bootId(`boot-r${index + 1}`) })),
    );
    for (const index of [0, 1]) this.give(index, { type: 'parent', fault: undefined, atMs: 0 });
  }

  get masters(): number[] {
    return [0, 1].filter((index) => this.isUp[index] === true && this.vrs[index]?.phase.name === 'master');
  }

  give(index: number, input: Input): void {
    const before = this.vrs[index];
    if (before === undefined || this.isUp[index] !== true) return;
    const { vr, effects } = step(before, input);
    this.vrs[index] = vr;
    for (const effect of effects) this.#carryOut(index, effect, input.atMs);
  }

  run(untilMs: number): void {
    while (this.nowMs < untilMs) {
      const ticks = this.vrs.map((vr, index) => (this.isUp[index] === true ? (dueAtMs(vr) ?? Infinity) : Infinity));
      const next = Math.min(...ticks, ...this.#queue.map(({ atMs }) => atMs), untilMs);
      this.nowMs = Math.max(this.nowMs, next);
      const due = this.#queue.filter(({ atMs }) => atMs <= this.nowMs);
      this.#queue = this.#queue.filter(({ atMs }) => atMs > this.nowMs);
      for (const { to, input } of due) this.give(to, input(this.nowMs));
      for (const index of [0, 1]) {
        const vr = this.vrs[index];
        const dueMs = vr === undefined ? undefined : dueAtMs(vr);
        if (dueMs !== undefined && dueMs <= this.nowMs) this.give(index, { type: 'tick', atMs: this.nowMs });
      }
    }
  }

  #carryOut(index: number, effect: Effect, atMs: number): void {
    const later = (to: number, input: (atMs: number) => Input): void => {
      this.#queue.push({ atMs: atMs + 1, to, input });
    };
    if (effect.type === 'attach') later(index, (at) => ({ type: 'attached', atMs: at }));
    if (effect.type === 'detach') later(index, (at) => ({ type: 'detached', atMs: at }));
    if (effect.type !== 'advert' || this.isCut) return;
    const { candidacy } = effect;
    const sourceOrder = index === 0 ? -1 : 1;
    const advert: HeardAdvert = { source: `10.0.0.${index + 1}`, candidacy, node: undefined, sourceOrder };
    later(1 - index, (at) => ({ type: 'advert', advert, atMs: at }));
  }
}

describe.each(protocols)('%s: two routers', (protocol) => {
  it('elect the better, fail over, preempt, heal a split, and follow a resignation', () => {
    const pair = new Pair([electionOf(protocol, 'best'), electionOf(protocol, 'worst')]);
    pair.run(10_000);
    expect(pair.masters).toEqual([0]);

    pair.isUp[0] = false;
    pair.run(20_000);
    expect(pair.masters).toEqual([1]);

    pair.isUp[0] = true;
    pair.give(0, { type: 'overslept', atMs: pair.nowMs });
    pair.give(0, { type: 'detached', atMs: pair.nowMs });
    pair.run(30_000);
    expect(pair.masters).toEqual([0]);

    pair.isCut = true;
    pair.run(40_000);
    expect(pair.masters).toEqual([0, 1]);
    pair.isCut = false;
    pair.run(pair.nowMs + 1500);
    expect(pair.masters).toEqual([0]);

    pair.give(0, { type: 'shutdown', atMs: pair.nowMs });
    pair.run(pair.nowMs + 1000);
    expect(pair.masters).toEqual([1]);
  });

  it('that are equal agree on one as well', () => {
    const pair = new Pair([electionOf(protocol), electionOf(protocol)]);
    pair.run(20_000);
    expect(pair.masters).toEqual([protocol === 'vrrp2' || protocol === 'vrrp3' ? 1 : 0]);
  });
});
