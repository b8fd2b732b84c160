import { beforeEach, describe, expect, it } from 'vitest';
import { base } from '../../test/core/machine.js';
import { ownershipEvent } from '../../test/log/events.js';
import { term } from '../core/identity.js';
import { emptyLogState, type LogState } from '../log/projection.js';
import { Terms } from './terms.js';
import type { RouterSettings } from './world.js';

const settings: RouterSettings = { ...base, name: 'gw', advertIntervalMs: 100 };
let nowMs: number;
let arbitration: RouterSettings['arbitration'];
let found: string[];
let terms: Terms;

beforeEach(() => {
  [nowMs, arbitration, found] = [1000, 'log', []];
  terms = new Terms(
    {
      get nowMs() {
        return nowMs;
      },
      settings: () => ({ ...settings, arbitration }),
      violated: (_, text) => found.push(text),
    },
    2,
  );
});

const claimed = (by: string, of: number, id: string) => ownershipEvent({ node: by, term: of, id });

describe('the terms that a node takes', () => {
  it('never go back, nor come twice in two lives', () => {
    terms.attaching(0, 'gw', term(4), 'b1');
    terms.attaching(0, 'gw', term(4), 'b1');
    terms.attaching(1, 'gw', term(3), 'b1');
    expect(found).toEqual([]);
    terms.attaching(0, 'gw', term(4), 'b2');
    terms.attaching(0, 'gw', term(3), 'b2');
    expect(found).toEqual(['n1 takes gw with term 4 after term 4', 'n1 takes gw with term 3 after term 4']);
  });

  it('may, after a takeover that did not wait for a slow disk; `strict` waits', () => {
    for (const [node, mode] of (['log', 'strict'] as const).entries()) {
      arbitration = mode;
      terms.diskIsSlow(node, true);
      terms.attaching(node, 'gw', term(4), 'b1');
      terms.diskIsSlow(node, false);
      nowMs += 3001;
      terms.attaching(node, 'gw', term(4), 'b2');
    }
    expect(found).toEqual(['n2 takes gw with term 4 after term 4']);
  });
});

describe('the terms that the log gives', () => {
  it('only grow, and none is given twice', () => {
    terms.stored(emptyLogState, claimed('r1', 4, 'a'));
    terms.stored(emptyLogState, claimed('r1', 4, 'a'));
    terms.stored(emptyLogState, claimed('r2', 4, 'b'));
    terms.stored(emptyLogState, claimed('r2', 3, 'c'));
    expect(found).toEqual(['term 4 of gw is owned by a and by b', 'r2 claims gw with term 3, but the log has term 4']);
  });

  it('are judged anew after the log has lost events', () => {
    const broken: LogState = {
      ...emptyLogState,
      regressions: 1,
      lastRegression: { kind: 'chain_broken', vr: 'gw', sequence: 9 },
    };
    terms.stored(emptyLogState, claimed('r1', 4, 'a'));
    terms.logReset(emptyLogState);
    terms.stored(emptyLogState, claimed('r2', 3, 'b'));
    terms.stored(broken, claimed('r1', 2, 'c'));
    expect(found).toEqual([]);
  });

  it('carry the hash of the one before', () => {
    terms.stored(emptyLogState, claimed('r1', 4, 'a'));
    terms.stored(
      { ...emptyLogState, regressions: 1, lastRegression: { kind: 'chain_broken', vr: 'gw', sequence: 2 } },
      claimed('r2', 5, 'b'),
    );
    expect(found).toEqual(['an event of r2 does not carry the hash of the one before it']);
  });
});
