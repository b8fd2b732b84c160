import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  expectedMoves,
  type NodeStatus,
  nextStep,
  type RolloutPod,
  type RolloutView,
  rolloutOrder,
  routersOf,
  unsettled,
} from './rollout.js';

const pod = (node: string, changes: Partial<RolloutPod> = {}): RolloutPod => ({
  name: `koi-${node}`,
  uid: `uid-${node}`,
  node,
  isNewest: false,
  isReady: true,
  isEnding: false,
  word: { kind: 'well' },
  ...changes,
});
const routers = (masters: Readonly<Record<string, string>>): RolloutView['routers'] =>
  Object.entries(masters).map(([name, master]) => ({
    name,
    masters: [master],
    preempt: false,
    bestPlaced: undefined,
  }));
const view = (pods: readonly RolloutPod[], masters: Readonly<Record<string, string>> = {}): RolloutView => ({
  desired: pods.length,
  pods,
  routers: routers(masters),
});
const silent = { kind: 'silent', why: 'http://h:9650: no answer within 3 s' } as const;

describe('the next step of a rollout', () => {
  it('replaces whoever is master of nothing first, and the master of most last', () => {
    const all = view([pod('a'), pod('b'), pod('c'), pod('d')], { v1: 'a', v2: 'a', v3: 'b' });
    expect(rolloutOrder(all).map(({ node }) => node)).toEqual(['c', 'd', 'b', 'a']);
    expect(nextStep(all)).toEqual({ kind: 'replace', pod: pod('c'), masterOf: [] });
    const last = view([pod('a'), pod('b', { isNewest: true })], { v1: 'a', v2: 'a' });
    expect(nextStep(last)).toMatchObject({ kind: 'replace', pod: { node: 'a' }, masterOf: ['v1', 'v2'] });
  });

  it('is done when every pod is of the newest revision, and well', () => {
    expect(nextStep(view([pod('a', { isNewest: true }), pod('b', { isNewest: true })], { v: 'b' }))).toEqual({
      kind: 'done',
    });
  });

  it('replaces first what is not ready: it serves nobody, and nobody else may go while it is away', () => {
    const sick = pod('c', { isReady: false, word: silent });
    expect(nextStep(view([pod('a'), pod('b'), sick], { v: 'a' }))).toMatchObject({ pod: { node: 'c' } });
  });

  it.each<[string, RolloutView, string]>([
    ['a pod that ends', view([pod('a', { isEnding: true }), pod('b')]), 'its pod koi-a has not ended yet'],
    ['a node without a pod', { ...view([pod('a')]), desired: 2 }, '1 of 2 nodes have a pod'],
    [
      'a new pod that is not ready',
      view([pod('a', { isNewest: true, isReady: false, word: { kind: 'unwell', why: 'log: away' } }), pod('b')]),
      'its pod koi-a is not ready yet: log: away',
    ],
    [
      'a new pod of which Koi says that it is not well',
      view([pod('a', { isNewest: true, word: { kind: 'unwell', why: 'service: drained' } }), pod('b')]),
      'not ready yet: service: drained',
    ],
    [
      'a node that does not say what it is master of, before anything is replaced',
      view([pod('a'), pod('b', { word: silent })]),
      'its pod koi-b does not tell what it is master of: http://h:9650',
    ],
  ])('waits for %s', (_, looked, why) => {
    expect(nextStep(looked)).toMatchObject({ kind: 'wait', why: expect.stringContaining(why) });
  });
});

describe('the moves expected', () => {
  const moves = (looked: RolloutView) =>
    Object.fromEntries(expectedMoves(looked).map(({ vr, moves: count }) => [vr, count]));

  it('are one of each, where a node is master of nothing', () => {
    expect(moves(view([pod('a'), pod('b'), pod('c')], { v1: 'a', v2: 'b' }))).toEqual({ v1: 1, v2: 1 });
  });

  it('are two of what the first node has, where every node is master of something', () => {
    const all = view([pod('a'), pod('b')], { v1: 'a', v2: 'b', v3: 'b' });
    expect(expectedMoves(all)).toEqual([
      { vr: 'v1', moves: 2, why: 'a is the first, and whoever takes it over is to be replaced, too' },
      { vr: 'v2', moves: 1, why: '' },
      { vr: 'v3', moves: 1, why: '' },
    ]);
  });

  it('are none of what a node has that is replaced already, and one of the others then', () => {
    expect(moves(view([pod('a', { isNewest: true }), pod('b')], { v1: 'a', v2: 'b' }))).toEqual({ v1: 0, v2: 1 });
  });

  it('are one more where the best placed takes it back', () => {
    const of = (preempt: boolean | undefined): RolloutView => ({
      ...view([pod('a'), pod('b')]),
      routers: [{ name: 'v', masters: ['a'], preempt, bestPlaced: 'a' }],
    });
    expect(expectedMoves(of(true))).toEqual([
      { vr: 'v', moves: 2, why: 'a has the highest priority and takes it back' },
    ]);
    expect(expectedMoves(of(undefined))[0]?.why).toBe('a has the highest priority and may take it back');
    expect(expectedMoves(of(false))).toEqual([{ vr: 'v', moves: 1, why: '' }]);
  });
});

describe('who is master of what', () => {
  const says = (node: string, state: string, owner: string | null, preempt?: boolean): NodeStatus => ({
    node,
    routers: [
      {
        name: 'v',
        state,
        owner,
        preempt,
        priorities: [
          { node: 'a', priority: 200 },
          { node: 'b', priority: 100 },
        ],
      },
    ],
  });

  it('is what a node says of itself, whatever the others still believe', () => {
    expect(routersOf(['a', 'b'], [says('a', 'master', 'a', true), says('b', 'backup', 'b', true)])).toEqual([
      { name: 'v', masters: ['a'], preempt: true, bestPlaced: 'a' },
    ]);
    expect(routersOf(['a', 'b'], [says('a', 'backup', 'b'), says('b', 'backup', 'a')])[0]?.masters).toEqual([]);
  });

  it('is what the others say of a node that says nothing', () => {
    const [router] = routersOf(['a', 'b'], [says('b', 'backup', 'a', false)]);
    expect(router).toMatchObject({ masters: ['a'], preempt: false });
    expect(routersOf(['b'], [says('b', 'backup', 'a')])[0]).toMatchObject({ masters: [], preempt: undefined });
  });

  it('is not settled where nobody or more than one is master', () => {
    const none = routersOf(['a', 'b'], [says('a', 'backup', null), says('b', 'backup', null)]);
    const two = routersOf(['a', 'b'], [says('a', 'master', 'a'), says('b', 'master', 'b')]);
    const one = routersOf(['a', 'b'], [says('a', 'master', 'a'), says('b', 'backup', 'a')]);
    expect([none, two, one].map((each) => unsettled({ ...view([]), routers: each }))).toEqual([['v'], ['v'], []]);
  });
});

/*
 * A cluster that does as it is told: a pod that is deleted ends, another one comes and gets ready, each at its time; what
 * the node was master of goes to the one that restarted last, or to anybody.
 */
describe('a whole rollout', () => {
  interface Node {
    phase: 'old' | 'ending' | 'gone' | 'starting' | 'new';
    restarted: number;
  }

  it('replaces every old pod once, one at a time, and moves each router as often as was expected', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 6 }),
        fc.array(fc.nat(5), { maxLength: 8 }),
        fc.array(fc.nat(99), { minLength: 1, maxLength: 200 }),
        fc.boolean(),
        (nodeCount, owners, chance, isInterrupted) => {
          const names = Array.from({ length: nodeCount }, (_, index) => `n${index}`);
          const nodes = new Map<string, Node>(names.map((name) => [name, { phase: 'old', restarted: 0 }]));
          const masters = new Map(owners.map((owner, index) => [`v${index}`, names[owner % nodeCount] ?? '']));
          const moved = new Map([...masters.keys()].map((vr) => [vr, 0]));
          const look = (): RolloutView => ({
            desired: nodeCount,
            pods: [...nodes].flatMap(([name, { phase }]) =>
              phase === 'gone'
                ? []
                : pod(name, {
                    isNewest: phase === 'starting' || phase === 'new',
                    isReady: phase === 'old' || phase === 'new',
                    isEnding: phase === 'ending',
                    word: phase === 'starting' ? silent : { kind: 'well' },
                  }),
            ),
            routers: routers(Object.fromEntries(masters)),
          });
          const expected = expectedMoves(look());
          const after = { old: 'old', ending: 'gone', gone: 'starting', starting: 'new', new: 'new' } as const;
          const replaced: string[] = [];
          for (let tick = 0; tick < 2_000; tick += 1) {
            const step = nextStep(look());
            if (step.kind === 'done') break;
            const luck = chance[tick % chance.length] ?? 0;
            // Whoever looks on is away for a while, and remembers nothing.
            if (isInterrupted && luck % 3 === 0 && tick < 1_000) continue;
            if (step.kind === 'replace') {
              // Nobody else is away.
              expect([...nodes.values()].every(({ phase }) => phase === 'old' || phase === 'new')).toBe(true);
              const { node } = step.pod;
              const counts = [...nodes].filter(([, { phase }]) => phase === 'old').map(([name]) => held(name));
              expect(held(node)).toBe(Math.min(...counts));
              replaced.push(node);
              restart(node, luck, tick + 1);
            } else {
              for (const each of nodes.values()) if (each.phase !== 'old') each.phase = after[each.phase];
            }
          }
          expect(replaced.toSorted()).toEqual(names);
          expect(Object.fromEntries(moved)).toEqual(Object.fromEntries(expected.map(({ vr, moves }) => [vr, moves])));

          function held(name: string): number {
            return [...masters.values()].filter((master) => master === name).length;
          }
          function restart(node: string, luck: number, tick: number): void {
            const others = names.filter((name) => name !== node);
            const fresh = others.filter((name) => (nodes.get(name)?.restarted ?? 0) > 0);
            const last = fresh.sort((a, b) => (nodes.get(b)?.restarted ?? 0) - (nodes.get(a)?.restarted ?? 0))[0];
            const to = last ?? others[luck % others.length] ?? '';
            for (const [vr, master] of masters) {
              if (master !== node) continue;
              masters.set(vr, to);
              moved.set(vr, (moved.get(vr) ?? 0) + 1);
            }
            nodes.set(node, { phase: 'ending', restarted: tick });
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
