import type { NodeId } from './identity.js';
import type { Effect, Input, Step, Vr } from './vr-state.js';

/** The advert path: a node that answers and serves, but whose adverts do not come through. One episode is told once. */

export function pathLost(vr: Vr, peer: NodeId, sinceMs: number, atMs: number): Step {
  if (vr.pathLost?.peer === peer) return { vr, effects: [] };
  const ended = endPath(vr, atMs);
  const lost: Effect = { type: 'advertPath', peer, lost: true, durationMs: atMs - sinceMs };
  return { vr: { ...ended.vr, pathLost: { peer, sinceMs } }, effects: [...ended.effects, lost] };
}

/** The adverts are heard again, or the peer is no longer the one to be heard. */
export function settlePath({ vr, effects }: Step, input: Input): Step {
  const lost = vr.pathLost;
  if (lost === undefined) return { vr, effects };
  const isHeard = input.type === 'advert' && input.advert.node === lost.peer;
  const { ownership } = vr.log;
  const isHolder = ownership !== undefined && !ownership.released && ownership.owner === lost.peer;
  const isListening = vr.phase.name === 'backup' || vr.phase.name === 'claiming' || vr.phase.name === 'attaching';
  if (!isHeard && isHolder && isListening) return { vr, effects };
  const ended = endPath(vr, input.atMs);
  return { vr: ended.vr, effects: [...effects, ...ended.effects] };
}

function endPath(vr: Vr, atMs: number): Step {
  if (vr.pathLost === undefined) return { vr, effects: [] };
  const { peer, sinceMs } = vr.pathLost;
  const again: Effect = { type: 'advertPath', peer, lost: false, durationMs: atMs - sinceMs };
  return { vr: { ...vr, pathLost: undefined }, effects: [again] };
}
