import { describe, expect, it } from 'vitest';
import { episodeKinds, evidenceWords, explainEpisode } from './episode.js';
import { doubleMasters, LogMasters } from './log-masters.js';
import { RateLimit } from './rate.js';
import { isForeignAdvert, isStranger, Strangers, strangerAfterMs } from './stranger.js';

describe('a stranger', () => {
  it('uses our id where its advert says something else, unless it is one of us', () => {
    expect(isForeignAdvert('address_mismatch', false)).toBe(true);
    expect(isForeignAdvert('protocol_mismatch', false)).toBe(true);
    expect(isForeignAdvert('address_mismatch', true)).toBe(false);
    expect(isForeignAdvert('bad_checksum', false)).toBe(false);
    expect(isForeignAdvert('own_advert', false)).toBe(false);
  });

  it('is another cluster only where the log says who we are', () => {
    expect(isStranger({ arbitration: 'log', isKnownNode: false, logReachable: true })).toBe(true);
    expect(isStranger({ arbitration: 'wire', isKnownNode: false, logReachable: true })).toBe(false);
    expect(isStranger({ arbitration: 'log', isKnownNode: true, logReachable: true })).toBe(false);
    expect(isStranger({ arbitration: 'log', isKnownNode: false, logReachable: false })).toBe(false);
  });

  it('is told of once the log has had time to name it, and begins anew when it was named', () => {
    const strangers = new Strangers();
    expect(strangers.heard('10.0.0.2', true, 0)).toBe(false);
    expect(strangers.heard('10.0.0.2', true, strangerAfterMs - 1)).toBe(false);
    expect(strangers.heard('10.0.0.3', false, strangerAfterMs)).toBe(false);
    expect(strangers.heard('10.0.0.2', true, strangerAfterMs)).toBe(true);
    expect(strangers.heard('10.0.0.2', false, 2 * strangerAfterMs)).toBe(false);
    expect(strangers.heard('10.0.0.2', true, 2 * strangerAfterMs)).toBe(false);
  });

  it('is told of at once where there are more than can be kept', () => {
    const strangers = new Strangers();
    for (let host = 0; host < 16; host += 1) expect(strangers.heard(`10.0.0.${host}`, true, 0)).toBe(false);
    expect(strangers.heard('10.0.0.99', true, 0)).toBe(true);
  });
});

describe('two active terms in the log', () => {
  const r1 = { node: 'r1', state: 'master', term: 4, isAlive: true };
  const r2 = { node: 'r2', state: 'master', term: 5, isAlive: true };

  it('are two masters that are alive', () => {
    expect(doubleMasters([r2, r1])?.nodes).toEqual(['r1', 'r2']);
    expect(doubleMasters([r1, { ...r2, isAlive: false }])).toBeUndefined();
    expect(doubleMasters([r1, { ...r2, state: 'backup' }])).toBeUndefined();
  });

  it('must last, since a handover and a dead master look the same for a while', () => {
    const follows = new LogMasters(5000);
    const both = doubleMasters([r1, r2]);
    expect(follows.look(both, 0)).toBeUndefined();
    expect(follows.look(undefined, 1000)).toBeUndefined();
    expect(follows.look(both, 2000)).toBeUndefined();
    expect(follows.look(both, 6999)).toBeUndefined();
    expect(follows.look(both, 7000)).toBe('began');
    expect(follows.look(both, 8000)).toBeUndefined();
    expect(follows.look(undefined, 9000)).toEqual({ endedAfterMs: 7000 });
    expect(follows.look(undefined, 9500)).toBeUndefined();
  });
});

describe('a rate', () => {
  it('lets a burst through and then so many a second', () => {
    const rate = new RateLimit({ perSecond: 10, burst: 3 });
    const taken = (fromMs: number, toMs: number): number => {
      let count = 0;
      for (let atMs = fromMs; atMs < toMs; atMs++) if (rate.take(atMs)) count += 1;
      return count;
    };
    expect(taken(0, 1)).toBe(1);
    expect(taken(1, 1000)).toBe(11);
    expect(rate.waitMs(1000)).toBeLessThanOrEqual(100);
    expect(taken(1000, 2000)).toBe(10);
  });

  it('is not upset by a clock that stands still', () => {
    const rate = new RateLimit({ perSecond: 1, burst: 1 });
    expect([rate.take(5), rate.take(5), rate.take(4)]).toEqual([true, false, false]);
  });
});

describe('the words of an episode', () => {
  it('are there for every kind', () => {
    for (const kind of episodeKinds) expect(explainEpisode(kind).remedy).not.toBe('see koi timeline');
    expect(explainEpisode('of_a_newer_version').what).toBe('of a newer version');
    expect(
      evidenceWords([
        { key: 'mac', value: 'a' },
        { key: 'vip', value: 'b' },
      ]),
    ).toBe('mac=a vip=b');
  });
});
