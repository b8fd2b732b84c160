import type { Daemon } from './daemon.js';
import type { Lab } from './lab.js';
import type { ClientView } from './outage.js';
import type { OwnershipView } from './ownership.js';
import { type Setup, single } from './setup.js';

/** What a run of a scenario may cost; what is not named is not bounded. */
export interface Bound {
  readonly outageMs?: number;
  readonly lost?: number;
  readonly oneOwnerMs?: number;
  /** The longest stretch in which more than one router holds the VIP. */
  readonly severalMs?: number;
}

/** The times of the cluster that bounds follow from. */
export interface Timing {
  readonly advertIntervalMs: number;
  /** The longest skew of any backup (RFC 9568 section 6.1). */
  readonly skewMs: number;
}

/** What was measured from the failure to the end of its observation; times of the monotonic clock. */
export interface Measured {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly since: Date;
  readonly client: ClientView;
  readonly ownership: OwnershipView;
}

/** One promise beside the bounds, checked. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** One run: how to do it, what else to look at, how to make it undone. The lab itself restarts what ended. */
export interface Act {
  inject(): Promise<void> | void;
  /** After the VIP has settled: whatever else must be watched. */
  observe?(): Promise<void>;
  checks?(measured: Measured): Promise<Check[]> | Check[];
  /**
   * The longest that the client waited while the address moved, where the observation holds far more than that; undefined
   * where it did not move.
   */
  outageMs?(): number | undefined;
  restore?(): Promise<void> | void;
}

/** A failure of the master, and what it may cost. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Where the VIP must be in the end: at another router, where it was, or anywhere. */
  readonly vip: 'moves' | 'stays' | 'appears';
  /** The cluster it needs; `single` where it says nothing. */
  readonly setup?: Setup;
  /** It takes long, and runs only where it is asked for. */
  readonly onDemand?: boolean;
  /** What the design promises here, and why the bound is what it is, in a sentence. */
  readonly promise?: string;
  /** It makes sense for Koi only: the other daemon has no such part. */
  readonly koiOnly?: boolean;
  /** Its checks tell a story, and are printed even where they hold. */
  readonly narrates?: boolean;
  bound(timing: Timing): Bound;
  begin(lab: Lab, master: Daemon): Promise<Act> | Act;
}

export const setupOf = (scenario: Scenario): Setup => scenario.setup ?? single;

export const check = (name: string, ok: boolean, detail: string): Check => ({ name, ok, detail });
