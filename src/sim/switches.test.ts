import { beforeEach, describe, expect, it } from 'vitest';
import { observation } from '../../test/log/events.js';
import type { KoiEvent } from '../log/event.js';
import { Switches } from './switches.js';
import { emptyTally } from './tally.js';

let found: string[];
let tally: { -readonly [Key in keyof typeof emptyTally]: number };
let switches: Switches;

beforeEach(() => {
  [found, tally] = [[], { ...emptyTally }];
  switches = new Switches({ nodes: [], tally, violated: (promise, text) => found.push(`${promise}: ${text}`) });
});

const { payload: _, ...rest } = observation('r1', { type: 'logLost', reason: 'x' });
const switched = (version: number): KoiEvent => ({
  ...rest,
  vr: 'gw',
  payload: {
    type: 'configSwitched',
    version,
    reason: 'agreed',
    configuration: { protocol: 'vrrp3', id: 51, addresses: [], form: '', key: '', digest: 'd' },
  },
});

describe('another configuration', () => {
  it('comes into force three times for each edit of a file, at most; the first is no other', () => {
    switches.edited('gw');
    for (const version of [1, 2, 3, 4]) switches.stored('gw', switched(version));
    expect([found, tally.switches]).toEqual([[], 3]);
    switches.stored('gw', switched(5));
    expect(found).toEqual(['switches: gw has been switched 4 times, and its files were edited 1 times']);
  });

  it('is counted anew where the log is read anew', () => {
    switches.edited('gw');
    for (const version of [2, 3, 4]) switches.stored('gw', switched(version));
    switches.logReset();
    for (const version of [2, 3, 4]) switches.stored('gw', switched(version));
    expect(found).toEqual([]);
  });

  it('bars a node from taking over, until it is in force there', () => {
    switches.barred(1, 'gw', true);
    switches.candidate(0, 'gw');
    switches.candidate(1, 'dns');
    expect(found).toEqual([]);
    switches.candidate(1, 'gw');
    switches.barred(1, 'gw', false);
    switches.candidate(1, 'gw');
    expect(found).toEqual(['configured: n2 takes gw over with another configuration']);
  });
});
