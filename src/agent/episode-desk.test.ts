import { describe, expect, it } from 'vitest';
import { bootId, nodeId } from '../core/identity.js';
import type { EpisodeMessage } from '../ipc/protocol.js';
import { foldEpisode } from '../log/episode-projection.js';
import type { ObservationEvent, ObservationPayload } from '../log/event.js';
import { emptyLogState, type LogState, type NodeRecord } from '../log/projection.js';
import { EpisodeDesk } from './episode-desk.js';

const happened = { number: 1, wallMs: 5000, monotonicMs: 5 };
const wrongMac: EpisodeMessage = {
  kind: 'wrong_mac',
  vr: 'gw',
  subject: '02:00:00:00:00:99',
  evidence: [{ key: 'vip', value: '192.0.2.1' }],
  sinceWallMs: 5000,
};

function logWith(payloads: readonly ObservationPayload[], boot = 'b1'): LogState {
  const event = (payload: ObservationPayload): ObservationEvent => ({
    id: 'e',
    cluster: 'edge',
    node: nodeId('r2'),
    boot: bootId('b1'),
    wallTimeMs: 1000,
    monotonicMs: 1,
    vr: 'gw',
    payload,
  });
  const record: NodeRecord = {
    node: nodeId('r2'),
    boot: bootId(boot),
    version: undefined,
    virtualRouters: [],
    stopped: false,
    drainedSinceMs: undefined,
    dataplaneLostMs: undefined,
    lastSeenMs: 1000,
    run: { boot: bootId(boot), sinceMs: 1000 },
  };
  const episodes = payloads.reduce((before, payload) => foldEpisode(before, event(payload)), emptyLogState.episodes);
  return { ...emptyLogState, nodes: new Map([[nodeId('r2'), record]]), episodes };
}

const began = { type: 'episodeBegan', kind: 'wrong_mac', subject: 'x', evidence: [] } as const;
const ended = { type: 'episodeEnded', kind: 'wrong_mac', subject: 'x', durationMs: 1, reason: 'gone' } as const;

describe('what is wrong now', () => {
  it('is what the dataplane told and has not taken back', () => {
    const desk = new EpisodeDesk();
    desk.heard({ type: 'episode', ...happened, episode: wrongMac, ended: null });
    const [shown] = desk.report('r1', emptyLogState);
    expect(shown).toMatchObject({ kind: 'wrong_mac', node: 'r1', vr: 'gw', since: '1970-01-01T00:00:05.000Z' });
    expect(shown?.remedy).toContain('arp_ignore');
    const end = { durationMs: 1, sightings: 3, reason: 'not seen any more' };
    desk.heard({ type: 'episode', ...happened, episode: wrongMac, ended: end });
    expect(desk.report('r1', emptyLogState)).toEqual([]);
  });

  it('is forgotten with the dataplane that saw it, and learnt from the one that runs', () => {
    const desk = new EpisodeDesk();
    desk.heard({ type: 'episode', ...happened, episode: wrongMac, ended: null });
    desk.dataplaneGone();
    expect(desk.own).toEqual([]);
    const hello = { type: 'hello', protocol: 4, node: 'r1', boot: 'b', pid: 1, digest: '', vrs: [] } as const;
    desk.dataplaneCame({ ...hello, vrs: [], episodes: [wrongMac] });
    expect(desk.own).toEqual([wrongMac]);
  });

  it('includes two masters and a lost advert path', () => {
    const desk = new EpisodeDesk();
    const split = { type: 'splitBrain', ...happened, vr: 'gw', rival: 'r2', durationMs: 0 } as const;
    desk.heard({ ...split, began: true });
    desk.heard({ type: 'advertPath', ...happened, vr: 'gw', peer: 'r2', lost: true, durationMs: 400 });
    expect(desk.own.map(({ kind }) => kind)).toEqual(['split_brain', 'advert_path_lost']);
    expect(desk.own[1]?.sinceWallMs).toBe(4600);
    desk.heard({ ...split, began: false });
    expect(desk.own.map(({ kind }) => kind)).toEqual(['advert_path_lost']);
  });

  it('includes what other nodes have in the log, until they take it back or begin anew', () => {
    const desk = new EpisodeDesk();
    expect(desk.report('r1', logWith([began]))).toMatchObject([{ node: 'r2', subject: 'x' }]);
    expect(desk.report('r1', logWith([began, ended]))).toEqual([]);
    expect(desk.report('r1', logWith([began], 'b2'))).toEqual([]);
    expect(desk.report('r1', logWith([began, { type: 'nodeStopped', reason: 'shutdown' }]))).toEqual([]);
  });

  it('is bounded, whatever the log holds', () => {
    const many = Array.from({ length: 2000 }, (_, index) => ({ ...began, subject: `${index}` }));
    const { episodes } = logWith(many);
    expect(episodes.size).toBe(512);
    expect([...episodes.values()].at(-1)?.subject).toBe('1999');
  });
});
