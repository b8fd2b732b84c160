import type { NodeId } from '../core/identity.js';
import { explainReason, isTransitionReason } from '../core/reasons.js';
import { type LogState, type NodeRecord, reportedBy } from '../log/projection.js';

/** Why a node cannot take a virtual router over, by the log's word: a clause; undefined where it can. */
export function whyNotCandidate(state: LogState, node: NodeId, vr: string): string | undefined {
  const record = state.nodes.get(node);
  if (record === undefined) return 'the log has not heard of it';
  const unable = whyUnable(record);
  if (unable !== undefined) return unable;
  const configured = reportedBy(record, vr);
  if (configured === undefined) return `it has no virtual router ${vr}`;
  if (configured.priority > 0) return undefined;
  const standing = state.virtualRouters.get(vr)?.standings.get(node);
  return standing?.state === 'fault' ? sentenceOf(standing.reason) : 'it says that it cannot serve';
}

/** Why the node as a whole serves nothing. */
export function whyUnable({ stopped, drainedSinceMs, dataplaneLostMs }: NodeRecord): string | undefined {
  if (stopped) return 'it has stopped';
  if (dataplaneLostMs !== undefined) return 'its dataplane is not running';
  return drainedSinceMs === undefined ? undefined : 'it is drained: it takes nothing over until koi undrain';
}

/** A reason that another node wrote, as a sentence; a word that this release does not know stays a word. */
export const sentenceOf = (reason: string): string => (isTransitionReason(reason) ? explainReason(reason) : reason);
