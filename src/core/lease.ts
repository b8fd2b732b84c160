import { noSequence, type Sequence } from './identity.js';

/*
 * A node's lease: its proof of being alive in the log. The holder counts it from before it sent the renewal, a reader
 * from when it saw the renewal, each by its own monotonic clock, so the reader's end is the later one:
 *
 *   holder   sent ├───────── ttl − margin ─────────┤ holds nothing from here on
 *   log             stored
 *   reader             seen ├──────────── ttl × (1 + drift) + margin ────────────┤ may revoke from here on
 */

/**
 * How much more than another's a node's monotonic clock may show, as a part of the time that passed. NTP daemons slew
 * that clock as well: chrony by up to 83,333 ppm (chrony.conf(5), maxslewrate), which is far beyond what quartz drifts.
 */
export const clockDriftMax = 0.1;

/** Kept free at both ends of a lease: what it takes to get the addresses off once the end has come. */
export const leaseMarginMs = 200;

/**
 * How long after a lease's end the guard comes. The dataplane lets go by itself before, in good order; what it has not let
 * go of by then goes well within the margin that is kept free for that.
 */
export const guardAfterMs = leaseMarginMs / 4;

/** How late the kernel sees that the lifetime of an address is over. */
const kernelLateMs = 1250;

/**
 * For how long the kernel may be told to keep an address whose holder has a lease, in whole seconds, so that it is gone
 * with the lease even where every process of the node is killed at once; below 1 it may not be told to at all.
 */
export const addressLifetimeSeconds = (leaseEndsAtMs: number, nowMs: number): number =>
  Math.max(0, Math.floor((leaseEndsAtMs + leaseMarginMs - kernelLateMs - nowMs) / 1000));

/** When the holder has to have stopped, by its own clock; `sentAtMs` is from before the renewal was sent. */
export const heldUntilMs = (sentAtMs: number, ttlMs: number): number => sentAtMs + ttlMs - leaseMarginMs;

/** When a reader that saw the renewal at `seenAtMs` may take it for expired, by its own clock. */
export const watchedUntilMs = (seenAtMs: number, ttlMs: number): number =>
  seenAtMs + ttlMs * (1 + clockDriftMax) + leaseMarginMs;

/** A message on a node's lease subject. `id` is the event's; `ttlMs` is unknown where the message cannot be read. */
export type LeaseMessage = { readonly sequence: Sequence; readonly id: string | undefined } & (
  | { readonly kind: 'renewed'; readonly ttlMs: number | undefined }
  | { readonly kind: 'revoked' }
);

// ── the holder ──────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Renewal {
  readonly id: string;
  /** Counts this process's renewals. */
  readonly number: number;
  readonly expected: Sequence;
  /** From before it was first sent. */
  readonly sentAtMs: number;
  readonly ttlMs: number;
  /** An earlier sending was not answered: the log may have it already. */
  readonly maybeStored: boolean;
}

/** What a node knows of its own lease. Immutable. */
export interface LeaseLedger {
  /** The newest message on the node's own subject, 0 for none; undefined until that has been read. */
  readonly newest: Sequence | undefined;
  readonly endsAtMs: number | undefined;
  /** There was a lease, perhaps of an earlier process, and it was revoked or contested. */
  readonly lost: boolean;
  /** The renewal that was sent and is neither granted nor refused. */
  readonly pending: Renewal | undefined;
  readonly renewals: number;
}

export const noLease: LeaseLedger = {
  newest: undefined,
  endsAtMs: undefined,
  lost: false,
  pending: undefined,
  renewals: 0,
};

/**
 * The renewal to send now; undefined where what stands on the subject has not been read. One whose fate is unknown is
 * sent again as it was, with its first time: the log stores it once, whatever became of the first sending.
 */
export function nextRenewal(
  ledger: LeaseLedger,
  fresh: { readonly id: string; readonly atMs: number; readonly ttlMs: number },
): { readonly ledger: LeaseLedger; readonly renewal: Renewal } | undefined {
  if (ledger.pending !== undefined) return { ledger, renewal: ledger.pending };
  if (ledger.newest === undefined) return undefined;
  const number = ledger.renewals + 1;
  const { id, atMs: sentAtMs, ttlMs } = fresh;
  const renewal: Renewal = { id, number, expected: ledger.newest, sentAtMs, ttlMs, maybeStored: false };
  // Others may see a shorter lease as soon as it is sent, whether or not the answer comes.
  const endsAtMs = ledger.endsAtMs === undefined ? undefined : Math.min(ledger.endsAtMs, heldUntilMs(sentAtMs, ttlMs));
  return { ledger: { ...ledger, endsAtMs, pending: renewal, renewals: number }, renewal };
}

/** The log has said what became of a renewal. An answer that comes after a newer message was read gives nothing. */
export function renewalAnswered(
  ledger: LeaseLedger,
  renewal: Renewal,
  answer:
    | { readonly kind: 'stored'; readonly sequence: Sequence }
    | { readonly kind: 'conflict' }
    | { readonly kind: 'unavailable'; readonly maybeStored: boolean },
): LeaseLedger {
  if (ledger.pending?.id !== renewal.id) return ledger;
  switch (answer.kind) {
    case 'stored':
      return granted(ledger, renewal, answer.sequence);
    case 'conflict': {
      const hasReadOn = ledger.newest !== renewal.expected;
      return {
        ...ledger,
        newest: hasReadOn ? ledger.newest : undefined,
        endsAtMs: undefined,
        lost: true,
        pending: undefined,
      };
    }
    case 'unavailable': {
      const maybeStored = answer.maybeStored || ledger.pending.maybeStored;
      return { ...ledger, pending: maybeStored ? { ...ledger.pending, maybeStored } : undefined };
    }
  }
}

/** A message on the node's own subject was read. Whatever this process did not write there ends its lease. */
export function ownLeaseRead(ledger: LeaseLedger, message: LeaseMessage): LeaseLedger {
  const { newest, pending } = ledger;
  if (newest !== undefined && message.sequence <= newest) return ledger;
  if (pending !== undefined && pending.id === message.id) return granted(ledger, pending, message.sequence);
  const read = { ...ledger, newest: message.sequence, pending: undefined };
  // Read for the first time, or again from the first: the renewal of an earlier process, or its own once more.
  if (message.kind === 'renewed' && newest === undefined) return read;
  return { ...read, endsAtMs: undefined, lost: true };
}

/** Everything that stood on the subject has been read. */
export const ownLeaseCaughtUp = (ledger: LeaseLedger): LeaseLedger => ({
  ...ledger,
  newest: ledger.newest ?? noSequence,
});

/** The log is another than the one read before. A lease given is time given: it runs on to its end. */
export const ownLeaseGap = (ledger: LeaseLedger): LeaseLedger => ({ ...ledger, newest: undefined, pending: undefined });

/** The renewal is in the log, on top of all that was read: whatever newer is read ends what is pending. */
function granted(ledger: LeaseLedger, renewal: Renewal, at: Sequence): LeaseLedger {
  const endsAtMs = heldUntilMs(renewal.sentAtMs, renewal.ttlMs);
  return { ...ledger, newest: at, endsAtMs, lost: false, pending: undefined };
}

// ── the readers ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** What one reader knows of another node's lease. */
export interface LeaseWatch {
  /** The newest message on the node's subject, 0 for none: what a revocation has to expect. */
  readonly sequence: Sequence;
  /** When this reader saw the last renewal, or began to look. */
  readonly seenAtMs: number;
  readonly ttlMs: number;
  readonly revoked: boolean;
}

/** What one reader knows of all leases. Immutable. */
export interface LeaseWatches {
  /** Since when everything stored is read; undefined before. A node of which nothing was read is watched from here. */
  readonly sinceMs: number | undefined;
  readonly nodes: ReadonlyMap<string, LeaseWatch>;
}

export const noWatches: LeaseWatches = { sinceMs: undefined, nodes: new Map() };

/** `ttlMs`: what is assumed of a node whose renewals do not say. */
export function watchRead(
  watches: LeaseWatches,
  node: string,
  message: LeaseMessage,
  atMs: number,
  ttlMs: number,
): LeaseWatches {
  const before = watches.nodes.get(node);
  const { sequence } = message;
  if (before !== undefined && sequence <= before.sequence) return watches;
  const known = before?.ttlMs ?? ttlMs;
  const watch: LeaseWatch =
    message.kind === 'renewed'
      ? { sequence, seenAtMs: atMs, ttlMs: message.ttlMs ?? known, revoked: false }
      : { sequence, seenAtMs: before?.seenAtMs ?? atMs, ttlMs: known, revoked: true };
  return { ...watches, nodes: new Map(watches.nodes).set(node, watch) };
}

export const watchCaughtUp = (watches: LeaseWatches, atMs: number): LeaseWatches => ({
  ...watches,
  sinceMs: watches.sinceMs ?? atMs,
});

/** The log is another than the one read before: every watch starts anew. What a lease lasts is not forgotten. */
export function watchGap(watches: LeaseWatches, atMs: number): LeaseWatches {
  const nodes = new Map<string, LeaseWatch>();
  for (const [node, { ttlMs }] of watches.nodes) {
    nodes.set(node, { sequence: noSequence, seenAtMs: atMs, ttlMs, revoked: false });
  }
  return { sinceMs: undefined, nodes };
}

/** The watch on a node; undefined before everything stored has been read. */
export function watchOf(watches: LeaseWatches, node: string, ttlMs: number): LeaseWatch | undefined {
  const { sinceMs } = watches;
  if (sinceMs === undefined) return undefined;
  return watches.nodes.get(node) ?? { sequence: noSequence, seenAtMs: sinceMs, ttlMs, revoked: false };
}

/**
 * Whether another node may be taken for one that no longer runs. Only a node that has a lease itself and reads the others'
 * can say so: where the leases are out of reach all fall silent at once, and each node would be the only one. Nor is one
 * silent whose word was read elsewhere in the log (`spokeAtMs`) within the time that its lease lasts.
 */
export function hasFallenSilent(
  watch: LeaseWatch | undefined,
  ownEndsAtMs: number | undefined,
  spokeAtMs: number,
  nowMs: number,
): boolean {
  if (watch === undefined || watch.sequence === noSequence) return false;
  if (ownEndsAtMs === undefined || ownEndsAtMs <= nowMs || nowMs < watchedUntilMs(spokeAtMs, watch.ttlMs)) return false;
  return watch.revoked || nowMs >= expiresAtMs(watch);
}

/** When a lease that is watched counts as expired. */
export const expiresAtMs = ({ seenAtMs, ttlMs }: LeaseWatch): number => watchedUntilMs(seenAtMs, ttlMs);
