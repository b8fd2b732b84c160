import { beforeEach, describe, expect, it } from 'vitest';
import { HeldTogether, type Holding } from './held-together.js';

/** Each node's monotonic clock has begun at another time. */
const startedMs = { r1: 7_000, r2: -300_000, r3: 55_000 } as const;
type Name = keyof typeof startedMs;

let log: HeldTogether;
let nowMs: number;

/** At a time of the log's; what is told late is stored late. */
function told(node: Name, logMs: number, holding?: Holding, storedMs = logMs + 5): void {
  nowMs = Math.max(nowMs, storedMs);
  const atMs = logMs - startedMs[node];
  const read = { atMs: atMs - 300, storedAtMs: logMs - 302 };
  const isSign = holding !== undefined && holding.type !== 'allEnded';
  log.read({ node, boot: `${node}b`, atMs, storedAtMs: storedMs, read, isSign, holding }, nowMs);
}
const began = { type: 'began', vr: 'gw' } as const;
const ended = { type: 'ended', vr: 'gw', isUnsure: false } as const;
const takes = { type: 'takes', vr: 'gw', byHandover: true } as const;
const look = (isHolding = false) => log.look('gw', isHolding, nowMs + 5000);

beforeEach(() => {
  log = new HeldTogether('r1');
  nowMs = 0;
  for (const node of ['r1', 'r2', 'r3'] as const) for (let ms = 10_000; ms < 20_000; ms += 1000) told(node, ms);
});

describe('two masters in the log', () => {
  it('are told of once: who began while the other still held, by however different clocks', () => {
    told('r1', 20_000, began);
    told('r2', 21_000, began);
    told('r1', 21_400, ended);
    told('r2', 22_000, ended);
    told('r1', 22_100);
    told('r2', 22_100);
    const [found, ...more] = look();
    expect(more).toEqual([]);
    expect(found).toMatchObject({ vr: 'gw', rival: 'r2' });
    expect(found?.togetherMs).toBeGreaterThan(370);
    expect(found?.togetherMs).toBeLessThanOrEqual(400);
    expect(look()).toEqual([]);
  });

  it('are none where one follows the other', () => {
    told('r1', 20_000, began);
    told('r1', 21_000, ended);
    told('r2', 21_005, began);
    told('r2', 22_000);
    expect(look()).toEqual([]);
  });

  it('are told of when what waited for the log comes in, by the order of what happened', () => {
    told('r2', 20_000, began);
    told('r1', 23_000, began);
    told('r1', 27_000, ended);
    told('r2', 25_000, ended, 28_000);
    told('r2', 28_100);
    expect(look()[0]?.togetherMs).toBeGreaterThan(1900);
  });

  it('are told of by who still holds, once it has told all; the last word of another says only that it held then', () => {
    told('r1', 20_000, began);
    told('r2', 21_000, began);
    told('r2', 22_000, ended);
    told('r1', 22_100);
    told('r2', 22_100);
    expect(look(false)).toEqual([]);
    expect(look(true)).toHaveLength(1);
  });

  it('are not told of another that has said nothing since: it may be dead', () => {
    told('r2', 20_000, began);
    told('r1', 24_000, began);
    told('r1', 26_000, ended);
    expect(look()).toEqual([]);
  });

  /** r2 hands over to r1, which has it from 22,020 on. */
  function handsOverUntil(endedMs: number): void {
    told('r2', 20_000, began);
    told('r2', 22_000, { type: 'handsOver', vr: 'gw' });
    told('r1', 22_010, takes);
    told('r1', 22_020, began);
    told('r2', endedMs, ended);
    told('r1', 23_000);
    told('r2', 23_000);
  }

  it('are agreed in a handover, for as long as one may last', () => {
    handsOverUntil(22_300);
    expect(look(true)).toEqual([]);
  });

  it('are told of where a handover lasts longer', () => {
    handsOverUntil(22_900);
    expect(look(true)).toHaveLength(1);
  });

  it('are not told again of what a detector told while it went on, nor of what this node has read before', () => {
    told('r1', 20_000, began);
    told('r2', 21_000, began);
    told('r1', 21_200, { type: 'told', vr: 'gw', rival: 'r2', span: undefined });
    told('r1', 21_400, ended);
    told('r1', 24_000, began);
    told('r1', 25_000, { type: 'told', vr: 'gw', rival: 'r2', span: { fromMs: 24_010, toMs: 25_480 } });
    told('r1', 25_500, ended);
    told('r2', 26_000, ended);
    told('r2', 26_100);
    told('r1', 26_100);
    expect(look()).toEqual([]);
  });

  it('are told of where the same two held at once a moment before, and were told of then', () => {
    told('r1', 20_000, began);
    told('r2', 19_900, began);
    told('r2', 20_120, ended);
    told('r1', 20_300);
    expect(look(true)).toHaveLength(1);
    told('r1', 20_320, { type: 'told', vr: 'gw', rival: 'r2', span: { fromMs: 20_002, toMs: 20_119 } });
    told('r2', 20_480, began);
    told('r2', 23_400, ended);
    told('r1', 23_500);
    const [found, ...more] = look(true);
    expect(more).toEqual([]);
    expect(found?.togetherMs).toBeGreaterThan(2800);
  });

  it('are not told of a node that may not have run: it held until its last sign', () => {
    told('r2', 20_000, began);
    told('r1', 22_000, began);
    told('r2', 26_000, { ...ended, isUnsure: true });
    told('r1', 26_100);
    told('r2', 26_100);
    expect(look(true)).toEqual([]);
  });

  it('are told of whose dataplane died, until it was last known to run', () => {
    told('r2', 20_000, began);
    told('r1', 22_000, began);
    told('r2', 26_000, { type: 'allEnded', seenMs: 23_000 - startedMs.r2 });
    told('r1', 26_100);
    told('r2', 26_100);
    const [found] = look(true);
    expect(found?.togetherMs).toBeGreaterThan(950);
    expect(found?.togetherMs).toBeLessThanOrEqual(1000);
  });

  it('are none where the log has lost that one let go', () => {
    told('r2', 20_000, began);
    told('r1', 22_000, began);
    told('r2', 24_000, { type: 'didNotHold', vr: 'gw' });
    told('r1', 24_000, ended);
    expect(look()).toEqual([]);
  });
});
