import type { VrStateMessage } from '../ipc/protocol.js';
import { type LogState, ownershipOf } from '../log/projection.js';

/** After a change of any virtual router, for so long the log is left alone. */
const quietAfterMs = 10_000;

/**
 * Whether this is a moment to move the log's leader away from this node, and which servers come into question: those of
 * other nodes carry their names. Undefined while this node owns nothing, or any of its virtual routers is on the move or
 * has just been: a claim must not meet a leader that is stepping down.
 */
export function steeringPlace(
  node: string,
  vrs: Iterable<Pick<VrStateMessage, 'vr' | 'state' | 'sinceWallMs'>>,
  state: LogState,
  nowMs: number,
): { readonly busy: ReadonlySet<string>; readonly nodes: ReadonlySet<string> } | undefined {
  const told = [...vrs];
  if (!told.some((vr) => vr.state === 'master')) return undefined;
  const settled: readonly string[] = ['master', 'backup', 'fault'];
  if (!told.every((vr) => settled.includes(vr.state) && nowMs - vr.sinceWallMs >= quietAfterMs)) return undefined;
  const owners = [...state.virtualRouters.keys()].flatMap((vr): string[] => {
    const ownership = ownershipOf(state, vr);
    return ownership === undefined || ownership.released ? [] : [ownership.owner];
  });
  return { busy: new Set([node, ...owners]), nodes: new Set([node, ...state.nodes.keys()]) };
}
