import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withEntry } from './persistent-map.js';

/** Enough keys for several chunks. */
const entries = fc.array(fc.tuple(fc.nat({ max: 100 }), fc.nat()), { maxLength: 300 });

describe('a map that is never changed', () => {
  it('holds what a map holds, in its order, and every earlier one still holds what it held', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 100 }), fc.nat()), { maxLength: 5 }), entries, (first, more) => {
        const model = new Map(first);
        let map: ReadonlyMap<number, number> = new Map(first);
        const earlier: [ReadonlyMap<number, number>, [number, number][]][] = [];
        for (const [key, value] of more) {
          earlier.push([map, [...model]]);
          map = withEntry(map, key, value);
          model.set(key, value);
        }
        earlier.push([map, [...model]]);
        for (const [then, expected] of earlier) {
          expect([...then]).toEqual(expected);
          expect([...then.entries()]).toEqual(expected);
          expect([...then.keys()]).toEqual(expected.map(([key]) => key));
          expect([...then.values()]).toEqual(expected.map(([, value]) => value));
          expect(then.size).toBe(expected.length);
        }
        for (let key = 0; key <= 100; key++) {
          expect([map.has(key), map.get(key)]).toEqual([model.has(key), model.get(key)]);
        }
        const told: [number, number][] = [];
        map.forEach((value, key) => {
          told.push([key, value]);
        });
        expect(told).toEqual([...model]);
      }),
      { numRuns: 30 },
    );
  });

  it('does not change the map it came from', () => {
    const plain = new Map([['a', 1]]);
    const next = withEntry(withEntry(plain, 'a', 2), 'b', 3);
    expect([[...plain], [...next]]).toEqual([
      [['a', 1]],
      [
        ['a', 2],
        ['b', 3],
      ],
    ]);
  });
});
