import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { inside, ip } from '../detect/hosts.js';
import { createTopology, type Topology, vip } from '../lab/topology.js';

/* `koi doctor` on a host that is wrong in many ways, before any daemon runs there. */
const isRoot = process.getuid?.() === 0;

interface Verdict {
  readonly area: string;
  readonly check: string;
  readonly status: string;
  readonly detail: string;
  readonly remedy: string;
}

describe.skipIf(!isRoot)('koi doctor without a daemon (needs root)', () => {
  let koi: BuiltKoi;
  let topology: Topology;
  let directory: string;
  let config: string;
  let configuration: Readonly<Record<string, unknown>>;
  let netns: string;
  beforeAll(() => {
    koi = buildKoi();
    topology = createTopology({ routerCount: 1, logHostCount: 0 });
    netns = topology.routers[0]?.netns ?? '';
    directory = mkdtempSync(join(tmpdir(), 'koi-doctor-'));
    config = join(directory, 'koi.yaml');
    configuration = {
      cluster: 'edge',
      node: 'r1',
      log: { servers: ['nats://127.0.0.1:4229'] },
      control: join(directory, 'koi.sock'),
      stateDir: directory,
      virtualRouters: [{ name: 'gw', protocol: 'vrrp3', interface: 'eth1', id: 51, addresses: [`${vip}/24`] }],
    };
    writeFileSync(config, JSON.stringify(configuration));
    // The machine's own defaults are not this test's.
    set('all', { rp_filter: 0, arp_ignore: 0, arp_announce: 0, arp_filter: 0 });
    set('eth1', { rp_filter: 0 });
  }, 120_000);
  afterAll(() => {
    topology?.remove();
    koi?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  function set(link: string, values: Readonly<Record<string, number>>): void {
    for (const [key, value] of Object.entries(values)) {
      inside(netns, 'sh', '-c', `echo ${value} > /proc/sys/net/ipv4/conf/${link}/${key}`);
    }
  }

  function doctor(
    args: readonly string[] = ['-c', config, '--json'],
    before: readonly string[] = [],
  ): { code: number | null; stdout: string; stderr: string } {
    const command = ['netns', 'exec', netns, ...before, process.execPath, koi.main, 'doctor', ...args];
    const { status, stdout, stderr } = spawnSync('ip', command, { encoding: 'utf8', timeout: 60_000 });
    return { code: status, stdout, stderr };
  }

  const ill = (stdout: string): Record<string, string> => {
    const { verdicts } = JSON.parse(stdout) as { verdicts: readonly Verdict[] };
    const found = verdicts.filter(({ status }) => status === 'failed');
    for (const { check, remedy } of found) expect({ check, remedy }).not.toEqual({ check, remedy: '' });
    return Object.fromEntries(found.map(({ check, detail }) => [check, detail]));
  };

  test('finds on a sound host no more than that the log is away', () => {
    const { code, stdout, stderr } = doctor();
    expect(stderr).toBe('');
    expect(Object.keys(ill(stdout)).sort()).toEqual(['nats_server', 'quorum']);
    expect(code).toBe(1);
  });

  test('finds wrong sysctls, IPVS without strictARP and a virtual IP on another link', () => {
    set('all', { rp_filter: 1, arp_ignore: 2, arp_filter: 1 });
    // Koi knows it by its name; not every kernel has dummies.
    ip(netns, 'link', 'add', 'kube-ipvs0', 'type', 'bridge');
    ip(netns, 'addr', 'add', `${vip}/24`, 'dev', 'eth1');
    const found = ill(doctor().stdout);
    expect(Object.keys(found)).toEqual(
      expect.arrayContaining(['rp_filter', 'arp_ignore', 'arp_filter', 'ipvs', 'addresses']),
    );
    expect(found.rp_filter).toContain('net.ipv4.conf.all.rp_filter is 1');
    const { code, stdout } = doctor(['-c', config]);
    expect(code).toBe(1);
    expect(stdout).toContain('FAILED   rp_filter');
    expect(stdout).toContain('→ sysctl -w net.ipv4.conf.all.rp_filter=0');
    ip(netns, 'addr', 'del', `${vip}/24`, 'dev', 'eth1');
    ip(netns, 'link', 'del', 'kube-ipvs0');
    set('all', { rp_filter: 0, arp_ignore: 0, arp_filter: 0 });
  });

  test('finds a missing capability', () => {
    const found = ill(doctor(['-c', config, '--json'], ['setpriv', '--bounding-set', '-net_raw']).stdout);
    expect(found.capabilities).toContain('CAP_NET_RAW');
  });

  test.each([
    ['systemd-networkd', 'systemd/netif/links', 'ADMIN_STATE=configured', 'Unmanaged=yes'],
    ['NetworkManager', 'NetworkManager/devices', 'managed=true', 'unmanaged-devices'],
  ])("finds %s owning the link, and one of koi's", (manager, folder, says, remedy) => {
    // A link of Koi is known by its alias, wherever it comes from.
    ip(netns, 'link', 'add', 'koi-left', 'type', 'bridge');
    ip(netns, 'link', 'set', 'koi-left', 'alias', 'koi:edge:gw');
    const indexOf = (link: string): string => inside(netns, 'cat', `/sys/class/net/${link}/ifindex`).trim();
    // As the manager leaves it in /run; only this command sees it.
    const run = (links: readonly string[]): readonly string[] => {
      const write = links.map((link) => `echo '${says}' > /run/${folder}/${indexOf(link)}`).join('; ');
      return ['sh', '-c', `mount -t tmpfs none /run && mkdir -p /run/${folder}; ${write}; exec "$@"`, 'sh'];
    };
    const managers = (links: readonly string[]): Verdict[] => {
      const { verdicts } = JSON.parse(doctor(['-c', config, '--json'], run(links)).stdout) as { verdicts: Verdict[] };
      return verdicts.filter(({ check }) => check === 'link_managers');
    };
    try {
      const [parent] = managers(['eth1']);
      expect(parent).toMatchObject({ status: 'warning', detail: expect.stringContaining(`${manager} manages eth1`) });
      const [own] = managers(['eth1', 'koi-left']);
      expect(own).toMatchObject({ status: 'failed', detail: expect.stringContaining(`${manager} manages koi-left`) });
      for (const verdict of [parent, own]) expect(verdict?.remedy).toContain(remedy);
    } finally {
      ip(netns, 'link', 'del', 'koi-left');
    }
  });

  test.each([
    ['2.9.20', 'failed', 'may grant one ownership to two nodes'],
    ['2.10.22', 'warning', 'may lose a stream'],
    ['2.9.25', 'warning', 'confirms before it writes to disk'],
    ['2.12.1', 'ok', 'nats-server 2.12.1'],
  ])('of a cluster of nats-server %s it says: %s', async (version, status, detail) => {
    const info = `INFO ${JSON.stringify({ server_id: 'N', server_name: 'n', version, proto: 1, max_payload: 1048576, headers: true, jetstream: true })}\r\n`;
    const script = `for (const port of [4231, 4232]) require('node:net').createServer((socket) => {
      socket.on('error', () => {}).write(${JSON.stringify(info)});
      socket.on('data', (text) => String(text).includes('PING') && socket.write('PONG\\r\\n'));
    }).listen(port, '127.0.0.1', () => port === 4232 && console.log('ready'));`;
    ip(netns, 'link', 'set', 'lo', 'up');
    const server = spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', script]);
    try {
      await once(server.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
      const two = join(directory, 'two.yaml');
      const servers = ['nats://127.0.0.1:4231', 'nats://127.0.0.1:4232'];
      writeFileSync(two, JSON.stringify({ ...configuration, log: { servers, replicas: 1 } }));
      const { verdicts } = JSON.parse(doctor(['-c', two, '--json']).stdout) as { verdicts: Verdict[] };
      const found = verdicts.filter(({ check }) => check === 'nats_version');
      expect(found.map((verdict) => verdict.status)).toEqual([status, status]);
      for (const verdict of found) {
        expect(verdict.detail).toContain(detail);
        expect(verdict.remedy !== '').toBe(status !== 'ok');
      }
    } finally {
      server.kill('SIGKILL');
    }
  });

  test('finds a clock that jumps while it looks', () => {
    // Four seconds every 5 ms: in the middle of whatever it does.
    const jump = 'const now = Date.now; Date.now = () => now() + Math.floor(performance.now() / 5) * 4000;';
    const env = ['env', `NODE_OPTIONS=--import=data:text/javascript,${encodeURIComponent(jump)}`];
    const found = ill(doctor(['-c', config, '--json'], env).stdout);
    expect(found.clock).toMatch(/the wall clock jumped by \d{4,} ms while this was looked at/);
  });

  test('ends with 2 for a wrong file, and with 4 where nobody can say which', () => {
    writeFileSync(join(directory, 'wrong.yaml'), 'cluster: edge\nnonsense: 1\n');
    expect(doctor(['-c', join(directory, 'wrong.yaml')]).code).toBe(2);
    expect(doctor([]).code).toBe(4);
  });
});
