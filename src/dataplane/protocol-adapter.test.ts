import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainRouter, virtualAddress, vrrpRouter } from '../../test/core/router-config.js';
import type { CarpRouterConfig, VirtualRouterConfig } from '../config/config.js';
import { electionOf } from '../config/election.js';
import { rulesOf } from '../core/election-rules.js';
import { demuxFrame } from '../wire/demux.js';
import type { AdvertPacket, AdvertSources, Judgement, ProtocolAdapter } from './protocol-adapter.js';
import { createAdapter, virtualMacOf } from './protocol-adapter.js';

const carp = (over: Partial<CarpRouterConfig> = {}): VirtualRouterConfig => ({
  ...plainRouter,
  protocol: 'carp',
  flavor: 'freebsd',
  advbase: 1,
  advskew: 0,
  demotion: 0,
  passwordFile: undefined,
  ...over,
});

const own: AdvertSources = { 4: '10.0.0.1', 6: 'fe80::1:1' };
const peer: AdvertSources = { 4: '10.0.0.2', 6: 'fe80::1:2' };
const clock = { nowMs: 0 };
const open = (config: VirtualRouterConfig): ProtocolAdapter =>
  createAdapter(config, { now: () => clock.nowMs, wallNow: () => 1_800_000_000_000 + clock.nowMs });

const advertsOf = (config: VirtualRouterConfig, sources = peer): readonly Uint8Array[] =>
  open(config).adverts(rulesOf(electionOf(config)).candidacy, sources);

function packetOf(frame: Uint8Array): AdvertPacket {
  const packet = demuxFrame(frame);
  if (packet.kind !== 'vrrp' && packet.kind !== 'carp') throw new Error(`not an advert: ${packet.kind}`);
  return packet;
}

const judged = (adapter: ProtocolAdapter, frame: Uint8Array | undefined): Judgement =>
  frame === undefined ? fail() : adapter.judge(packetOf(frame), frame, own);

const fail = (): never => {
  throw new Error('no frame');
};

/** What a router configured as `mine` says to the first advert of one configured as `theirs`. */
function verdict(mine: VirtualRouterConfig, theirs: VirtualRouterConfig): string {
  const judgement = judged(open(mine), advertsOf(theirs)[0]);
  return judgement.kind === 'refused' ? judgement.reason : judgement.kind;
}

let directory: string;
const secret = (name: string, text: string): string => {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
};
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'koi-adapter-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

it.each([
  ['VRRP', vrrpRouter()],
  ['CARP', carp()],
])('%s: the net below the addresses knows the virtual MACs', (_, config) => {
  for (const family of [4, 6] as const) expect(virtualMacOf(config, family)).toBe(open(config).virtualMac(family));
});

describe('what is sent', () => {
  it('comes from the own address of each family, to its group, with the virtual MAC of that family', () => {
    const dual = {
      addresses: [virtualAddress('2001:db8::254/64'), virtualAddress('10.0.0.254/24'), virtualAddress('fe80::254/64')],
    };
    const seen = (config: VirtualRouterConfig): string[] =>
      advertsOf(config, own)
        .map(packetOf)
        .map(({ etherSource, source, destination }) => `${etherSource} ${source} ${destination}`);
    expect(seen(vrrpRouter({ ...dual, checksum: 'rfc9568' }))).toEqual([
      '00:00:5e:00:01:33 10.0.0.1 224.0.0.18',
      '00:00:5e:00:02:33 fe80::1:1 ff02::12',
    ]);
    expect(seen(carp(dual))).toEqual(['00:00:5e:00:01:33 10.0.0.1 224.0.0.18', '00:00:5e:00:01:33 fe80::1:1 ff02::12']);
  });

  it('leaves out a family without an own address', () => {
    const config = carp({ addresses: [virtualAddress('10.0.0.254/24'), virtualAddress('2001:db8::254/64')] });
    const adverts = open(config).adverts(rulesOf(electionOf(config)).candidacy, { 4: undefined, 6: 'fe80::1:1' });
    expect(adverts.map(packetOf).map(({ family }) => family)).toEqual([6]);
  });

  it('puts the link-local address first, and keeps the rest in the order of the file', () => {
    const addresses = ['2001:db8::9/64', '2001:db8::1/64', 'fe80::254/64'].map(virtualAddress);
    const [packet] = advertsOf(vrrpRouter({ addresses }), own).map(packetOf);
    if (packet?.kind !== 'vrrp' || !packet.advert.ok) throw new Error('not an advert');
    expect(packet.advert.value.addresses).toEqual(['fe80::254', '2001:db8::9', '2001:db8::1']);
  });

  it('is a farewell with priority 0 in VRRP, and with 255 and 255 in CARP', () => {
    const farewell = (config: VirtualRouterConfig): unknown => {
      const [packet] = open(config)
        .prepare(rulesOf(electionOf(config)).farewell, own)
        .map(packetOf);
      return packet?.advert.ok === true ? packet.advert.value : undefined;
    };
    expect(farewell(vrrpRouter())).toMatchObject({ priority: 0, intervalMs: 1000 });
    expect(farewell(vrrpRouter({ protocol: 'vrrp2' }))).toMatchObject({ version: 2, priority: 0 });
    expect(farewell(carp())).toMatchObject({ advbase: 255, advskew: 255 });
  });

  it('counts up in every advert of FreeBSD, and is the same in every one of OpenBSD', () => {
    const counters = (config: VirtualRouterConfig): bigint[] => {
      const adapter = open(config);
      const { candidacy } = rulesOf(electionOf(config));
      return [1, 2, 3].flatMap(() =>
        adapter.adverts(candidacy, own).map((frame) => {
          const packet = packetOf(frame);
          return packet.kind === 'carp' && packet.advert.ok ? packet.advert.value.counter : 0n;
        }),
      );
    };
    const [first = 0n, ...rest] = counters(carp());
    expect(rest).toEqual([BigInt.asUintN(64, first + 1n), BigInt.asUintN(64, first + 2n)]);
    const cookies = counters(carp({ flavor: 'openbsd' }));
    expect(new Set(cookies).size).toBe(1);
  });
});

describe('forms of checksum', () => {
  const forms = (adapter: ProtocolAdapter, config: VirtualRouterConfig): unknown[] =>
    adapter.adverts(rulesOf(electionOf(config)).candidacy, own).map((frame) => {
      const packet = packetOf(frame);
      return packet.kind === 'vrrp' && packet.advert.ok && packet.advert.value.version === 3
        ? packet.advert.value.checksumForm
        : undefined;
    });

  it('are both while no peer was heard, and then the peer’s', () => {
    for (const form of ['rfc9568', 'pseudo-header'] as const) {
      const adapter = open(vrrpRouter());
      expect(forms(adapter, vrrpRouter())).toEqual(['pseudo-header', 'rfc9568']);
      expect(judged(adapter, advertsOf(vrrpRouter({ checksum: form }))[0]).kind).toBe('heard');
      expect(forms(adapter, vrrpRouter())).toEqual([form]);
    }
  });

  it('stay both beside a peer that sends both, whose second advert is not heard twice', () => {
    const adapter = open(vrrpRouter());
    const kinds = advertsOf(vrrpRouter()).map((frame) => judged(adapter, frame).kind);
    expect(kinds).toEqual(['heard', 'twin']);
    expect(forms(adapter, vrrpRouter())).toEqual(['pseudo-header', 'rfc9568']);
    expect(adapter.checksums).toEqual([{ peer: '10.0.0.2', rfc9568: 1, pseudoHeader: 1 }]);
  });

  it('hide no farewell that comes right after an advert', () => {
    const adapter = open(vrrpRouter());
    const sender = open(vrrpRouter());
    const { candidacy, farewell } = rulesOf(electionOf(vrrpRouter()));
    for (const frame of sender.adverts(candidacy, peer)) judged(adapter, frame);
    const kinds = sender.prepare(farewell, peer).map((frame) => judged(adapter, frame).kind);
    expect(kinds).toEqual(['heard', 'twin']);
  });

  it('are the configured one, whatever peers send', () => {
    const config = vrrpRouter({ checksum: 'rfc9568' });
    const adapter = open(config);
    judged(adapter, advertsOf(vrrpRouter({ checksum: 'pseudo-header' }))[0]);
    expect(forms(adapter, config)).toEqual(['rfc9568']);
  });

  it('do not concern VRRPv2 and IPv6', () => {
    expect(advertsOf(vrrpRouter({ protocol: 'vrrp2' }))).toHaveLength(1);
    expect(advertsOf(vrrpRouter({ addresses: [virtualAddress('fe80::254/64')] }))).toHaveLength(1);
  });
});

describe('what is heard', () => {
  it('is every protocol’s own kind, in each family', () => {
    const six = { addresses: [virtualAddress('fe80::254/64'), virtualAddress('2001:db8::254/64')] };
    for (const config of [
      vrrpRouter(),
      vrrpRouter(six),
      vrrpRouter({ protocol: 'vrrp2' }),
      carp(),
      carp(six),
      carp({ flavor: 'openbsd', ...six }),
    ]) {
      expect(verdict(config, config)).toBe('heard');
    }
    const candidacy = { kind: 'carp', advbase: 1, advskew: 100, demote: 0 };
    expect(judged(open(carp()), advertsOf(carp({ advskew: 100 }))[0])).toEqual({ kind: 'heard', candidacy });
  });

  it('is OpenBSD’s digest without link-local addresses from FreeBSD’s neighbour too', () => {
    const addresses = [virtualAddress('10.0.0.254/24'), virtualAddress('fe80::254/64')];
    expect(verdict(carp({ addresses }), carp({ flavor: 'openbsd', addresses }))).toBe('heard');
    expect(verdict(carp({ flavor: 'openbsd', addresses }), carp({ addresses }))).toBe('heard');
  });

  it('may differ in the addresses where their owner says so', () => {
    expect(verdict(vrrpRouter(), vrrpRouter({ priority: 255, addresses: [virtualAddress('10.0.0.253/24')] }))).toBe(
      'heard',
    );
  });
});

describe('what is refused, and why', () => {
  it.each<[string, () => VirtualRouterConfig, () => VirtualRouterConfig]>([
    ['version_mismatch', () => vrrpRouter(), () => vrrpRouter({ protocol: 'vrrp2' })],
    ['version_mismatch', () => vrrpRouter({ protocol: 'vrrp2' }), () => vrrpRouter()],
    ['protocol_mismatch', () => vrrpRouter(), () => carp()],
    ['protocol_mismatch', () => carp(), () => vrrpRouter()],
    [
      'interval_mismatch',
      () => vrrpRouter({ protocol: 'vrrp2' }),
      () => vrrpRouter({ protocol: 'vrrp2', advertIntervalMs: 2000 }),
    ],
    ['address_mismatch', () => vrrpRouter(), () => vrrpRouter({ addresses: [virtualAddress('10.0.0.253/24')] })],
    [
      'address_mismatch',
      () => vrrpRouter({ addresses: [virtualAddress('10.0.0.253/24'), virtualAddress('10.0.0.254/24')] }),
      () => vrrpRouter(),
    ],
    ['owner_conflict', () => vrrpRouter({ priority: 255 }), () => vrrpRouter({ priority: 255 })],
    [
      'auth_mismatch',
      () => vrrpRouter({ protocol: 'vrrp2' }),
      () => vrrpRouter({ protocol: 'vrrp2', authentication: { passwordFile: secret('a', 'secret') } }),
    ],
    [
      'auth_mismatch',
      () => vrrpRouter({ protocol: 'vrrp2', authentication: { passwordFile: secret('a', 'secret') } }),
      () => vrrpRouter({ protocol: 'vrrp2', authentication: { passwordFile: secret('b', 'other') } }),
    ],
    ['bad_digest', () => carp(), () => carp({ passwordFile: secret('c', 'secret') })],
    ['bad_digest', () => carp(), () => carp({ addresses: [virtualAddress('10.9.9.9/24')] })],
    [
      'address_mismatch',
      () => carp({ addresses: [virtualAddress('10.0.0.253/24'), virtualAddress('10.0.0.254/24')] }),
      () => carp({ addresses: [virtualAddress('10.0.0.254/24')] }),
    ],
    [
      'missing_trailer',
      () =>
        vrrpRouter({
          authHmac: { keyFile: secret('k', 'k'.repeat(32)), keyId: 1, mode: 'enforce', antiReplay: 'time' },
        }),
      () => vrrpRouter(),
    ],
  ])('%s', (reason, mine, theirs) => {
    expect(verdict(mine(), theirs())).toBe(reason);
  });

  it('the first eight octets of a password count, as in keepalived', () => {
    const withPassword = (text: string): VirtualRouterConfig =>
      vrrpRouter({ protocol: 'vrrp2', authentication: { passwordFile: secret(text, text) } });
    expect(verdict(withPassword('12345678'), withPassword('123456789'))).toBe('heard');
  });

  it('an advert that was routed, or went elsewhere, or is our own', () => {
    const [frame] = advertsOf(vrrpRouter());
    if (frame === undefined) return fail();
    const packet = packetOf(frame);
    const adapter = open(vrrpRouter());
    const refusedFor = (over: Partial<AdvertPacket>): unknown =>
      adapter.judge({ ...packet, ...over } as AdvertPacket, frame, own);
    expect(refusedFor({ hopLimit: 254 })).toMatchObject({ reason: 'bad_ttl' });
    expect(refusedFor({ destination: '10.0.0.1' })).toMatchObject({ reason: 'wrong_destination' });
    expect(refusedFor({ source: '10.0.0.1' })).toMatchObject({ reason: 'own_advert' });
  });

  it('an advert of OpenBSD with our own cookie: a loop that changed its source', () => {
    const config = carp({ flavor: 'openbsd' });
    const adapter = open(config);
    const [looped] = adapter.adverts(rulesOf(electionOf(config)).candidacy, peer);
    expect(judged(adapter, looped)).toMatchObject({ reason: 'own_advert' });
  });

  it('names the addresses that differ', () => {
    const two = [virtualAddress('10.0.0.253/24'), virtualAddress('10.0.0.254/24')];
    const other = [virtualAddress('10.0.0.252/24'), virtualAddress('10.0.0.254/24')];
    expect(judged(open(vrrpRouter({ addresses: two })), advertsOf(vrrpRouter({ addresses: other }))[0])).toMatchObject({
      detail: 'it has 10.0.0.252; it lacks 10.0.0.253',
    });
    expect(judged(open(carp({ addresses: two })), advertsOf(carp())[0])).toMatchObject({
      reason: 'address_mismatch',
      detail: 'the password is right, but the sender lacks 10.0.0.253',
    });
  });

  it('tries other lists on a CARP digest once a second at most', () => {
    clock.nowMs = 0;
    const adapter = open(carp({ addresses: [virtualAddress('10.0.0.253/24'), virtualAddress('10.0.0.254/24')] }));
    const [wrongKey] = advertsOf(carp({ passwordFile: secret('d', 'd') }));
    const [lacking] = advertsOf(carp(), { 4: '10.0.0.3', 6: undefined });
    expect(judged(adapter, wrongKey)).toMatchObject({ reason: 'bad_digest' });
    expect(judged(adapter, lacking)).toMatchObject({ reason: 'bad_digest' });
    clock.nowMs = 1000;
    expect(judged(adapter, lacking)).toMatchObject({ reason: 'address_mismatch' });
    expect(judged(adapter, lacking)).toMatchObject({ reason: 'address_mismatch' });
  });
});

describe('signed adverts', () => {
  const config = (mode: 'enforce' | 'permissive' | 'receive-only') =>
    vrrpRouter({ authHmac: { keyFile: secret('k', 'k'.repeat(32)), keyId: 1, mode, antiReplay: 'time' } });

  it('are heard in every mode, and sent in all but receive-only', () => {
    for (const mode of ['enforce', 'permissive', 'receive-only'] as const) {
      expect(verdict(config(mode), config('enforce'))).toBe('heard');
    }
    expect(verdict(config('enforce'), config('receive-only'))).toBe('missing_trailer');
    expect(open(config('receive-only')).farewellGoodMs).toBeUndefined();
  });

  it('are each signed anew, so that none is a replay', () => {
    const adapter = open(config('enforce'));
    const sender = open(config('enforce'));
    const { candidacy } = rulesOf(electionOf(config('enforce')));
    for (let tick = 0; tick < 3; tick++) {
      clock.nowMs += 1000;
      for (const frame of sender.adverts(candidacy, peer)) expect(judged(adapter, frame).kind).toBe('heard');
    }
    const [frame] = sender.adverts(candidacy, peer);
    expect(judged(adapter, frame).kind).toBe('heard');
    expect(judged(adapter, frame)).toMatchObject({ reason: 'replayed' });
  });
});
