import { describe, expect, it } from 'vitest';
import type { Sighting } from './episode.js';
import { EpisodeBook, type EpisodeNews, subjectsMax } from './episode-book.js';

const wrongMac = (subject: string): Sighting => ({
  kind: 'wrong_mac',
  vr: 'gw',
  subject,
  evidence: [{ key: 'mac', value: subject }],
});
const duplicate: Sighting = { kind: 'duplicate_id', vr: 'gw', subject: '10.0.0.9', evidence: [] };

function book() {
  const news: EpisodeNews[] = [];
  return { news, book: new EpisodeBook((each) => news.push(each)) };
}

describe('episodes', () => {
  it('begin with the first sighting of a wrong MAC, are told once, and end when it is quiet', () => {
    const { book: episodes, news } = book();
    episodes.saw(wrongMac('a'), 1000);
    for (let atMs = 1001; atMs < 4000; atMs++) episodes.saw(wrongMac('a'), atMs);
    expect(news).toHaveLength(1);
    expect(news[0]).toMatchObject({ began: true, episode: { subject: 'a', sinceMs: 1000 } });
    episodes.settle(3999 + 15_000);
    expect(news).toHaveLength(1);
    episodes.settle(3999 + 15_001);
    expect(news[1]).toMatchObject({ began: false, durationMs: 2999, episode: { sightings: 3000 } });
    expect(episodes.size).toBe(0);
  });

  it('need more than one sighting where one may be a straggler', () => {
    const { book: episodes, news } = book();
    episodes.saw(duplicate, 0);
    episodes.settle(60_001);
    expect(episodes.size).toBe(0);
    episodes.saw(duplicate, 70_000);
    expect(news).toEqual([]);
    episodes.saw(duplicate, 71_000);
    expect(news).toHaveLength(1);
  });

  it('forget a suspicion that is too old, even where nobody settled meanwhile', () => {
    const { book: episodes, news } = book();
    episodes.saw(duplicate, 0);
    episodes.saw(duplicate, 60_001);
    expect(news).toEqual([]);
    episodes.saw(duplicate, 60_002);
    expect(news[0]).toMatchObject({ began: true, episode: { sinceMs: 60_001 } });
  });

  it('end at once where it is known that they are over', () => {
    const { book: episodes, news } = book();
    episodes.saw(wrongMac('a'), 0);
    episodes.end(wrongMac('a'), 'the host has left', 500);
    expect(news[1]).toMatchObject({ began: false, durationMs: 500, reason: 'the host has left' });
    episodes.end(wrongMac('a'), 'again', 600);
    expect(news).toHaveLength(2);
  });

  it('stay few however many there are who are seen', () => {
    const { book: episodes, news } = book();
    for (let each = 0; each < 50_000; each++) episodes.saw(wrongMac(`mac ${each}`), each / 50);
    expect(episodes.size).toBe(subjectsMax + 1);
    expect(news.map(({ episode }) => episode.subject).at(-1)).toBe('others');
    episodes.settle(100_000);
    expect(episodes.size).toBe(0);
    expect(news).toHaveLength(2 * (subjectsMax + 1));
  });

  it('of one virtual router end together', () => {
    const { book: episodes, news } = book();
    episodes.saw(wrongMac('a'), 0);
    episodes.saw({ ...wrongMac('b'), vr: 'other' }, 0);
    episodes.endAll('gw', 'not configured any more', 10);
    expect(news.filter(({ began }) => !began).map(({ episode }) => episode.vr)).toEqual(['gw']);
    expect(episodes.isOpen('wrong_mac', 'other')).toBe(true);
    expect(episodes.isOpen('wrong_mac', 'gw')).toBe(false);
  });
});
