import { describe, expect, it } from 'vitest';
import { type Leaver, leaveAll } from './leaving.js';

interface Fake extends Leaver {
  readonly given: string[];
}

/** Virtual routers that leave `tookMs` after they were asked to; undefined: never, until they are shut down. */
function site(tookMs: (index: number) => number | undefined, count: number) {
  let nowMs = 0;
  let most = 0;
  const leavers: Fake[] = Array.from({ length: count }, (_, index) => {
    let leftAtMs = Number.POSITIVE_INFINITY;
    const given: string[] = [];
    return {
      name: `vr${index}`,
      given,
      get stopped() {
        return nowMs >= leftAtMs;
      },
      give: (input) => {
        given.push(`${input.type} at ${nowMs}`);
        const ms = tookMs(index);
        leftAtMs = input.type === 'shutdown' ? nowMs : ms === undefined ? leftAtMs : nowMs + ms;
      },
    };
  });
  return {
    leavers,
    most: () => most,
    leave: (groupOf: (name: string) => string | undefined = () => undefined) =>
      leaveAll(leavers, {
        now: () => nowMs,
        pause: (ms) => {
          const underWay = leavers.filter(({ given, stopped }) => given.length > 0 && !stopped).length;
          most = Math.max(most, underWay);
          nowMs += ms;
          return Promise.resolve();
        },
        groupOf,
      }),
    tookMs: () => nowMs,
  };
}

describe('leaving', () => {
  it('hands over 200, four at a time', async () => {
    const { leavers, leave, most, tookMs } = site(() => 20, 200);
    await leave();
    expect(most()).toBe(4);
    expect(leavers.every(({ stopped }) => stopped)).toBe(true);
    expect(leavers.every(({ given }) => given.length === 1)).toBe(true);
    expect(tookMs()).toBe((200 / 4) * 20);
  });

  it('has a group leave together', async () => {
    const { leavers, leave } = site(() => 5, 40);
    await leave((name) => (Number(name.slice(2)) % 2 === 0 ? 'even' : undefined));
    const even = leavers.filter((_, index) => index % 2 === 0);
    expect(new Set(even.flatMap(({ given }) => given))).toEqual(new Set(['handOver at 0']));
  });

  it('releases who is not taken in time, and keeps nobody waiting for it', async () => {
    const { leavers, leave } = site((index) => (index === 3 ? undefined : 5), 30);
    await leave();
    expect(leavers[3]?.given).toEqual(['handOver at 0', 'shutdown at 1000']);
    expect(leavers[29]?.given[0]).toBe('handOver at 45');
  });

  it('ends where nobody takes any of them', async () => {
    const { leavers, leave, tookMs } = site(() => undefined, 400);
    await leave();
    expect(tookMs()).toBeLessThanOrEqual(12_001);
    expect(leavers.every(({ given }) => given.at(-1)?.startsWith('shutdown'))).toBe(true);
  });
});
