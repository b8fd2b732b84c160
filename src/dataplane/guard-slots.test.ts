import { describe, expect, it } from 'vitest';
import { GuardSlots, type SlotUse } from './guard-slots.js';

describe('the numbers of virtual routers at the guard', () => {
  it('are kept by who has one, and free again when it is dropped', () => {
    const slots = new GuardSlots(2);
    const [first, again, second] = [slots.use('a'), slots.use('a'), slots.use('b')];
    expect(again?.slot).toBe(first?.slot);
    expect(second?.slot).not.toBe(first?.slot);
    expect(slots.use('c')).toBeUndefined();
    slots.release('a');
    slots.release('a');
    expect(slots.of('a')).toBeUndefined();
    expect(slots.use('c')?.slot).toBe(first?.slot);
  });

  it('are free again where nothing was stored, but not while another registration may still be', () => {
    const slots = new GuardSlots(1);
    slots.use('a')?.refused();
    expect(slots.free).toBe(1);

    const [one, two] = [slots.use('a'), slots.use('a')];
    one?.refused();
    expect(slots.free).toBe(0);
    two?.stored();
    slots.use('a')?.refused();
    expect([slots.free, slots.of('a')]).toEqual([0, 0]);
  });

  it('answers that come after a drop change nothing', () => {
    const slots = new GuardSlots(1);
    const late = slots.use('a');
    slots.release('a');
    const next = slots.use('b');
    late?.refused();
    expect([slots.free, slots.of('b')]).toEqual([0, next?.slot]);
  });

  it('100,000 of them, against a model of the guard: never two of one number, and none is lost', () => {
    const count = 32;
    const slots = new GuardSlots(count);
    /** What the guard has, by number; it obeys in the order in which it is told. */
    const guard = new Map<number, string>();
    const told: (() => void)[] = [];
    let seed = 51;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const put = (vr: string, use: SlotUse, isRefused: boolean): void => {
      told.push(() => {
        if (isRefused) {
          use.refused();
          return;
        }
        const owner = guard.get(use.slot);
        if (owner !== undefined && owner !== vr) throw new Error(`${vr} takes the number of ${owner}`);
        guard.set(use.slot, vr);
        use.stored();
      });
    };
    let obeyed = 0;
    let allocations = 0;
    let full = 0;
    while (allocations < 100_000) {
      const vr = `vr${random(count + 8)}`;
      const what = random(10);
      if (what < 5) {
        const use = slots.use(vr);
        if (use === undefined) full += 1;
        else put(vr, use, random(4) === 0);
        allocations += 1;
      } else if (what < 8) {
        const slot = slots.of(vr);
        if (slot !== undefined) told.push(() => guard.delete(slot));
        slots.release(vr);
      } else {
        for (let turns = random(12); turns > 0 && obeyed < told.length; turns -= 1) told[obeyed++]?.();
      }
    }
    while (obeyed < told.length) told[obeyed++]?.();
    expect(full).toBeGreaterThan(0);
    expect(new Map([...guard].map(([slot, vr]) => [vr, slot]))).toEqual(
      new Map([...guard.values()].map((vr) => [vr, slots.of(vr)])),
    );
    expect(slots.free).toBe(count - guard.size);
    for (let index = 0; index < count + 8; index += 1) slots.release(`vr${index}`);
    expect(slots.free).toBe(count);
  });
});
