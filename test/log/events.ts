import { bootId, nodeId, term } from '../../src/core/identity.js';
import type { ObservationEvent, ObservationPayload, OwnershipEvent, OwnershipPayload } from '../../src/log/event.js';

let made = 0;

/** An ownership event of virtual router `gw`, `Claimed` unless told otherwise. */
export function ownershipEvent(fields: {
  node: string;
  term: number;
  previousHash?: string | undefined;
  id?: string;
  payload?: OwnershipPayload;
}): OwnershipEvent {
  made += 1;
  return {
    id: fields.id ?? `own-${made}`,
    cluster: 'edge',
    node: nodeId(fields.node),
    boot: bootId(`${fields.node}-boot`),
    wallTimeMs: 1_700_000_000_000 + made,
    monotonicMs: made,
    vr: 'gw',
    term: term(fields.term),
    ...(fields.previousHash === undefined ? {} : { previousHash: fields.previousHash }),
    payload: fields.payload ?? {
      type: 'claimed',
      reason: 'master_silent',
      priority: 100,
      lanAddress: '10.77.0.1',
      virtualMac: '00:00:5e:00:01:33',
    },
  };
}

export function observation(
  node: string,
  payload: ObservationPayload,
  fields: { id?: string; vr?: string; term?: number } = {},
): ObservationEvent {
  made += 1;
  return {
    id: fields.id ?? `obs-${made}`,
    cluster: 'edge',
    node: nodeId(node),
    boot: bootId(`${node}-boot`),
    wallTimeMs: 1_700_000_000_000 + made,
    monotonicMs: made,
    ...(fields.vr === undefined ? {} : { vr: fields.vr }),
    ...(fields.term === undefined ? {} : { term: term(fields.term) }),
    payload,
  };
}

export const transition = (node: string, reason: string): ObservationEvent =>
  observation(node, { type: 'transition', from: 'backup', to: 'master', reason }, { vr: 'gw', term: 1 });
