import { describe, expect, it } from 'vitest';
import { judgeClient, type Probe } from './outage.js';

const roundTripMs = 0.05;

/** A probe a millisecond from 0 on; `answer` says when the one sent at `ms` is answered. */
function probes(count: number, answer: (ms: number) => number | undefined): Probe[] {
  return Array.from({ length: count }, (_, ms) => ({ sentMs: ms, answeredMs: answer(ms) }));
}

describe('the outage a client sees', () => {
  it('is a round trip while everything is answered', () => {
    const view = judgeClient(
      probes(100, (ms) => ms + roundTripMs),
      100,
    );
    expect(view.outageMs).toBeCloseTo(roundTripMs);
    expect(view).toMatchObject({ sent: 100, lost: 0, late: 0 });
  });

  it('is the gap between answered probes, less the period, where probes are lost', () => {
    const view = judgeClient(
      probes(100, (ms) => (ms >= 40 && ms < 48 ? undefined : ms + roundTripMs)),
      100,
    );
    expect(view.outageMs).toBeCloseTo(8 + roundTripMs);
    expect(view).toMatchObject({ lost: 8, outageStartMs: 40, outageOpen: false });
    expect(view.lostSentMs).toEqual([40, 41, 42, 43, 44, 45, 46, 47]);
  });

  it('is not shortened by probes that waited in a queue and were answered late', () => {
    const view = judgeClient(
      probes(100, (ms) => (ms >= 40 && ms < 80 ? 80 + (ms - 40) / 1000 : ms + roundTripMs)),
      100,
    );
    expect(view.outageMs).toBeCloseTo(40);
    expect(view).toMatchObject({ lost: 0, late: 31 });
  });

  it('is not made up by a prober that slept', () => {
    const sparse = probes(100, (ms) => ms + roundTripMs).filter((probe) => probe.sentMs < 30 || probe.sentMs > 60);
    expect(judgeClient(sparse, 100).outageMs).toBeCloseTo(roundTripMs);
  });

  it('lasts until the end where the answers never came back', () => {
    const view = judgeClient(
      probes(100, (ms) => (ms < 40 ? ms + roundTripMs : undefined)),
      150,
    );
    expect(view).toMatchObject({ outageMs: 110, outageOpen: true, lost: 60 });
  });

  it('ignores that answers overtake each other', () => {
    const swapped = probes(10, (ms) => (ms === 4 ? 5.5 : ms + roundTripMs));
    expect(judgeClient(swapped, 10).outageMs).toBeLessThan(1.1);
    expect(judgeClient(swapped, 10).lost).toBe(0);
  });

  it('covers the whole stretch where nothing was ever answered', () => {
    expect(
      judgeClient(
        probes(10, () => undefined),
        10,
      ),
    ).toMatchObject({ outageMs: 10, outageOpen: true, lost: 10 });
  });
});
