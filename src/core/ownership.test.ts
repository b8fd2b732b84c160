import { describe, expect, it } from 'vitest';
import { type NodeId, nodeId } from './identity.js';
import { successorAtRestart } from './ownership.js';

const minuteMs = 60_000;

describe('a rolling update', () => {
  /** Updates the nodes in that order, a minute each; who updates as master hands over first. @returns how often */
  function movesOf(
    order: readonly string[],
    first: string,
    priorities: Record<string, number>,
    preempt: boolean,
  ): number {
    const runsSinceMs = new Map(order.map((node, index) => [node, -index * 24 * 60 * minuteMs]));
    let [master, moves, nowMs]: [string | undefined, number, number] = [first, 0, 7 * 24 * 60 * minuteMs];
    for (const node of order) {
      nowMs += minuteMs;
      if (node === master) {
        const contenders = order.map((each) => ({
          node: nodeId(each),
          priority: priorities[each] ?? 100,
          runsSinceMs: runsSinceMs.get(each) ?? 0,
        }));
        const to: NodeId | undefined = successorAtRestart(contenders, nodeId(node), { preempt, nowMs });
        [master, moves] = [to, moves + 1];
      }
      runsSinceMs.set(node, nowMs);
      // Whoever is better asks for it, once it is back.
      const best = [...order].sort((a, b) => (priorities[b] ?? 100) - (priorities[a] ?? 100))[0];
      if (preempt && best !== undefined && (priorities[best] ?? 100) > (priorities[master ?? ''] ?? 100)) {
        [master, moves] = [best, moves + 1];
      }
    }
    return moves;
  }

  const orders = ['abcd', 'acbd', 'bacd', 'bcad', 'bcda', 'dcba', 'cdab', 'cadb', 'dbac'].map((word) => [...word]);

  it.each([
    ['without preemption', { a: 200, b: 150, c: 120 }, false],
    ['among equals', {}, true],
  ])('moves an address once, and twice where its master is the first: %s', (_name, priorities, preempt) => {
    for (const order of orders) {
      for (const master of order) {
        const moves = movesOf(order, master, priorities, preempt);
        expect([order.join(''), master, moves]).toEqual([order.join(''), master, master === order[0] ? 2 : 1]);
      }
    }
  });

  it('lets the better one have it back where preemption says so, by one more move', () => {
    for (const order of orders) expect(movesOf(order, 'a', { a: 200, b: 150, c: 120 }, true)).toBe(2);
  });
});

describe('whom a node hands over to that is about to restart', () => {
  const nowMs = 1_000 * minuteMs;
  const contender = (node: string, priority: number, agoMinutes: number) => ({
    node: nodeId(node),
    priority,
    runsSinceMs: nowMs - agoMinutes * minuteMs,
  });
  const successor = (preempt: boolean, ...others: ReturnType<typeof contender>[]) =>
    successorAtRestart([contender('r1', 200, 9_000), ...others], nodeId('r1'), { preempt, nowMs });

  it('the best placed where none has restarted lately', () => {
    expect(successor(false, contender('r2', 100, 31), contender('r3', 150, 5_000))).toBe('r3');
  });

  it('the one that restarted last, lately', () => {
    expect(successor(false, contender('r2', 100, 2), contender('r3', 150, 4), contender('r4', 50, 5_000))).toBe('r2');
  });

  it('none that a better one would take it from at once', () => {
    expect(successor(true, contender('r2', 100, 2), contender('r3', 150, 5_000))).toBe('r3');
    expect(successor(true, contender('r2', 150, 2), contender('r3', 150, 4))).toBe('r2');
  });

  it('nobody where there is nobody', () => {
    expect(successor(false)).toBeUndefined();
  });
});
