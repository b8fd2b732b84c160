import type { ConfigurationNews, SharedConfiguration } from '../core/config-version.js';
import type { BootId, NodeId, Term } from '../core/identity.js';

/** What every event carries, whatever it reports. */
export interface EventEnvelope {
  /** Unique for ever; the log stores one event per id. A claim's is its `ClaimId`. */
  readonly id: string;
  readonly cluster: string;
  readonly node: NodeId;
  readonly boot: BootId;
  /** CLOCK_REALTIME of the node when it happened, milliseconds since 1970 with a fraction. */
  readonly wallTimeMs: number;
  /** CLOCK_MONOTONIC of the node at the same instant; comparable within one boot. */
  readonly monotonicMs: number;
  /** Id of the event which led to this one. */
  readonly causeId?: string;
}

/** Decide who owns a virtual router. They stand on the virtual router's own subject, appended with an expectation. */
export type OwnershipPayload =
  | {
      readonly type: 'claimed';
      readonly reason: string;
      readonly priority: number;
      /** The node's own address on the virtual router's LAN. */
      readonly lanAddress: string;
      readonly virtualMac: string;
      /** Set where the node had taken over while the log was away: since when, wall time. */
      readonly provisionalSinceMs?: number;
      /** What was found out about the holder before it was claimed over. */
      readonly holderVerdict?: string;
    }
  | { readonly type: 'released'; readonly reason: string; readonly addressesReadBackGone: boolean }
  | { readonly type: 'handoverStarted'; readonly to: NodeId; readonly reason: string }
  | { readonly type: 'handoverReady'; readonly from: NodeId }
  | { readonly type: 'handoverFailed'; readonly from: NodeId; readonly reason: string };

/** Prove that a node lives, or end its lease. They stand on the subject of the node whose lease it is. */
export type LeasePayload =
  | { readonly type: 'leaseRenewed'; readonly renewal: number; readonly ttlMs: number }
  | { readonly type: 'leaseRevoked'; readonly holder: NodeId; readonly reason: string };

/** Decide which configuration of a virtual router is in force. They stand on a subject of the virtual router's own. */
export type ConfigurationPayload = ConfigurationNews;

/** A virtual router as its node is configured. */
export interface ReportedVirtualRouter {
  readonly name: string;
  readonly protocol: string;
  /** VRID or VHID. */
  readonly id: number;
  readonly priority: number;
  readonly interface: string;
  readonly addresses: readonly string[];
  readonly lanAddress: string;
  /** What it has in common with the others, as it runs; absent where the node has not said. */
  readonly configuration?: SharedConfiguration;
  /** wire, log or strict; absent where an older koi wrote it. */
  readonly arbitration?: string;
}

/** What a node did or saw. They decide nothing and stand on the node's subject. */
export type ObservationPayload =
  | {
      readonly type: 'nodeStarted';
      readonly version: string;
      readonly virtualRouters: readonly ReportedVirtualRouter[];
      /** The operator has taken the node out of service. */
      readonly drained?: boolean;
    }
  | { readonly type: 'nodeStopped'; readonly reason: string }
  | { readonly type: 'transition'; readonly from: string; readonly to: string; readonly reason: string }
  | {
      readonly type: 'masterActive';
      readonly steps: readonly { readonly name: string; readonly durationUs: number }[];
      readonly detectUs: number;
      readonly arbitrateUs: number;
      readonly attachUs: number;
      readonly announceUs: number;
    }
  | { readonly type: 'fenced'; readonly reason: string }
  /** `seenMs`: when it was last known to run, by the node's monotonic clock; absent where an older koi wrote it. */
  | { readonly type: 'dataplaneLost'; readonly reason: string; readonly seenMs?: number }
  | { readonly type: 'provisionalTakeover'; readonly reason: string }
  | { readonly type: 'logLost'; readonly reason: string }
  | { readonly type: 'logRejoined'; readonly outageMs: number }
  | { readonly type: 'linkRepaired'; readonly kind: string; readonly object: string }
  | {
      readonly type: 'advertRefused';
      readonly interface: string;
      readonly reason: string;
      readonly count: number;
      readonly lastSource: string;
    }
  | {
      readonly type: 'episodeBegan';
      readonly kind: string;
      readonly evidence: readonly { readonly key: string; readonly value: string }[];
      /** Who or what it is about: of one kind several may be open at a time. */
      readonly subject?: string | undefined;
    }
  | {
      readonly type: 'episodeEnded';
      readonly kind: string;
      readonly durationMs: number;
      readonly reason: string;
      readonly subject?: string | undefined;
      /** How often it was seen, where that was counted. */
      readonly sightings?: number | undefined;
    }
  | { readonly type: 'configApplied'; readonly digest: string; readonly changes: readonly string[] }
  | { readonly type: 'eventsDropped'; readonly count: number; readonly firstMs: number; readonly lastMs: number }
  | {
      readonly type: 'logRegressed';
      readonly kind: string;
      readonly expectedSequence: number;
      readonly foundSequence: number;
    }
  | { readonly type: 'drainChanged'; readonly drained: boolean; readonly force: boolean }
  /** This node has revoked a lease that had run out; `revocation` is a position in the lease stream. */
  | { readonly type: 'leaseEnded'; readonly holder: NodeId; readonly silentMs: number; readonly revocation: number };

/** A payload that a newer Koi wrote and this one does not know: `encoded` is the whole event as it was stored. */
export interface UnknownPayload {
  readonly type: 'unknown';
  readonly encoded: Uint8Array;
}

export interface OwnershipEvent extends EventEnvelope {
  readonly vr: string;
  readonly term: Term;
  /** Hash of the virtual router's previous ownership event, hexadecimal; absent in its first one. */
  readonly previousHash?: string;
  readonly payload: OwnershipPayload;
}

export interface LeaseEvent extends EventEnvelope {
  readonly payload: LeasePayload;
}

export interface ConfigurationEvent extends EventEnvelope {
  readonly vr: string;
  readonly payload: ConfigurationPayload;
}

/** Something that the node had read: stored then by the log's clock, and read by then by the node's monotonic one. */
export interface LogRead {
  readonly storedAtMs: number;
  readonly atMs: number;
}

export interface ObservationEvent extends EventEnvelope {
  readonly vr?: string;
  readonly term?: Term;
  /** What binds the node's clock to the log's; absent where it had read nothing. */
  readonly logRead?: LogRead;
  readonly payload: ObservationPayload;
}

export interface UnknownEvent extends EventEnvelope {
  readonly vr?: string;
  readonly term?: Term;
  readonly previousHash?: string;
  readonly payload: UnknownPayload;
}

export type KoiEvent = OwnershipEvent | LeaseEvent | ConfigurationEvent | ObservationEvent | UnknownEvent;
export type EventType = KoiEvent['payload']['type'];

const familyOf: Readonly<Record<EventType, 'ownership' | 'lease' | 'configuration' | 'observation' | 'unknown'>> = {
  claimed: 'ownership',
  released: 'ownership',
  handoverStarted: 'ownership',
  handoverReady: 'ownership',
  handoverFailed: 'ownership',
  leaseRenewed: 'lease',
  leaseRevoked: 'lease',
  configProposed: 'configuration',
  configAcknowledged: 'configuration',
  configWithdrawn: 'configuration',
  configSwitched: 'configuration',
  nodeStarted: 'observation',
  nodeStopped: 'observation',
  transition: 'observation',
  masterActive: 'observation',
  fenced: 'observation',
  dataplaneLost: 'observation',
  provisionalTakeover: 'observation',
  logLost: 'observation',
  logRejoined: 'observation',
  linkRepaired: 'observation',
  advertRefused: 'observation',
  episodeBegan: 'observation',
  episodeEnded: 'observation',
  configApplied: 'observation',
  eventsDropped: 'observation',
  logRegressed: 'observation',
  drainChanged: 'observation',
  leaseEnded: 'observation',
  unknown: 'unknown',
};

export const isOwnership = (event: KoiEvent): event is OwnershipEvent => familyOf[event.payload.type] === 'ownership';
export const isLease = (event: KoiEvent): event is LeaseEvent => familyOf[event.payload.type] === 'lease';
export const isConfiguration = (event: KoiEvent): event is ConfigurationEvent =>
  familyOf[event.payload.type] === 'configuration';
export const isObservation = (event: KoiEvent): event is ObservationEvent =>
  familyOf[event.payload.type] === 'observation';
