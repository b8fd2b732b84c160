import { setFlagsFromString } from 'node:v8';
import { bootId, nodeId, term } from '../core/identity.js';
import { rehearsals } from '../rehearsals.js';
import { encodeEvent } from './codec.js';
import type { OwnershipEvent } from './event.js';
import { emptyLogState, fold, type LogState, ownershipOf } from './projection.js';
import { storedEvent } from './stored.js';
import { type LogNames, subjectOf } from './subjects.js';

const vr = 'rehearsal';
const [giver, taker] = [nodeId('giver'), nodeId('taker')];

/**
 * Writes and reads, in memory, what a takeover writes and reads, so that the code is compiled before the first one; and
 * keeps V8 from throwing away the code of what runs once in months.
 *
 * @returns what the made-up log says then
 */
export function rehearseEvents(names: LogNames): LogState {
  setFlagsFromString('--no-flush-bytecode');
  let state = emptyLogState;
  let sequence = 0;
  let previousHash: string | undefined;
  const happens = (node: OwnershipEvent['node'], held: number, payload: OwnershipEvent['payload']): void => {
    const event: OwnershipEvent = {
      id: `${vr}-${sequence}`,
      cluster: names.cluster,
      node,
      boot: bootId(vr),
      vr,
      term: term(held),
      wallTimeMs: sequence,
      monotonicMs: sequence,
      ...(previousHash === undefined ? {} : { previousHash }),
      payload,
    };
    sequence += 1;
    const encoded = encodeEvent(event);
    const stored = storedEvent(names, { sequence, subject: subjectOf(names, event), storedAtMs: sequence, encoded });
    previousHash = stored.hash;
    state = fold(state, names, stored);
    ownershipOf(state, vr);
  };
  for (let held = 1; held < 2 * rehearsals; held += 2) {
    happens(giver, held, { type: 'claimed', reason: 'master_released', priority: 1, lanAddress: '', virtualMac: '' });
    happens(giver, held + 1, { type: 'handoverStarted', to: taker, reason: 'drain' });
    happens(giver, held, { type: 'released', reason: 'handed_over', addressesReadBackGone: true });
    happens(taker, held + 1, { type: 'released', reason: 'carrier_lost', addressesReadBackGone: true });
  }
  return state;
}
