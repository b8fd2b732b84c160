import { describe, expect, it } from 'vitest';
import { bootId, nodeId, term } from '../core/identity.js';
import { decodeEvent, encodeEvent, eventHash } from './codec.js';
import type {
  ConfigurationPayload,
  EventEnvelope,
  KoiEvent,
  LeasePayload,
  ObservationPayload,
  OwnershipPayload,
} from './event.js';

const envelope: EventEnvelope = {
  id: '01HZZZZZZZ0123456789ABCDEF',
  cluster: 'edge',
  node: nodeId('r1'),
  boot: bootId('b-1'),
  wallTimeMs: 1_790_000_000_123.456,
  monotonicMs: 98_765.4321,
  causeId: 'cause-1',
};

const ownership: OwnershipPayload[] = [
  {
    type: 'claimed',
    reason: 'master_silent',
    priority: 200,
    lanAddress: '10.77.0.1',
    virtualMac: '00:00:5e:00:01:33',
    provisionalSinceMs: 1_790_000_000_000.25,
  },
  { type: 'claimed', reason: 'owner', priority: 255, lanAddress: '', virtualMac: '', holderVerdict: 'no_answer' },
  { type: 'released', reason: 'shutdown', addressesReadBackGone: true },
  { type: 'handoverStarted', to: nodeId('r2'), reason: 'drain' },
  { type: 'handoverReady', from: nodeId('r1') },
  { type: 'handoverFailed', from: nodeId('r1'), reason: 'attach_failed' },
];

const leases: LeasePayload[] = [
  { type: 'leaseRenewed', renewal: 7, ttlMs: 4000 },
  { type: 'leaseRevoked', holder: nodeId('r2'), reason: 'expired' },
];

const shared = {
  digest: '0123456789abcdef',
  protocol: 'carp',
  id: 51,
  addresses: ['10.77.0.253', '10.77.0.254'],
  form: 'carp',
  key: 'fedcba9876543210',
};

const configurations: ConfigurationPayload[] = [
  { type: 'configProposed', version: 2, configuration: shared },
  { type: 'configAcknowledged', version: 2, digest: shared.digest },
  { type: 'configWithdrawn', version: 2 },
  { type: 'configSwitched', version: 2, configuration: { ...shared, form: '', key: '' }, reason: 'agreed' },
];

const observations: ObservationPayload[] = [
  {
    type: 'nodeStarted',
    version: '0.1.0',
    virtualRouters: [
      {
        name: 'gw',
        protocol: 'vrrp3',
        id: 51,
        priority: 200,
        interface: 'eth1',
        addresses: ['10.77.0.254/24', '2001:db8::254/64'],
        lanAddress: '10.77.0.1',
        arbitration: 'strict',
      },
      {
        name: 'gw2',
        protocol: 'carp',
        id: 52,
        priority: 200,
        interface: 'eth1',
        addresses: ['10.77.0.253/24'],
        lanAddress: '10.77.0.1',
        configuration: shared,
      },
    ],
  },
  { type: 'nodeStarted', version: '0.1.0', virtualRouters: [], drained: true },
  { type: 'nodeStopped', reason: 'shutdown' },
  { type: 'transition', from: 'backup', to: 'candidate', reason: 'master_silent' },
  {
    type: 'masterActive',
    steps: [{ name: 'link_up', durationUs: 1234 }],
    detectUs: 3_000_000,
    arbitrateUs: 1500,
    attachUs: 2500,
    announceUs: 90,
  },
  { type: 'fenced', reason: 'dataplane_lost' },
  { type: 'dataplaneLost', reason: 'closed' },
  { type: 'dataplaneLost', reason: 'closed', seenMs: 98_764.25 },
  { type: 'provisionalTakeover', reason: 'log_unreachable' },
  { type: 'logLost', reason: 'timeout' },
  { type: 'logRejoined', outageMs: 12_000 },
  { type: 'linkRepaired', kind: 'address', object: '10.77.0.254/32' },
  { type: 'advertRefused', interface: 'eth1', reason: 'bad_checksum', count: 12, lastSource: '10.77.0.9' },
  { type: 'episodeBegan', kind: 'split_brain', evidence: [{ key: 'mac', value: '02:00:00:00:00:01' }] },
  { type: 'episodeEnded', kind: 'split_brain', durationMs: 250, reason: 'healed' },
  { type: 'episodeBegan', kind: 'wrong_mac', evidence: [], subject: '02:00:00:00:00:01' },
  {
    type: 'episodeEnded',
    kind: 'wrong_mac',
    durationMs: 1,
    reason: 'gone',
    subject: '02:00:00:00:00:01',
    sightings: 7,
  },
  { type: 'configApplied', digest: 'abcdef', changes: ['virtualRouters[0].priority: 100 → 200'] },
  { type: 'eventsDropped', count: 3, firstMs: 1_790_000_000_000.5, lastMs: 1_790_000_000_001 },
  { type: 'logRegressed', kind: 'rewound', expectedSequence: 10, foundSequence: 4 },
  { type: 'drainChanged', drained: true, force: true },
  { type: 'leaseEnded', holder: nodeId('r1'), silentMs: 13_402, revocation: 17 },
];

const events: KoiEvent[] = [
  ...ownership.map((payload) => ({ ...envelope, vr: 'gw', term: term(8), previousHash: 'ab'.repeat(32), payload })),
  ...leases.map((payload) => ({ ...envelope, payload })),
  ...configurations.map((payload) => ({ ...envelope, vr: 'gw', payload })),
  ...observations.map((payload) => ({ ...envelope, vr: 'gw', term: term(8), payload })),
  ...observations.map((payload) => ({ ...envelope, payload })),
  ...observations.map((payload) => ({
    ...envelope,
    payload,
    logRead: { storedAtMs: 1_790_000_000_100.5, atMs: 98_700.25 },
  })),
];

const claim = events[0];
if (claim === undefined) throw new Error('no events');

/** Appends a protobuf field of `number`, length-delimited. */
const withField = (bytes: Uint8Array, number: number, content: Uint8Array): Uint8Array => {
  const key = (number << 3) | 2;
  return Uint8Array.from([...bytes, (key & 0x7f) | 0x80, key >> 7, content.length, ...content]);
};

describe('encodeEvent and decodeEvent', () => {
  it.each(events.map((event) => [event.payload.type, event] as const))('bring back %s as it was', (_, event) => {
    expect(decodeEvent(encodeEvent(event))).toEqual({ ok: true, event });
  });

  it('stay byte for byte what they were: the chain of hashes depends on it', () => {
    expect(eventHash(encodeEvent(claim))).toMatchInlineSnapshot(
      `"4d8cae2f1ad497bbfaa0c498aca05c2bd100e2d95b1bc67f4c84695611c012ba"`,
    );
  });

  it('answer for every truncation, and never with a claim that has lost its virtual router or term', () => {
    const whole = encodeEvent(claim);
    for (let length = 0; length < whole.length; length++) {
      const result = decodeEvent(whole.subarray(0, length));
      if (result.ok && result.event.payload.type === 'claimed') {
        expect(result.event).toMatchObject({ vr: 'gw', term: 8, node: 'r1' });
      }
    }
  });

  it('refuse what lacks a field, naming it', () => {
    const refusalOf = (event: KoiEvent): unknown => {
      const result = decodeEvent(encodeEvent(event));
      return result.ok ? 'accepted' : result.refusal;
    };
    expect(refusalOf({ ...claim, id: '' })).toEqual({ reason: 'missing_field', field: 'eventId' });
    expect(refusalOf({ ...claim, node: nodeId('') })).toEqual({ reason: 'missing_field', field: 'node' });
    expect(refusalOf({ ...claim, vr: '' } as KoiEvent)).toEqual({ reason: 'missing_field', field: 'vr' });
    expect(refusalOf({ ...claim, term: term(0) } as KoiEvent)).toEqual({ reason: 'missing_field', field: 'term' });
    expect(refusalOf({ ...claim, term: 2 ** 60 } as KoiEvent)).toEqual({ reason: 'out_of_range', field: 'term' });
    const withdrawn = { ...envelope, vr: '', payload: { type: 'configWithdrawn', version: 1 } } as const;
    expect(refusalOf(withdrawn)).toEqual({ reason: 'missing_field', field: 'vr' });
    expect(decodeEvent(Uint8Array.of(0xff, 0xff))).toEqual({ ok: false, refusal: { reason: 'malformed' } });
  });

  it('keep the payload of a newer schema, whole', () => {
    const bare = encodeEvent({ ...envelope, payload: { type: 'nodeStopped', reason: '' } });
    // NodeStopped is field 41, two bytes of key and one of length, at the end.
    const newer = withField(bare.subarray(0, bare.length - 3), 900, Uint8Array.of(10, 1, 65));
    const result = decodeEvent(newer);
    expect(result).toEqual({ ok: true, event: { ...envelope, payload: { type: 'unknown', encoded: newer } } });
    if (result.ok) expect(encodeEvent(result.event)).toEqual(newer);
  });
});
