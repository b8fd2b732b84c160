import { execFileSync, spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { addAddress } from '../../src/kernel/addresses.js';
import { ADDRESS_PROTO, nftTableName } from '../../src/kernel/names.js';
import { Netlink } from '../../src/kernel/netlink.js';
import { installArpGuard, readArpGuard, removeArpGuard } from '../../src/kernel/nft-arp-net.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { openNeighbourTap } from '../../src/kernel/tap.js';
import { addressBytes } from '../../src/wire/address.js';
import { type MacAddress, readMac, vrrpVirtualMac, writeMac } from '../../src/wire/mac.js';
import { type Cable, good, ip, layCable } from './cable.js';

const table = nftTableName('edge', 'r1');
const vip = '10.80.0.254';
const other = '10.80.0.253';
const virtualMac = vrrpVirtualMac(4, 80);
let cable: Cable;
let netlink: Netlink;

beforeAll(async () => {
  cable = await layCable();
  netlink = Netlink.open();
});
afterEach(() => {
  removeArpGuard(table);
});
afterAll(() => {
  netlink.close();
  cable.remove();
});

/** Only for comparing: Koi itself needs no nft program. */
const nftMissing = spawnSync('nft', ['--version']).error !== undefined;
const ruleset = () => execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' });

/** "Who has `address`?", asked at the far end; the MACs in the answers that come out there. */
function ask(address: string): string[] {
  const asked = listen(address);
  try {
    // The kernel answers within the send, on this side of a veth.
    return asked.answers();
  } finally {
    asked.close();
  }
}

/** As `ask`, for a macvlan: it hands broadcasts to a kernel worker, so its answer takes a moment. */
async function askPatiently(address: string): Promise<string[]> {
  const asked = listen(address);
  try {
    const end = performance.now() + 1000;
    while (asked.answers().length === 0 && performance.now() < end) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    return asked.answers();
  } finally {
    asked.close();
  }
}

function listen(address: string): { answers: () => string[]; close: () => void } {
  const answers: string[] = [];
  const tap = openNeighbourTap(cable.far, (frame, meta) => {
    if (!meta.outgoing && frame[21] === 2) answers.push(readMac(frame, 22));
  });
  const asker = PacketSocket.open({ ifindex: cable.far, protocol: etherProtocol.none });
  const request = new Uint8Array(60);
  writeMac(request, 0, 'ff:ff:ff:ff:ff:ff' as MacAddress);
  writeMac(request, 6, '02:00:00:00:00:bb' as MacAddress);
  request.set([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1], 12);
  writeMac(request, 22, '02:00:00:00:00:bb' as MacAddress);
  request.set(addressBytes('10.80.0.1'), 28);
  request.set(addressBytes(address), 38);
  asker.send([request]);
  return {
    answers: () => {
      tap.drain();
      return answers;
    },
    close: () => {
      tap.close();
      asker.close();
    },
  };
}

describe('the ARP guard', () => {
  beforeAll(() => {
    for (const address of [vip, other]) {
      addAddress(netlink, { ifindex: cable.near, address, prefixLength: 32, proto: ADDRESS_PROTO });
    }
    ip(`addr add 10.80.0.2/24 dev ${cable.nearName}`);
  });

  test('drops and counts what binds the address to another MAC, and nothing else', () => {
    expect(ask(vip)).toHaveLength(1);
    expect(installArpGuard(table, [{ address: vip, mac: virtualMac }])).toEqual({ ok: true });
    expect(ask(vip)).toEqual([]);
    expect(ask(vip)).toEqual([]);
    expect(ask(other)).toHaveLength(1);
    expect(ask('10.80.0.2')).toHaveLength(1);
    expect(good(readArpGuard(table)).counters).toEqual([{ address: vip, droppedPackets: 2 }]);
    expect(removeArpGuard(table)).toEqual({ ok: true });
    expect(ask(vip)).toHaveLength(1);
  });

  test('lets the virtual MAC answer', async () => {
    ip(`link add kmv1 link ${cable.nearName} address ${virtualMac} type macvlan mode private`);
    ip('link set kmv1 addrgenmode none');
    ip('link set kmv1 up');
    try {
      installArpGuard(table, [{ address: vip, mac: virtualMac }]);
      // Both the parent and the macvlan want to answer: only the right one gets out.
      expect(await askPatiently(vip)).toEqual([virtualMac]);
      expect(good(readArpGuard(table)).counters[0]?.droppedPackets).toBe(1);
    } finally {
      ip('link del kmv1');
    }
  });

  test.skipIf(nftMissing)('is what nft understands', () => {
    installArpGuard(table, [
      { address: vip, mac: virtualMac },
      { address: other, mac: virtualMac },
    ]);
    const rule = (address: string) =>
      `\t\tarp saddr ip ${address} arp saddr ether != ${virtualMac} counter packets 0 bytes 0 drop comment "${address} only from ${virtualMac}"`;
    expect(ruleset().trim().split('\n')).toEqual([
      `table arp ${table} {`,
      '\tchain output {',
      '\t\ttype filter hook output priority filter; policy accept;',
      rule(vip),
      rule(other),
      '\t}',
      '}',
    ]);
  });

  test('is replaced as a whole, and its counters begin where they are told to', () => {
    installArpGuard(table, [{ address: vip, mac: virtualMac }]);
    ask(vip);
    const replaced = [
      { address: other, mac: virtualMac },
      { address: vip, mac: virtualMac },
    ];
    installArpGuard(table, replaced, new Map([[vip, 1]]));
    ask(other);
    expect(good(readArpGuard(table)).counters).toEqual([
      { address: other, droppedPackets: 1 },
      { address: vip, droppedPackets: 1 },
    ]);
    installArpGuard(table, []);
    expect(good(readArpGuard(table)).counters).toEqual([]);
    expect(ask(vip)).toHaveLength(1);
  });

  test('takes 1,000 addresses', () => {
    const bindings = Array.from({ length: 1000 }, (_, n) => ({
      address: `10.81.${n >> 8}.${n & 255}`,
      mac: virtualMac,
    }));
    const started = performance.now();
    expect(installArpGuard(table, bindings)).toEqual({ ok: true });
    const installed = performance.now();
    expect(good(readArpGuard(table)).counters.map(({ address }) => address)).toEqual(
      bindings.map(({ address }) => address),
    );
    const readMs = (performance.now() - installed).toFixed(1);
    process.stdout.write(`a guard for 1,000 addresses in ${(installed - started).toFixed(1)} ms, read in ${readMs}\n`);
  });

  test.skipIf(nftMissing)('leaves other tables alone, and is not missed when absent', () => {
    execFileSync('nft', ['add', 'table', 'arp', 'somebody_elses']);
    try {
      installArpGuard(table, [{ address: vip, mac: virtualMac }]);
      expect(removeArpGuard(table)).toEqual({ ok: true });
      expect(removeArpGuard(table)).toEqual({ ok: true });
      expect(good(readArpGuard(table)).counters).toEqual([]);
      expect(ruleset()).toContain('somebody_elses');
    } finally {
      execFileSync('nft', ['delete', 'table', 'arp', 'somebody_elses']);
    }
  });
});
