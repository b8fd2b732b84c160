import { beforeEach, describe, expect, it } from 'vitest';
import { observation, ownershipEvent } from '../../test/log/events.js';
import { encodeEvent, eventHash } from '../log/codec.js';
import type { KoiEvent } from '../log/event.js';
import { emptyLogState, fold, type LogState, ownershipOf } from '../log/projection.js';
import { logNames, subjectOf } from '../log/subjects.js';
import { LogViewer } from './log-view.js';

const names = logNames('edge');
let state: LogState;

beforeEach(() => {
  state = emptyLogState;
});

function happens(event: KoiEvent): void {
  state = fold(state, names, {
    sequence: state.sequence + 1,
    subject: subjectOf(names, event),
    storedAtMs: 1_700_000_000_000,
    bytes: 0,
    hash: eventHash(encodeEvent(event)),
    event,
  });
}

const starts = (node: string, routers: Readonly<Record<string, number>>, lanAddress: string): void =>
  happens(
    observation(node, {
      type: 'nodeStarted',
      version: '0.1.0',
      virtualRouters: Object.entries(routers).map(([name, priority], index) => ({
        name,
        protocol: 'vrrp3',
        id: 51 + index,
        priority,
        interface: 'eth1',
        addresses: [`10.77.0.${index + 250}/24`],
        lanAddress,
      })),
    }),
  );

const own = [
  { name: 'gw', priority: 200 },
  { name: 'dns', priority: 100 },
];
const viewer = (): LogViewer => new LogViewer('r1', (names) => own.filter(({ name }) => names?.has(name) ?? true));
const newest = (vr: string) => ownershipOf(state, vr);

describe('the view of the log', () => {
  it('is everything at first, and nothing where nothing changed', () => {
    const view = viewer();
    starts('r1', { gw: 200, dns: 100 }, '10.77.0.1');
    expect(view.next(state, true, newest)).toMatchObject({
      type: 'log',
      reachable: true,
      vrs: [
        { name: 'gw', ownership: null, place: 0 },
        { name: 'dns', ownership: null, place: 0 },
      ],
      nodes: [{ node: 'r1', lanAddresses: ['10.77.0.1'] }],
    });
    expect(view.next(state, true, newest)).toBeUndefined();
  });

  it('is afterwards only what changed', () => {
    const view = viewer();
    view.next(state, true, newest);
    happens(ownershipEvent({ node: 'r2', term: 3 }));
    const message = view.next(state, true, newest);
    expect(message?.vrs).toMatchObject([{ name: 'gw', ownership: { owner: 'r2', term: 3, released: false } }]);
    expect(view.next(state, true, newest)).toBeUndefined();
  });

  it('looks at those alone that were touched, and at all where the nodes are others', () => {
    const view = viewer();
    starts('r2', { gw: 50, dns: 50 }, '');
    view.next(state, true, newest, new Set());
    happens(ownershipEvent({ node: 'r2', term: 3 }));
    expect(view.next(state, true, newest, new Set(['dns']))).toBeUndefined();
    expect(view.next(state, true, newest, new Set(['gw', 'elsewhere']))?.vrs).toMatchObject([{ name: 'gw' }]);
    starts('r3', { gw: 250, dns: 250 }, '');
    expect(view.next(state, true, newest, new Set())?.vrs).toMatchObject([{ name: 'gw' }, { name: 'dns' }]);
  });

  it('says that the log is away, and that it is back, without repeating the rest', () => {
    const view = viewer();
    view.next(state, true, newest);
    expect(view.next(state, false, newest)).toMatchObject({ reachable: false, vrs: [] });
    expect(view.next(state, false, newest)).toBeUndefined();
    expect(view.next(state, true, newest)).toMatchObject({ reachable: true, vrs: [] });
  });

  it('follows the place of this node among those that may claim: the holder does not count', () => {
    const view = viewer();
    starts('r1', { gw: 200, dns: 100 }, '10.77.0.1');
    starts('r2', { gw: 100, dns: 200 }, '10.77.0.2');
    starts('r3', { gw: 250, dns: 50 }, '10.77.0.3');
    expect(view.next(state, true, newest)?.vrs).toMatchObject([
      { name: 'gw', place: 1 },
      { name: 'dns', place: 1 },
    ]);
    happens(ownershipEvent({ node: 'r3', term: 1 }));
    expect(view.next(state, true, newest)?.vrs).toMatchObject([{ name: 'gw', place: 0 }]);
    happens(observation('r2', { type: 'nodeStopped', reason: 'shutdown' }));
    expect(view.next(state, true, newest)?.vrs).toContainEqual(expect.objectContaining({ name: 'dns', place: 0 }));
  });

  it('names the LAN addresses of every node, each once, and no empty one', () => {
    const view = viewer();
    starts('r2', { gw: 100, dns: 200 }, '10.77.0.2');
    starts('r3', { gw: 50 }, '');
    expect(view.next(state, true, newest)?.nodes).toEqual([
      { node: 'r2', lanAddresses: ['10.77.0.2'] },
      { node: 'r3', lanAddresses: [] },
    ]);
  });

  it('takes the ownership that it is given: what this node wrote may be newer than what it has read', () => {
    const view = viewer();
    view.next(state, true, newest);
    const before = state;
    happens(ownershipEvent({ node: 'r1', term: 1 }));
    expect(view.next(before, true, newest)?.vrs).toMatchObject([{ name: 'gw', ownership: { owner: 'r1', term: 1 } }]);
  });
});
