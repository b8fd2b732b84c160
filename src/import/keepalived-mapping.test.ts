import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { KoiConfig } from '../config/config.js';
import { parseConfig } from '../config/load.js';
import { importKeepalived } from './import-keepalived.js';

function importText(text: string, others: Readonly<Record<string, string>> = {}) {
  const result = importKeepalived('/k.conf', {
    files: {
      read: (path) => (path === '/k.conf' ? text : (others[path] ?? { message: 'is not there', remedy: 'create it' })),
      glob: (pattern) => Object.keys(others).filter((path) => path === pattern),
      resolve: (from, path) => resolve(dirname(from), path),
    },
    findProgram: (name) => (name === 'killall' ? '/usr/bin/killall' : undefined),
    configId: 'high',
    node: 'r1',
  });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result;
}

function configOf(text: string): KoiConfig {
  const { config } = importText(text);
  const parsed = parseConfig(config, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return parsed.config;
}

const listOf = (text: string): string[] => importText(text).imported.leftOut.map(({ directive }) => directive);

const instance = (text: string, name = 'gw', id = 51, address = '10.77.0.254/24'): string =>
  `vrrp_instance ${name} {\n interface eth1\n virtual_router_id ${id}\n virtual_ipaddress {\n ${address}\n }\n${text}\n}\n`;

const pair = `global_defs {
  vrrp_version 3
}
vrrp_sync_group G { group { gw } }
vrrp_instance gw {
  state BACKUP
  interface eth1
  use_vmac
  virtual_router_id 51
  priority 200
  advert_int 0.5
  nopreempt
  authentication { auth_type PASS
    auth_pass s3cret
  }
  unicast_src_ip 10.77.0.1
  unicast_peer { 10.77.0.2 }
  virtual_ipaddress {
    10.77.0.254/24
    10.88.0.254/24 dev eth2
  }
  strange thing
}
`;

describe('an import', () => {
  it('says the same in words of Koi', () => {
    expect(configOf(pair).virtualRouters[0]).toMatchObject({
      name: 'gw',
      protocol: 'vrrp3',
      id: 51,
      priority: 200,
      advertIntervalMs: 500,
      preempt: { enabled: false },
      syncGroup: 'G',
      unicast: { source: '10.77.0.1', peers: ['10.77.0.2'] },
      addresses: [{ address: '10.77.0.254' }, { address: '10.88.0.254', interface: { value: 'eth2' } }],
    });
  });

  it('drops nothing silently, and tells no secret', () => {
    const { config, imported } = importText(pair);
    expect(imported.leftOut.map(({ directive }) => directive)).toEqual(['authentication', 'strange thing']);
    expect(JSON.stringify(imported.leftOut) + config).not.toContain('s3cret');
    const oneLine = instance('authentication { auth_type PASS auth_pass s3cret }');
    expect(JSON.stringify(importText(oneLine))).toContain('auth_pass');
    expect(JSON.stringify(importText(oneLine).imported.leftOut)).not.toContain('s3cret');
  });

  it('names a file in place of a password', () => {
    const { config, imported } = importText(pair.replace('vrrp_version 3', 'vrrp_version 2').replace('0.5', '1'));
    expect(config).toContain('vrrp2: {"auth":{"type":"pass","passwordFile":"/etc/koi/gw.pass"}}');
    expect(imported.leftOut.map(({ directive }) => directive)).toContain('auth_pass');
    expect(JSON.stringify(imported.leftOut) + config).not.toContain('s3cret');
  });

  it('names the file and the line that each key comes from', () => {
    const { config } = importText('include part.conf\n', { '/part.conf': instance('priority 7') });
    expect(config).toContain('priority: 7 # part.conf line 7');
  });

  it('says what it had to change or leave: names, ids, a second instance', () => {
    const text = `${instance('', '"a b"')}${instance('', 'x', 0, '10.77.0.252')}${instance('', 'y', 51, '10.77.0.253')}`;
    expect(listOf(text)).toEqual(['vrrp_instance a b', 'vrrp_instance x', 'virtual_router_id 0', 'vrrp_instance y']);
    expect(configOf(text).virtualRouters.map(({ name }) => name)).toEqual(['a-b']);
    expect(importText(text).imported.leftOut.at(-1)?.reason).toContain('koi check refuses id');
  });

  it('does not take a dollar sign for a variable of the environment', () => {
    const text = instance('notify_master "/bin/x ${HOME} $${A}"');
    expect(configOf(text).virtualRouters[0]?.hooks?.postMaster).toEqual(['/bin/x', '${HOME}', '$${A}']);
  });
});

describe('what only a part of the versions has', () => {
  it.each([
    ['advert_int 0.5', 1_000],
    ['advert_int 2.4', 2_000],
    ['advert_int 300', 255_000],
    ['version 3\nadvert_int 0.014', 10],
    ['version 3\nadvert_int 60', 40_950],
  ])('%j is rounded as keepalived does, and listed', (text, wanted) => {
    const [router] = configOf(instance(text)).virtualRouters;
    expect(router?.protocol !== 'carp' && router?.advertIntervalMs).toBe(wanted);
    expect(listOf(instance(text)).join()).toContain('advert_int');
  });

  it('the first address decides on the family, and IPv6 on the version', () => {
    const six = instance('native_ipv6\nvirtual_ipaddress { 10.77.0.1/24 }', 'gw', 51, 'fe80::1/64');
    expect(configOf(six).virtualRouters[0]).toMatchObject({ protocol: 'vrrp3', addresses: [{ address: 'fe80::1' }] });
    expect(listOf(six)).toEqual(['10.77.0.1/24']);
  });

  it('addresses that no advert is to name, in whichever order the lists stand', () => {
    const excluded = 'virtual_ipaddress_excluded {\n10.77.0.253/24\n10.88.0.254/24 dev eth2\nfe80::1/64\n}';
    const addresses = [
      { address: '10.77.0.254' },
      { address: '10.77.0.253', advertised: false },
      { address: '10.88.0.254', interface: { by: 'name', value: 'eth2' }, advertised: false },
    ];
    const after = instance(excluded);
    const before = after.replace(`${excluded}\n`, '').replace(' virtual_ipaddress', `${excluded}\n virtual_ipaddress`);
    for (const text of [after, before]) {
      const found = configOf(text).virtualRouters[0]?.addresses ?? [];
      expect(found).toHaveLength(3);
      expect(found).toEqual(expect.arrayContaining(addresses.map((each) => expect.objectContaining(each))));
      expect(listOf(text)).toEqual(['fe80::1/64']);
    }
  });

  it('checksum, strict mode, start delay', () => {
    const config = configOf(
      `global_defs {\n vrrp_version 3\n vrrp_strict\n vrrp_startup_delay 5.5\n}\n${instance('v3_checksum_as_v2')}`,
    );
    expect(config.virtualRouters[0]).toMatchObject({ checksum: 'rfc9568', accept: false, startDelayMs: 5_500 });
  });

  it('signatures', () => {
    const text = instance('auth_hmac {\n key 1 file:/etc/k\n key 2 s3cret\n active_key 1\n mode permissive\n}');
    expect(configOf(text).virtualRouters[0]).toMatchObject({
      authHmac: { keyFile: '/etc/k', keyId: 1, mode: 'permissive', antiReplay: 'time' },
    });
    expect(listOf(text)).toEqual(['key']);
  });
});

describe('adverts to single peers', () => {
  it.each([
    ['unicast_src_ip 10.77.0.1\nunicast_peer {\n10.77.0.2\n}', 255, []],
    ['unicast_src_ip 10.77.0.1\nunicast_peer {\n10.78.0.2\n}', 255, ['unicast_peer']],
    ['unicast_src_ip 10.77.0.1\nunicast_peer {\n10.78.0.2 min_ttl 250\n}', 250, []],
  ])('%j', (text, minTtl, listed) => {
    expect(configOf(instance(text)).virtualRouters[0]?.unicast).toMatchObject({ source: '10.77.0.1', minTtl });
    expect(listOf(instance(text))).toEqual(listed);
  });
});

describe('preemption', () => {
  it.each([
    ['nopreempt', { enabled: false }, []],
    ['preempt_delay 4.12', { enabled: true, delayMs: 4_120 }, []],
    ['state MASTER\nnopreempt', { enabled: true }, ['state MASTER', 'nopreempt']],
    ['priority 255\nnopreempt', { enabled: true }, ['nopreempt']],
    ['nopreempt\npreempt_delay 3', { enabled: false }, ['preempt_delay 3']],
  ])('%j', (text, preempt, listed) => {
    expect(configOf(instance(text)).virtualRouters[0]).toMatchObject({ preempt });
    expect(listOf(instance(text))).toEqual(listed);
  });
});

describe('tracking', () => {
  const definitions = `vrrp_script chk {
 script "killall -0 'my daemon'"
 interval 3
 fall 2
 weight -20
 user nobody
}
vrrp_script slow {
 script /bin/slow
 timeout 9
}
track_file drained {
 file /run/drained
}
vrrp_track_process web {
 process nginx
 quorum 2
 terminate_delay 2.5
}
vrrp_script unused {
 script /bin/true
}
`;
  it('makes an entry of each thing with its weight', () => {
    const text = `${definitions}${instance(
      'track_interface {\n eth0\n eth2 weight -10\n}\ntrack_script {\n chk\n slow weight 5 reverse\n}\n' +
        'track_file {\n drained\n}\ntrack_process {\n web weight -7\n nothing\n}',
    )}${instance('track_script {\n chk\n chk weight 3\n}', 'b', 52, '10.77.0.253')}`;
    const { track, virtualRouters } = configOf(text);
    expect(track).toMatchObject([
      { name: 'eth0', interface: { value: 'eth0' }, weight: 0 },
      { name: 'eth2', weight: -10 },
      {
        name: 'chk',
        command: ['/usr/bin/killall', '-0', 'my daemon'],
        ...{ intervalMs: 3_000, timeoutMs: 3_000, fall: 2, rise: 1, weight: -20, user: 'nobody' },
      },
      { name: 'slow', intervalMs: 1_000, timeoutMs: 1_000, weight: -5, reverse: true },
      { name: 'drained', file: '/run/drained', weight: 1 },
      { name: 'web', process: 'nginx', quorum: 2, fall: 4, rise: 1, weight: -7 },
      { name: 'chk-2', command: ['/usr/bin/killall', '-0', 'my daemon'], weight: 3 },
    ]);
    expect(virtualRouters.map((router) => router.track)).toEqual([
      ['eth0', 'eth2', 'chk', 'slow', 'drained', 'web'],
      ['chk', 'chk-2'],
    ]);
    expect(listOf(text)).toEqual(['vrrp_script slow', 'vrrp_script slow', 'vrrp_script unused', 'nothing']);
  });

  it('has no weights in a group that does not ask for them, but for those of the group', () => {
    const members = `${instance('track_script {\n chk\n}')}${instance('', 'b', 52, '10.77.0.253')}`;
    const group = 'vrrp_sync_group G {\n group { gw b }\n track_interface {\n eth0 weight -9\n }\n';
    const { track, virtualRouters } = configOf(`${definitions}${group}}\n${members}`);
    expect(track).toMatchObject([
      { name: 'chk', weight: 0 },
      { name: 'eth0', weight: -9 },
    ]);
    expect(virtualRouters.map((router) => router.track)).toEqual([['chk', 'eth0'], ['eth0']]);
    const weighted = configOf(`${definitions}${group} sync_group_tracking_weight\n}\n${members}`);
    expect(weighted.track[0]).toMatchObject({ name: 'chk', weight: -20 });
  });

  it('of an instance that is left out is left out with it, and each line of one that Koi refuses is listed', () => {
    const text = `${definitions}vrrp_instance none {\n track_script {\n chk\n }\n}\n${instance('track_interface {\n "a/b"\n}')}${instance(
      'track_interface {\n "a/b"\n}',
      'b',
      52,
      '10.77.0.253',
    )}`;
    expect(configOf(text).track).toEqual([]);
    const listed = listOf(text);
    expect(listed.filter((name) => name === 'a/b')).toHaveLength(2);
    expect(listed).toContain('vrrp_script chk');
  });

  it.each([
    ['track_script {\n sh\n}', ['vrrp_script sh', 'script </dev/tcp/127.0.0.1/80', 'sh']],
    ['track_process {\n java\n}', ['track_process java', 'process java -jar x', 'java']],
    ['track_interface {\n eth0 weight 300\n}', ['eth0 weight 300']],
    ['track_interface {\n "a/b"\n}', ['a/b']],
  ])('%j is listed with what it refers to', (text, wanted) => {
    const blocks =
      'vrrp_script sh {\n script "</dev/tcp/127.0.0.1/80"\n}\ntrack_process java {\n process java -jar x\n}\n';
    const found = listOf(`${blocks}${instance(text)}`);
    expect(found).toEqual(expect.arrayContaining(wanted));
    expect(configOf(`${blocks}${instance(text)}`).track).toEqual([]);
  });
});

describe('routes', () => {
  it('are those that Koi can hold; the others are listed with the reason', () => {
    const text = instance(`virtual_routes {
 src 10.77.0.254 to 192.0.2.0/24 via 10.77.0.9 dev eth1 metric 5 table 100
 default gw 10.77.0.1
 blackhole 192.0.2.0/24
 192.0.2.0/24 via 10.77.0.2 dev eth9
 2001:db8::/32 via fe80::1
 }`);
    expect(configOf(text).virtualRouters[0]?.routes).toMatchObject([
      { destination: { address: '192.0.2.0' }, via: '10.77.0.9', source: '10.77.0.254', table: 100, metric: 5 },
      { destination: { prefixLength: 0 }, via: '10.77.0.1' },
    ]);
    expect(listOf(text)).toHaveLength(3);
  });
});

describe('hooks', () => {
  it('are what keepalived notifies of becoming master and of leaving', () => {
    const text = instance('notify_master "/bin/m a" root\nnotify_backup /bin/b root\nnotify_fault /bin/f');
    expect(configOf(text).virtualRouters[0]?.hooks).toMatchObject({
      postMaster: ['/bin/m', 'a'],
      postRelease: ['/bin/b'],
      user: 'root',
    });
    expect(listOf(text)).toEqual(['notify_backup /bin/b root', 'notify_fault /bin/f']);
  });

  it('may stand in single quotes', () => {
    const text = instance("notify_master '/bin/m a' root\nnotify_backup '/bin/b' root");
    expect(configOf(text).virtualRouters[0]?.hooks).toMatchObject({
      postMaster: ['/bin/m', 'a'],
      postRelease: ['/bin/b'],
      user: 'root',
    });
  });

  it('get the four arguments of notify, in a group those of the group', () => {
    const text = `vrrp_sync_group G {\n group { gw }\n notify /bin/n\n}\n${instance('priority 9')}`;
    expect(configOf(text).virtualRouters[0]?.hooks).toMatchObject({
      postMaster: ['/bin/n', 'GROUP', 'G', 'MASTER', '9'],
      postRelease: ['/bin/n', 'GROUP', 'G', 'BACKUP', '9'],
    });
  });
});

const samples = '/usr/share/doc/keepalived/samples';
describe.skipIf(!existsSync(samples))('the samples of the keepalived package', () => {
  const names = existsSync(samples) ? readdirSync(samples).filter((name) => name.startsWith('keepalived.conf')) : [];
  it.each(names)('%s: what there is passes the checks', (name) => {
    const text = readFileSync(join(samples, name), 'utf8');
    const result = importText(text);
    expect(result.errors).toEqual([]);
    const instances = text.match(/^\s*vrrp_instance\s/gm) ?? [];
    expect(result.config === '').toBe(instances.length === 0);
    if (result.config === '') return;
    const parsed = parseConfig(result.config, { environment: {} });
    expect(parsed.ok || parsed.errors).toBe(true);
    expect(parsed.ok && parsed.config.virtualRouters.length).toBe(instances.length);
  });
});
