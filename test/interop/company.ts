import type { Router } from '../lab/topology.js';

/** What the pair has in common; each daemon says it in its own words. */
export interface Agreement {
  readonly protocol: 'vrrp2' | 'vrrp3' | 'carp';
  readonly family: 4 | 6;
  /** CARP knows whole seconds, VRRPv2 as well, VRRPv3 steps of 10 ms. */
  readonly intervalMs: number;
  /** Simple text in VRRPv2, the HMAC's key in CARP. */
  readonly password?: string;
  /** Adverts to the one peer instead of the group. */
  readonly unicast?: boolean;
}

export type Rank = 'higher' | 'lower';

/** What a daemon is told: the common part, and which of the two it is. */
export interface Assignment {
  readonly agreement: Agreement;
  readonly rank: Rank;
  readonly router: Router;
  /** The other router's address, for unicast. */
  readonly other: Router;
  readonly addresses: readonly string[];
  /** For its files. */
  readonly directory: string;
  readonly logFile: string;
}

/** VRRP's priority, and CARP's advskew: the better one is higher there and lower here. */
export const priorityOf = { higher: 200, lower: 100 } as const;
export const advskewOf = { higher: 0, lower: 100 } as const;

/** A daemon on one of the two routers. */
export interface Participant {
  readonly name: string;
  /** Resolves once all of it is started; not yet ready. */
  start(): Promise<void>;
  /** SIGTERM; resolves when all of it has ended, with the exit code (or signal) of its main process. */
  stop(): Promise<number | string>;
  /** Why it is not what it is expected to be, in its own view; undefined where it is, or does not say. */
  notYet(owner: boolean): Promise<string | undefined>;
  /** Its last words, for an error's sake. */
  lastWords(): string;
}
