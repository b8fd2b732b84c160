import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Election } from './election-rules.js';
import { bootId, claimId, nodeId, sequence, term } from './identity.js';
import { emptyLogView, type LogView } from './ownership.js';
import {
  advertsAgainAt,
  elseDueAtMs,
  hearSteadily,
  isHeardSteadily,
  isLeftToItself,
  isOnlyNoted,
  isSteadyTick,
  isUnmovedByLog,
  ownCopy,
  patienceSteadily,
  tickSteadily,
} from './steady.js';
import { createVr, dueAtMs, step } from './vr-machine.js';
import type { HeardAdvert, Input, Vr, VrParameters } from './vr-state.js';
import { rules } from './vr-step.js';

const elections = fc.oneof(
  fc.record({
    protocol: fc.constantFrom('vrrp2' as const, 'vrrp3' as const),
    priority: fc.constantFrom(1, 100, 255),
    advertIntervalMs: fc.constantFrom(10, 1000),
  }),
  fc.record({
    protocol: fc.constant('carp' as const),
    flavor: fc.constantFrom('openbsd' as const, 'freebsd' as const),
    advbase: fc.constantFrom(0, 1),
    advskew: fc.constantFrom(0, 100),
    demotion: fc.constantFrom(0, 10),
  }),
);

const parametersOf = fc.record({
  node: fc.constant(nodeId('r1')),
  boot: fc.constant(bootId('boot')),
  election: elections,
  preempt: fc.record({ enabled: fc.boolean(), delayMs: fc.constantFrom(0, 500) }),
  startDelayMs: fc.constantFrom(0, 100),
  arbitration: fc.constantFrom('wire' as const, 'log' as const, 'strict' as const),
  onLogLoss: fc.constantFrom('wire' as const, 'hold' as const, 'release' as const),
  onPathSplit: fc.constantFrom('hold' as const, 'take' as const),
  arbitrationTimeoutMs: fc.constant(50),
  challengeTimeoutMs: fc.constant(30),
  leaseMs: fc.constant(4000),
}) satisfies fc.Arbitrary<VrParameters>;

const logView: fc.Arbitrary<LogView> = fc
  .record({ owner: fc.constantFrom('none', 'r1', 'r2'), released: fc.boolean(), reachable: fc.boolean() })
  .map(({ owner, released, reachable }) => ({
    ...emptyLogView,
    reachable,
    ownership:
      owner === 'none'
        ? undefined
        : {
            owner: nodeId(owner),
            boot: bootId(owner === 'r1' ? 'boot' : 'other'),
            term: term(1),
            claim: claimId('boot.1'),
            sequence: sequence(1),
            released,
            handedBy: undefined,
          },
  }));

/** What happens, in the order in which it may; time and answers are filled in from where the machine is. */
type Happening =
  | { readonly kind: 'input'; readonly afterMs: number; readonly input: Input }
  | { readonly kind: 'due' }
  | { readonly kind: 'answer'; readonly stored: boolean }
  | { readonly kind: 'advert'; readonly afterMs: number; readonly shift: number; readonly from: 'r2' | 'stranger' };

const atMs = 0;
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Happening>({ kind: 'due' }) },
  { weight: 4, arbitrary: fc.boolean().map((stored): Happening => ({ kind: 'answer', stored })) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('advert' as const),
      afterMs: fc.constantFrom(0, 5, 800),
      shift: fc.constantFrom(-200, -1, 0, 1, 100),
      from: fc.constantFrom('r2' as const, 'stranger' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom(0, 7, 2000),
        fc.oneof(
          logView.map((view): Input => ({ type: 'log', view, atMs })),
          fc.constantFrom<Input>(
            { type: 'overslept', atMs },
            { type: 'interference', atMs },
            { type: 'ownLease', endsAtMs: 50_000, atMs },
            { type: 'ownLease', endsAtMs: undefined, atMs },
            { type: 'proof', fromMs: 0, atMs },
            { type: 'drain', drained: true, force: false, atMs },
            { type: 'drain', drained: false, force: false, atMs },
            { type: 'handOver', to: nodeId('r2'), stops: false, atMs },
          ),
        ),
      )
      .map(([afterMs, input]): Happening => ({ kind: 'input', afterMs, input })),
  },
);

function advertOf(election: Election, shift: number, from: 'r2' | 'stranger'): HeardAdvert {
  const about = { source: '10.0.0.2', sourceOrder: 1, node: from === 'r2' ? nodeId('r2') : undefined } as const;
  if (election.protocol === 'carp') {
    const advskew = Math.max(0, Math.min(254, election.advskew + shift));
    return { ...about, candidacy: { kind: 'carp', advbase: election.advbase, advskew, demote: 0 } };
  }
  const priority = Math.max(0, Math.min(255, election.priority + shift));
  return { ...about, candidacy: { kind: 'vrrp', priority, intervalMs: election.advertIntervalMs } };
}

const logNamesOther: LogView = {
  ...emptyLogView,
  reachable: true,
  ownership: {
    owner: nodeId('r2'),
    boot: bootId('other'),
    term: term(1),
    claim: claimId('boot.1'),
    sequence: sequence(1),
    released: false,
    handedBy: undefined,
  },
};

/** A takeover from one that does not answer, without the log's word: seldom come to by chance. */
const tookOverAlone: readonly Happening[] = [
  { kind: 'input', afterMs: 0, input: { type: 'log', view: logNamesOther, atMs } },
  ...Array.from({ length: 4 }, (): Happening => ({ kind: 'due' })),
  ...Array.from({ length: 2 }, (): Happening => ({ kind: 'answer', stored: false })),
];

/** Leads a machine through what happens, and shows every state to `look`. */
function lead(parameters: VrParameters, happenings: readonly Happening[], look: (vr: Vr, nowMs: number) => void): void {
  let nowMs = 1000;
  let vr = createVr(parameters);
  const give = (input: Input): void => {
    vr = step(vr, { ...input, atMs: nowMs }).vr;
    look(vr, nowMs);
  };
  give({ type: 'parent', fault: undefined, atMs });
  for (const each of happenings) {
    if (each.kind === 'due') {
      nowMs = Math.max(nowMs, Math.min(dueAtMs(vr) ?? nowMs, nowMs + 20_000));
      give({ type: 'tick', atMs });
      continue;
    }
    if (each.kind === 'answer') {
      const { phase } = vr;
      if (phase.name === 'attaching') give({ type: 'attached', atMs });
      else if (phase.name === 'releasing') give({ type: 'detached', atMs });
      else if (phase.name === 'claiming' && phase.claim !== undefined) {
        const answer = each.stored ? { kind: 'stored' as const, sequence: sequence(9) } : { kind: 'conflict' as const };
        give({ type: 'claimAnswer', claim: phase.claim.id, term: phase.term, answer, atMs });
        give({ type: 'termSaved', term: phase.term, atMs });
      } else if (phase.name === 'claiming') give({ type: 'termSaved', term: phase.term, atMs });
      continue;
    }
    nowMs += each.afterMs;
    if (each.kind === 'input') give(each.input);
    else give({ type: 'advert', advert: advertOf(parameters.election, each.shift, each.from), atMs });
  }
}

const runs = { numRuns: 1500, seed: 20 };

describe('the steady state', () => {
  it('of a master is what a tick makes of it, and nothing else is sent', () => {
    let seen = 0;
    fc.assert(
      fc.property(
        parametersOf,
        fc.array(happening, { maxLength: 25 }),
        fc.boolean(),
        (parameters, happenings, isAlone) => {
          lead(parameters, [...(isAlone ? tookOverAlone : []), ...happenings], (vr, nowMs) => {
            for (const afterMs of [0, 1, rules(vr).intervalMs, 10 * rules(vr).intervalMs, 60_000]) {
              if (!isSteadyTick(vr, nowMs + afterMs)) continue;
              seen += 1;
              const steady = ownCopy(vr);
              tickSteadily(steady, nowMs + afterMs);
              const stepped = step(vr, { type: 'tick', atMs: nowMs + afterMs });
              expect(stepped).toEqual({
                vr: steady,
                effects: [{ type: 'advert', candidacy: rules(vr).candidacy }],
              });
            }
          });
        },
      ),
      runs,
    );
    expect(seen).toBeGreaterThan(300);
  });

  it('of a master that is left to itself has nothing ahead but adverts and an answer, however many others send for it', () => {
    const seen = { asking: 0, others: 0 };
    fc.assert(
      fc.property(
        parametersOf,
        fc.array(happening, { maxLength: 25 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        (parameters, happenings, most, isAlone) => {
          lead(parameters, [...(isAlone ? tookOverAlone : []), ...happenings], (vr) => {
            if (!isLeftToItself(vr)) return;
            const untilMs = elseDueAtMs(vr.phase) ?? Number.POSITIVE_INFINITY;
            seen[untilMs === Number.POSITIVE_INFINITY ? 'others' : 'asking'] += 1;
            expect(dueAtMs(vr)).toBe(Math.min(vr.phase.advertAtMs, untilMs));
            const isAhead = (advert: number): boolean => vr.phase.advertAtMs + advert * rules(vr).intervalMs < untilMs;
            const adverts = Array.from({ length: most }, (_, advert) => advert).filter(isAhead).length;
            const pumped = ownCopy(vr);
            advertsAgainAt(pumped, vr.phase.advertAtMs + adverts * rules(vr).intervalMs);
            let stepped: Vr = vr;
            for (let advert = 0; advert < adverts; advert++) {
              const ticked = step(stepped, { type: 'tick', atMs: dueAtMs(stepped) ?? Number.NaN });
              expect(ticked.effects).toEqual([{ type: 'advert', candidacy: rules(vr).candidacy }]);
              stepped = ticked.vr;
            }
            expect(pumped).toEqual(stepped);
          });
        },
      ),
      runs,
    );
    expect(seen.others).toBeGreaterThan(100);
    expect(seen.asking).toBeGreaterThan(10);
  });

  it('of a backup is what the same advert makes of it, and nothing is asked for', () => {
    let seen = 0;
    fc.assert(
      fc.property(
        parametersOf,
        fc.array(happening, { maxLength: 25 }),
        fc.constantFrom(-200, -1, 0, 1, 100),
        fc.constantFrom('r2' as const, 'stranger' as const),
        (parameters, happenings, shift, from) => {
          const advert = advertOf(parameters.election, shift, from);
          lead(parameters, happenings, (before, nowMs) => {
            const { vr } = step(before, { type: 'advert', advert, atMs: nowMs });
            if (!isHeardSteadily(vr, advert) || vr.phase.name !== 'backup') return;
            for (const afterMs of [0, 3, 700, 60_000]) {
              seen += 1;
              const stepped = step(vr, { type: 'advert', advert, atMs: nowMs + afterMs });
              const steady = ownCopy(vr);
              hearSteadily(steady, nowMs + afterMs);
              expect(stepped).toEqual({ vr: steady, effects: [] });
            }
          });
        },
      ),
      runs,
    );
    expect(seen).toBeGreaterThan(300);
  });

  it('of a backup is left when that advert has been missing for as long as it bears, however often it is heard before', () => {
    let seen = 0;
    fc.assert(
      fc.property(
        parametersOf,
        fc.array(happening, { maxLength: 25 }),
        fc.constantFrom(-200, -1, 0, 1, 100),
        fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 3 }),
        (parameters, happenings, shift, gapsMs) => {
          const advert = advertOf(parameters.election, shift, 'r2');
          lead(parameters, happenings, (before, nowMs) => {
            const { vr } = step(before, { type: 'advert', advert, atMs: nowMs });
            if (!isHeardSteadily(vr, advert)) return;
            seen += 1;
            const { silenceMs, notBeforeMs, heardAtMs } = patienceSteadily(vr);
            expect(Math.max(heardAtMs + silenceMs, notBeforeMs)).toBe(dueAtMs(vr));
            let [stepped, lastMs] = [vr, nowMs];
            for (const gapMs of gapsMs) {
              lastMs += gapMs;
              stepped = step(stepped, { type: 'advert', advert, atMs: lastMs }).vr;
              expect(Math.max(lastMs + silenceMs, notBeforeMs)).toBe(dueAtMs(stepped));
            }
          });
        },
      ),
      runs,
    );
    expect(seen).toBeGreaterThan(300);
  });

  it('goes on whatever lease this node has, where none binds it', () => {
    let seen = 0;
    fc.assert(
      fc.property(parametersOf, fc.array(happening, { maxLength: 25 }), (parameters, happenings) => {
        lead(parameters, happenings, (vr, nowMs) => {
          for (const endsAtMs of [undefined, nowMs - 1, nowMs + 4000]) {
            const lease: Input = { type: 'ownLease', endsAtMs, atMs: nowMs };
            const proof: Input = { type: 'proof', fromMs: endsAtMs, atMs: nowMs };
            if (!isOnlyNoted(vr, lease)) continue;
            seen += 1;
            expect(step(vr, lease)).toEqual({ vr: { ...vr, leaseEndsAtMs: endsAtMs }, effects: [] });
            expect(step(vr, proof)).toEqual({ vr: { ...vr, provenFromMs: endsAtMs }, effects: [] });
            expect(dueAtMs(step(vr, lease).vr)).toBe(dueAtMs(vr));
          }
        });
      }),
      runs,
    );
    expect(seen).toBeGreaterThan(300);
  });

  it('is not moved by a log that says what it said', () => {
    let seen = 0;
    fc.assert(
      fc.property(parametersOf, fc.array(happening, { maxLength: 25 }), (parameters, happenings) => {
        lead(parameters, happenings, (vr, nowMs) => {
          if (!isUnmovedByLog(vr)) return;
          for (const afterMs of [0, 3, 700, 60_000]) {
            seen += 1;
            const stepped = step(vr, { type: 'log', view: vr.log, atMs: nowMs + afterMs });
            expect(stepped).toEqual({ vr, effects: [] });
          }
        });
      }),
      runs,
    );
    expect(seen).toBeGreaterThan(300);
  });
});
