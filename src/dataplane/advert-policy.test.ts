import { describe, expect, it } from 'vitest';
import type { CarpRouterConfig, VirtualRouterConfig, VrrpRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { rulesOf } from '../core/election-rules.js';
import { demuxFrame, type IpEnvelope } from '../wire/demux.js';
import { parseMac } from '../wire/mac.js';
import { envelopeOf } from './advert-policy.js';
import { createAdapter } from './protocol-adapter.js';

const mac = parseMac('02:00:00:00:00:01');
if (!mac.ok) throw new Error('unreachable');

const packet = (over: Partial<IpEnvelope> = {}): IpEnvelope => ({
  etherSource: mac.value,
  etherDestination: mac.value,
  family: 4,
  source: '10.0.0.2',
  destination: '10.0.0.1',
  hopLimit: 255,
  payloadOffset: 34,
  payloadLength: 12,
  ...over,
});

const unicast = { source: '10.0.0.1', peers: ['10.0.0.2', '10.0.0.3'], minTtl: 255 };

describe('adverts from single peers', () => {
  const { fault } = envelopeOf(unicast);

  it.each([
    [{}, undefined],
    [{ source: '10.0.0.1' }, 'own_advert'],
    [{ source: '10.0.0.9' }, 'unknown_peer'],
    [{ destination: '224.0.0.18' }, 'wrong_destination'],
    [{ destination: '10.0.0.7' }, 'wrong_destination'],
    [{ hopLimit: 254 }, 'bad_ttl'],
  ])('%o: %s', (over, reason) => {
    expect(fault(packet(over), '10.0.0.1')).toBe(reason);
  });

  it('may come from as far as minTtl says, and no farther', () => {
    const { fault: far } = envelopeOf({ ...unicast, minTtl: 253 });
    expect(far(packet({ hopLimit: 253 }), '10.0.0.1')).toBeUndefined();
    expect(far(packet({ hopLimit: 252 }), '10.0.0.1')).toBe('bad_ttl');
  });

  it('are not taken where adverts go to the group', () => {
    expect(envelopeOf(undefined).fault(packet(), '10.0.0.1')).toBe('wrong_destination');
  });
});

describe('adverts to single peers', () => {
  const base = {
    name: 'gw',
    interface: { by: 'name', value: 'eth1' },
    id: 51,
    addresses: [{ family: 4, address: '10.0.0.254', prefixLength: 24 }],
    unicast,
  } as const;
  const vrrp = {
    ...base,
    protocol: 'vrrp3',
    priority: 100,
    advertIntervalMs: 1000,
    checksum: 'pseudo-header',
  } as unknown as VrrpRouterConfig;
  const carp = { ...base, protocol: 'carp', flavor: 'freebsd', advbase: 1, advskew: 0, demotion: 0 } as unknown;

  it.each([
    ['VRRP', vrrp],
    ['CARP', carp as CarpRouterConfig],
  ] as [string, VirtualRouterConfig][])('%s: one to each, whole and summed for its receiver', (_, config) => {
    const adapter = createAdapter(config, { now: () => 0, wallNow: () => 0 });
    const frames = adapter.adverts(rulesOf(electionOf(config)).candidacy, { 4: '10.0.0.1', 6: undefined });
    const seen = frames.map((frame) => {
      const heard = demuxFrame(frame);
      if (heard.kind !== 'vrrp' && heard.kind !== 'carp') throw new Error(heard.kind);
      return [heard.source, heard.destination, heard.hopLimit, heard.advert.ok];
    });
    expect(seen).toEqual([
      ['10.0.0.1', '10.0.0.2', 255, true],
      ['10.0.0.1', '10.0.0.3', 255, true],
    ]);
  });
});
