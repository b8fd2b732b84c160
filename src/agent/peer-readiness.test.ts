import { describe, expect, it } from 'vitest';
import { toldOf } from '../../test/agent/node.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import { peerReadiness } from './peer-readiness.js';

const backup = toldOf('gw', { term: 3 });

describe('whether this node could take over', () => {
  it('says the term that the machine is at, where it is past the log', () => {
    expect(peerReadiness('gw', backup, false, 2)).toEqual({ ready: true, reason: '', highestTerm: 3 });
    expect(peerReadiness('gw', backup, false, 5).highestTerm).toBe(5);
  });

  it('names what keeps it from it', () => {
    const fault: VrStateMessage = { ...backup, state: 'fault', reason: 'carrier_lost' };
    expect(peerReadiness('gw', fault, false, 0)).toMatchObject({
      ready: false,
      reason: expect.stringContaining('carrier'),
    });
    expect(peerReadiness('gw', { ...backup, warnings: ['rp_filter'] }, false, 0)).toMatchObject({ ready: false });
    expect(peerReadiness('gw', backup, true, 0)).toMatchObject({ ready: false });
    expect(peerReadiness('gw', undefined, false, 4)).toMatchObject({ ready: false, highestTerm: 4 });
  });
});
