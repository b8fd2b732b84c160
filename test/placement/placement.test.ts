import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Site } from './site.js';

const isRoot = process.getuid?.() === 0;
const vip = '10.77.0.254';
const far = '10.88.0.254';
const virtualMac = '00:00:5e:00:01:33';

describe.skipIf(!isRoot)('where virtual IPs are put (needs root)', { timeout: 60_000 }, () => {
  let koi: BuiltKoi;
  let site: Site;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());
  beforeEach(() => {
    site = new Site(koi.main);
  });
  afterEach(async () => {
    await site.stop('r1');
    await site.stop('r2');
    site.remove();
  });

  const sysctl = (node: 'r1' | 'r2', device: string) =>
    site.run(node, 'cat', `/proc/sys/net/ipv4/conf/${device}/arp_ignore`)?.trim();

  test('on another interface: guarded, announced and kept fresh there; its failure is a fault', async () => {
    const addresses = [`${vip}/24`, { address: `${far}/24`, interface: 'eth2' }];
    for (const node of ['r1', 'r2'] as const) {
      site.configure(node, [{ addresses }]);
      site.start(node);
    }
    await site.becomes('r1', 'master');
    await site.becomes('r2', 'backup');
    expect(site.resolves(vip)).toBe(virtualMac);
    expect(site.resolves(far)).toBe(virtualMac);
    expect(sysctl('r1', 'eth2')).toBe('1');

    site.forgetPorts('br1');
    await site.until('the other switch to learn the virtual MAC again', () => {
      const port = site.portOf(virtualMac, 'br1');
      return port === 'r1-1' ? undefined : `it is behind ${port}`;
    });

    // The client's cache is told on the other LAN too.
    site.ip('switch', 'link set r1-1 down');
    await site.becomes('r1', 'fault', 'carrier');
    await site.becomes('r2', 'master');
    await site.until('the client to know', () => (site.answers(far) && site.answers(vip) ? undefined : 'it does not'));
    site.ip('switch', 'link set r1-1 up');
    await site.becomes('r1', 'master');

    site.kill('r1', 'dataplane');
    await site.until('the guard to take both off', () => {
      const left = site.ip('r1', '-br addr');
      return left.includes(vip) || left.includes(far) ? left : undefined;
    });
  });

  test('an address that is not advertised is served and in no advert', async () => {
    const silent = '10.77.0.253';
    site.configure('r1', [{ addresses: [`${vip}/24`, { address: `${silent}/24`, advertised: false }] }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    const line = ['tcpdump', '-i', 'eth1', '-n', '-v', '-c', '2', 'ip proto 112'];
    const heard = execFileSync('ip', ['netns', 'exec', site.netns('client'), ...line], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    expect(heard).toContain(vip);
    expect(heard).not.toContain(silent);
    expect(site.answers(silent)).toBe(true);
    expect(site.neighbour('client', silent)).toBe(virtualMac);
    expect(await site.stop('r1')).toBe(0);
    expect(site.ip('r1', '-br addr')).not.toContain(silent);
  });

  test('routes come after the addresses and go before them', async () => {
    const addresses = [`${vip}/24`, { address: '10.99.0.254/24', prefixRoute: true }];
    const routes = [
      { to: '192.0.2.0/24', via: '10.77.0.100', source: vip },
      { to: '198.51.100.0/24', via: '10.77.0.100', table: 1000, metric: 7 },
    ];
    site.configure('r1', [{ addresses, routes }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    const ours = () => site.ip('r1', 'route show table all proto 107');
    expect(ours()).toMatch(/192\.0\.2\.0\/24 via 10\.77\.0\.100 dev koi51\.\w+ src 10\.77\.0\.254 onlink/);
    expect(ours()).toMatch(/198\.51\.100\.0\/24 via 10\.77\.0\.100 dev koi51\.\w+ table 1000 metric 7 onlink/);
    expect(ours()).toMatch(/10\.99\.0\.0\/24 dev koi51\.\w+ scope link src 10\.99\.0\.254/);
    // A host of the network that only the virtual IP is in.
    site.ip('client', 'addr add 10.99.0.9/24 dev eth1');
    expect(site.answers('10.99.0.254')).toBe(true);
    expect(site.neighbour('client', '10.99.0.254')).toBe(virtualMac);

    site.kill('r1', 'dataplane');
    await site.until('the guard to take them off', () => (ours() === '' ? undefined : ours()));
    await site.becomes('r1', 'master');
    expect(await site.stop('r1')).toBe(0);
    expect(ours()).toBe('');
  });

  test('a route that somebody else has is named, and nothing is left half done', async () => {
    site.ip('r1', 'route add 192.0.2.0/24 dev eth2');
    site.configure('r1', [{ addresses: [`${vip}/24`], routes: [{ to: '192.0.2.0/24', via: '10.77.0.100' }] }]);
    site.start('r1');
    await site.until('the attach to fail', () =>
      site.log('r1').includes('there is another route to 192.0.2.0/24') ? undefined : 'not yet',
    );
    expect(site.ip('r1', '-br addr')).not.toContain(vip);
    site.ip('r1', 'route del 192.0.2.0/24');
    await site.becomes('r1', 'master');
  });

  test('accept: false: the address is there, and owns no service', async () => {
    site.configure('r1', [{ addresses: [`${vip}/24`, 'fe80::77:254/64', '2001:db8:77::254/64'], accept: false }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    site.ip('client', 'addr add 2001:db8:77::100/64 dev eth1 nodad');
    expect(site.answers(vip)).toBe(false);
    expect(site.answers('2001:db8:77::254')).toBe(false);
    expect(site.neighbour('client', vip)).toBe(virtualMac);
    expect(site.neighbour('client', '2001:db8:77::254')).toBe('00:00:5e:00:02:33');
    expect(site.answers('10.77.0.1')).toBe(true);

    site.configure('r1', [{ addresses: [`${vip}/24`, 'fe80::77:254/64', '2001:db8:77::254/64'] }]);
    expect(site.koi('r1', 'reload')).toContain('accept');
    expect(site.answers(vip)).toBe(true);
  });

  test('without the right to enter a namespace, koi says which it lacks and does not start', async () => {
    site.configure('r1', [{ addresses: [`${vip}/24`], namespace: site.namespace('blue') }]);
    site.start('r1', ['setpriv', '--bounding-set', '-sys_admin']);
    expect(await site.ends('r1')).toBe(3);
    expect(site.log('r1')).toContain('gw: entering a network namespace needs CAP_SYS_ADMIN');
  });

  test('killed with everything at once, it leaves nothing in the namespace that a start or koi clean does not find', async () => {
    const blue = site.namespace('blue');
    site.inNamespace(undefined, 'ip', 'netns', 'add', blue);
    site.configure('r1', [{ addresses: [`${vip}/24`], namespace: blue, routes: [{ to: '192.0.2.0/24' }] }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    site.killAll('r1');
    const addresses = () => site.inNamespace(blue, 'ip', '-br', 'addr');
    expect(addresses()).toContain(vip);
    await site.until('the address to run out', () => (addresses().includes(vip) ? addresses() : undefined));
    expect(site.inNamespace(blue, 'ip', 'route', 'show', 'proto', '107')).toBe('');
    expect(site.koi('r1', 'clean')).toMatch(/^links: koi51\.\w+\n/);
    expect(addresses()).not.toContain('koi51');
    expect(site.koi('r1', 'clean')).toBe('nothing of koi was left\n');
  });

  test('in a named network namespace: it comes and goes with it, and this host keeps its settings', async () => {
    const blue = site.namespace('blue');
    // Nothing else there has an address of these networks.
    const withRoute = (address: string) => ({ address, prefixRoute: true });
    const addresses = [withRoute(`${vip}/24`), withRoute('2001:db8:77::254/64')];
    site.configure('r1', [{ addresses, namespace: blue }]);
    await site.until('a link-local address', () =>
      site.ip('r1', '-6 addr show dev eth1 scope link -tentative').includes('fe80') ? undefined : 'none yet',
    );
    site.start('r1');
    await site.becomes('r1', 'fault', 'namespace');
    const inBlue = (command: string) => site.inNamespace(blue, 'ip', ...command.split(' '));

    site.inNamespace(undefined, 'ip', 'netns', 'add', blue);
    await site.becomes('r1', 'master');
    expect(inBlue('-br addr')).toContain(vip);
    expect(site.ip('r1', '-br link')).not.toContain('koi51');
    expect(site.resolves(vip)).toBe(virtualMac);
    expect(site.answers(vip)).toBe(true);
    site.ip('client', 'addr add 2001:db8:77::100/64 dev eth1 nodad');
    expect(site.resolves('2001:db8:77::254')).toBe('00:00:5e:00:02:33');
    expect(sysctl('r1', 'eth1')).toBe('0');
    expect(sysctl('r1', 'default')).toBe('0');

    site.kill('r1', 'dataplane');
    await site.until('the guard to take it off', () =>
      inBlue('-br addr').includes(vip) ? inBlue('-br addr') : undefined,
    );
    expect(inBlue('-br link')).not.toContain('koi51');
    await site.becomes('r1', 'master');

    site.inNamespace(undefined, 'ip', 'netns', 'del', blue);
    await site.becomes('r1', 'fault', 'namespace');
    expect(site.answers(vip)).toBe(false);
    site.inNamespace(undefined, 'ip', 'netns', 'add', blue);
    await site.becomes('r1', 'master');
    expect(site.resolves(vip)).toBe(virtualMac);

    expect(await site.stop('r1')).toBe(0);
    expect(inBlue('-br link')).not.toContain('koi51');
  });
});
