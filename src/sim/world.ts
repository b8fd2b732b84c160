import type { HeldTogetherDesk } from '../agent/held-together-desk.js';
import type { LeaseDesk } from '../agent/lease-desk.js';
import type { LeaseRevoker } from '../agent/lease-revoker.js';
import type { OwnershipDesk } from '../agent/ownership-desk.js';
import type { LeaseWatch } from '../core/lease.js';
import type { step } from '../core/vr-machine.js';
import type { VrParameters } from '../core/vr-state.js';
import type { MemoryLogServer } from '../log/memory.js';
import type { LogNames } from '../log/subjects.js';
import type { Lan } from './lan.js';
import type { Random } from './random.js';
import type { Trace } from './trace.js';
import type { VirtualTime } from './virtual-time.js';
import type { Witness } from './witness.js';

/** What of the desk a node uses. */
export type Desk = Pick<OwnershipDesk, 'newest' | 'forget' | 'claim' | 'startHandover' | 'release'>;

/** The rules a simulation runs: the product's own, unless a test breaks one to see it found. */
export interface Rules {
  readonly step: typeof step;
  readonly desk: (desk: OwnershipDesk) => Desk;
  /** The terms outlive the process. */
  readonly keepsTerms: boolean;
  readonly revoker: (
    revoker: LeaseRevoker,
    leases: LeaseDesk,
    clock: () => { readonly monotonicMs: number },
  ) => Pick<LeaseRevoker, 'revoke'>;
  /** The kernel forgets the addresses of a node that died before its lease ends. */
  readonly addressesEndWithLease: boolean;
  /** The kernel forgets addresses that nobody renews. */
  readonly addressesExpire: boolean;
  /** The guard takes off the addresses of a dataplane that is dead or hung. */
  readonly guardFences: boolean;
  /** Whoever wants an address handed over looks first whether the LAN carries what it says. */
  readonly looksBeforeAsking: boolean;
  /** What reads the log for two that held at once. */
  readonly together: (desk: HeldTogetherDesk) => Pick<HeldTogetherDesk, 'read' | 'look'>;
  /** What is known of another node's lease. */
  readonly watch: (watch: LeaseWatch) => LeaseWatch;
}

export type RouterSettings = Pick<
  VrParameters,
  | 'preempt'
  | 'startDelayMs'
  | 'arbitration'
  | 'onLogLoss'
  | 'onPathSplit'
  | 'arbitrationTimeoutMs'
  | 'challengeTimeoutMs'
  | 'leaseMs'
> & { readonly name: string; readonly advertIntervalMs: number };

/** What everything in a simulation shares. */
export interface World {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly trace: Trace;
  readonly lan: Lan;
  readonly names: LogNames;
  readonly logServer: MemoryLogServer;
  /** The nodes' leases: a stream of its own. */
  readonly leaseServer: MemoryLogServer;
  readonly rules: Rules;
  readonly lease: { readonly ttlMs: number; readonly renewMs: number };
  readonly routers: readonly RouterSettings[];
  /** How long a host on the LAN counts as one that will answer. */
  readonly neighboursKnownMs: number;
  readonly witness: Witness;
}

export type Mode = VrParameters['arbitration'];
export const modes = ['wire', 'log', 'strict'] as const satisfies readonly Mode[];

export const clusterName = 'sim';
