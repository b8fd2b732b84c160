import { setFlagsFromString } from 'node:v8';
import { rehearse } from '../core/rehearsal.js';
import type { VrParameters } from '../core/vr-state.js';
import { rehearseMessages } from '../ipc/rehearsal.js';
import { rehearsals } from '../rehearsals.js';

/**
 * The first takeover of a process finds its code compiled, and one after months of silence still does: by default V8
 * throws away the code of what has not run for a while, which is just that of a takeover. Costs a few milliseconds, once.
 */
export function keepWarm(parameters: Iterable<VrParameters>): void {
  setFlagsFromString('--no-flush-bytecode');
  const kinds = new Map<string, VrParameters>();
  for (const each of parameters) kinds.set(`${each.arbitration} ${each.election.protocol}`, each);
  for (const each of kinds.values()) for (let round = 0; round < rehearsals; round++) rehearse(each);
  rehearseMessages.toDataplane();
}
