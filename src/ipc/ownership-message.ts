import { bootId, claimId, nodeId, sequence, term } from '../core/identity.js';
import type { LogView, Ownership } from '../core/ownership.js';
import type { OwnershipMessage, ToDataplane } from './protocol.js';

/** The core's ownership as it goes over the socket; null for none. */
export const writeOwnership = (ownership: Ownership | undefined): OwnershipMessage | null =>
  ownership === undefined ? null : { ...ownership, handedBy: ownership.handedBy ?? null };

/** The same, read back into the core's branded words. */
export function readOwnership(message: OwnershipMessage | null): Ownership | undefined {
  if (message === null) return undefined;
  return {
    owner: nodeId(message.owner),
    boot: bootId(message.boot),
    term: term(message.term),
    claim: claimId(message.claim),
    sequence: sequence(message.sequence),
    released: message.released,
    handedBy: message.handedBy === null ? undefined : nodeId(message.handedBy),
  };
}

/** One virtual router's part of what the agent says of the log. */
export function readLogView(view: Extract<ToDataplane, { type: 'log' }>['vrs'][number]): Omit<LogView, 'reachable'> {
  return {
    ownership: readOwnership(view.ownership),
    place: view.place,
    successor: view.successor === null ? undefined : nodeId(view.successor),
    highestTerm: term(view.highestTerm),
    highestLoggedTerm: term(view.highestLoggedTerm),
  };
}
