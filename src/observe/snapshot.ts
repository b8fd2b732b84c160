import type { VrStateLabel } from './status.js';

/*
 * What the dataplane tells the agent once a second, of more than two hundred virtual routers 200 a second. Counts are cumulative since the dataplane started: a lost or late
 * snapshot loses nothing, and a restart (another `instance`, or a count that went back) goes on from the old total.
 */

/** Upper bounds of the buckets of `koi_advert_lateness_seconds`. */
export const advertLatenessBoundsSeconds: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1,
];

/** Upper bounds of the buckets of `koi_takeover_duration_seconds`. */
export const takeoverBoundsSeconds: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10,
];

export interface HistogramCounts {
  /** One count for each bound, of the observations in that bucket alone, and one more for those above all bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export const takeoverPhases = ['detect', 'arbitrate', 'attach', 'announce'] as const;
export type TakeoverPhase = (typeof takeoverPhases)[number];
export const announcementOperations = ['arp_request', 'arp_reply', 'na'] as const;
export type AnnouncementOperation = (typeof announcementOperations)[number];
export const splitBrainSources = ['advert', 'probe', 'log'] as const;
export type SplitBrainSource = (typeof splitBrainSources)[number];

export interface ReasonCount {
  readonly reason: string;
  readonly count: number;
}

export interface KindCount {
  readonly kind: string;
  readonly count: number;
}

export interface VipSnapshot {
  readonly address: string;
  /** This node should have it now. */
  readonly desired: boolean;
  /** Read back from the kernel. */
  readonly present: boolean;
  /** How many answered the last probe, and whether all did with the virtual MAC; undefined before the first probe. */
  readonly probe?: { readonly responders: number; readonly macMatch: boolean };
}

export interface PeerSnapshot {
  /** Name of a node of the cluster; strangers are not peers here, since they choose their addresses. */
  readonly peer: string;
  /** Unix time of its last advert; 0 for never. */
  readonly lastSeenMs: number;
  readonly lanPathOk?: boolean;
}

/** How many adverts a peer has sent in each form of VRRPv3's checksum over IPv4. */
export interface ChecksumTally {
  /** Its address. */
  readonly peer: string;
  readonly rfc9568: number;
  readonly pseudoHeader: number;
}

export interface VrSnapshot {
  readonly name: string;
  readonly state: VrStateLabel;
  readonly priority: number;
  readonly term: number;
  readonly virtualMacAttached: boolean;
  readonly splitBrain: boolean;
  readonly vips: readonly VipSnapshot[];
  readonly peers: readonly PeerSnapshot[];
  /** At most sixteen, those heard last; absent where the protocol has but one form. */
  readonly checksums?: readonly ChecksumTally[];
  readonly transitions: readonly { readonly to: VrStateLabel; readonly reason: string; readonly count: number }[];
  readonly takeover: Readonly<Record<TakeoverPhase, HistogramCounts>>;
  readonly advertsSent: number;
  readonly advertsReceived: number;
  readonly announcementsSent: Readonly<Record<AnnouncementOperation, number>>;
  readonly announcementsFailed: readonly ReasonCount[];
  readonly announcementsRefused: readonly ReasonCount[];
  readonly splitBrainDetected: Readonly<Record<SplitBrainSource, number>>;
  readonly wrongMacDetected: readonly KindCount[];
  /** Frames that this host would have sent with a wrong MAC, and that the kernel has dropped. */
  readonly wrongMacSuppressed: number;
  readonly duplicateIdDetected: number;
  readonly virtualMacLeaks: number;
  readonly linkRepairs: readonly KindCount[];
}

export interface DataplaneSnapshot {
  /** Another one for each start of the dataplane. */
  readonly instance: string;
  readonly guardUp: boolean;
  /** Some at a time, each about once a second, or of 200 a second. */
  readonly vrs: readonly VrSnapshot[];
  readonly advertsRejected: readonly { readonly interface: string; readonly reason: string; readonly count: number }[];
  readonly advertLateness: HistogramCounts;
  readonly fenced: readonly ReasonCount[];
  readonly sysctlDrift: readonly { readonly interface: string; readonly key: string; readonly drifted: boolean }[];
  /** Frames that detectors have looked at, and those that came faster than they look. */
  readonly detectors?: readonly { readonly interface: string; readonly frames: number; readonly dropped: number }[];
}

/**
 * What is known after one more of a dataplane's snapshots, each of which tells of a few virtual routers. Those of an
 * earlier start are forgotten.
 */
export function joinSnapshots(before: DataplaneSnapshot | undefined, told: DataplaneSnapshot): DataplaneSnapshot {
  if (before?.instance !== told.instance) return told;
  const names = new Set(told.vrs.map(({ name }) => name));
  return { ...told, vrs: [...before.vrs.filter(({ name }) => !names.has(name)), ...told.vrs] };
}

/** The same without those that are no more. */
export function snapshotOf(snapshot: DataplaneSnapshot | undefined, names: readonly string[]) {
  if (snapshot === undefined) return undefined;
  const left = new Set(names);
  return { ...snapshot, vrs: snapshot.vrs.filter(({ name }) => left.has(name)) };
}

/** Counts observations into buckets: what a snapshot carries of a histogram. */
export class BucketCounter {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** What was counted elsewhere, between the same bounds. */
  add({ counts, sum }: HistogramCounts): void {
    for (const [bucket, count] of counts.entries()) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#sum += sum;
  }

  read(): HistogramCounts {
    return { counts: [...this.#counts], sum: this.#sum };
  }
}
