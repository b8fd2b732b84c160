import type { VrStateName } from '../core/vr-state.js';
import type { ChecksumTally } from './snapshot.js';

/*
 * What `GET /api/v1/status` and `GET /api/v1/timeline` answer. Times are RFC 3339 in UTC; what is not known is null, so
 * that every key is always there.
 */

export type VrStateLabel = VrStateName;

export interface StatusTransition {
  readonly from: VrStateLabel;
  readonly to: VrStateLabel;
  readonly reason: string;
  readonly at: string;
}

export interface StatusVip {
  readonly address: string;
  /** Read back from the kernel on this node. */
  readonly present: boolean;
}

/** Which configuration of a virtual router this node runs, and which one is in force. */
export interface StatusConfiguration {
  /** Of what runs here. */
  readonly digest: string;
  /** What is in force by the log's word; 0 and null where it has none. */
  readonly version: number;
  readonly inForce: string | null;
  /** What this node's file says and waits with. */
  readonly prepared: string | null;
  /** Who does not want the same yet. */
  readonly waitingFor: readonly string[];
}

export interface StatusVr {
  readonly name: string;
  readonly id: number;
  readonly protocol: string;
  readonly interface: string;
  readonly virtualMac: string;
  readonly state: VrStateLabel;
  /** The enumerated reason of the present state. */
  readonly reason: string;
  /** A sentence: why this node is, or is not, master. */
  readonly why: string;
  readonly term: number;
  /** Whether the log has the present ownership; null where this node holds none. */
  readonly standing: 'logged' | 'provisional' | null;
  /** With what it tracks. */
  readonly priority: number;
  /** Whether it asks for the mastership where it is better placed. */
  readonly preempt: boolean;
  /** The node that owns the virtual router, as far as this node knows. */
  readonly owner: string | null;
  /** Since when the virtual router has been in this state. */
  readonly since: string;
  readonly vips: readonly StatusVip[];
  /** How peers sum their VRRPv3 adverts over IPv4, by address: as RFC 9568 says, or with a pseudo-header. */
  readonly checksums: readonly ChecksumTally[];
  /** Every node that has it, this one first: how it stands there, and why it is, or is not, the master. */
  readonly nodes: readonly StatusVrNode[];
  readonly lastTransition: StatusTransition | null;
  /** What it tracks, and what was last found; the weight is that of the configuration. */
  readonly tracks: readonly {
    readonly name: string;
    readonly level: 'init' | 'up' | 'down' | 'number';
    readonly weight: number;
    readonly detail: string;
  }[];
  readonly warnings: readonly string[];
  /** Null while the dataplane has not said. */
  readonly configuration: StatusConfiguration | null;
}

/** How it stands with a node's lease in the log. */
export interface StatusLease {
  /** `expired`: it ran out unrenewed. `revoked`: it ran out, and another node has said so in the log. */
  readonly state: 'held' | 'expired' | 'revoked' | 'none';
  /**
   * Milliseconds. Of this node's own lease: how long it may hold. Of another's: how long this node waits for a renewal,
   * drift and margin included.
   */
  readonly remainingMs: number;
}

/** One virtual router on one node. */
export interface StatusVrNode {
  readonly node: string;
  /** One of the states, or `stopped` where the node has ended, or `unknown` where it has not said since it started. */
  readonly state: string;
  /** The enumerated reason of its last transition. */
  readonly reason: string | null;
  /** A sentence: why it is, or is not, master. */
  readonly why: string;
  /** Since when it has been in this state, by its own clock. */
  readonly since: string | null;
  readonly priority: number;
  readonly drained: boolean;
  readonly dataplaneUp: boolean;
  readonly lease: StatusLease;
}

/** A virtual router of the cluster that this node does not have. */
export interface StatusElsewhere {
  readonly name: string;
  readonly owner: string | null;
  readonly term: number;
  readonly nodes: readonly StatusVrNode[];
}

/** Something that must not be, as long as a detector sees it. */
export interface StatusEpisode {
  /** `split_brain`, `wrong_mac`, `virtual_mac_leak`, `duplicate_id`, `advert_path_lost`, `sysctl_drift`, … */
  readonly kind: string;
  /** Null where it is about the node. */
  readonly vr: string | null;
  /** Who sees it. */
  readonly node: string;
  /** Who or what it is about: a MAC, a node, an interface. May be empty. */
  readonly subject: string;
  readonly since: string;
  /** A clause for people, and what to do. */
  readonly text: string;
  readonly remedy: string;
  readonly evidence: readonly { readonly key: string; readonly value: string }[];
}

export interface StatusNode {
  readonly name: string;
  /** When the log last heard of it. */
  readonly lastSeen: string | null;
  readonly lanAddress: string | null;
  /** Since when the operator has it out of service. */
  readonly drained: string | null;
  readonly lease: StatusLease;
  /** What it said about each of its virtual routers. */
  readonly vrs: readonly {
    readonly name: string;
    readonly state: string;
    readonly priority: number;
    readonly configuration: string | null;
  }[];
}

export interface Status {
  readonly node: string;
  readonly cluster: string;
  readonly version: string;
  /** The file that the daemon was started with. */
  readonly configFile: string;
  readonly at: string;
  readonly log: {
    readonly connected: boolean;
    readonly server: string | null;
    /** Events that wait on disk for the log. */
    readonly outbox: number;
    /** Events in the log that this node has not read yet. */
    readonly lag: number;
  };
  readonly dataplane: { readonly up: boolean };
  readonly guard: { readonly up: boolean };
  /** Since when the operator has had this node out of service; null while it is in service. */
  readonly drained: string | null;
  readonly vrs: readonly StatusVr[];
  readonly elsewhere: readonly StatusElsewhere[];
  readonly nodes: readonly StatusNode[];
  /** What is wrong now, as the detectors of all nodes have it. */
  readonly episodes: readonly StatusEpisode[];
  readonly warnings: readonly string[];
}

export interface TimelineEntry {
  readonly sequence: number;
  readonly at: string;
  readonly node: string;
  readonly vr: string | null;
  readonly term: number | null;
  readonly type: string;
  /** One line for people. */
  readonly text: string;
  /** What led to it: a reason, or the event that caused it. */
  readonly cause: string | null;
}

/** A part of the process that has to work, and what it says of itself. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** The answer of `/healthz` and `/readyz`. */
export interface Verdict {
  readonly ok: boolean;
  readonly checks: readonly Check[];
}
