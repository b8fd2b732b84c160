import type { KoiEvent } from '../log/event.js';

/** What only a node says that gave way to another master: for how long both had served. */
const togetherKey = 'together';

type Evidence = readonly { readonly key: string; readonly value: string }[];

/** What a master that gives way to `rival` tells of it. @param togetherMs for how long both have served */
export const evidenceOfGivingWay = (rival: string, togetherMs: number): Evidence => [
  { key: 'source', value: 'log' },
  { key: 'rival', value: rival },
  { key: togetherKey, value: `${(togetherMs / 1000).toFixed(1)} s` },
];

/**
 * Another master gave way to `self`, says the event. Nothing else that is told of two masters counts: what `self` would
 * tell in turn is of the same kind, and two nodes would answer each other for ever.
 */
export function gaveWayTo(self: string, event: KoiEvent): { readonly vr: string; readonly rival: string } | undefined {
  const { payload, node } = event;
  if (payload.type !== 'episodeBegan' || payload.kind !== 'split_brain' || payload.subject !== self) return undefined;
  const vr = 'vr' in event ? event.vr : undefined;
  if (vr === undefined || node === self) return undefined;
  return payload.evidence.some(({ key }) => key === togetherKey) ? { vr, rival: node } : undefined;
}
