import { describe, expect, it } from 'vitest';
import { type ConfigProblem, gatherAlike } from './problem.js';

const absent = (index: number, name = 'eth1'): ConfigProblem => ({
  path: `virtualRouters[${index}].interface`,
  line: 6 + index,
  message: `there is no interface with the name '${name}' now`,
  remedy: 'koi waits for it',
});

describe('gatherAlike', () => {
  it('tells a few one by one', () => {
    const few = [absent(0), absent(1), absent(2)];
    expect(gatherAlike(few)).toEqual(few);
  });

  it('tells of many the first, how many more there are, and where the last is', () => {
    const many = Array.from({ length: 200 }, (_, index) => absent(index));
    expect(gatherAlike([...many, absent(200, 'eth2')])).toEqual([
      {
        ...absent(0),
        message:
          "there is no interface with the name 'eth1' now (and 199 more like it, to virtualRouters[199].interface)",
      },
      absent(200, 'eth2'),
    ]);
  });
});
