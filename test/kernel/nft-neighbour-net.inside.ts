import { execFileSync, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { nftTableName } from '../../src/kernel/names.js';
import {
  installNeighbourGuard,
  neighbourGuardRules,
  readNeighbourGuard,
  removeNeighbourGuard,
} from '../../src/kernel/nft-neighbour-net.js';
import type { DropCounter, MacBinding } from '../../src/kernel/nft-net.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { demuxFrame } from '../../src/wire/demux.js';
import { type MacAddress, readMac, vrrpVirtualMac } from '../../src/wire/mac.js';
import { neighborSolicitation, unsolicitedNeighborAdvertisement } from '../../src/wire/ndp.js';
import { type Cable, good, ip, layCable, milliseconds } from './cable.js';

const table = nftTableName('edge', 'r1');
const vip = 'fd80::254';
const other = 'fd80::253';
const linkLocalVip = 'fe80::254';
const virtualMac = vrrpVirtualMac(6, 80);
const group = 0x4b00_0007;
const guarded: readonly MacBinding[] = [vip, linkLocalVip].map((address) => ({ address, mac: virtualMac }));
const asker = { senderMac: '02:00:00:00:00:bb' as MacAddress, senderAddress: 'fd80::b' };
let cable: Cable;

beforeAll(async () => {
  cable = await layCable();
});
afterEach(() => {
  removeNeighbourGuard(table);
});
afterAll(() => {
  cable.remove();
});

/** Only for comparing: Koi itself needs no nft program. */
const nftMissing = spawnSync('nft', ['--version']).error !== undefined;
const ruleset = () => execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' });
const nearMac = (): MacAddress => /link\/ether (\S+)/.exec(ip(`-o link show dev ${cable.nearName}`))?.[1] as MacAddress;
const dropped = (address: string): number | undefined =>
  good(readNeighbourGuard(table)).counters.find((counter: DropCounter) => counter.address === address)?.droppedPackets;

/** What comes out of the far end, as `136 ADDRESS ETHER-SOURCE OPTION`, while `act` goes on and 100 ms more, at most until there is some. */
async function heard(act: () => unknown): Promise<string[]> {
  const frames: string[] = [];
  const socket = PacketSocket.open({
    ifindex: cable.far,
    protocol: etherProtocol.ipv6,
    onFrame: (frame, { outgoing }) => {
      const found = demuxFrame(frame);
      // A router solicitation is no frame that Koi reads.
      if (!outgoing && frame[20] === 58 && frame[54] === 133) frames.push(`133 ${readMac(frame, 6)}`);
      if (outgoing || found.kind !== 'ndp') return;
      const { message, source } = found;
      const words = message.type === 'advertisement' ? ['136', message.target] : ['135', source];
      frames.push([...words, readMac(frame, 6), message.linkLayerAddress ?? '-'].join(' '));
    },
  });
  try {
    await act();
    const endMs = performance.now() + 100;
    while (frames.length === 0 && performance.now() < endMs) {
      await milliseconds(2);
      socket.drain();
    }
    return [...new Set(frames)];
  } finally {
    socket.close();
  }
}

function send(frame: Uint8Array, ifindex = cable.far): void {
  const socket = PacketSocket.open({ ifindex, protocol: etherProtocol.none });
  socket.send([frame]);
  socket.close();
}
/** "Who has `address`?" */
const ask = (address: string): Promise<string[]> =>
  heard(() => send(neighborSolicitation({ ...asker, targetAddress: address })));
/** "Are you still there?" */
const askOnly = (destination: MacAddress): Promise<string[]> =>
  heard(() => send(neighborSolicitation({ ...asker, targetAddress: vip, destination })));

/** Goes to somebody whom this host has to ask for first. */
async function speakFrom(address: string): Promise<void> {
  const socket = createSocket('udp6');
  socket.bind(0, address);
  await once(socket, 'listening');
  socket.send('?', 9, 'fd80::99');
  await milliseconds(10);
  socket.close();
}

describe('the neighbour guard, of an address on the parent', () => {
  beforeAll(() => {
    for (const address of [vip, other]) ip(`addr add ${address}/64 dev ${cable.nearName} nodad`);
  });
  afterAll(() => {
    for (const address of [vip, other]) ip(`addr del ${address}/64 dev ${cable.nearName}`);
  });

  test('drops and counts its advertisements, and those of no other address', async () => {
    const mac = nearMac();
    expect(await ask(vip)).toEqual([`136 ${vip} ${mac} ${mac}`]);
    expect(await askOnly(mac), 'without an option').toEqual([`136 ${vip} ${mac} -`]);
    expect(installNeighbourGuard(table, group, guarded)).toEqual({ ok: true });
    expect(await ask(vip)).toEqual([]);
    expect(await ask(vip)).toEqual([]);
    expect(dropped(vip)).toBe(2);
    expect(await askOnly(mac)).toEqual([]);
    expect(dropped(vip)).toBe(3);
    expect(await ask(other)).toEqual([`136 ${other} ${mac} ${mac}`]);
    expect(removeNeighbourGuard(table)).toEqual({ ok: true });
    expect(await ask(vip)).toEqual([`136 ${vip} ${mac} ${mac}`]);
  });

  test('drops and counts its solicitations', async () => {
    const mac = nearMac();
    const question = (address: string) => [`135 ${address} ${mac} ${mac}`];
    const speak = (address: string) =>
      heard(async () => {
        ip(`neigh flush dev ${cable.nearName}`);
        await speakFrom(address);
      });
    expect(await speak(vip)).toEqual(question(vip));
    installNeighbourGuard(table, group, guarded);
    expect(await speak(vip)).toEqual([]);
    expect(dropped(vip)).toBeGreaterThan(0);
    expect(await speak(other)).toEqual(question(other));
    ip(`neigh flush dev ${cable.nearName}`);
  });

  test('drops and counts what the kernel announces by itself', async () => {
    const conf = `/proc/sys/net/ipv6/conf/${cable.nearName}/ndisc_notify`;
    execFileSync('sh', ['-c', `echo 1 > ${conf}`]);
    try {
      const change = (mac: string) => heard(() => ip(`link set ${cable.nearName} address ${mac}`));
      expect(await change('02:00:00:00:00:a1')).toContain(`136 ${vip} 02:00:00:00:00:a1 02:00:00:00:00:a1`);
      installNeighbourGuard(table, group, guarded);
      const frames = await change('02:00:00:00:00:a2');
      expect(frames.filter((frame) => frame.includes(vip))).toEqual([]);
      expect(frames).toContain(`136 ${other} 02:00:00:00:00:a2 02:00:00:00:00:a2`);
      expect(dropped(vip)).toBe(1);
    } finally {
      execFileSync('sh', ['-c', `echo 0 > ${conf}`]);
    }
  });

  test('lets pass what Koi sends by a packet socket', async () => {
    installNeighbourGuard(table, group, guarded);
    const announcement = unsolicitedNeighborAdvertisement({ virtualMac, address: vip, router: false });
    expect(await heard(() => send(announcement, cable.near))).toEqual([`136 ${vip} ${virtualMac} ${virtualMac}`]);
    expect(dropped(vip)).toBe(0);
  });
});

test('drops and counts the question for routers that a link-local virtual IP asks', async () => {
  const add = () => heard(() => ip(`addr add ${linkLocalVip}/64 dev ${cable.nearName} nodad`));
  try {
    expect(await add()).toContain(`133 ${nearMac()}`);
    ip(`addr del ${linkLocalVip}/64 dev ${cable.nearName}`);
    installNeighbourGuard(table, group, guarded);
    expect(await add()).toEqual([]);
    expect(dropped(linkLocalVip)).toBeGreaterThan(0);
  } finally {
    ip(`addr del ${linkLocalVip}/64 dev ${cable.nearName}`);
  }
});

describe('the neighbour guard, of an address on a link with the virtual MAC', () => {
  beforeAll(() => {
    ip(`link add kmv1 link ${cable.nearName} address ${virtualMac} group ${group} type macvlan mode private`);
    ip('link set kmv1 addrgenmode none');
    ip('link set kmv1 up');
    ip(`addr add ${vip}/64 dev kmv1 nodad`);
    installNeighbourGuard(table, group, guarded);
  });
  afterAll(() => {
    ip('link del kmv1');
  });

  test('lets it answer everybody, and ask', async () => {
    installNeighbourGuard(table, group, guarded);
    expect(await ask(vip)).toEqual([`136 ${vip} ${virtualMac} ${virtualMac}`]);
    expect(await askOnly(virtualMac)).toEqual([`136 ${vip} ${virtualMac} -`]);
    expect(await heard(() => speakFrom(vip))).toEqual([`135 ${vip} ${virtualMac} ${virtualMac}`]);
    expect(dropped(vip)).toBe(0);
  });

  test('lets a link of somebody else answer that has the same MAC, except without saying it', async () => {
    installNeighbourGuard(table, group + 1, guarded);
    expect(await ask(vip)).toEqual([`136 ${vip} ${virtualMac} ${virtualMac}`]);
    expect(await askOnly(virtualMac)).toEqual([]);
    expect(dropped(vip)).toBe(1);
  });

  test('keeps a link of Koi from answering that somebody has given another MAC', async () => {
    ip('link set kmv1 address 02:00:00:00:00:66');
    installNeighbourGuard(table, group, guarded);
    expect(await ask(vip)).toEqual([]);
    expect(dropped(vip)).toBe(1);
  });
});

describe('the table of the neighbour guard', () => {
  test.skipIf(nftMissing)('is what nft understands', () => {
    installNeighbourGuard(table, group, [{ address: vip, mac: virtualMac }], new Map([[vip, 7]]));
    const chain = (name: string, length: number, about: string, option: string) => [
      `\tchain ${name} {`,
      `\t\toifgroup ${group} ip6 length ${length} accept comment "binds nothing, from a link of koi"`,
      `\t\t@th,${length * 8},16 0x${option} ${about} . @th,${length * 8 + 16},48 @bound accept comment "binds to the virtual MAC"`,
      `\t\t${about} @guarded drop comment "binds to another MAC"`,
      '\t}',
      '',
    ];
    expect(ruleset().trim().split('\n')).toEqual([
      `table ip6 ${table}_net {`,
      '\tset bound {',
      '\t\ttype ipv6_addr . ether_addr',
      `\t\telements = { ${vip} . ${virtualMac} }`,
      '\t}',
      '',
      '\tset guarded {',
      '\t\ttype ipv6_addr',
      '\t\tcounter',
      `\t\telements = { ${vip} counter packets 7 bytes 0 }`,
      '\t}',
      '',
      '\tchain output {',
      '\t\ttype filter hook output priority filter; policy accept;',
      '\t\ticmpv6 type nd-neighbor-advert jump advertised comment "advertised"',
      '\t\ticmpv6 type nd-neighbor-solicit jump solicited comment "solicited"',
      '\t\ticmpv6 type nd-router-solicit jump sought comment "sought"',
      '\t}',
      '',
      ...chain('advertised', 24, '@th,64,128', '201'),
      ...chain('solicited', 24, 'ip6 saddr', '101'),
      ...chain('sought', 8, 'ip6 saddr', '101').slice(0, -1),
      '}',
    ]);
  });

  test('is replaced as a whole, has as many rules as it should have, and is gone without any', () => {
    installNeighbourGuard(table, group, guarded, new Map([[linkLocalVip, 3]]));
    const { counters, rules } = good(readNeighbourGuard(table));
    expect(rules).toBe(neighbourGuardRules(2));
    expect(counters).toHaveLength(2);
    expect(counters).toContainEqual({ address: vip, droppedPackets: 0 });
    expect(counters).toContainEqual({ address: linkLocalVip, droppedPackets: 3 });
    installNeighbourGuard(table, group, [{ address: other, mac: virtualMac }]);
    expect(good(readNeighbourGuard(table))).toEqual({
      counters: [{ address: other, droppedPackets: 0 }],
      rules: neighbourGuardRules(1),
    });
    installNeighbourGuard(table, group, []);
    expect(good(readNeighbourGuard(table))).toEqual({ counters: [], rules: neighbourGuardRules(0) });
    if (!nftMissing) expect(ruleset()).toBe('');
  });

  test('takes 1,000 addresses', () => {
    const bindings = Array.from({ length: 1000 }, (_, n) => ({
      address: `fd81::${(n + 1).toString(16)}`,
      mac: virtualMac,
    }));
    const started = performance.now();
    expect(installNeighbourGuard(table, group, bindings)).toEqual({ ok: true });
    const installed = performance.now();
    const { counters, rules } = good(readNeighbourGuard(table));
    const readMs = (performance.now() - installed).toFixed(1);
    expect(new Set(counters.map(({ address }) => address))).toEqual(new Set(bindings.map(({ address }) => address)));
    expect(rules).toBe(neighbourGuardRules(1000));
    process.stdout.write(
      `a neighbour guard for 1,000 addresses in ${(installed - started).toFixed(1)} ms, read in ${readMs}\n`,
    );
  });
});
