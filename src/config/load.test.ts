import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KoiError } from '../koi-error.js';
import { readControlPath } from './control-path.js';
import { configJsonSchema } from './json-schema.js';
import { type LoadOptions, loadConfig, parseConfig } from './load.js';

const minimal = `cluster: edge
node: r1
log: {servers: [nats://10.99.0.9:4222]}
virtualRouters:
  - name: gw
    interface: eth1
    id: 51
    addresses: [10.77.0.254/24]
`;

/** Each error as `path@line: message → remedy`. */
function errorsOf(text: string, options: LoadOptions = {}): string[] {
  const parsed = parseConfig(text, { environment: {}, ...options });
  return parsed.ok
    ? []
    : parsed.errors.map(({ path, line, message, remedy }) => `${path}@${line ?? ''}: ${message} → ${remedy}`);
}

function configOf(text: string, options: LoadOptions = {}) {
  const parsed = parseConfig(text, { environment: {}, ...options });
  if (!parsed.ok) throw new Error(errorsOf(text, options).join('\n'));
  return parsed.config;
}

/** The minimal file with one part replaced. */
const edited = (from: string, to: string): string => {
  expect(minimal).toContain(from);
  return minimal.replace(from, () => to);
};

describe('a good file', () => {
  it('gets the defaults of the contract', () => {
    expect(configOf(minimal)).toEqual({
      cluster: 'edge',
      node: 'r1',
      log: {
        servers: ['nats://10.99.0.9:4222'],
        replicas: 1,
        authentication: { kind: 'none' },
        tls: undefined,
        embedded: undefined,
      },
      lease: { ttlMs: 4_000, renewMs: 1_000 },
      arbitrationTimeoutMs: 50,
      challengeTimeoutMs: 30,
      guard: { timeoutMs: 300 },
      realtime: { priority: undefined, lockMemory: false },
      lanKeyFile: undefined,
      http: { listen: { host: '127.0.0.1', port: 9_650 } },
      control: '/run/koi/koi.sock',
      stateDir: '/var/lib/koi',
      track: [],
      virtualRouters: [
        {
          name: 'gw',
          protocol: 'vrrp3',
          interface: { by: 'name', value: 'eth1' },
          id: 51,
          priority: 100,
          advertIntervalMs: 1_000,
          authentication: undefined,
          checksum: 'auto',
          authHmac: undefined,
          preempt: { enabled: true, delayMs: 0 },
          startDelayMs: 0,
          addresses: [{ family: 4, address: '10.77.0.254', prefixLength: 24 }],
          arbitration: 'log',
          onLogLoss: 'wire',
          onPathSplit: 'hold',
          unicast: undefined,
          routes: [],
          accept: true,
          namespace: undefined,
          track: [],
          syncGroup: undefined,
          hooks: undefined,
        },
      ],
    });
  });

  it('may be JSON', () => {
    const json = JSON.stringify({
      cluster: 'edge',
      node: 'r1',
      log: { servers: ['nats://10.99.0.9:4222'] },
      virtualRouters: [{ name: 'gw', interface: 'eth1', id: 51, addresses: ['10.77.0.254/24'] }],
    });
    expect(configOf(json)).toEqual(configOf(minimal));
  });

  it('is frozen all the way down', () => {
    const config = configOf(minimal);
    expect(Object.isFrozen(config.virtualRouters[0]?.addresses[0])).toBe(true);
    expect(() => Object.assign(config.lease, { ttlMs: 1 })).toThrow(TypeError);
  });

  it('takes the host name where it names no node, and says so where that cannot be one', () => {
    const anonymous = edited('node: r1\n', '');
    expect(configOf(anonymous, { hostname: 'r7' }).node).toBe('r7');
    expect(errorsOf(anonymous, { hostname: 'r 7' })[0]).toContain("node@: the host name 'r 7' cannot name a node");
    expect(errorsOf(anonymous, { hostname: 'a-host-name.that-is.much-too-long.example' })).toHaveLength(1);
  });

  it('lets a virtual router override the arbitration of all', () => {
    const config = configOf(
      `arbitration: wire\nonLogLoss: hold\n${minimal}    arbitration: log\n    onLogLoss: release\n`,
    );
    expect(config.virtualRouters[0]).toMatchObject({ arbitration: 'log', onLogLoss: 'release' });
  });

  it('finds an interface by name or MAC', () => {
    const by = (selector: string) =>
      configOf(edited('interface: eth1', `interface: ${selector}`)).virtualRouters[0]?.interface;
    expect(by('{name: eth1}')).toEqual({ by: 'name', value: 'eth1' });
    expect(by("{mac: '52:54:00:AB:CD:EF'}")).toEqual({ by: 'mac', value: '52:54:00:ab:cd:ef' });
  });

  it('warns of a missing LAN key and of a lease that one late renewal ends', () => {
    const warnings = (text: string) => {
      const parsed = parseConfig(text, { environment: {} });
      return parsed.warnings.map(({ path }) => path);
    };
    expect(warnings(minimal)).toEqual(['lanKeyFile']);
    expect(warnings(`lanKeyFile: /etc/koi/lan.key\nlease: {ttl: 2s, renew: 1s}\n${minimal}`)).toEqual(['lease.ttl']);
  });
});

describe('the environment', () => {
  const withPassword = edited(
    '{servers: [nats://10.99.0.9:4222]}',
    `{servers: ["nats://\${HOST}:4222"], user: koi, password: "\${PW}"}`,
  );

  it('replaces variables in values', () => {
    const { log } = configOf(withPassword, { environment: { HOST: 'n1', PW: '123' } });
    expect(log.servers).toEqual(['nats://n1:4222']);
    expect(log.authentication).toEqual({ kind: 'password', user: 'koi', password: '123' });
  });

  it('names every missing variable and the line', () => {
    expect(errorsOf(withPassword)).toEqual([
      expect.stringMatching(/^log.servers\[0\]@3: the environment variable HOST is not set → set HOST/),
      expect.stringMatching(/^log.password@3: the environment variable PW is not set/),
    ]);
  });

  it('reads a number where the schema wants one', () => {
    const text = edited('id: 51', `id: 51\n    priority: \${PRIORITY}`);
    expect(configOf(text, { environment: { PRIORITY: '200' } }).virtualRouters[0]).toMatchObject({ priority: 200 });
    expect(errorsOf(text, { environment: { PRIORITY: 'high' } })[0]).toContain(
      'virtualRouters[0].priority@8: expected a number',
    );
  });

  it('leaves an escaped reference as text, and inherited properties alone', () => {
    const text = edited('{servers: [nats://10.99.0.9:4222]}', `{servers: [nats://h:4222], token: "$\${PW}"}`);
    expect(configOf(text).log.authentication).toEqual({ kind: 'token', token: `\${PW}` });
    expect(errorsOf(edited('cluster: edge', `cluster: "\${constructor}"`))[0]).toContain('constructor is not set');
  });
});

describe('bad input', () => {
  const vr = (rest: string): string => `${minimal}${rest}`;
  const second = (fields: string): string =>
    vr(`  - {name: b, interface: eth1, id: 52, addresses: [10.77.0.253/24], ${fields}}\n`);

  it.each<[string, string, string | RegExp]>([
    ['an empty file', '', '@1: the file is empty'],
    ['no map', '- a', '@1: the file is not a map'],
    ['broken YAML', 'cluster: [', /^@\d+: .* → correct the YAML/],
    ['a tab as indent', 'log:\n\tservers: [nats://n:4222]\n', /^@2: .* → indent with spaces$/],
    ['a key twice', `${minimal}cluster: b\n`, '@9: this key is in the map twice'],
    ['an unknown key', `clustr: x\n${minimal}`, "clustr@1: unknown key 'clustr' → did you mean 'cluster'?"],
    [
      'an unknown key of a section',
      `guard: {timout: 1s}\n${minimal}`,
      "guard.timout@1: unknown key 'timout' → did you mean 'timeout'?",
    ],
    [
      'an unknown key like nothing here',
      `guard: {colour: red}\n${minimal}`,
      "unknown key 'colour' → the keys here are timeout",
    ],
    [
      'a key of another daemon',
      vr('    vrid: 1\n'),
      "virtualRouters[0].vrid@9: unknown key 'vrid' → did you mean 'id'?",
    ],
    [
      'a missing section',
      edited('log: {servers: [nats://10.99.0.9:4222]}\n', ''),
      'log@: is missing → add it: the event log',
    ],
    ['no server', edited('{servers: [nats://10.99.0.9:4222]}', '{replicas: 3}'), 'log.servers@3: is missing'],
    [
      'a server that is no URL',
      edited('nats://10.99.0.9:4222', '10.99.0.9:4222'),
      "log.servers[0]@3: '10.99.0.9:4222' is not a server URL",
    ],
    ['a missing field', edited('    id: 51\n', ''), 'virtualRouters[0].id@5: is missing → add it: VRID'],
    ['a field without a value', edited('id: 51', 'id:'), 'virtualRouters[0].id@7: has no value'],
    ['an id of 0', edited('id: 51', 'id: 0'), 'virtualRouters[0].id@7: 0 is out of range'],
    ['an id of 256', edited('id: 51', 'id: 256'), 'virtualRouters[0].id@7: 256 is out of range'],
    ['half an id', edited('id: 51', 'id: 5.5'), 'virtualRouters[0].id@7: 5.5 is not a whole number'],
    ['an id in words', edited('id: 51', 'id: one'), 'virtualRouters[0].id@7: expected a number, found a text'],
    ['priority 0', vr('    priority: 0\n'), 'virtualRouters[0].priority@9: 0 is out of range'],
    ['priority 256', vr('    priority: 256\n'), 'virtualRouters[0].priority@9: 256 is out of range'],
    [
      'an id twice on an interface',
      second('').replace('id: 52', 'id: 51'),
      "virtualRouters[1].id@9: the id 51 is already used on this interface by 'gw'",
    ],
    [
      'an id twice, named in two ways',
      second('').replace('id: 52', 'id: 51').replace('interface: eth1, ', 'interface: {name: eth1}, '),
      'the id 51 is already used',
    ],
    [
      'an address twice in one',
      edited('[10.77.0.254/24]', '[10.77.0.254/24, 10.77.0.254/32]'),
      'virtualRouters[0].addresses[1]@8: the address 10.77.0.254 is already in this virtual router',
    ],
    [
      'an address twice in two',
      second('').replace('.253/24', '.254/24'),
      "virtualRouters[1].addresses[0]@9: the address 10.77.0.254 is already in 'gw'",
    ],
    [
      'a name twice',
      second('').replace('name: b', 'name: gw'),
      "virtualRouters[1].name@9: the name 'gw' is already used by virtualRouters[0]",
    ],
    ['no address', edited('[10.77.0.254/24]', '[]'), 'virtualRouters[0].addresses@8: there is no virtual IP'],
    [
      'addresses that are no list',
      edited('[10.77.0.254/24]', '10.77.0.254/24'),
      'virtualRouters[0].addresses@8: expected a list, found a text',
    ],
    [
      'a bad address',
      edited('10.77.0.254/24', '10.77.0.300/24'),
      "virtualRouters[0].addresses[0]@8: '10.77.0.300/24' is not an IP address",
    ],
    [
      'no virtual router',
      `${minimal.slice(0, minimal.indexOf('virtualRouters'))}virtualRouters: []\n`,
      'virtualRouters@4: there is no virtual router',
    ],
    [
      'an interval without a unit',
      vr('    advertInterval: 1\n'),
      'virtualRouters[0].advertInterval@9: expected a text, found a number → how often',
    ],
    [
      'an interval below 10ms',
      vr('    advertInterval: 5ms\n'),
      "virtualRouters[0].advertInterval@9: '5ms' is out of range: 10ms",
    ],
    [
      'an interval above 40.95s',
      vr('    advertInterval: 41s\n'),
      'virtualRouters[0].advertInterval@9: 41s cannot be sent in vrrp3 → use 10ms to 40950ms',
    ],
    [
      'an interval between centiseconds',
      vr('    advertInterval: 15ms\n'),
      'virtualRouters[0].advertInterval@9: 15ms cannot be sent in vrrp3',
    ],
    [
      'a lease that ends before it is renewed',
      `lease: {ttl: 1s, renew: 1s}\n${minimal}`,
      'lease.ttl@1: the lease ends (ttl 1s) before it is renewed (renew 1s)',
    ],
    [
      'a lease in strict that the kernel cannot end an address with',
      `arbitration: strict\nlease: {ttl: 3s, renew: 1s}\n${minimal}`,
      'lease.ttl@2: with strict, a lease of 3s is too short: the kernel needs 2250ms to end an address by itself',
    ],
    ['a renewal later than the default ttl', `lease: {renew: 5s}\n${minimal}`, 'lease.renew@1: the lease ends'],
    [
      'a guard without patience',
      `guard: {timeout: 20ms}\n${minimal}`,
      "guard.timeout@1: '20ms' is out of range: 100ms to 10s",
    ],
    ['a relative socket', `control: koi.sock\n${minimal}`, "control@1: 'koi.sock' is not an absolute path"],
    [
      'a socket path too long for the kernel',
      `control: /${'x'.repeat(100)}\n${minimal}`,
      'control@1: the path is 101 bytes long',
    ],
    ['a port alone', `http: {listen: 9650}\n${minimal}`, 'http.listen@1: expected a text, found a number'],
    ['no port', `http: {listen: localhost}\n${minimal}`, "http.listen@1: 'localhost' is not an address and a port"],
    [
      'an unknown word',
      `arbitration: logg\n${minimal}`,
      "arbitration@1: 'logg' is not known here → did you mean 'log'?",
    ],
    [
      'an interface name too long',
      edited('eth1', 'a-name-of-16-chr'),
      "virtualRouters[0].interface@6: 'a-name-of-16-chr' is not a name",
    ],
    [
      'an interface by nothing',
      edited('eth1', '{}'),
      'virtualRouters[0].interface@6: says nothing about which interface',
    ],
    [
      'an interface in two ways',
      edited('eth1', '{name: eth1, altname: x}'),
      'virtualRouters[0].interface@6: says name and altname',
    ],
    [
      'an interface by an unknown key',
      edited('eth1', '{nam: eth1}'),
      "virtualRouters[0].interface.nam@6: unknown key 'nam' → did you mean 'name'?",
    ],
    ['an interface list', edited('eth1', '[eth1]'), 'virtualRouters[0].interface@6: a list does not belong here'],
    ['a user without a password', edited('{servers', '{user: koi, servers'), 'log.user@3: user needs a password'],
    [
      'two ways to authenticate',
      edited('{servers', '{token: x, nkey: /n, servers'),
      'log.nkey@3: both token and nkey are given',
    ],
    [
      'a name with a colon',
      edited('name: gw', "name: 'g:w'"),
      "virtualRouters[0].name@5: 'g:w' is not a name koi can use here",
    ],
    ['a value that is an alias of itself', `track: &a [*a]\n${minimal}`, /./],
  ])('%s', (_name, text, expected) => {
    const errors = errorsOf(text);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.join('\n')).toMatch(
      typeof expected === 'string' ? new RegExp(expected.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')) : expected,
    );
    for (const error of errors) expect(error).toMatch(/ → \S/);
  });

  it('is reported all at once, in the order of the file', () => {
    const errors = errorsOf(`clustr: x
node: r1
log: {servers: [http://n], replicas: 9}
lease: {ttl: 1s, renew: 2s}
virtualRouters:
  - {name: a, interface: eth1, id: 300, addresses: [10.0.0.1/24], colour: red}
  - {name: b, interface: eth1, id: 7, addresses: [10.0.0.2/24]}
  - {name: b, interface: eth1, id: 7, addresses: [10.0.0.1/24], protocol: carp}
`);
    expect(errors.map((error) => error.slice(0, error.indexOf(':')))).toEqual([
      'cluster@',
      'clustr@1',
      'log.servers[0]@3',
      'log.replicas@3',
      'lease.ttl@4',
      'virtualRouters[0].id@6',
      'virtualRouters[0].colour@6',
      'virtualRouters[2].name@8',
      'virtualRouters[2].id@8',
      'virtualRouters[2].addresses[0]@8',
    ]);
  });

  it('never repeats a value of the wrong kind, which may be a secret', () => {
    expect(errorsOf(edited('{servers', '{user: koi, password: 424242, servers')).join()).not.toContain('424242');
  });

  it('lets one id serve IPv4 on two interfaces, and IPv4 and IPv6 on one: their virtual MACs differ', () => {
    const clash = (text: string): boolean =>
      errorsOf(text).some((error) => error.includes('already used on this interface'));
    expect(clash(second('').replace('id: 52', 'id: 51').replace('interface: eth1, ', 'interface: eth2, '))).toBe(false);
    expect(clash(second('').replace('id: 52', 'id: 51').replace('10.77.0.253/24', '"2001:db8::1/64"'))).toBe(false);
    expect(clash(second('protocol: carp').replace('id: 52', 'id: 51'))).toBe(true);
  });
});

describe('where virtual IPs are put', () => {
  const vr = (lines: string): string => `${minimal}    ${lines}\n`;

  it('says where an address goes, which routes come with it, and what it takes', () => {
    const placed = edited(
      '[10.77.0.254/24]',
      "['10.77.0.254/24', {address: 10.88.0.254/24, interface: eth2, prefixRoute: true, advertised: false}]",
    );
    const text = `${placed}    accept: false
    routes: [{to: 192.0.2.0/24, via: 10.77.0.1, source: 10.77.0.254, table: 1000, metric: 5}]
    unicast: {source: 10.77.0.1, peers: [10.77.0.2], minTtl: 254}
`;
    expect(errorsOf(text)).toEqual([]);
    const loaded = configOf(text).virtualRouters[0];
    expect(loaded).toMatchObject({
      addresses: [
        { address: '10.77.0.254', prefixLength: 24 },
        {
          address: '10.88.0.254',
          prefixLength: 24,
          interface: { by: 'name', value: 'eth2' },
          prefixRoute: true,
          advertised: false,
        },
      ],
      accept: false,
      routes: [
        {
          destination: { family: 4, address: '192.0.2.0', prefixLength: 24 },
          via: '10.77.0.1',
          source: '10.77.0.254',
          table: 1000,
          metric: 5,
        },
      ],
      unicast: { source: '10.77.0.1', peers: ['10.77.0.2'], minTtl: 254 },
    });
  });

  it.each([
    [vr('accept: false').replace('id: 51', 'id: 51\n    priority: 255'), 'accept'],
    [vr('routes: [{to: "2001:db8::/32"}]'), 'there is no IPv6 virtual IP'],
    [vr('routes: [{to: 192.0.2.0/24, via: "fe80::1"}]'), 'is not of the family of the destination'],
    [vr('namespace: {}'), 'says nothing about which namespace'],
    [vr('namespace: {pid: 7, pidFile: /run/web.pid}'), 'says pid and pidFile → give exactly one of name, pid, pidFile'],
    [vr('namespace: {pidFile: web.pid}'), 'virtualRouters[0].namespace'],
    [vr('unicast: {peers: ["fe80::2"]}'), 'adverts for the IPv4 addresses go over IPv4'],
    [vr('unicast: {peers: [10.77.0.2, 10.77.0.2]}'), 'is in the list already'],
  ])('%#: refuses what cannot be', (text, words) => {
    expect(errorsOf(text)).toEqual([expect.stringContaining(words)]);
  });
});

describe('the namespace of virtual IPs', () => {
  const vr = (line: string): string => `${minimal}    ${line}\n`;

  it.each([
    ['namespace: blue', { by: 'name', value: 'blue' }],
    ['namespace: {name: blue}', { by: 'name', value: 'blue' }],
    ['namespace: {pid: 4711}', { by: 'pid', value: '4711' }],
    ['namespace: {pidFile: /run/web.pid}', { by: 'pidFile', value: '/run/web.pid' }],
  ])('%s', (line, expected) => {
    expect(configOf(vr(line)).virtualRouters[0]?.namespace).toEqual(expected);
  });
});

describe('a file that is wrong in many places', () => {
  const vr = (line: string): string => `${minimal}    ${line}\n`;

  it('is told of every one', () => {
    const errors = errorsOf(`track: [{name: t, script: [/c], interval: 1s, timeout: 2s}, {name: t}]
${vr('track: [tt]').replace('id: 51', 'id: 51\n    protocol: carp\n    priority: 5\n    carp: {advskew: 255}\n    unicast: {source: 10.0.0.1, peers: [10.0.0.1, nobody]}')}`);
    for (const expected of [
      'track[0].timeout@1: is longer than interval',
      'track[1]@1: says nothing about what to watch',
      "track[1].name@1: the name 't' is already used by track[0]",
      'virtualRouters[0].priority@10: CARP has no priority',
      'virtualRouters[0].carp.advskew@11: 255 is out of range',
      'virtualRouters[0].unicast.peers[0]@12: is the source itself',
      "virtualRouters[0].unicast.peers[1]@12: 'nobody' is not an IP address",
      "virtualRouters[0].track[0]@14: there is no 'tt' in track",
    ]) {
      expect(errors.join('\n')).toContain(expected);
    }
  });
});

describe('files', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'koi-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const thrown = (act: () => unknown): KoiError => {
    try {
      act();
    } catch (error) {
      if (error instanceof KoiError) return error;
      throw error;
    }
    throw new Error('nothing was thrown');
  };

  it('load, or throw one error that lists every problem with file, line, path and remedy', () => {
    expect(loadConfig(write('good.yaml', minimal)).config.cluster).toBe('edge');
    const file = write('bad.yaml', minimal.replace('id: 51', 'id: 0').replace('cluster', 'clustr'));
    const error = thrown(() => loadConfig(file));
    expect(error.exitCode).toBe(2);
    expect(error.message.split('\n')[0]).toBe(`${file} has 3 errors`);
    expect(error.message).toContain(`${file}:7: virtualRouters[0].id: 0 is out of range\n    → VRID`);
  });

  it('that are absent or no files are named', () => {
    expect(thrown(() => loadConfig(join(folder, 'none'))).message).toContain('there is no such file');
    expect(thrown(() => loadConfig(folder)).message).toContain('is a directory');
    expect(thrown(() => loadConfig(folder)).exitCode).toBe(2);
  });

  it('name their control socket even where the rest is wrong', () => {
    expect(readControlPath(write('a.yaml', 'control: /tmp/a.sock\nnonsense: 1\n'))).toBe('/tmp/a.sock');
    expect(readControlPath(write('b.yaml', minimal))).toBe('/run/koi/koi.sock');
    expect(thrown(() => readControlPath(write('c.yaml', `control: "\${NOT_SET_ANYWHERE}/x"\n`))).exitCode).toBe(2);
  });
});

it('the JSON Schema describes every field, and what a file says, not what is made of it', () => {
  const schema = configJsonSchema() as {
    properties: Record<string, { description?: string; type?: string }>;
    required: string[];
  };
  for (const [name, property] of Object.entries(schema.properties)) expect(property.description, name).toBeTruthy();
  expect(schema.required).toEqual(['cluster', 'log', 'virtualRouters']);
  expect(JSON.stringify(schema)).toContain('"additionalProperties":false');
  expect(schema.properties.arbitrationTimeout?.type).toBe('string');
});
