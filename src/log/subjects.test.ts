import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { observation, ownershipEvent } from '../../test/log/events.js';
import { nodeId } from '../core/identity.js';
import { logNames, parseSubject, subjectOf, subjectToken } from './subjects.js';

/** Text that UTF-8 can carry. */
const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });

describe('names in NATS', () => {
  it('are plain where the name is plain', () => {
    const names = logNames('edge');
    expect(names.stream).toBe('KOI_EDGE');
    expect(names.leaseStream).toBe('KOI_EDGE_LEASE');
    expect(names.ownershipSubject('gw-1')).toBe('koi.edge.own.gw-1');
  });

  it('never break a subject, and come back as they were', () => {
    fc.assert(
      fc.property(name, name, (cluster, vr) => {
        const names = logNames(cluster);
        const subject = names.ownershipSubject(vr);
        expect(subject).toMatch(/^koi\.[A-Za-z0-9_-]+\.own\.[A-Za-z0-9_-]+$/);
        expect(names.stream).toMatch(/^KOI_[A-Z0-9_-]+$/);
        expect(parseSubject(names, subject)).toEqual({ kind: 'own', name: vr });
      }),
    );
  });

  it('keep clusters apart which differ in case or punctuation only', () => {
    const streams = ['edge', 'Edge', 'EDGE', 'edge.1', 'edge_1', 'edge-1', 'edge 1'].map(
      (each) => logNames(each).stream,
    );
    expect(new Set(streams).size).toBe(streams.length);
    expect(logNames('edge').leaseStream).not.toBe(logNames('edge_lease').stream);
  });

  it('refuse subjects of others', () => {
    const names = logNames('edge');
    for (const subject of ['koi.other.own.gw', 'koi.edge.own.gw.more', 'koi.edge.foo.gw', 'koi.edge.own._Z', 'x']) {
      expect(parseSubject(names, subject)).toBeUndefined();
    }
  });

  it('put each event where it belongs', () => {
    const names = logNames('edge');
    expect(subjectOf(names, ownershipEvent({ node: 'r1', term: 1 }))).toBe('koi.edge.own.gw');
    expect(subjectOf(names, observation('r1', { type: 'nodeStopped', reason: '' }))).toBe('koi.edge.node.r1');
    const proposal = {
      ...ownershipEvent({ node: 'r1', term: 1 }),
      payload: { type: 'configWithdrawn', version: 1 },
    } as const;
    expect(subjectOf(names, proposal)).toBe('koi.edge.conf.gw');
    const { vr: _, term: __, ...envelope } = ownershipEvent({ node: 'r1', term: 1 });
    const revoked = { ...envelope, payload: { type: 'leaseRevoked', holder: nodeId('r2'), reason: '' } } as const;
    expect(subjectOf(names, revoked)).toBe('koi.edge.lease.r2');
    expect(subjectToken('a.b')).toBe('a_2Eb');
  });
});
