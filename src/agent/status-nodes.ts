import { explainReason } from '../core/reasons.js';
import { type LogState, type NodeRecord, type NodeStanding, reportedBy } from '../log/projection.js';
import type { StatusLease, StatusVrNode } from '../observe/status.js';
import { sentenceOf, whyUnable } from './node-reason.js';

/** What is known here of the other nodes. */
export interface NodesKnown {
  readonly state: LogState;
  readonly leaseOf: (node: string) => StatusLease;
}

/** How a virtual router stands on another node, by the log's word: that node's own reports, and its lease. */
export function describeElsewhere(vr: string, node: NodeRecord, known: NodesKnown): StatusVrNode | undefined {
  const configured = reportedBy(node, vr);
  const record = known.state.virtualRouters.get(vr);
  const standing = record?.standings.get(node.node);
  if (configured === undefined && standing === undefined) return undefined;
  // What an earlier run said of itself is past.
  const present = standing?.boot === node.boot ? standing : undefined;
  const holding = record?.holding;
  const isOwner = holding?.owner === node.node && !holding.released;
  const lease = known.leaseOf(node.node);
  const sinceMs = present?.sinceMs ?? (isOwner ? holding.sinceMs : undefined);
  return {
    node: node.node,
    state: node.stopped ? 'stopped' : node.dataplaneLostMs !== undefined ? 'fault' : (present?.state ?? 'unknown'),
    reason: present?.reason ?? null,
    why:
      isOwner && present?.state === 'master'
        ? mastersWhy(holding.term, lease)
        : whyNot(vr, node, present, lease, known),
    since: sinceMs === undefined ? null : new Date(sinceMs).toISOString(),
    priority: configured?.priority ?? 0,
    drained: node.drainedSinceMs !== undefined,
    dataplaneUp: !node.stopped && node.dataplaneLostMs === undefined,
    lease,
  };
}

function mastersWhy(term: number, lease: StatusLease): string {
  const master = `master: it holds term ${term}, and the log has its claim`;
  return lease.state === 'expired' || lease.state === 'revoked' ? `${master}; ${leaseClause(lease)}` : master;
}

function whyNot(
  vr: string,
  node: NodeRecord,
  standing: NodeStanding | undefined,
  lease: StatusLease,
  { state }: NodesKnown,
): string {
  const { node: name } = node;
  const unable = whyUnable(node);
  const serves = standing?.state === 'master' || standing?.state === 'draining';
  if (serves) {
    const drained = node.drainedSinceMs === undefined ? '' : '; it is drained, and nobody has taken it';
    return `${standing.state}: ${sentenceOf(standing.reason)}${drained}`;
  }
  if (unable !== undefined) return `not master: ${unable}`;
  if (standing === undefined) return 'not master, as far as is known: it has not said how it stands since it started';
  if (standing.state === 'fault' || standing.state === 'fenced') return `not master: ${sentenceOf(standing.reason)}`;
  const holding = state.virtualRouters.get(vr)?.holding;
  const isElsewhere = holding !== undefined && !holding.released && holding.owner !== name;
  const holder = isElsewhere ? `${holding.owner} is, with term ${holding.term}` : 'nobody is, by the log';
  const ended = lease.state === 'expired' || lease.state === 'revoked' ? `; ${leaseClause(lease)}` : '';
  return `not master: ${holder}${comparison(vr, node, holding?.owner, state)}; here ${sentenceOf(standing.reason)}${ended}`;
}

/** What preemption would look at. */
function comparison(vr: string, node: NodeRecord, owner: string | undefined, state: LogState): string {
  const of = (record: NodeRecord | undefined): number | undefined => record && reportedBy(record, vr)?.priority;
  const [own, others] = [of(node), owner === undefined ? undefined : of(state.nodes.get(owner))];
  if (own === undefined || others === undefined || owner === node.node) return '';
  if (own === others) return `, both with priority ${own}`;
  return own < others
    ? `, with priority ${others} against ${own}`
    : `, although its priority ${others} is below ${own}`;
}

const leaseClause = ({ state }: StatusLease): string =>
  state === 'revoked' ? 'its lease was revoked' : 'its lease has run out: it may be dead or cut off from the log';

/** The local node, as its own dataplane says; better known than by the log. */
export const drainedWhy = (sinceMs: number): string =>
  `${explainReason('drained')} (since ${new Date(sinceMs).toISOString()})`;
