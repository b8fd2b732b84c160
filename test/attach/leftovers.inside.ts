import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { removeLeftovers } from '../../src/attach/leftovers.js';
import { addAddress } from '../../src/kernel/addresses.js';
import { configureLinks, createMacvlans, dumpLinks, setUpAll } from '../../src/kernel/links.js';
import { ADDRESS_PROTO, linkGroup } from '../../src/kernel/names.js';
import { vrrpVirtualMac } from '../../src/wire/mac.js';
import { type Cable, good, ip, layCable, milliseconds } from '../kernel/cable.js';
import { stallMs } from '../lab/wait.js';
import { cluster, Host, specOf } from './host.js';

let cable: Cable;
let host: Host;

beforeAll(async () => {
  cable = await layCable();
  host = new Host();
});
afterEach(() => {
  host.reset();
});
afterAll(() => {
  host.close();
  cable.remove();
});

const group = linkGroup(cluster, 'r9');

/** `count` vMAC links, up, as a node that is master of as many virtual routers has them. */
function manyLinks(count: number): number[] {
  const specs = Array.from({ length: count }, (_, index) => ({
    name: `koi${index + 1}.00000${index % 10}`,
    parentIfindex: cable.near,
    mac: vrrpVirtualMac(4, index + 1),
    mode: 'private' as const,
    group,
  }));
  expect(createMacvlans(host.netlink, specs).filter((ack) => !ack.ok)).toEqual([]);
  const made = host.koiLinks().map(({ ifindex }) => ifindex);
  expect(setUpAll(host.netlink, made).filter((ack) => !ack.ok)).toEqual([]);
  return made;
}

describe('the bin', () => {
  test('deletes 200 links that are discarded together in less than 200 ms', async () => {
    const made = manyLinks(200);
    const startMs = performance.now();
    await Promise.all(made.map((ifindex) => host.bin.discard(ifindex)));
    expect(performance.now() - startMs).toBeLessThan(200 + stallMs);
    expect(host.koiLinks()).toEqual([]);
  });

  test('leaves many alone that nobody waits for, until somebody does, or for 2 s', async () => {
    const made = manyLinks(20);
    const deleted = Promise.all(made.map((ifindex) => host.bin.discard(ifindex, true)));
    await milliseconds(1000);
    expect(host.koiLinks()).toHaveLength(20);
    await deleted;
    expect(host.koiLinks()).toEqual([]);

    const others = manyLinks(20);
    const startMs = performance.now();
    const gone = Promise.all(others.map((ifindex) => host.bin.discard(ifindex, true)));
    host.bin.hurry();
    await gone;
    expect(performance.now() - startMs).toBeLessThan(300 + stallMs);
  });

  test('resolves for a link that is gone already, alone and among others; takes what comes while it works', async () => {
    await host.bin.discard(99_999);
    const [a = 0, b = 0, c = 0] = manyLinks(3);
    const early = [host.bin.discard(a), host.bin.discard(99_999)];
    await new Promise(setImmediate);
    const late = [host.bin.discard(b), host.bin.discard(c)];
    await Promise.all([...early, ...late]);
    expect(host.koiLinks()).toEqual([]);
  });

  test('says which link cannot be deleted, and goes on', async () => {
    const lo = good(dumpLinks(host.netlink)).find(({ name }) => name === 'lo')?.ifindex ?? 0;
    await expect(host.bin.discard(lo)).rejects.toThrow(`deleting link ${lo}: `);
    const [only = 0] = manyLinks(1);
    await host.bin.discard(only);
    expect(host.koiLinks()).toEqual([]);
  });
});

describe('what an earlier run left', () => {
  const names = () => good(dumpLinks(host.netlink)).map(({ name }) => name);
  const addressesOn = (name: string) => ip(`-o addr show dev ${name}`);

  test('goes, by its tags: links with addresses, addresses elsewhere, a link that got no alias any more', async () => {
    const spec = specOf(51);
    await host.attachment(spec).attach(cable.near);
    const specific = { ifindex: cable.near, address: '10.77.0.77', prefixLength: 32, proto: ADDRESS_PROTO };
    expect(addAddress(host.netlink, specific)).toEqual({ ok: true });
    ip(`link add koi52.half link ${cable.nearName} group ${group} type macvlan mode private`);

    const left = await removeLeftovers(host.netlink, cluster);
    expect([...left.links].sort()).toEqual([spec.linkName, 'koi52.half'].sort());
    expect([...left.addresses].sort()).toEqual(['10.77.0.251', '10.77.0.77']);
    expect(host.koiLinks()).toEqual([]);
    expect(addressesOn(cable.nearName)).not.toContain('10.77.0.77');
    expect(await removeLeftovers(host.netlink, cluster)).toEqual({ links: [], addresses: [] });
  });

  test("is not another cluster's, nor anybody else's", async () => {
    const spec = specOf(51);
    await host.attachment({ ...spec, alias: 'koi:lab:gw51:boot1' }).attach(cable.near);
    ip(`link add theirs link ${cable.nearName} type macvlan mode private`);
    ip(`addr add 10.77.0.9/24 dev ${cable.nearName}`);
    try {
      expect(await removeLeftovers(host.netlink, cluster)).toEqual({ links: [], addresses: [] });
      expect(names()).toEqual(expect.arrayContaining([spec.linkName, 'theirs']));
      expect(addressesOn(spec.linkName)).toContain('10.77.0.251/32');
      expect(addressesOn(cable.nearName)).toContain('10.77.0.9/24');
    } finally {
      ip('link del theirs');
      ip(`addr del 10.77.0.9/24 dev ${cable.nearName}`);
    }
  });

  test('200 links go together', async () => {
    const made = manyLinks(200);
    const tagged = made.map((ifindex) => ({ ifindex, config: { alias: `koi:edge:gw${ifindex}:boot0` } }));
    expect(configureLinks(host.netlink, tagged).filter((ack) => !ack.ok)).toEqual([]);
    const startMs = performance.now();
    const left = await removeLeftovers(host.netlink, cluster);
    expect(performance.now() - startMs).toBeLessThan(400 + stallMs);
    expect(left.links).toHaveLength(200);
    expect(host.koiLinks()).toEqual([]);
  });
});
