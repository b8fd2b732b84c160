import { beforeEach, describe, expect, it } from 'vitest';
import { LanLook } from './lan-look.js';
import { freshAnswerMs } from './lan-reach.js';

describe('whether the LAN carries what a holder says', () => {
  let nowMs: number;
  let frames: number;
  let neighbours: string[];
  let before: string[];
  let asked: string[][];
  let due: { atMs: number; run: () => void }[];
  let reach: LanLook;

  beforeEach(() => {
    nowMs = 1000;
    frames = 7;
    neighbours = ['10.0.0.9'];
    before = [];
    asked = [];
    due = [];
    reach = new LanLook({
      neighbours: () => ({ lately: neighbours, before }),
      ask: (addresses) => asked.push([...addresses]) * 0 + addresses.length,
      receivedFrames: () => frames,
      now: () => nowMs,
      after: (ms, run) => due.push({ atMs: nowMs + ms, run }),
    });
  });

  function pass(ms: number): void {
    nowMs += ms;
    for (const timer of due.splice(0)) {
      if (timer.atMs <= nowMs) timer.run();
      else due.push(timer);
    }
  }

  it('an answer says yes at once, and for a while to whoever asks next', async () => {
    const verdict = reach.carries(15);
    reach.answered();
    expect(await verdict).toBe(true);
    pass(50);
    expect(await reach.carries(15)).toBe(true);
    expect(asked).toEqual([['10.0.0.9']]);
  });

  it('an answer from before the adverts of a fast master were missed says nothing', async () => {
    reach.answered();
    pass(25);
    const verdict = reach.carries(15, freshAnswerMs(10));
    expect(asked).toEqual([['10.0.0.9']]);
    pass(15);
    expect(await verdict).toBe(false);
    expect(freshAnswerMs(1000)).toBe(100);
  });

  it('silence, with somebody asked, says no', async () => {
    const verdict = reach.carries(15);
    pass(15);
    expect(await verdict).toBe(false);
  });

  it('frames without an answer say yes once: the neighbour may be slow', async () => {
    const first = reach.carries(15);
    frames += 1;
    pass(15);
    expect(await first).toBe(true);
    pass(235);
    const second = reach.carries(15);
    frames += 1;
    pass(15);
    expect(await second).toBe(false);
  });

  it('frames without an answer are no way out to who would take over', async () => {
    const verdict = reach.isAnswered(15, 100);
    frames += 1;
    pass(15);
    expect(await verdict).toBe(false);
    const next = reach.isAnswered(15, 100);
    reach.answered();
    expect(await next).toBe(true);
  });

  it('a late answer counts for the next question', async () => {
    const first = reach.carries(15);
    frames += 1;
    pass(15);
    expect(await first).toBe(true);
    pass(20);
    reach.answered();
    pass(300);
    const second = reach.carries(15);
    frames += 1;
    pass(15);
    expect(await second).toBe(true);
  });

  it('with nobody to ask, the carrier has to do', async () => {
    neighbours = [];
    const verdict = reach.carries(15);
    pass(15);
    expect(await verdict).toBe(true);
  });

  it('many who ask at once share one round', async () => {
    const verdicts = [reach.carries(15), reach.carries(15), reach.carries(15)];
    pass(15);
    expect(await Promise.all(verdicts)).toEqual([false, false, false]);
    expect(asked).toHaveLength(1);
  });

  it('whoever has more time waits longer for the same answer', async () => {
    const hurried = reach.carries(15);
    const patient = reach.carries(200);
    pass(15);
    expect(await hurried).toBe(false);
    pass(50);
    reach.answered();
    expect(await patient).toBe(true);
    expect(asked).toHaveLength(1);
  });

  it('who has not spoken for long is asked as well: an answer proves as much, silence nothing', async () => {
    neighbours = [];
    before = ['10.0.0.7'];
    const silent = reach.carries(15);
    pass(15);
    expect(await silent).toBe(true);
    neighbours = ['10.0.0.9'];
    pass(300);
    const spoken = reach.carries(15);
    reach.answered();
    expect(await spoken).toBe(true);
    expect(asked.flat()).toEqual(['10.0.0.7', '10.0.0.9', '10.0.0.7']);
  });

  it('what nothing hurries asks twice before it takes frames without an answer for slow neighbours', async () => {
    neighbours = [];
    const heard = reach.isHeard(200, ['10.0.0.2']);
    frames += 1;
    pass(205);
    await Promise.resolve();
    await Promise.resolve();
    frames += 1;
    pass(205);
    expect(await heard).toBe(false);
    expect(asked).toEqual([['10.0.0.2'], ['10.0.0.2']]);
  });

  it('and takes the first answer, of a host that it knew of or was told of', async () => {
    const heard = reach.isHeard(200, ['10.0.0.2', '10.0.0.9']);
    expect(asked).toEqual([['10.0.0.2', '10.0.0.9']]);
    reach.answered();
    expect(await heard).toBe(true);
    pass(300);
    const silent = reach.isHeard(200, ['10.0.0.2']);
    pass(205);
    expect(await silent).toBe(false);
  });
});
