import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { Site } from './site.js';

const isRoot = process.getuid?.() === 0;
const vip = '10.77.0.254';
const virtualMac = '00:00:5e:00:01:33';

describe.skipIf(!isRoot)('adverts to single peers (needs root)', { timeout: 60_000 }, () => {
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

  const unicast = (own: number, peer: number, more: object = {}) => ({
    addresses: [`${vip}/24`],
    unicast: { source: `10.77.0.${own}`, peers: [`10.77.0.${peer}`], ...more },
  });
  const unreachables = (node: 'r1' | 'r2'): number => {
    const [names, values] = (site.run(node, 'cat', '/proc/net/snmp') ?? '')
      .split('\n')
      .filter((line) => /^Icmp: /.test(line));
    return Number(values?.split(' ')[names?.split(' ').indexOf('OutDestUnreachs') ?? -1]);
  };
  const hears = (node: 'r1' | 'r2', what: string): string =>
    site.run(node, 'timeout', '5', 'tcpdump', '-nn', '-e', '-c3', '-i', 'eth1', what) ?? '';

  test('one master, no ICMP, the vMAC fresh in the switch; takeover and farewell', async () => {
    site.configure('r1', [unicast(1, 2)]);
    site.configure('r2', [unicast(2, 1)]);
    site.start('r2');
    await site.becomes('r2', 'master');
    site.start('r1');
    await site.becomes('r1', 'master');
    await site.becomes('r2', 'backup');
    expect(site.resolves(vip)).toBe(virtualMac);
    expect(site.answers(vip)).toBe(true);

    const adverts = hears('r2', 'proto 112');
    expect(adverts).toMatch(/10\.77\.0\.1 > 10\.77\.0\.2: .*VRRPv3, Advertisement/);
    expect(adverts).not.toContain(virtualMac);
    expect(unreachables('r2')).toBe(0);

    site.forgetPorts();
    await site.until('the switch to learn the virtual MAC again', () => {
      const port = site.portOf(virtualMac);
      return port === 'r1-0' ? undefined : `it is behind ${port}`;
    });

    site.kill('r1', 'dataplane');
    await site.becomes('r2', 'master');
    expect(site.resolves(vip)).toBe(virtualMac);
  });

  test('a stranger, a group advert and one from too far are refused, each for its reason', async () => {
    site.configure('r1', [unicast(1, 9)]);
    site.configure('r2', [{ addresses: [`${vip}/24`], unicast: { peers: ['10.77.0.9'], minTtl: 254 } }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    // r1 sends to 10.77.0.9, which r2 takes on: a peer that r2 does not list.
    site.ip('r2', 'addr add 10.77.0.9/32 dev eth1');
    site.start('r2');
    await site.until('r2 to refuse', () => (site.log('r2').includes('went to the group') ? undefined : 'not yet'));
    site.ip('r2', 'addr del 10.77.0.2/24 dev eth1');
    await site.until('r2 to refuse', () =>
      site.log('r2').includes('none of the configured unicast peers') ? undefined : 'not yet',
    );
  });

  test('IPv6: from the link-local address to that of the peer', async () => {
    const linkLocal = (node: 'r1' | 'r2'): string =>
      (JSON.parse(site.ip(node, '-j -6 addr show dev eth1 scope link')) as { addr_info: { local: string }[] }[])[0]
        ?.addr_info[0]?.local ?? '';
    for (const [node, peer] of [
      ['r1', 'r2'],
      ['r2', 'r1'],
    ] as const) {
      await site.until('a link-local address', () => (linkLocal(peer) === '' ? 'none yet' : undefined));
      site.configure(node, [
        { addresses: ['fe80::77:254/64', '2001:db8:77::254/64'], unicast: { peers: [linkLocal(peer)] } },
      ]);
      site.start(node);
    }
    await site.becomes('r1', 'master');
    await site.becomes('r2', 'backup');
    site.ip('client', 'addr add 2001:db8:77::100/64 dev eth1 nodad');
    expect(site.resolves('2001:db8:77::254')).toBe('00:00:5e:00:02:33');
    expect(await site.stop('r1')).toBe(0);
    await site.becomes('r2', 'master');
  });

  test('the groups are joined where adverts go to them, and again when the wire comes back', async () => {
    site.configure('r1', [{ addresses: [`${vip}/24`] }]);
    site.start('r1');
    await site.becomes('r1', 'master');
    expect(site.run('r1', 'ip', 'maddr', 'show', 'dev', 'eth1')).toContain('inet  224.0.0.18');
    expect(site.run('r1', 'ip', 'maddr', 'show', 'dev', 'eth1')).toContain('inet6 ff02::12');
    site.ip('switch', 'link set r1-0 down');
    await site.becomes('r1', 'fault', 'carrier');
    const listen = 'timeout 5 tcpdump -nn -c1 -Q out -i eth1 igmp and dst 224.0.0.22 & sleep 1; ';
    const raise = `ip -n ${site.netns('switch')} link set r1-0 up; wait`;
    const reports = site.run('r1', 'sh', '-c', listen + raise);
    expect(reports).toMatch(/igmp v3 report/);
  });
});
