import { beforeEach, describe, expect, it } from 'vitest';
import type { FoundTogether } from '../core/detect/held-together.js';
import { bootId, nodeId } from '../core/identity.js';
import type { KoiEvent, ObservationPayload } from '../log/event.js';
import { evidenceOfTogether, HeldTogetherDesk } from './held-together-desk.js';

let nowMs: number;
let found: FoundTogether[];
let hasToldAll: boolean;
let desk: HeldTogetherDesk;
let pulse: () => void;
let sequence: number;

function newDesk(): HeldTogetherDesk {
  return new HeldTogetherDesk({
    node: 'r1',
    now: () => nowMs,
    timers: {
      after: (_, act) => {
        pulse = act;
        return () => undefined;
      },
    },
    isMaster: () => true,
    hasToldAll: () => hasToldAll,
    onFound: (each) => found.push(each),
  });
}

/** Stored 5 ms after it happened; the clock of r2 is an hour ahead. */
function happens(node: 'r1' | 'r2', atMs: number, payload: ObservationPayload, reader = desk): void {
  nowMs = Math.max(nowMs, atMs + 6);
  const aheadMs = node === 'r1' ? 0 : 3_600_000;
  const event: KoiEvent = {
    id: `e${sequence}`,
    cluster: 'edge',
    node: nodeId(node),
    boot: bootId(`${node}b`),
    wallTimeMs: atMs + aheadMs,
    monotonicMs: atMs + aheadMs,
    vr: 'gw',
    logRead: { storedAtMs: atMs - 101, atMs: atMs - 100 + aheadMs },
    payload,
  };
  sequence += 1;
  reader.read({ sequence, subject: '', storedAtMs: atMs + 5, bytes: 0, hash: '', event });
}

const moves = (from: string, to: string, reason = 'attached'): ObservationPayload => ({
  type: 'transition',
  from,
  to,
  reason,
});

beforeEach(() => {
  [nowMs, found, hasToldAll, sequence] = [1000, [], true, 0];
  desk = newDesk();
  happens('r1', 1000, moves('candidate', 'master'));
  happens('r2', 5000, moves('candidate', 'master'));
  happens('r2', 5800, moves('master', 'draining', 'better_advert'));
  happens('r2', 5801, moves('draining', 'backup', 'better_advert'));
});

describe('the desk that reads of two masters', () => {
  it('tells of each once, with for how long both have served and since when', () => {
    desk.look();
    desk.look();
    expect(found).toHaveLength(1);
    const [first] = found;
    const evidence = first === undefined ? [] : evidenceOfTogether(first);
    expect(evidence).toContainEqual({ key: 'source', value: 'log' });
    expect(evidence).toContainEqual({ key: 'rival', value: 'r2' });
    expect(first?.togetherMs).toBeGreaterThan(700);
    expect(first?.togetherMs).toBeLessThanOrEqual(801);
  });

  it('says nothing of its own service while the log has not got all that it has to tell', () => {
    hasToldAll = false;
    desk.look();
    expect(found).toEqual([]);
    hasToldAll = true;
    desk.look();
    expect(found).toHaveLength(1);
  });

  it('does not tell again, after a restart, what the log says it has told', () => {
    desk.look();
    const [first] = found;
    const evidence = first === undefined ? [] : evidenceOfTogether(first);
    const again = newDesk();
    happens('r1', 1000, moves('candidate', 'master'), again);
    happens('r2', 5000, moves('candidate', 'master'), again);
    happens('r2', 5801, moves('master', 'backup', 'better_advert'), again);
    happens('r1', 6500, { type: 'episodeBegan', kind: 'split_brain', subject: 'r2', evidence }, again);
    again.look();
    expect(found).toHaveLength(1);
  });

  it('takes a dataplane that died while the agent stood still for one that ran until then', () => {
    desk.start();
    nowMs = 7000;
    pulse();
    for (nowMs = 7200; nowMs < 8000; nowMs += 200) pulse();
    expect(desk.awakeSinceMs).toBe(8000);
    nowMs = 9600;
    expect(desk.awakeSinceMs).toBe(8000);
    nowMs = 9700;
    pulse();
    expect(desk.awakeSinceMs).toBe(8000);
    for (nowMs = 9900; nowMs < 10_500; nowMs += 200) pulse();
    expect(desk.awakeSinceMs).toBe(10_500);
  });
});
