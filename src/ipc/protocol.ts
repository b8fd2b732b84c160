import { z } from 'zod';
import { transitionReasons } from '../core/reasons.js';
import { vrStates } from '../core/vr-state.js';
import type { DataplaneSnapshot } from '../observe/snapshot.js';

/**
 * Everything the agent and the dataplane say to each other, checked at both ends; a snapshot when somebody wants to see it.
 * One JSON object a line over a unix socket that the dataplane listens on; a line longer than `maxLineBytes` ends the
 * connection.
 *
 * A change that an older peer cannot read gets a new `protocolVersion`; peers of different versions refuse each other,
 * since an agent is upgraded while the dataplane runs on.
 */
export const protocolVersion = 4;
export const maxLineBytes = 1 << 20;

const reason = z.enum(transitionReasons);
const state = z.enum(vrStates);
const count = z.number().int().nonnegative();

const ownership = z.strictObject({
  owner: z.string(),
  boot: z.string(),
  term: count,
  claim: z.string(),
  sequence: count,
  released: z.boolean(),
  handedBy: z.string().nullable(),
});
export type OwnershipMessage = z.infer<typeof ownership>;

const claimAnswer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('stored'), sequence: count }),
  z.strictObject({ kind: z.literal('conflict') }),
  z.strictObject({ kind: z.literal('unavailable'), maybeStored: z.boolean() }),
]);

const challengeVerdict = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('gone'),
    why: z.enum(['lease_expired', 'no_answer', 'not_serving', 'lan_down']),
  }),
  z.strictObject({ kind: z.literal('serves') }),
  z.strictObject({ kind: z.literal('leased'), untilMs: z.number() }),
  z.strictObject({ kind: z.literal('unasked') }),
]);

/** What a challenged holder finds out about itself. */
export const servingReports = ['serves', 'lan_down', 'not_serving'] as const;

export type WireClaimAnswer = z.infer<typeof claimAnswer>;

/** What all nodes of a virtual router must have in common. */
const shared = z.strictObject({
  digest: z.string(),
  protocol: z.string(),
  id: count,
  addresses: z.array(z.string()),
  form: z.string(),
  key: z.string(),
});

/** What the agent tells the dataplane. */
export const toDataplane = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('hello'), protocol: z.number().int(), node: z.string(), pid: count }),
  z.strictObject({
    type: z.literal('log'),
    reachable: z.boolean(),
    /** Only virtual routers of which something changed, or all of them after a hello. */
    vrs: z.array(
      z.strictObject({
        name: z.string(),
        ownership: ownership.nullable(),
        place: count,
        successor: z.string().nullable(),
        highestTerm: count,
        highestLoggedTerm: count,
      }),
    ),
    /** LAN addresses of the cluster's nodes, to tell a peer from a stranger. */
    nodes: z.array(z.strictObject({ node: z.string(), lanAddresses: z.array(z.string()) })),
  }),
  z.strictObject({
    type: z.literal('claimAnswer'),
    vr: z.string(),
    claim: z.string(),
    term: count,
    answer: claimAnswer,
  }),
  /** Give the mastership away, to `to` or to the successor that the log names. */
  z.strictObject({ type: z.literal('handOver'), vr: z.string(), to: z.string().nullable() }),
  z.strictObject({
    type: z.literal('peerReady'),
    vr: z.string(),
    from: z.string(),
    ready: z.boolean(),
    /** What the other node has used or heard of. */
    highestTerm: count,
  }),
  z.strictObject({ type: z.literal('peerServes'), vr: z.string(), from: z.string(), term: count }),
  /** Until when this node may hold, less the margin, by CLOCK_MONOTONIC, which both processes read; null without a lease. */
  z.strictObject({ type: z.literal('lease'), endsAtMs: z.number().nullable() }),
  /**
   * From when on this node has followed the log without a break for as long as a lease lasts, by CLOCK_MONOTONIC; null
   * while it does not follow it.
   */
  z.strictObject({ type: z.literal('proof'), fromMs: z.number().nullable() }),
  z.strictObject({ type: z.literal('challengeAnswer'), vr: z.string(), claim: z.string(), verdict: challengeVerdict }),
  /**
   * Another node asks whether this one serves; it can be reached at these addresses. The answer is `challenged`. From this
   * node itself: whether the LAN would carry what it says if it served; at these addresses is another node.
   */
  z.strictObject({
    type: z.literal('challenged'),
    id: count,
    vr: z.string(),
    from: z.string(),
    lanAddresses: z.array(z.string()),
    timeoutMs: z.number().positive(),
  }),
  /** `force`: release at once what is held; otherwise it is handed over, by `handOver`. */
  z.strictObject({ type: z.literal('drain'), drained: z.boolean(), force: z.boolean() }),
  /** Read the configuration file again, and apply it if it is the one the agent has read. The answer is `reloaded`. */
  z.strictObject({
    type: z.literal('reload'),
    id: count,
    digest: z.string(),
    /** Virtual routers that others run as well: what they have in common becomes one of these at once, or waits. */
    guarded: z.array(z.strictObject({ vr: z.string(), digests: z.array(z.string()) })),
  }),
  /** What waits is in force now. The answer is a `reloaded` without an id. */
  z.strictObject({ type: z.literal('switchConfiguration'), vr: z.string(), digest: z.string() }),
  /** Whether this node runs something else than what is in force. */
  z.strictObject({ type: z.literal('configuration'), vr: z.string(), differs: z.boolean() }),
  /** The agent has taken over this message: it is in the log, or safe on the agent's disk, or has no place there. */
  z.strictObject({ type: z.literal('taken'), number: count }),
]);
export type ToDataplane = z.infer<typeof toDataplane>;

/** What happened, with the two clocks of the moment: Unix time and the dataplane's monotonic clock. */
const happened = { number: count, wallMs: z.number(), monotonicMs: z.number() };

const histogram = z.strictObject({ counts: z.array(count), sum: z.number() });
const reasonCounts = z.array(z.strictObject({ reason: z.string(), count }));
const kindCounts = z.array(z.strictObject({ kind: z.string(), count }));

const vrSnapshot = z.strictObject({
  name: z.string(),
  state,
  priority: count,
  term: count,
  virtualMacAttached: z.boolean(),
  splitBrain: z.boolean(),
  vips: z.array(
    z.strictObject({
      address: z.string(),
      desired: z.boolean(),
      present: z.boolean(),
      probe: z.strictObject({ responders: count, macMatch: z.boolean() }).exactOptional(),
    }),
  ),
  peers: z.array(z.strictObject({ peer: z.string(), lastSeenMs: z.number(), lanPathOk: z.boolean().exactOptional() })),
  checksums: z.array(z.strictObject({ peer: z.string(), rfc9568: count, pseudoHeader: count })).exactOptional(),
  transitions: z.array(z.strictObject({ to: state, reason: z.string(), count })),
  takeover: z.strictObject({ detect: histogram, arbitrate: histogram, attach: histogram, announce: histogram }),
  advertsSent: count,
  advertsReceived: count,
  announcementsSent: z.strictObject({ arp_request: count, arp_reply: count, na: count }),
  announcementsFailed: reasonCounts,
  announcementsRefused: reasonCounts,
  splitBrainDetected: z.strictObject({ advert: count, probe: count, log: count }),
  wrongMacDetected: kindCounts,
  // A dataplane that runs on while its agent is upgraded does not tell it yet.
  wrongMacSuppressed: count.default(0),
  duplicateIdDetected: count,
  virtualMacLeaks: count,
  linkRepairs: kindCounts,
});

const snapshot = z.strictObject({
  instance: z.string(),
  guardUp: z.boolean(),
  vrs: z.array(vrSnapshot),
  advertsRejected: z.array(z.strictObject({ interface: z.string(), reason: z.string(), count })),
  advertLateness: histogram,
  fenced: reasonCounts,
  sysctlDrift: z.array(z.strictObject({ interface: z.string(), key: z.string(), drifted: z.boolean() })),
  detectors: z.array(z.strictObject({ interface: z.string(), frames: count, dropped: count })).exactOptional(),
});

/** The part of a virtual router's state that `koi status` explains; sent after each hello and each transition. */
const vrState = z.strictObject({
  vr: z.string(),
  state,
  reason,
  term: count,
  standing: z.enum(['logged', 'provisional']).nullable(),
  sinceWallMs: z.number(),
  lastFrom: state.nullable(),
  /** The master last heard on the LAN, where this node is not master. */
  heardMaster: z.string().nullable(),
  interface: z.string(),
  virtualMac: z.string(),
  lanAddress: z.string().nullable(),
  /** With what is tracked: where this node stands among the candidates. */
  priority: count,
  tracks: z.array(
    z.strictObject({
      name: z.string(),
      level: z.enum(['init', 'up', 'down', 'number']),
      weight: z.number(),
      detail: z.string(),
    }),
  ),
  warnings: z.array(z.string()),
  /** What it has in common with the other nodes as it runs, and what waits for them. */
  configuration: z.strictObject({ running: shared, prepared: shared.nullable() }).exactOptional(),
});
export type VrStateMessage = z.infer<typeof vrState>;

/** Something that must not be, while a detector sees it. */
const episode = z.strictObject({
  kind: z.string(),
  /** Null where it is about the node. */
  vr: z.string().nullable(),
  subject: z.string(),
  evidence: z.array(z.strictObject({ key: z.string(), value: z.string() })),
  sinceWallMs: z.number(),
});
export type EpisodeMessage = z.infer<typeof episode>;

/** What the dataplane tells the agent. Those with a `number` are kept until the agent has `taken` them. */
export const toAgent = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('hello'),
    protocol: z.number().int(),
    node: z.string(),
    boot: z.string(),
    pid: count,
    /** Of the configuration in force. */
    digest: z.string(),
    vrs: z.array(vrState),
    /** Those that are open: an agent that comes later has not heard of their beginning. */
    episodes: z.array(episode).exactOptional(),
  }),
  z.strictObject({ type: z.literal('state'), state: vrState }),
  z.strictObject({
    type: z.literal('claim'),
    vr: z.string(),
    claim: z.string(),
    term: count,
    expected: count,
    reason,
    /** The agent stops waiting for the log's answer after this long. */
    timeoutMs: z.number().positive(),
    lanAddress: z.string().nullable(),
    virtualMac: z.string(),
  }),
  z.strictObject({ type: z.literal('askReady'), vr: z.string(), to: z.string(), term: count }),
  z.strictObject({
    type: z.literal('startHandover'),
    vr: z.string(),
    to: z.string(),
    claim: z.string(),
    term: count,
    expected: count,
    reason,
    timeoutMs: z.number().positive(),
  }),
  z.strictObject({
    type: z.literal('challenge'),
    vr: z.string(),
    /** The claim that is to follow. */
    claim: z.string(),
    term: count,
    holder: z.string(),
    lanAddress: z.string().nullable(),
    timeoutMs: z.number().positive(),
  }),
  z.strictObject({ type: z.literal('challenged'), id: count, report: z.enum(servingReports) }),
  z.strictObject({ type: z.literal('tellServing'), vr: z.string(), to: z.string(), term: count }),
  z.strictObject({ type: z.literal('askHandover'), vr: z.string(), of: z.string() }),
  z.strictObject({
    type: z.literal('released'),
    ...happened,
    vr: z.string(),
    term: count,
    reason,
    /** The LAN was told with priority 0. */
    resigned: z.boolean(),
  }),
  /** An orderly end: everything is released, and the connection closes now. */
  z.strictObject({ type: z.literal('bye') }),
  z.strictObject({
    type: z.literal('transition'),
    ...happened,
    vr: z.string(),
    from: state,
    to: state,
    reason,
    term: count,
    standing: z.enum(['logged', 'provisional']).nullable(),
    /** The master that it gives way to, as a dataplane of before told; the log tells now. */
    rival: z.string().exactOptional(),
  }),
  z.strictObject({
    type: z.literal('masterActive'),
    ...happened,
    vr: z.string(),
    term: count,
    steps: z.array(z.strictObject({ name: z.string(), durationUs: z.number().nonnegative() })),
    phases: z.strictObject({
      detectUs: z.number(),
      arbitrateUs: z.number(),
      attachUs: z.number(),
      announceUs: z.number(),
    }),
  }),
  z.strictObject({
    type: z.literal('repaired'),
    ...happened,
    vr: z.string(),
    kind: z.string(),
    object: z.string(),
  }),
  /** The adverts of a peer that serves do not come through, or do again. */
  z.strictObject({
    type: z.literal('advertPath'),
    ...happened,
    vr: z.string(),
    peer: z.string(),
    lost: z.boolean(),
    /** For how long they have not come through. */
    durationMs: z.number().nonnegative(),
  }),
  /** Another master is heard while this one serves, or no more. */
  z.strictObject({
    type: z.literal('splitBrain'),
    ...happened,
    vr: z.string(),
    /** Its node, or its address. */
    rival: z.string(),
    began: z.boolean(),
    durationMs: z.number().nonnegative(),
    /** Of the advert that told. */
    evidence: z.array(z.strictObject({ key: z.string(), value: z.string() })).exactOptional(),
  }),
  /** A detector sees something that must not be, or sees it no more. */
  z.strictObject({
    type: z.literal('episode'),
    ...happened,
    episode,
    /** Null where it begins. */
    ended: z.strictObject({ durationMs: z.number().nonnegative(), sightings: count, reason: z.string() }).nullable(),
  }),
  z.strictObject({ type: z.literal('fenced'), ...happened, vr: z.string().nullable(), reason: z.string() }),
  z.strictObject({
    type: z.literal('reloaded'),
    /** Of the question; null where something that waited is in force now, or without an agent. */
    id: count.nullable(),
    /** Of the configuration in force now. */
    digest: z.string(),
    /** Why nothing was applied; null where it was. */
    problem: z.string().nullable(),
    changes: z.array(z.string()),
    warnings: z.array(z.string()),
    vrs: z.array(vrState),
  }),
  /** A signal asks for it: the agent knows what has to wait. */
  z.strictObject({ type: z.literal('reloadAsked') }),
  z.strictObject({ type: z.literal('snapshot'), snapshot }),
]);
export type ToAgent =
  | Exclude<z.infer<typeof toAgent>, { type: 'snapshot' }>
  | { readonly type: 'snapshot'; readonly snapshot: DataplaneSnapshot };
/** A message that must not be lost while the agent is away. */
export type KeptMessage = Extract<ToAgent, { readonly number: number }>;
