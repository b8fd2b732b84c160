/** Names and numbers that must not be mixed up: branded, so that the compiler keeps them apart. */
declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A node's configured name, unique in its cluster. */
export type NodeId = Branded<string, 'NodeId'>;
/** One life of a dataplane: new each time it starts. An ownership belongs to a boot, not only to a node. */
export type BootId = Branded<string, 'BootId'>;
/** The number of an ownership of one virtual router; grows by one with each claim and never goes back. */
export type Term = Branded<number, 'Term'>;
/** The identity of one attempt to claim: the id of the event that was, or would have been, appended. */
export type ClaimId = Branded<string, 'ClaimId'>;
/** A position in the event log; 0 means "nothing on this subject yet". */
export type Sequence = Branded<number, 'Sequence'>;

export const nodeId = (text: string): NodeId => text as NodeId;
export const bootId = (text: string): BootId => text as BootId;
export const claimId = (text: string): ClaimId => text as ClaimId;
export const sequence = (value: number): Sequence => value as Sequence;
export const term = (value: number): Term => value as Term;

export const noTerm = term(0);
export const noSequence = sequence(0);
export const nextTerm = (current: Term): Term => term(current + 1);
export const higherTerm = (a: Term, b: Term): Term => (a > b ? a : b);
