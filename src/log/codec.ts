import * as crypto from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { SharedConfiguration } from '../core/config-version.js';
import { bootId, nodeId, type Term, term } from '../core/identity.js';
import type {
  ConfigurationPayload,
  EventEnvelope,
  KoiEvent,
  LeasePayload,
  LogRead,
  ObservationEvent,
  ObservationPayload,
  OwnershipPayload,
  UnknownPayload,
} from './event.js';
import {
  type Event,
  EventSchema,
  type SharedConfiguration as SharedConfigurationMessage,
} from './gen/koi/v1/event_pb.js';

/** Raised when a reader must know more than `proto/koi/v1` says today. */
export const schemaVersion = 1;

/** Why bytes are no event. */
export type DecodeRefusal =
  | { readonly reason: 'malformed' }
  | { readonly reason: 'missing_field'; readonly field: string }
  | { readonly reason: 'out_of_range'; readonly field: string }
  /** The event speaks of another node or virtual router than the subject it stands on. */
  | { readonly reason: 'wrong_subject'; readonly field: string };

export type DecodeResult =
  | { readonly ok: true; readonly event: KoiEvent }
  | { readonly ok: false; readonly refusal: DecodeRefusal };

type ProtoPayload = Event['payload'];
type KnownPayload = OwnershipPayload | LeasePayload | ConfigurationPayload | ObservationPayload;

/** In one call where this Node has it (20.12): reading a long log is mostly hashing. */
const hashOf: (encoded: Uint8Array) => string =
  typeof crypto.hash === 'function'
    ? (encoded) => crypto.hash('sha256', encoded, 'hex')
    : (encoded) => crypto.createHash('sha256').update(encoded).digest('hex');

/** SHA-256 of an event as stored, hexadecimal: the link of the ownership chain. */
export function eventHash(encoded: Uint8Array): string {
  return hashOf(encoded);
}

/** The event as `koi.v1.Event`. An unknown payload comes out as it came in. */
export function encodeEvent(event: KoiEvent): Uint8Array {
  if (event.payload.type === 'unknown') return event.payload.encoded;
  const vr = 'vr' in event ? event.vr : undefined;
  const eventTerm = 'term' in event ? event.term : undefined;
  const previousHash = 'previousHash' in event ? event.previousHash : undefined;
  const logRead = 'logRead' in event ? event.logRead : undefined;
  return toBinary(
    EventSchema,
    create(EventSchema, {
      eventId: event.id,
      cluster: event.cluster,
      node: event.node,
      bootId: event.boot,
      vr: vr ?? '',
      term: BigInt(eventTerm ?? 0),
      wallTimeUnixNs: nanoseconds(event.wallTimeMs),
      monotonicNs: nanoseconds(event.monotonicMs),
      causeEventId: event.causeId ?? '',
      previousOwnershipHash: previousHash === undefined ? new Uint8Array() : Buffer.from(previousHash, 'hex'),
      schemaVersion,
      ...(logRead === undefined ? {} : { logRead: logReadInit(logRead) }),
      payload: payloadInit(event.payload),
    }),
  );
}

/**
 * Reads a `koi.v1.Event`. A payload of a newer schema is kept as `unknown`. Never throws: whatever the bytes are, the
 * answer is an event or the reason why it is none.
 */
export function decodeEvent(encoded: Uint8Array): DecodeResult {
  let message: Event;
  try {
    message = fromBinary(EventSchema, encoded);
  } catch {
    return refuse({ reason: 'malformed' });
  }
  const missing = required.find((field) => message[field] === '');
  if (missing !== undefined) return refuse({ reason: 'missing_field', field: missing });
  if (message.term > termMax) return refuse({ reason: 'out_of_range', field: 'term' });

  // Assigned one by one, not spread: a long log is read at the pace of this function.
  const envelope: Mutable<EventEnvelope> = {
    id: message.eventId,
    cluster: message.cluster,
    node: nodeId(message.node),
    boot: bootId(message.bootId),
    wallTimeMs: milliseconds(message.wallTimeUnixNs),
    monotonicMs: milliseconds(message.monotonicNs),
  };
  if (message.causeEventId !== '') envelope.causeId = message.causeEventId;
  const about: { vr?: string; term?: Term } = {};
  if (message.vr !== '') about.vr = message.vr;
  if (message.term !== 0n) about.term = term(Number(message.term));
  const hash: { previousHash?: string } = {};
  const { previousOwnershipHash: previous } = message;
  if (previous.length > 0) hash.previousHash = Buffer.from(previous).toString('hex');

  const decoded = decodePayload(message.payload);
  switch (decoded?.family) {
    case undefined: {
      const payload: UnknownPayload = { type: 'unknown', encoded };
      return { ok: true, event: Object.assign(envelope, about, hash, { payload }) };
    }
    case 'ownership':
      if (about.vr === undefined) return refuse({ reason: 'missing_field', field: 'vr' });
      if (about.term === undefined) return refuse({ reason: 'missing_field', field: 'term' });
      return {
        ok: true,
        event: Object.assign(envelope, { vr: about.vr, term: about.term }, hash, { payload: decoded.payload }),
      };
    case 'lease':
      return { ok: true, event: Object.assign(envelope, { payload: decoded.payload }) };
    case 'configuration':
      if (about.vr === undefined) return refuse({ reason: 'missing_field', field: 'vr' });
      return { ok: true, event: Object.assign(envelope, { vr: about.vr, payload: decoded.payload }) };
    case 'observation': {
      const event: Mutable<ObservationEvent> = Object.assign(envelope, about, { payload: decoded.payload });
      const { logRead: read } = message;
      if (read !== undefined) {
        event.logRead = { storedAtMs: milliseconds(read.storedUnixNs), atMs: milliseconds(read.readMonotonicNs) };
      }
      return { ok: true, event };
    }
    case 'refused':
      return refuse({ reason: 'missing_field', field: decoded.field });
  }
}

const logReadInit = ({ storedAtMs, atMs }: LogRead) => ({
  storedUnixNs: nanoseconds(storedAtMs),
  readMonotonicNs: nanoseconds(atMs),
});

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const required = ['eventId', 'cluster', 'node', 'bootId'] as const;
const termMax = BigInt(Number.MAX_SAFE_INTEGER);

const refuse = (refusal: DecodeRefusal): DecodeResult => ({ ok: false, refusal });

/** Splits first: a double holds nanoseconds since 1970 only to the nearest 256. */
function nanoseconds(ms: number): bigint {
  const whole = Math.trunc(ms);
  return BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6));
}

function milliseconds(ns: bigint): number {
  return Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6;
}

const unsigned = (value: number): bigint => BigInt(Math.max(0, Math.round(value)));

type PayloadInit = NonNullable<Parameters<typeof create<typeof EventSchema>>[1]>['payload'] & {};

function payloadInit(payload: KnownPayload): PayloadInit {
  switch (payload.type) {
    case 'claimed': {
      const { type, provisionalSinceMs, ...rest } = payload;
      const since = provisionalSinceMs === undefined ? {} : { provisionalSinceUnixNs: nanoseconds(provisionalSinceMs) };
      return { case: type, value: { ...rest, ...since } };
    }
    case 'released':
      return { case: payload.type, value: withoutType(payload) };
    case 'handoverStarted':
      return { case: payload.type, value: withoutType(payload) };
    case 'handoverReady':
      return { case: payload.type, value: withoutType(payload) };
    case 'handoverFailed':
      return { case: payload.type, value: withoutType(payload) };
    case 'leaseRenewed':
      return { case: payload.type, value: { renewal: unsigned(payload.renewal), ttlMs: payload.ttlMs } };
    case 'leaseRevoked':
      return { case: payload.type, value: withoutType(payload) };
    case 'configProposed':
      return {
        case: payload.type,
        value: { version: payload.version, configuration: writable(payload.configuration) },
      };
    case 'configAcknowledged':
      return { case: payload.type, value: withoutType(payload) };
    case 'configWithdrawn':
      return { case: payload.type, value: withoutType(payload) };
    case 'configSwitched': {
      const { version, reason, configuration } = payload;
      return { case: payload.type, value: { version, reason, configuration: writable(configuration) } };
    }
    case 'nodeStarted': {
      const virtualRouters = payload.virtualRouters.map(({ configuration, ...vr }) => ({
        ...vr,
        addresses: [...vr.addresses],
        ...(configuration === undefined ? {} : { configuration: writable(configuration) }),
      }));
      return {
        case: payload.type,
        value: { version: payload.version, virtualRouters, drained: payload.drained === true },
      };
    }
    case 'nodeStopped':
      return { case: payload.type, value: withoutType(payload) };
    case 'transition':
      return { case: payload.type, value: withoutType(payload) };
    case 'masterActive':
      return {
        case: payload.type,
        value: {
          steps: payload.steps.map((step) => ({ name: step.name, durationUs: unsigned(step.durationUs) })),
          detectUs: unsigned(payload.detectUs),
          arbitrateUs: unsigned(payload.arbitrateUs),
          attachUs: unsigned(payload.attachUs),
          announceUs: unsigned(payload.announceUs),
        },
      };
    case 'fenced':
      return { case: payload.type, value: withoutType(payload) };
    case 'dataplaneLost':
      return {
        case: payload.type,
        value: { reason: payload.reason, seenMonotonicNs: nanoseconds(payload.seenMs ?? 0) },
      };
    case 'provisionalTakeover':
      return { case: payload.type, value: withoutType(payload) };
    case 'logLost':
      return { case: payload.type, value: withoutType(payload) };
    case 'logRejoined':
      return { case: payload.type, value: { outageMs: unsigned(payload.outageMs) } };
    case 'linkRepaired':
      return { case: payload.type, value: withoutType(payload) };
    case 'advertRefused':
      return { case: payload.type, value: { ...withoutType(payload), count: unsigned(payload.count) } };
    case 'episodeBegan':
      return {
        case: payload.type,
        value: {
          kind: payload.kind,
          evidence: payload.evidence.map((e) => ({ ...e })),
          subject: payload.subject ?? '',
        },
      };
    case 'episodeEnded': {
      const { kind, reason, durationMs, subject = '', sightings = 0 } = payload;
      const value = { kind, reason, subject, durationMs: unsigned(durationMs), sightings: unsigned(sightings) };
      return { case: payload.type, value };
    }
    case 'configApplied':
      return { case: payload.type, value: { digest: payload.digest, changes: [...payload.changes] } };
    case 'eventsDropped':
      return {
        case: payload.type,
        value: {
          count: unsigned(payload.count),
          firstUnixNs: nanoseconds(payload.firstMs),
          lastUnixNs: nanoseconds(payload.lastMs),
        },
      };
    case 'logRegressed':
      return {
        case: payload.type,
        value: {
          kind: payload.kind,
          expectedSequence: unsigned(payload.expectedSequence),
          foundSequence: unsigned(payload.foundSequence),
        },
      };
    case 'drainChanged':
      return { case: payload.type, value: withoutType(payload) };
    case 'leaseEnded': {
      const { holder, silentMs, revocation } = payload;
      return {
        case: payload.type,
        value: { holder, silentMs: unsigned(silentMs), revocation: unsigned(revocation) },
      };
    }
  }
}

function withoutType<T extends { readonly type: string }>({ type: _, ...rest }: T): Omit<T, 'type'> {
  return rest;
}

const writable = (configuration: SharedConfiguration) => ({
  ...configuration,
  addresses: [...configuration.addresses],
});

function readable(message: SharedConfigurationMessage): SharedConfiguration {
  const { digest, protocol, id, addresses, form, key } = message;
  return { digest, protocol, id, addresses, form, key };
}

type Decoded =
  | { readonly family: 'ownership'; readonly payload: OwnershipPayload }
  | { readonly family: 'lease'; readonly payload: LeasePayload }
  | { readonly family: 'configuration'; readonly payload: ConfigurationPayload }
  | { readonly family: 'observation'; readonly payload: ObservationPayload }
  | { readonly family: 'refused'; readonly field: string };

const ownership = (payload: OwnershipPayload): Decoded => ({ family: 'ownership', payload });
const lease = (payload: LeasePayload): Decoded => ({ family: 'lease', payload });
const configuration = (payload: ConfigurationPayload): Decoded => ({ family: 'configuration', payload });
const observation = (payload: ObservationPayload): Decoded => ({ family: 'observation', payload });

function decodePayload(message: ProtoPayload): Decoded | undefined {
  const { case: type, value } = message;
  switch (type) {
    case undefined:
      return undefined;
    case 'claimed': {
      const { reason, priority, lanAddress, virtualMac, provisionalSinceUnixNs: since, holderVerdict } = value;
      const provisional = since === undefined ? {} : { provisionalSinceMs: milliseconds(since) };
      const found = holderVerdict === '' ? {} : { holderVerdict };
      return ownership({ type, reason, priority, lanAddress, virtualMac, ...provisional, ...found });
    }
    case 'released':
      return ownership({ type, reason: value.reason, addressesReadBackGone: value.addressesReadBackGone });
    case 'handoverStarted':
      return ownership({ type, to: nodeId(value.to), reason: value.reason });
    case 'handoverReady':
      return ownership({ type, from: nodeId(value.from) });
    case 'handoverFailed':
      return ownership({ type, from: nodeId(value.from), reason: value.reason });
    case 'leaseRenewed':
      return lease({ type, renewal: Number(value.renewal), ttlMs: value.ttlMs });
    case 'leaseRevoked':
      return lease({ type, holder: nodeId(value.holder), reason: value.reason });
    case 'configProposed': {
      if (value.configuration === undefined) return { family: 'refused', field: 'configuration' };
      return configuration({ type, version: value.version, configuration: readable(value.configuration) });
    }
    case 'configAcknowledged':
      return configuration({ type, version: value.version, digest: value.digest });
    case 'configWithdrawn':
      return configuration({ type, version: value.version });
    case 'configSwitched': {
      const { version, reason } = value;
      if (value.configuration === undefined) return { family: 'refused', field: 'configuration' };
      return configuration({ type, version, configuration: readable(value.configuration), reason });
    }
    case 'nodeStarted': {
      const virtualRouters = value.virtualRouters.map(
        ({
          name,
          protocol,
          id,
          priority,
          interface: parent,
          addresses,
          lanAddress,
          arbitration,
          configuration: shared,
        }) => ({
          name,
          protocol,
          id,
          priority,
          interface: parent,
          addresses,
          lanAddress,
          ...(shared === undefined ? {} : { configuration: readable(shared) }),
          ...(arbitration === '' ? {} : { arbitration }),
        }),
      );
      return observation({ type, version: value.version, virtualRouters, ...(value.drained ? { drained: true } : {}) });
    }
    case 'masterActive':
      return observation({
        type,
        steps: value.steps.map((step) => ({ name: step.name, durationUs: Number(step.durationUs) })),
        detectUs: Number(value.detectUs),
        arbitrateUs: Number(value.arbitrateUs),
        attachUs: Number(value.attachUs),
        announceUs: Number(value.announceUs),
      });
    case 'transition':
      return observation({ type, from: value.from, to: value.to, reason: value.reason });
    case 'nodeStopped':
    case 'fenced':
    case 'provisionalTakeover':
    case 'logLost':
      return observation({ type, reason: value.reason });
    case 'dataplaneLost': {
      const seen = value.seenMonotonicNs === 0n ? {} : { seenMs: milliseconds(value.seenMonotonicNs) };
      return observation({ type, reason: value.reason, ...seen });
    }
    case 'logRejoined':
      return observation({ type, outageMs: Number(value.outageMs) });
    case 'linkRepaired':
      return observation({ type, kind: value.kind, object: value.object });
    case 'advertRefused': {
      const { interface: parent, reason, count, lastSource } = value;
      return observation({ type, interface: parent, reason, count: Number(count), lastSource });
    }
    case 'episodeBegan':
      return observation({
        type,
        kind: value.kind,
        evidence: value.evidence.map((item) => ({ key: item.key, value: item.value })),
        ...(value.subject === '' ? {} : { subject: value.subject }),
      });
    case 'episodeEnded':
      return observation({
        type,
        kind: value.kind,
        durationMs: Number(value.durationMs),
        reason: value.reason,
        ...(value.subject === '' ? {} : { subject: value.subject }),
        ...(value.sightings === 0n ? {} : { sightings: Number(value.sightings) }),
      });
    case 'configApplied':
      return observation({ type, digest: value.digest, changes: value.changes });
    case 'eventsDropped':
      return observation({
        type,
        count: Number(value.count),
        firstMs: milliseconds(value.firstUnixNs),
        lastMs: milliseconds(value.lastUnixNs),
      });
    case 'logRegressed':
      return observation({
        type,
        kind: value.kind,
        expectedSequence: Number(value.expectedSequence),
        foundSequence: Number(value.foundSequence),
      });
    case 'drainChanged':
      return observation({ type, drained: value.drained, force: value.force });
    case 'leaseEnded':
      return observation({
        type,
        holder: nodeId(value.holder),
        silentMs: Number(value.silentMs),
        revocation: Number(value.revocation),
      });
  }
}
