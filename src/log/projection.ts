import type { ConfigurationRecord } from '../core/config-version.js';
import type { BootId, ClaimId, NodeId, Sequence, Term } from '../core/identity.js';
import { bootId, claimId, noTerm, sequence, term } from '../core/identity.js';
import type { Contender, Ownership } from '../core/ownership.js';
import { advanceConfiguration, foldConfigurationEvent } from './config-projection.js';
import { type Episodes, foldEpisode } from './episode-projection.js';
import type { KoiEvent, ObservationEvent, OwnershipEvent, ReportedVirtualRouter } from './event.js';
import { isConfiguration, isObservation, isOwnership } from './event.js';
import { withEntry } from './persistent-map.js';
import type { StoredEvent } from './port.js';
import { type LogNames, parseSubject } from './subjects.js';

/** Everything the log says, folded. Immutable; the same events always fold to the same state. */
export interface LogState {
  /** The last sequence folded; 0 before the first. */
  readonly sequence: number;
  readonly virtualRouters: ReadonlyMap<string, VirtualRouterRecord>;
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  /** What detectors of the nodes have told of and not taken back. */
  readonly episodes: Episodes;
  /** Which configuration of each virtual router is in force, and which others are wanted. */
  readonly configurations: ReadonlyMap<string, ConfigurationRecord>;
  /** How often the history turned out not to be the one known before; grows only. */
  readonly regressions: number;
  readonly lastRegression: Regression | undefined;
  /** Stored bytes that were no event, or an event on a subject not its own. */
  readonly unreadable: number;
}

export interface VirtualRouterRecord {
  readonly name: string;
  /** Undefined before the first claim and after the log was re-created. */
  readonly holding: Holding | undefined;
  /** Sequence of the newest event on the ownership subject: what the next append must expect. 0 for none. */
  readonly sequence: Sequence;
  /** Hash of that event, which the next one must carry; undefined for none. */
  readonly hash: string | undefined;
  /** The highest term ever seen. It survives a log that was rewound or re-created. */
  readonly highestTerm: Term;
  /** The highest term among the ownership events of the log as it is now. */
  readonly highestTermInLog: Term;
  /** A handover under way: `from` lingers until `to` serves. */
  readonly handover: Handover | undefined;
  /** What each node said last of its own state, until it says that it has begun anew. */
  readonly standings: ReadonlyMap<NodeId, NodeStanding>;
}

/** The state of a virtual router on one node, by that node's own word. */
export interface NodeStanding {
  readonly boot: BootId;
  readonly state: string;
  /** The enumerated reason of its last transition. */
  readonly reason: string;
  readonly term: Term | undefined;
  /** By the node's own clock. */
  readonly sinceMs: number;
}

/** Who owns a virtual router by the log's word. */
export interface Holding {
  readonly owner: NodeId;
  readonly boot: BootId;
  readonly term: Term;
  readonly claim: ClaimId;
  readonly released: boolean;
  /** Why it was claimed or, if so, released. */
  readonly reason: string;
  /** When that was stored, by the log's clock. */
  readonly sinceMs: number;
  readonly priority: number | undefined;
  readonly lanAddress: string | undefined;
  readonly virtualMac: string | undefined;
}

export interface Handover {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly state: 'started' | 'ready' | 'failed';
  readonly reason: string;
}

export interface NodeRecord {
  readonly node: NodeId;
  readonly boot: BootId;
  readonly version: string | undefined;
  readonly virtualRouters: readonly ReportedVirtualRouter[];
  readonly stopped: boolean;
  /** Since when the operator has it out of service, by its own clock. */
  readonly drainedSinceMs: number | undefined;
  /** Since when its dataplane has been dead, by its own clock. */
  readonly dataplaneLostMs: number | undefined;
  /** When its newest event was stored, by the log's clock. */
  readonly lastSeenMs: number;
  /** The last run of its dataplane that was heard of, and when its first event was stored, by the log's clock. */
  readonly run: { readonly boot: BootId; readonly sinceMs: number };
}

export interface Regression {
  readonly vr: string;
  readonly sequence: number;
  /**
   * `chain_broken`: an ownership event does not carry the hash of the one before it. `term_reused`: a claim's term is not
   * above the highest one in the log.
   */
  readonly kind: 'chain_broken' | 'term_reused';
}

export const emptyLogState: LogState = {
  sequence: 0,
  virtualRouters: new Map(),
  nodes: new Map(),
  configurations: new Map(),
  episodes: new Map(),
  regressions: 0,
  lastRegression: undefined,
  unreadable: 0,
};

/** The state after one more event. Events already folded (a sequence not above the last) change nothing. */
export function fold(state: LogState, names: LogNames, stored: StoredEvent): LogState {
  if (stored.sequence <= state.sequence) return state;
  const next: Draft = { ...state, sequence: stored.sequence };
  const { event } = stored;
  if (event === undefined) {
    next.unreadable += 1;
    advanceSubject(next, names, stored);
    return next;
  }
  const node = seenNode(state, stored, event);
  next.nodes = withEntry(state.nodes, event.node, isObservation(event) ? nodeAfter(node, event) : node);
  if (isOwnership(event)) foldOwnership(next, stored, event);
  else if (isConfiguration(event)) {
    next.configurations = foldConfigurationEvent(state.configurations, stored.sequence, event);
  } else if (isObservation(event)) {
    next.episodes = foldEpisode(state.episodes, event);
    foldStanding(next, event);
  } else advanceSubject(next, names, stored);
  return next;
}

/** A state that is being made and that nobody else knows yet. */
type Draft = { -readonly [Key in keyof LogState]: LogState[Key] };

/**
 * The state to fold on with when the log is another than the one read before (`onGap`) and is read again from its
 * first event. Positions and holders are forgotten; terms and counters stay: a new log resets nothing.
 */
export function rewind(state: LogState): LogState {
  const virtualRouters = new Map<string, VirtualRouterRecord>();
  for (const [name, vr] of state.virtualRouters) {
    virtualRouters.set(name, { ...emptyVirtualRouter(name), highestTerm: vr.highestTerm });
  }
  const forgotten = { nodes: new Map(), configurations: new Map(), episodes: new Map() };
  return { ...state, sequence: 0, virtualRouters, ...forgotten, regressions: state.regressions + 1 };
}

/** The newest ownership in the words of the core; undefined where nobody has claimed yet. */
export function ownershipOf(state: LogState, vr: string): Ownership | undefined {
  const record = state.virtualRouters.get(vr);
  if (record?.holding === undefined) return undefined;
  const known = ownerships.get(record) ?? ownershipIn(record, record.holding);
  ownerships.set(record, known);
  return known;
}

/** One object for each record, so that who looks again sees at once that nothing is new. */
const ownerships = new WeakMap<VirtualRouterRecord, Ownership>();

function ownershipIn(record: VirtualRouterRecord, holding: NonNullable<VirtualRouterRecord['holding']>): Ownership {
  const { owner, boot, term: held, claim, released } = holding;
  const handedBy = record.handover?.to === owner && !released ? record.handover.from : undefined;
  return { owner, boot, term: held, claim, released, sequence: record.sequence, handedBy };
}

/** What a node reports of a virtual router. A report stays the same for long, and each of a thousand is asked for. */
export function reportedBy({ virtualRouters }: NodeRecord, vr: string): ReportedVirtualRouter | undefined {
  const known = reports.get(virtualRouters) ?? new Map(virtualRouters.map((each) => [each.name, each]));
  reports.set(virtualRouters, known);
  return known.get(vr);
}

const reports = new WeakMap<readonly ReportedVirtualRouter[], ReadonlyMap<string, ReportedVirtualRouter>>();

/** Running nodes that have the virtual router in their configuration and can serve it, with their priorities. */
export function contendersFor(state: LogState, vr: string): Contender[] {
  return [...state.nodes.values()].flatMap((record) => {
    const configured = reportedBy(record, vr);
    return configured !== undefined && contends(record, configured)
      ? [{ node: record.node, priority: configured.priority }]
      : [];
  });
}

/** The same of every virtual router at once, by its name. */
export function contendersOfEach(nodes: Iterable<NodeRecord>): ReadonlyMap<string, readonly Contender[]> {
  const contenders = new Map<string, Contender[]>();
  for (const record of nodes) {
    for (const configured of record.virtualRouters) {
      if (!contends(record, configured)) continue;
      const known = contenders.get(configured.name) ?? [];
      contenders.set(configured.name, [...known, { node: record.node, priority: configured.priority }]);
    }
  }
  return contenders;
}

/** A node that cannot serve says so with priority 0. */
const contends = ({ stopped }: NodeRecord, { priority }: ReportedVirtualRouter): boolean => !stopped && priority !== 0;

const higher = (a: Term, b: Term): Term => term(Math.max(a, b));

const emptyVirtualRouter = (name: string): VirtualRouterRecord => ({
  name,
  holding: undefined,
  sequence: sequence(0),
  hash: undefined,
  highestTerm: noTerm,
  highestTermInLog: noTerm,
  handover: undefined,
  standings: new Map(),
});

function foldOwnership(next: Draft, stored: StoredEvent, event: OwnershipEvent): void {
  const before = next.virtualRouters.get(event.vr) ?? emptyVirtualRouter(event.vr);
  const takes = event.payload.type === 'claimed' || event.payload.type === 'handoverStarted';
  if (event.previousHash !== before.hash) regress(next, event.vr, stored.sequence, 'chain_broken');
  if (takes && event.term <= before.highestTermInLog) regress(next, event.vr, stored.sequence, 'term_reused');
  const { holding, handover } = ownedAfter(before, next, stored, event);
  // Here and below written out: spreading a record costs several times as much, and a long log is read at this pace.
  putVirtualRouter(next, {
    name: before.name,
    holding,
    sequence: sequence(stored.sequence),
    hash: stored.hash,
    highestTerm: higher(event.term, before.highestTerm),
    highestTermInLog: higher(event.term, before.highestTermInLog),
    handover,
    standings: before.standings,
  });
}

type Owned = Pick<VirtualRouterRecord, 'holding' | 'handover'>;

function ownedAfter(before: Owned, { nodes }: Draft, stored: StoredEvent, event: OwnershipEvent): Owned {
  const { payload } = event;
  const { holding, handover } = before;
  switch (payload.type) {
    case 'claimed': {
      const claimed = {
        owner: event.node,
        boot: event.boot,
        term: event.term,
        claim: claimId(event.id),
        released: false,
        reason: payload.reason,
        sinceMs: stored.storedAtMs,
        priority: payload.priority,
        lanAddress: payload.lanAddress,
        virtualMac: payload.virtualMac,
      };
      return { holding: claimed, handover: undefined };
    }
    case 'handoverStarted': {
      const target = nodes.get(payload.to);
      const configured = target && reportedBy(target, event.vr);
      const handed = {
        owner: payload.to,
        boot: target?.boot ?? bootId(''),
        term: event.term,
        claim: claimId(event.id),
        released: false,
        reason: payload.reason,
        sinceMs: stored.storedAtMs,
        priority: configured?.priority,
        lanAddress: configured?.lanAddress,
        virtualMac: holding?.virtualMac,
      };
      return {
        holding: handed,
        handover: { from: event.node, to: payload.to, state: 'started', reason: payload.reason },
      };
    }
    case 'handoverReady':
      return handover?.to === event.node ? { holding, handover: { ...handover, state: 'ready' } } : before;
    case 'handoverFailed': {
      if (handover?.to !== event.node) return before;
      return { holding, handover: { ...handover, state: 'failed', reason: payload.reason } };
    }
    case 'released': {
      const left = handover?.from === event.node ? undefined : handover;
      const isHolder = holding?.owner === event.node && holding.term === event.term;
      if (!isHolder) return { holding, handover: left };
      const released = { ...holding, released: true, reason: payload.reason, sinceMs: stored.storedAtMs };
      return { holding: released, handover: left };
    }
  }
}

/** The node after what it told of itself. */
function nodeAfter(node: NodeRecord, { payload, wallTimeMs }: ObservationEvent): NodeRecord {
  switch (payload.type) {
    case 'nodeStarted': {
      const { version, virtualRouters, drained } = payload;
      const drainedSinceMs = drained === true ? (node.drainedSinceMs ?? wallTimeMs) : undefined;
      return { ...node, version, virtualRouters, stopped: false, drainedSinceMs, dataplaneLostMs: undefined };
    }
    case 'nodeStopped':
      return { ...node, stopped: true };
    case 'drainChanged':
      return { ...node, drainedSinceMs: payload.drained ? wallTimeMs : undefined };
    case 'dataplaneLost':
      return { ...node, dataplaneLostMs: wallTimeMs };
    default:
      return node;
  }
}

const aboutNodes: ReadonlySet<string> = new Set(['nodeStarted', 'nodeStopped', 'drainChanged', 'dataplaneLost']);

/** How the virtual router stands on the node; and a term taken while the log was away was still taken. */
function foldStanding(next: Draft, event: ObservationEvent): void {
  const { vr: name, term: told, payload, node } = event;
  if (name === undefined || aboutNodes.has(payload.type)) return;
  const vr = next.virtualRouters.get(name) ?? emptyVirtualRouter(name);
  const highestTerm = told === undefined ? vr.highestTerm : higher(told, vr.highestTerm);
  if (payload.type === 'transition') {
    const { to: state, reason } = payload;
    const standing = { boot: event.boot, state, reason, term: told, sinceMs: event.wallTimeMs };
    putVirtualRouter(next, { ...vr, highestTerm, standings: withEntry(vr.standings, node, standing) });
  } else if (highestTerm !== vr.highestTerm) putVirtualRouter(next, { ...vr, highestTerm });
}

function seenNode(state: LogState, stored: StoredEvent, event: KoiEvent): NodeRecord {
  const known = state.nodes.get(event.node) ?? unknownNode(event);
  // An agent that has not heard from its dataplane yet does not know its boot.
  const isKnownRun = event.boot === '' || event.boot === known.run.boot;
  return {
    node: known.node,
    boot: event.boot,
    version: known.version,
    virtualRouters: known.virtualRouters,
    stopped: known.stopped,
    drainedSinceMs: known.drainedSinceMs,
    dataplaneLostMs: known.dataplaneLostMs,
    lastSeenMs: stored.storedAtMs,
    run: isKnownRun ? known.run : { boot: event.boot, sinceMs: stored.storedAtMs },
  };
}

const unknownNode = ({ node, boot }: KoiEvent): NodeRecord => ({
  node,
  boot,
  version: undefined,
  virtualRouters: [],
  stopped: false,
  drainedSinceMs: undefined,
  dataplaneLostMs: undefined,
  lastSeenMs: 0,
  run: { boot: bootId(''), sinceMs: 0 },
});

/** An event that cannot be read still is the newest of its subject: the next append has to expect it. */
function advanceSubject(next: Draft, names: LogNames, stored: StoredEvent): void {
  const place = parseSubject(names, stored.subject);
  if (place?.kind === 'conf') {
    next.configurations = advanceConfiguration(next.configurations, place.name, stored.sequence);
  }
  if (place?.kind !== 'own') return;
  const vr = next.virtualRouters.get(place.name) ?? emptyVirtualRouter(place.name);
  putVirtualRouter(next, { ...vr, sequence: sequence(stored.sequence), hash: stored.hash });
}

function regress(next: Draft, vr: string, at: number, kind: Regression['kind']): void {
  next.regressions += 1;
  next.lastRegression = { vr, sequence: at, kind };
}

function putVirtualRouter(next: Draft, vr: VirtualRouterRecord): void {
  next.virtualRouters = withEntry(next.virtualRouters, vr.name, vr);
}
