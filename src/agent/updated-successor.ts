import type { NodeId } from '../core/identity.js';
import { successorAtRestart } from '../core/ownership.js';
import { contendersFor, type LogState } from '../log/projection.js';
import type { OwnNode } from './own-node.js';

/** Who takes a virtual router over while this node restarts, as one of several that are updated in turn. */
export function updatedSuccessor(
  state: LogState,
  node: Pick<OwnNode, 'name' | 'router'>,
  vr: string,
  nowMs: number,
): NodeId | undefined {
  const contenders = contendersFor(state, vr).map((each) => ({
    ...each,
    runsSinceMs: state.nodes.get(each.node)?.run.sinceMs ?? 0,
  }));
  const preempt = node.router(vr)?.preempt.enabled ?? true;
  return successorAtRestart(contenders, node.name, { preempt, nowMs });
}
