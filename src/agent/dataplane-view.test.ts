import { beforeEach, describe, expect, it } from 'vitest';
import { configOf } from '../../test/agent/node.js';
import { bootId, claimId, nodeId, sequence, term } from '../core/identity.js';
import type { Ownership } from '../core/ownership.js';
import type { ToDataplane } from '../ipc/protocol.js';
import { emptyLogState } from '../log/projection.js';
import { DataplaneView } from './dataplane-view.js';
import { OwnNode } from './own-node.js';

let dataplane: { up: boolean; send: (message: ToDataplane) => boolean };
let sent: ToDataplane[];
/** By virtual router. */
let owned: Map<string, Ownership>;
let view: DataplaneView;

const ownership: Ownership = {
  owner: nodeId('r2'),
  boot: bootId('b2'),
  term: term(4),
  claim: claimId('c4'),
  sequence: sequence(7),
  released: false,
  handedBy: undefined,
};

beforeEach(() => {
  [sent, owned] = [[], new Map()];
  dataplane = { up: true, send: (message) => sent.push(message) > 0 };
  const node = new OwnNode(configOf('gw', 'dns'), () => false);
  view = new DataplaneView({
    node,
    log: { state: emptyLogState, reachable: true },
    dataplane,
    newest: (vr) => owned.get(vr),
  });
});

const told = (): unknown[] =>
  sent.splice(0).map((message) => message.type === 'log' && message.vrs.map(({ name }) => name));

describe('what the dataplane is told of the log', () => {
  it('is everything at first and to another one, then what is new', () => {
    view.tell(true);
    view.tell(true);
    expect(told()).toEqual([['gw', 'dns']]);
    view.dataplaneCame();
    view.tell(true);
    expect(told()).toEqual([['gw', 'dns']]);
  });

  it('is nothing while it is not there', () => {
    dataplane.up = false;
    view.touchAll();
    view.tell(false);
    expect(told()).toEqual([]);
  });

  it('is of those alone of which something may be new', () => {
    view.tell(true);
    for (const vr of ['gw', 'dns']) owned.set(vr, ownership);
    view.touch('dns');
    view.tell(false);
    view.tell(false);
    view.touchAll();
    view.tell(false);
    expect(told()).toEqual([['gw', 'dns'], ['dns'], ['gw']]);
  });
});
