import type { KoiConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { placeOf } from '../core/election-rules.js';
import { explainReason } from '../core/reasons.js';
import type { VrStateMessage } from '../ipc/protocol.js';
import type { LogStatus } from '../log/port.js';
import { type LogState, ownershipOf } from '../log/projection.js';
import type { DataplaneSnapshot, VrSnapshot } from '../observe/snapshot.js';
import type {
  Status,
  StatusConfiguration,
  StatusElsewhere,
  StatusEpisode,
  StatusLease,
  StatusVr,
  StatusVrNode,
} from '../observe/status.js';
import { describeElsewhere, drainedWhy } from './status-nodes.js';

/** Everything that `koi status` is made of. */
export interface StatusInputs {
  readonly config: KoiConfig;
  readonly version: string;
  readonly configFile: string;
  readonly nowMs: number;
  readonly log: LogStatus;
  readonly logReachable: boolean;
  readonly state: LogState;
  readonly outboxEvents: number;
  readonly dataplaneUp: boolean;
  readonly snapshot: DataplaneSnapshot | undefined;
  readonly vrs: ReadonlyMap<string, VrStateMessage>;
  readonly leaseOf: (node: string) => StatusLease;
  /** Since when the operator has had this node out of service. */
  readonly drainedSinceMs: number | undefined;
  readonly configurations?: {
    describe(vr: string): StatusConfiguration | null;
    warnings(vr: string): readonly string[];
  };
  readonly episodes?: readonly StatusEpisode[];
  /** What the agent itself has to say. */
  readonly notices?: readonly string[];
}

export function composeStatus(inputs: StatusInputs): Status {
  const { config, log, state, snapshot } = inputs;
  const counted = new Map(snapshot?.vrs.map((vr) => [vr.name, vr]));
  return {
    node: config.node,
    cluster: config.cluster,
    version: inputs.version,
    configFile: inputs.configFile,
    at: time(inputs.nowMs),
    log: {
      connected: inputs.logReachable,
      server: log.server === undefined ? null : `${log.server.name} ${log.server.version}`,
      outbox: inputs.outboxEvents,
      lag: log.lagEvents,
    },
    dataplane: { up: inputs.dataplaneUp },
    guard: { up: inputs.dataplaneUp && snapshot?.guardUp === true },
    drained: inputs.drainedSinceMs === undefined ? null : time(inputs.drainedSinceMs),
    vrs: config.virtualRouters.map((vr) => describeVr(vr, counted.get(vr.name), inputs)),
    elsewhere: elsewhere(inputs),
    nodes: [...state.nodes.values()].map((node) => ({
      name: node.node,
      lastSeen: node.lastSeenMs === 0 ? null : time(node.lastSeenMs),
      lanAddress: node.virtualRouters.find((vr) => vr.lanAddress !== '')?.lanAddress ?? null,
      drained: node.drainedSinceMs === undefined ? null : time(node.drainedSinceMs),
      lease: inputs.leaseOf(node.node),
      vrs: node.virtualRouters.map(({ name, priority, configuration }) => {
        const ownership = ownershipOf(state, name);
        const isMaster = ownership?.owner === node.node && !ownership.released;
        return {
          name,
          state: node.stopped ? 'stopped' : isMaster ? 'master' : 'backup',
          priority,
          configuration: configuration?.digest ?? null,
        };
      }),
    })),
    episodes: inputs.episodes ?? [],
    warnings: [...(log.problem === undefined ? [] : [log.problem]), ...log.warnings, ...(inputs.notices ?? [])],
  };
}

function describeVr(
  vr: KoiConfig['virtualRouters'][number],
  counted: VrSnapshot | undefined,
  inputs: StatusInputs,
): StatusVr {
  const told = inputs.vrs.get(vr.name);
  const ownership = ownershipOf(inputs.state, vr.name);
  const isLogOwner = ownership !== undefined && !ownership.released;
  const isMaster = told?.state === 'master';
  const owner = isMaster ? inputs.config.node : isLogOwner ? ownership.owner : (told?.heardMaster ?? null);
  const present = new Map(counted?.vips.map((vip) => [vip.address, vip.present]));
  const at = time(told?.sinceWallMs ?? inputs.nowMs);
  const here = why(vr.name, owner, told, inputs);
  const priority = told?.priority ?? placeOf(electionOf(vr));
  const local: StatusVrNode = {
    node: inputs.config.node,
    state: told?.state ?? 'init',
    reason: told?.reason ?? null,
    why: here,
    since: told === undefined ? null : at,
    priority,
    drained: inputs.drainedSinceMs !== undefined,
    dataplaneUp: inputs.dataplaneUp,
    lease: inputs.leaseOf(inputs.config.node),
  };
  return {
    name: vr.name,
    id: vr.id,
    protocol: vr.protocol,
    interface: told?.interface ?? vr.interface.value,
    virtualMac: told?.virtualMac ?? '',
    state: told?.state ?? 'init',
    reason: told?.reason ?? 'started',
    why: here,
    // What the dataplane said last may be older than what the log has.
    term: isMaster ? told.term : Math.max(told?.term ?? 0, ownership?.term ?? 0),
    standing: told?.standing ?? null,
    priority,
    preempt: vr.preempt.enabled,
    owner,
    since: at,
    checksums: counted?.checksums ?? [],
    nodes: [local, ...others(vr.name, inputs)],
    vips: vr.addresses.map(({ address }) => ({ address, present: present.get(address) === true })),
    lastTransition: told?.lastFrom == null ? null : { from: told.lastFrom, to: told.state, reason: told.reason, at },
    tracks: told?.tracks ?? [],
    warnings: [...(told?.warnings ?? []), ...(inputs.configurations?.warnings(vr.name) ?? [])],
    configuration: inputs.configurations?.describe(vr.name) ?? null,
  };
}

function others(vr: string, inputs: StatusInputs): StatusVrNode[] {
  return [...inputs.state.nodes.values()].flatMap((node) =>
    node.node === inputs.config.node ? [] : (describeElsewhere(vr, node, inputs) ?? []),
  );
}

function elsewhere(inputs: StatusInputs): StatusElsewhere[] {
  const own = new Set(inputs.config.virtualRouters.map(({ name }) => name));
  return [...inputs.state.virtualRouters.values()].flatMap(({ name, holding, highestTerm }) => {
    const nodes = own.has(name) ? [] : others(name, inputs);
    if (nodes.length === 0) return [];
    const owner = holding === undefined || holding.released ? null : holding.owner;
    return [{ name, owner, term: holding?.term ?? highestTerm, nodes }];
  });
}

/** Why this node is, or is not, the master, in a sentence. */
function why(vr: string, owner: string | null, told: VrStateMessage | undefined, inputs: StatusInputs): string {
  if (!inputs.dataplaneUp || told === undefined) return 'the dataplane is not running, so this node serves nothing';
  const reason = explainReason(told.reason);
  const drained = inputs.drainedSinceMs;
  if (drained !== undefined && told.state === 'backup') {
    return `not master: ${owner === null ? 'nobody is' : `${owner} is`}; here ${drainedWhy(drained)}, last: ${reason}`;
  }
  switch (told.state) {
    case 'master':
      if (drained !== undefined) return `master, although ${drainedWhy(drained)}: nobody else could take it`;
      return told.standing === 'logged'
        ? `master: it holds term ${told.term}, and the log has its claim`
        : `master: it holds term ${told.term} without the log's word so far`;
    case 'backup': {
      const holder = inputs.state.virtualRouters.get(vr)?.holding;
      if (owner === null) return `not master: ${reason}; no master has been heard yet`;
      const hold = holder?.owner === owner ? ` with term ${holder.term}` : '';
      return `not master: ${owner} is${hold}; here ${reason}`;
    }
    case 'fault':
      return `not master: ${reason}`;
    default:
      return `${told.state}: ${reason}`;
  }
}

const time = (ms: number): string => new Date(ms).toISOString();
