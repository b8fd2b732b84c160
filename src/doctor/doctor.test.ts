import { describe, expect, it } from 'vitest';
import { type HostFacts, judgeHost } from './host.js';
import { judgeLog, type LogFacts } from './log.js';
import { judgeNetwork, type NetworkFacts } from './network.js';
import type { DoctorVerdict } from './verdict.js';

const host: HostFacts = {
  running: false,
  capabilities: { effective: ['CAP_NET_ADMIN', 'CAP_NET_RAW'], bounding: ['CAP_NET_ADMIN', 'CAP_NET_RAW'] },
  all: { arp_ignore: 0, arp_announce: 0, arp_filter: 0, rp_filter: 0 },
  parents: [{ name: 'eth1', arpIgnore: 0, arpAnnounce: 0, rpFilter: 0 }],
  sysctlsWritable: true,
  ipvs: { present: false, holds: [] },
  wantsIpv6: false,
  ipv6Disabled: false,
  clock: { driftMs: 0.2, jumps: { count: 0, lastMs: 0 }, synchronized: true },
};

/** `check:status` of what is not well; every one of them has a remedy. */
function ill(verdicts: readonly DoctorVerdict[]): string[] {
  const found = verdicts.filter(({ status }) => status !== 'ok');
  for (const { check, remedy } of found) expect({ check, remedy }).not.toEqual({ check, remedy: '' });
  return found.map(({ check, status }) => `${check}:${status}`);
}

describe('the host', () => {
  it('is well where koi can set what it needs, and where it runs and has set it', () => {
    expect(ill(judgeHost(host))).toEqual([]);
    const set = { name: 'eth1', arpIgnore: 1, arpAnnounce: 2, rpFilter: 0 };
    expect(ill(judgeHost({ ...host, running: true, parents: [set] }))).toEqual([]);
  });

  const parent = { name: 'eth1', arpIgnore: 0, arpAnnounce: 0, rpFilter: 0 };
  const cases: readonly [string, Partial<HostFacts>, readonly string[]][] = [
    ['sysctls changed below a running koi', { running: true }, ['arp_ignore:failed', 'arp_announce:failed']],
    ['sysctls that cannot be set', { sysctlsWritable: false }, ['arp_ignore:failed', 'arp_announce:failed']],
    ['arp_ignore 2 for all', { all: { ...host.all, arp_ignore: 2 } }, ['arp_ignore:failed']],
    ['strict rp_filter for all', { all: { ...host.all, rp_filter: 1 } }, ['rp_filter:failed']],
    ['strict rp_filter on the parent', { parents: [{ ...parent, rpFilter: 1 }] }, ['rp_filter:warning']],
    ['arp_filter for all', { all: { ...host.all, arp_filter: 1 } }, ['arp_filter:failed']],
    [
      'a missing capability',
      { capabilities: { ...host.capabilities, effective: ['CAP_NET_ADMIN'] } },
      ['capabilities:failed'],
    ],
    [
      'a capability that nobody may have',
      { capabilities: { effective: [], bounding: ['CAP_NET_ADMIN'] } },
      ['capabilities:failed'],
    ],
    ['ipvs without strictARP', { ipvs: { present: true, holds: [] } }, ['ipvs:failed']],
    ['ipvs that has the virtual IP', { ipvs: { present: true, holds: ['192.0.2.1'] } }, ['ipvs:failed']],
    ['IPv6 off', { wantsIpv6: true, ipv6Disabled: true }, ['ipv6:failed']],
    ['a clock that jumps now', { clock: { ...host.clock, driftMs: -4000 } }, ['clock:failed']],
    ['a clock that has jumped', { clock: { ...host.clock, jumps: { count: 2, lastMs: 900 } } }, ['clock:failed']],
    ['a clock that nobody keeps', { clock: { ...host.clock, synchronized: false } }, ['clock:warning']],
  ];
  it.each(cases)('%s is found', (_, facts, expected) => {
    expect(ill(judgeHost({ ...host, ...facts }))).toEqual(expected);
  });

  it('with strictARP is well beside ipvs', () => {
    const all = { ...host.all, arp_ignore: 1, arp_announce: 2 };
    expect(ill(judgeHost({ ...host, all, ipvs: { present: true, holds: [] } }))).toEqual([]);
  });
});

const heard = { vr: 'gw', speaker: 'r1', listener: 'r2', hears: true, parentHeard: false, why: '' };
const network: NetworkFacts = {
  parents: [{ name: 'eth1', present: true, carrier: true, wireless: false, managers: [] }],
  managedLinks: [],
  problems: [],
  heard: [heard],
};

describe('the network', () => {
  it('is well', () => {
    expect(ill(judgeNetwork(network))).toEqual([]);
  });

  const eth1 = { name: 'eth1', present: true, carrier: true, wireless: false, managers: [] };
  const networkd = { name: 'systemd-networkd', toldOfKoi: false };
  const cases: readonly [string, Partial<NetworkFacts>, readonly string[]][] = [
    ['no interface', { parents: [{ ...eth1, present: false }] }, ['interface:failed']],
    ['no carrier', { parents: [{ ...eth1, carrier: false }] }, ['interface:failed']],
    ['wireless', { parents: [{ ...eth1, wireless: true }] }, ['interface:failed']],
    ['networkd on the parent', { parents: [{ ...eth1, managers: [networkd] }] }, ['link_managers:warning']],
    [
      "NetworkManager on koi's link",
      { managedLinks: [{ name: 'koi-1', manager: 'NetworkManager' }] },
      ['link_managers:failed'],
    ],
    [
      'a virtual IP on another interface',
      { problems: [{ isError: true, message: 'it is on eth1', remedy: 'remove it' }] },
      ['addresses:failed'],
    ],
    [
      'a switch that does not pass the virtual MAC',
      { heard: [{ ...heard, hears: false, parentHeard: true, why: 'never' }] },
      ['virtual_mac_path:failed'],
    ],
    ['a peer that says nothing', { heard: [{ ...heard, hears: null, why: 'x' }] }, ['virtual_mac_path:unknown']],
    ['no daemon', { heard: undefined }, ['virtual_mac_path:unknown']],
    ['nobody else', { heard: [] }, ['virtual_mac_path:unknown']],
  ];
  it.each(cases)('%s is found', (_, facts, expected) => {
    expect(ill(judgeNetwork({ ...network, ...facts }))).toEqual(expected);
  });

  it('tells a switch that filters from a LAN that is cut', () => {
    const [cut] = judgeNetwork({ ...network, heard: [{ ...heard, hears: false }] }).slice(-1);
    expect(cut?.remedy).toContain('VLAN');
    const [filtered] = judgeNetwork({ ...network, heard: [{ ...heard, hears: false, parentHeard: true }] }).slice(-1);
    expect(filtered?.remedy).toContain('port security');
  });

  it('asks of VMware what a MAC beside that of the vNIC needs, and nothing for a vNIC that changes its own', () => {
    const [filtered] = judgeNetwork({ ...network, heard: [{ ...heard, hears: false, parentHeard: true }] }).slice(-1);
    expect(filtered?.remedy).toContain('on VMware forged transmits, and promiscuous mode or MAC learning');
    expect(filtered?.remedy).not.toContain('MAC changes');
  });

  it('does not complain of a manager that has been told of koi', () => {
    const told = { ...eth1, managers: [{ ...networkd, toldOfKoi: true }] };
    expect(ill(judgeNetwork({ ...network, parents: [told] }))).toEqual([]);
  });
});

const log: LogFacts = {
  servers: [{ url: '10.0.0.1:4222', version: '2.12.4' }],
  replicas: 1,
  daemon: { connected: true, warnings: [], server: 'n1 2.12.4' },
};
const three = (version: string | undefined) => ['a', 'b', 'c'].map((url) => ({ url, version }));

describe('the log', () => {
  it('is well', () => {
    expect(ill(judgeLog(log))).toEqual([]);
    expect(ill(judgeLog({ ...log, servers: three('2.12.4'), replicas: 3 }))).toEqual([]);
  });

  const cases: readonly [string, Partial<LogFacts>, readonly string[]][] = [
    [
      'an unsafe version in a cluster',
      { servers: three('2.9.15'), replicas: 3 },
      ['nats_version:failed', 'nats_version:failed', 'nats_version:failed'],
    ],
    ['an old version', { servers: [{ url: 'a', version: '2.9.25' }] }, ['nats_version:warning']],
    ['no server', { servers: [{ url: 'a', version: undefined }] }, ['nats_server:failed', 'quorum:failed']],
    [
      'no majority',
      { servers: [...three(undefined).slice(1), { url: 'a', version: '2.12.4' }], replicas: 3 },
      ['nats_server:failed', 'nats_server:failed', 'quorum:failed'],
    ],
    ['two servers', { servers: three('2.12.4').slice(1), replicas: 2 }, ['quorum:warning']],
    [
      'a daemon without the log',
      { daemon: { connected: false, warnings: ['unfit'], server: null } },
      ['log_connection:failed', 'log_connection:warning'],
    ],
    ['no daemon', { daemon: undefined }, ['log_connection:unknown']],
  ];
  it.each(cases)('%s is found', (_, facts, expected) => {
    expect(ill(judgeLog({ ...log, ...facts }))).toEqual(expected);
  });
});
