import { describe, expect, it } from 'vitest';
import type { Phase } from '../core/vr-state.js';
import { type Handed, HandoverTurns } from './handover-turns.js';

interface Fake extends Handed {
  phase: Phase['name'];
  readonly given: string[];
}

const order = { to: undefined, stops: false };

function site(count: number, after: Phase['name'] = 'handing') {
  const clock = { ms: 7 };
  const turns = new HandoverTurns(() => clock.ms);
  const routers = Array.from({ length: count }, (_, index): Fake => {
    const router: Fake = {
      name: `vr${index}`,
      phase: 'master',
      given: [],
      give: (input) => {
        router.given.push(`${input.type} at ${input.atMs}`);
        router.phase = after;
        turns.moved(router);
      },
    };
    return router;
  });
  const end = (router: Fake, phase: Phase['name']): void => {
    router.phase = phase;
    turns.moved(router);
  };
  const underWay = (): Fake[] => routers.filter(({ phase }) => phase === 'handing');
  return {
    clock,
    turns,
    routers,
    end,
    underWay,
    askAll: () => routers.forEach((router) => void turns.ask([router], order)),
  };
}

describe('handovers in turn', () => {
  it('begins with a few, and has more under way with each that succeeds', () => {
    const { askAll, underWay, end, routers } = site(200);
    askAll();
    expect(underWay()).toHaveLength(4);
    let most = 0;
    for (let next = underWay()[0]; next !== undefined; next = underWay()[0]) {
      end(next, 'releasing');
      end(next, 'backup');
      most = Math.max(most, underWay().length);
    }
    expect(most).toBe(16);
    expect(routers.every(({ given }) => given.length === 1 && given[0] === 'handOver at 7')).toBe(true);
  });

  it('has half as many under way after one that failed, and always one', () => {
    const { askAll, underWay, end } = site(40);
    askAll();
    for (const expected of [3, 2, 1]) {
      const [first] = underWay();
      if (first !== undefined) end(first, 'master');
      expect(underWay()).toHaveLength(expected);
    }
    const [last] = underWay();
    if (last !== undefined) end(last, 'master');
    expect(underWay()).toHaveLength(1);
  });

  it('has fewer under way where they take long, before any of them fails, and a few all the same', () => {
    const { clock, askAll, underWay, end } = site(200);
    askAll();
    const later = (tookMs: number): number => {
      const together = underWay();
      clock.ms += tookMs;
      for (const each of together) end(each, 'backup');
      return underWay().length;
    };
    expect([later(150), later(50), later(50), later(150)]).toEqual([4, 8, 16, 16]);
    expect([later(250), later(250)]).toEqual([4, 4]);
    expect(later(50)).toBe(8);
  });

  it('keeps no place for one that cannot be handed over, and takes it for no success', () => {
    const { turns, askAll, routers } = site(200, 'backup');
    askAll();
    expect(routers.every(({ given }) => given.length === 1)).toBe(true);
    const masters = site(200, 'handing').routers;
    for (const master of masters) turns.ask([master], order);
    expect(masters.filter(({ phase }) => phase === 'handing')).toHaveLength(4);
  });

  it('asks each once, however often it is asked to, and tells one under way at once', () => {
    const { turns, askAll, routers, end, underWay } = site(5);
    askAll();
    askAll();
    expect(routers.map(({ given }) => given.length)).toEqual([2, 2, 2, 2, 0]);
    expect(turns.isBusyWith('vr4')).toBe(true);
    for (const router of underWay()) end(router, 'backup');
    expect(routers[4]?.given).toHaveLength(1);
    for (const router of underWay()) end(router, 'backup');
    expect(routers.some(({ name }) => turns.isBusyWith(name))).toBe(false);
  });

  it('has a party begin together, larger than the number at once as well', () => {
    const { turns, routers, underWay, end } = site(21);
    const [alone, ...party] = routers;
    if (alone === undefined) throw new Error('no router');
    turns.ask([alone], order);
    turns.ask(party, order);
    expect(underWay()).toEqual([alone]);
    end(alone, 'backup');
    expect(underWay()).toEqual(party);
  });

  it('forgets who is gone', () => {
    const { turns, askAll, routers, underWay } = site(20);
    askAll();
    turns.forget(routers.slice(0, 10));
    expect(routers.slice(4, 10).every(({ given }) => given.length === 0)).toBe(true);
    expect(underWay()).toHaveLength(8);
  });
});
