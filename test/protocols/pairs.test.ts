import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltKoi, buildKoi } from '../daemon/build.js';
import { ipBatch } from '../lab/ip.js';
import { KoiPair, type Rank, type RouterLines } from './pair.js';

/*
 * Two Koi routers in each protocol, in network namespaces: who is better is elected, dies, comes back and preempts, and
 * leaves with a farewell. All the while every address must be told with the virtual MAC of its family.
 */
const isRoot = process.getuid?.() === 0;

const four = '10.77.0.254';
const linkLocal = 'fe80::77:254';
const global = '2001:db8:77::254';
const mac = (familyOctet: string): string => `00:00:5e:00:${familyOctet}:33`;
const vrrpMac = (address: string): string => mac(address.includes(':') ? '02' : '01');

const priority = { better: 200, worse: 100 } as const;
const advskew = { better: 0, worse: 100 } as const;

/** A secret in a file of its own. */
const secret = (directory: string, name: string, text: string): string => {
  const file = join(directory, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
};

interface Row {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly lines: (rank: Rank, directory: string) => RouterLines;
  readonly macOf: (address: string) => string;
}

const rows: readonly Row[] = [
  {
    name: 'VRRPv2 with a password',
    addresses: [four],
    lines: (rank, directory) => ({
      protocol: 'vrrp2',
      priority: priority[rank],
      vrrp2: { auth: { type: 'pass', passwordFile: secret(directory, 'pass', 'secret') } },
    }),
    macOf: vrrpMac,
  },
  {
    name: 'VRRPv3 over IPv6',
    addresses: [linkLocal, global],
    lines: (rank) => ({ protocol: 'vrrp3', priority: priority[rank], advertInterval: '100ms' }),
    macOf: vrrpMac,
  },
  {
    name: 'VRRPv3 over both families, signed',
    addresses: [four, linkLocal, global],
    lines: (rank, directory) => ({
      protocol: 'vrrp3',
      priority: priority[rank],
      advertInterval: '100ms',
      authHmac: { keyFile: secret(directory, 'key', 'k'.repeat(32)) },
    }),
    macOf: vrrpMac,
  },
  {
    name: 'CARP of FreeBSD',
    addresses: [four],
    lines: (rank, directory) => ({
      protocol: 'carp',
      carp: { advskew: advskew[rank], passwordFile: secret(directory, 'carp', 'secret') },
    }),
    macOf: () => mac('01'),
  },
  {
    name: 'CARP of OpenBSD over both families, ten adverts a second',
    addresses: [four, linkLocal, global],
    lines: (rank) => ({
      protocol: 'carp',
      carp: { flavor: 'openbsd', advbase: 0, advskew: rank === 'better' ? 25 : 50 },
    }),
    macOf: () => mac('01'),
  },
];

describe.skipIf(!isRoot)('a pair by its own protocol (needs root)', () => {
  let koi: BuiltKoi;
  beforeAll(() => {
    koi = buildKoi();
  }, 120_000);
  afterAll(() => koi?.remove());

  test.each(rows)('$name', { timeout: 90_000 }, async ({ addresses, lines, macOf }) => {
    const pair = await KoiPair.begin(koi.main, addresses, lines);
    try {
      pair.start('worse');
      pair.start('better');
      await pair.settled('the better to be elected', 'better');

      await pair.powerOff('better');
      await pair.settled('the worse to take over', 'worse');

      pair.start('better');
      await pair.settled('the better to preempt', 'better');

      expect(await pair.stop('better')).toBe(0);
      await pair.settled('the worse to follow the farewell', 'worse');

      expect(await pair.stop('worse')).toBe(0);
      await pair.settled('nobody to serve in the end');
      expect(await pair.judge(macOf)).toEqual([]);
    } finally {
      pair.close();
    }
  });

  test('in CARP, a list of addresses that differs is told apart from a wrong password', async () => {
    const pair = await KoiPair.begin(koi.main, [four], (rank) => ({
      protocol: 'carp',
      addresses: rank === 'better' ? [`${four}/24`, '10.77.0.253/24'] : [`${four}/24`],
      carp: { advskew: advskew[rank] },
    }));
    try {
      pair.start('worse');
      pair.start('better');
      await pair.says('better', 'the password is right, but the sender lacks 10.77.0.253');
      await pair.says('worse', 'bad_digest', 'the keys differ, or the lists of addresses do');
    } finally {
      pair.close();
    }
  });

  test('an IPv6 address that another host has is not attached, and it says whose it is', async () => {
    const pair = await KoiPair.begin(koi.main, [global], () => ({ protocol: 'vrrp3', advertInterval: '100ms' }));
    const client = pair.segment.topology.clientNetns;
    try {
      ipBatch(client, [`addr add ${global}/64 dev eth1 nodad`]);
      pair.start('better');
      await pair.says('better', `answers for ${global}`);
      await pair.settled('nobody to serve');
      ipBatch(client, [`addr del ${global}/64 dev eth1`]);
      await pair.settled('it to serve once the other host gave the address up', 'better');
    } finally {
      pair.close();
    }
  });
});
