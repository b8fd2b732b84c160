import { describe, expect, it } from 'vitest';
import { observation, ownershipEvent } from '../../test/log/events.js';
import { bootId, nodeId } from '../core/identity.js';
import { encodeEvent } from './codec.js';
import { describe as inWords } from './describe.js';
import type { KoiEvent, OwnershipPayload } from './event.js';
import { contendersFor, emptyLogState, fold, type LogState, ownershipOf, rewind } from './projection.js';
import { storedEvent } from './stored.js';
import { logNames, subjectOf } from './subjects.js';

const names = logNames('edge');

/** A log being written and folded at once, its chain of hashes kept right unless told otherwise. */
class Story {
  state: LogState = emptyLogState;

  add(event: KoiEvent, subject = subjectOf(names, event)): this {
    this.addBytes(encodeEvent(event), subject);
    return this;
  }

  addBytes(encoded: Uint8Array, subject: string): this {
    const sequence = this.state.sequence + 1;
    const stored = storedEvent(names, { sequence, subject, storedAtMs: sequence * 1000, encoded });
    this.state = fold(this.state, names, stored);
    return this;
  }

  own(node: string, term: number, payload?: OwnershipPayload, id?: string): this {
    const previousHash = this.gw?.hash;
    return this.add(
      ownershipEvent({ node, term, previousHash, ...(payload ? { payload } : {}), ...(id ? { id } : {}) }),
    );
  }

  get gw() {
    return this.state.virtualRouters.get('gw');
  }
}

const released: OwnershipPayload = { type: 'released', reason: 'shutdown', addressesReadBackGone: true };
const started = (node: string, priority: number): KoiEvent =>
  observation(node, {
    type: 'nodeStarted',
    version: '0.1.0',
    virtualRouters: [
      {
        name: 'gw',
        protocol: 'vrrp3',
        id: 51,
        priority,
        interface: 'eth1',
        addresses: [],
        lanAddress: `10.77.0.${priority}`,
      },
    ],
  });

describe('fold', () => {
  it('knows the owner, its term and the sequence to expect', () => {
    const story = new Story().own('r1', 1, undefined, 'claim-1');
    expect(ownershipOf(story.state, 'gw')).toEqual({
      owner: 'r1',
      boot: 'r1-boot',
      term: 1,
      claim: 'claim-1',
      released: false,
      sequence: 1,
    });
    story.add(observation('r1', { type: 'logLost', reason: 'timeout' }));
    expect(story.gw?.sequence).toBe(1);
    expect(story.state.sequence).toBe(2);
    expect(ownershipOf(story.state, 'other')).toBeUndefined();
  });

  it('marks a release by the holder, in its term, and no other', () => {
    const story = new Story().own('r1', 1).own('r2', 2);
    story.own('r1', 1, released);
    expect(story.gw?.holding).toMatchObject({ owner: 'r2', released: false });
    story.own('r2', 2, released);
    expect(story.gw?.holding).toMatchObject({ owner: 'r2', term: 2, released: true, reason: 'shutdown' });
    expect(story.gw?.sequence).toBe(4);
    expect(story.state.regressions).toBe(0);
  });

  it('follows a handover: the target owns from its start, the old master may linger', () => {
    const story = new Story().add(started('r2', 100)).own('r1', 1);
    story.own('r1', 2, { type: 'handoverStarted', to: nodeId('r2'), reason: 'drain' });
    expect(story.gw?.holding).toMatchObject({ owner: 'r2', boot: 'r2-boot', term: 2, lanAddress: '10.77.0.100' });
    expect(story.gw?.handover).toEqual({ from: 'r1', to: 'r2', state: 'started', reason: 'drain' });
    story.own('r2', 2, { type: 'handoverReady', from: nodeId('r1') });
    expect(story.gw?.handover?.state).toBe('ready');
    story.own('r1', 1, released);
    expect(story.gw?.handover).toBeUndefined();
    expect(story.gw?.holding).toMatchObject({ owner: 'r2', released: false });
  });

  it('follows a handover that fails: the old master claims again', () => {
    const story = new Story().own('r1', 1);
    story.own('r1', 2, { type: 'handoverStarted', to: nodeId('r2'), reason: 'drain' });
    story.own('r2', 2, { type: 'handoverFailed', from: nodeId('r1'), reason: 'attach_failed' });
    expect(story.gw?.handover).toMatchObject({ state: 'failed', reason: 'attach_failed' });
    story.own('r1', 3);
    expect(story.gw).toMatchObject({ handover: undefined, highestTerm: 3, holding: { owner: 'r1', term: 3 } });
  });

  it('knows who may contend, and who has gone', () => {
    const story = new Story().add(started('r1', 200)).add(started('r2', 100));
    expect(contendersFor(story.state, 'gw')).toEqual([
      { node: 'r1', priority: 200 },
      { node: 'r2', priority: 100 },
    ]);
    story.add(observation('r1', { type: 'nodeStopped', reason: 'shutdown' }));
    expect(contendersFor(story.state, 'gw')).toEqual([{ node: 'r2', priority: 100 }]);
    expect(story.state.nodes.get('r1')).toMatchObject({ stopped: true, boot: 'r1-boot', lastSeenMs: 3000 });
    story.add(started('r1', 50));
    expect(contendersFor(story.state, 'gw')).toHaveLength(2);
  });

  it('knows since when a node has run, whatever its agent says before it knows its dataplane', () => {
    const story = new Story().add(started('r1', 200)).add(started('r1', 100));
    story.add({ ...started('r1', 100), boot: bootId('') }).add(started('r1', 100));
    expect(story.state.nodes.get('r1')).toMatchObject({ run: { boot: 'r1-boot', sinceMs: 1000 }, lastSeenMs: 4000 });
    story.add({ ...started('r1', 100), boot: bootId('next') });
    expect(story.state.nodes.get('r1')).toMatchObject({ run: { boot: 'next', sinceMs: 5000 } });
  });

  it('counts a broken chain and a term used twice, and says where', () => {
    const story = new Story().own('r1', 5);
    story.add(ownershipEvent({ node: 'r2', term: 6, previousHash: '00'.repeat(32) }));
    expect(story.state).toMatchObject({
      regressions: 1,
      lastRegression: { vr: 'gw', sequence: 2, kind: 'chain_broken' },
    });
    story.own('r1', 6);
    expect(story.state).toMatchObject({ regressions: 2, lastRegression: { sequence: 3, kind: 'term_reused' } });
    story.add(ownershipEvent({ node: 'r2', term: 7 }));
    expect(story.state).toMatchObject({ regressions: 3, lastRegression: { sequence: 4, kind: 'chain_broken' } });
  });

  it('lets no term go down: not by a lower claim, a re-created log or a takeover without the log', () => {
    const story = new Story().own('r1', 5);
    story.own('r2', 3);
    expect(story.gw).toMatchObject({ highestTerm: 5, holding: { owner: 'r2', term: 3 } });
    story.add(observation('r1', { type: 'provisionalTakeover', reason: 'log_unreachable' }, { vr: 'gw', term: 9 }));
    expect(story.gw?.highestTerm).toBe(9);

    const regressions = story.state.regressions;
    story.state = rewind(story.state);
    expect(story.state).toMatchObject({ sequence: 0, regressions: regressions + 1 });
    expect(story.gw).toMatchObject({ highestTerm: 9, holding: undefined, sequence: 0, hash: undefined });
    story.own('r1', 5).own('r2', 6);
    expect(story.gw?.highestTerm).toBe(9);
    expect(story.state.regressions).toBe(regressions + 1);
  });

  it('expects bytes that are no event like any other: they stand on the subject', () => {
    const story = new Story().own('r1', 1);
    story.addBytes(Uint8Array.of(1, 2, 3), 'koi.edge.own.gw');
    expect(story.state.unreadable).toBe(1);
    expect(story.gw).toMatchObject({ sequence: 2, holding: { owner: 'r1' } });
    story.own('r2', 2);
    expect(story.state.regressions).toBe(0);
    story.add(ownershipEvent({ node: 'evil', term: 99 }), 'koi.edge.own.other');
    expect(story.gw?.holding?.owner).toBe('r2');
    expect(story.state.virtualRouters.get('other')).toMatchObject({ holding: undefined, sequence: 4, highestTerm: 0 });
  });

  it('ignores what it has folded already, and never changes a state it gave out', () => {
    const story = new Story().own('r1', 1);
    const kept = story.state;
    const frozen = structuredClone({ virtualRouters: [...kept.virtualRouters], nodes: [...kept.nodes] });
    const again = storedEvent(names, {
      sequence: 1,
      subject: 'koi.edge.own.gw',
      storedAtMs: 1,
      encoded: encodeEvent(ownershipEvent({ node: 'r2', term: 7 })),
    });
    expect(fold(story.state, names, again)).toBe(story.state);
    story.own('r2', 2).own('r2', 2, released);
    expect({ virtualRouters: [...kept.virtualRouters], nodes: [...kept.nodes] }).toEqual(frozen);
  });
});

describe('describe', () => {
  it('puts an event on one line, with its cause', () => {
    const claim = ownershipEvent({ node: 'r2', term: 8, id: 'c8' });
    const release = { ...ownershipEvent({ node: 'r1', term: 7, id: 'r7', payload: released }) };
    expect(inWords(claim)).toBe('gw r2 claimed term 8: master_silent (priority 100, 10.77.0.1)');
    expect(inWords({ ...claim, causeId: 'r7' }, (id) => (id === 'r7' ? release : undefined))).toBe(
      'gw r2 claimed term 8: master_silent (priority 100, 10.77.0.1) ← r1 released',
    );
    expect(inWords({ ...claim, causeId: 'lost' })).toBe(inWords(claim));
    expect(inWords(release)).toBe('gw r1 released term 7: shutdown (addresses read back gone)');
    expect(inWords(started('r1', 1))).toBe('r1 started koi 0.1.0 with 1 virtual router');
  });
});
