import { describe, expect, it } from 'vitest';
import type { Phase } from '../core/vr-state.js';
import { HandoverTurns } from './handover-turns.js';
import { type Leaver, leaveAll } from './leaving.js';

interface Fake extends Leaver {
  readonly given: string[];
}

/** Virtual routers that leave `tookMs` after each attempt to hand them over; undefined: the attempt fails after 100 ms. */
function site(tookMs: (index: number, attempt: number) => number | undefined, count: number) {
  let nowMs = 0;
  let most = 0;
  const turns = new HandoverTurns(() => nowMs);
  const ends: { atMs: number; act: () => void }[] = [];
  const leavers: Fake[] = Array.from({ length: count }, (_, index) => {
    let phase: Phase['name'] = 'master';
    const given: string[] = [];
    const become = (next: Phase['name']): void => {
      phase = next;
      turns.moved(leaver);
    };
    const leaver: Fake = {
      name: `vr${index}`,
      given,
      get stopped() {
        return phase === 'init';
      },
      get phase() {
        return phase;
      },
      give: (input) => {
        given.push(`${input.type} at ${nowMs}`);
        if (input.type === 'shutdown') return become('init');
        const ms = tookMs(index, given.length);
        phase = 'handing';
        ends.push({ atMs: nowMs + (ms ?? 100), act: () => become(ms === undefined ? 'master' : 'init') });
      },
    };
    return leaver;
  });
  return {
    leavers,
    most: () => most,
    leave: (groupOf: (name: string) => string | undefined = () => undefined) =>
      leaveAll(leavers, {
        now: () => nowMs,
        pause: (ms) => {
          most = Math.max(most, leavers.filter(({ phase }) => phase === 'handing').length);
          for (const untilMs = nowMs + ms; nowMs < untilMs; ) {
            nowMs += 1;
            for (const { act } of ends.filter(({ atMs }) => atMs === nowMs)) act();
          }
          return Promise.resolve();
        },
        groupOf,
        turns,
      }),
    tookMs: () => nowMs,
  };
}

describe('leaving', () => {
  it('hands over 200, a number at a time', async () => {
    const { leavers, leave, most, tookMs } = site(() => 20, 200);
    await leave();
    expect(most()).toBe(16);
    expect(leavers.every(({ stopped }) => stopped)).toBe(true);
    expect(leavers.every(({ given }) => given.length === 1)).toBe(true);
    expect(tookMs()).toBeLessThan(400);
  });

  it('has a group leave together', async () => {
    const { leavers, leave } = site(() => 5, 40);
    await leave((name) => (Number(name.slice(2)) % 2 === 0 ? 'even' : undefined));
    const even = leavers.filter((_, index) => index % 2 === 0);
    expect(new Set(even.flatMap(({ given }) => given))).toEqual(new Set(['handOver at 0']));
  });

  it('tries again who was not taken, and releases nobody while it may still be handed over', async () => {
    const { leavers, leave } = site((_, attempt) => (attempt < 3 ? undefined : 5), 1);
    await leave();
    expect(leavers[0]?.given).toEqual(['handOver at 0', 'handOver at 200', 'handOver at 400']);
  });

  it('releases who is taken by nobody, and keeps nobody waiting for it', async () => {
    const { leavers, leave } = site((index) => (index === 3 ? undefined : 5), 30);
    await leave();
    expect(leavers[3]?.given.at(-1)).toMatch(/^shutdown/);
    expect(leavers[3]?.given.slice(0, -1).every((each) => each.startsWith('handOver'))).toBe(true);
    expect(leavers[3]?.given).toHaveLength(5);
    expect(leavers[29]?.given).toHaveLength(1);
  });

  it('leaves nobody without an owner while others are handed over, however long that takes', async () => {
    const { leavers, leave, tookMs } = site(() => 300, 200);
    await leave();
    expect(tookMs()).toBeGreaterThan(10_000);
    expect(leavers.every(({ given }) => given.length === 1)).toBe(true);
  });

  it('releases many a number at a time, so that who claims them is through with some before the next have nobody', async () => {
    const { leavers, leave } = site(() => 20_000, 100);
    await leave();
    const released = leavers.map(({ given }) => Number(/^shutdown at (\d+)$/.exec(given.at(-1) ?? '')?.[1]));
    const lots = [...new Set(released)].map((atMs) => released.filter((each) => each === atMs).length);
    expect(lots).toEqual([16, 16, 16, 16, 16, 16, 4]);
  });

  it('ends where nobody takes any of them', async () => {
    const { leavers, leave, tookMs } = site(() => undefined, 400);
    await leave();
    expect(tookMs()).toBeLessThanOrEqual(10_001);
    expect(leavers.every(({ given }) => given.at(-1)?.startsWith('shutdown'))).toBe(true);
  });
});
