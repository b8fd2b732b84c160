import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { renewEveryMs } from '../../src/attach/attachment.js';
import { ADDRESS_PROTO } from '../../src/kernel/names.js';
import { etherProtocol, PacketSocket } from '../../src/kernel/packet.js';
import { KoiError } from '../../src/koi-error.js';
import { addressBytes, multicastMac } from '../../src/wire/address.js';
import { demuxFrame, type NdpPacket } from '../../src/wire/demux.js';
import { buildIpFrame } from '../../src/wire/ip-frame.js';
import { type MacAddress, vrrpVirtualMac } from '../../src/wire/mac.js';
import { neighborSolicitation, solicitedNodeMac } from '../../src/wire/ndp.js';
import { type Cable, ip, layCable, milliseconds } from '../kernel/cable.js';
import { Host, specOf } from './host.js';

const linkLocal = 'fe80::77:254';
const global = '2001:db8:77::254';
const virtualMac = vrrpVirtualMac(6, 61);
const spec = { ...specOf(61, [linkLocal, global]), virtualMac };
const asker = { mac: '02:00:00:00:00:99' as MacAddress, address: 'fe80::99' };

let cable: Cable;
let host: Host;
let far: PacketSocket;
let seen: Uint8Array[] = [];

beforeAll(async () => {
  cable = await layCable();
  ip(`addr add fe80::1:1/64 dev ${cable.nearName} nodad`);
  host = new Host();
  far = PacketSocket.open({
    ifindex: cable.far,
    protocol: etherProtocol.all,
    onFrame: (frame, { outgoing }) => {
      if (!outgoing) seen.push(frame.slice());
    },
  });
});
afterEach(() => {
  host.reset();
  seen = [];
});
afterAll(() => {
  far.close();
  host.close();
  cable.remove();
});

const sysctl = (key: string, of = spec.linkName): string =>
  readFileSync(`/proc/sys/net/ipv6/conf/${of}/${key}`, 'utf8').trim();

function advertisementsFor(target: string): NdpPacket[] {
  far.drain();
  return seen.map(demuxFrame).flatMap((frame) => {
    const isAnswer = frame.kind === 'ndp' && frame.message.type === 'advertisement' && frame.message.target === target;
    return isAnswer ? [frame] : [];
  });
}

/** Asks for an address from the far end until it is answered, or for 300 ms. */
async function ask(target: string): Promise<NdpPacket[]> {
  for (let round = 0; round < 60; round++) {
    far.send([neighborSolicitation({ senderMac: asker.mac, senderAddress: asker.address, targetAddress: target })]);
    await milliseconds(5);
    const answers = advertisementsFor(target);
    if (answers.length > 0) return answers;
  }
  return [];
}

/** A router advertisement that offers a prefix for autoconfiguration (RFC 4861 §4.2, §4.6.2). */
function routerAdvertisement(): Uint8Array {
  const payload = new Uint8Array(16 + 32);
  payload.set([134, 0, 0, 0, 64, 0, 7, 8]);
  payload.set([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10], 16);
  payload.set(addressBytes('2001:db8:bad::'), 32);
  const frame = buildIpFrame({
    etherSource: asker.mac,
    etherDestination: multicastMac(addressBytes('ff02::1')),
    source: asker.address,
    destination: 'ff02::1',
    protocol: 58,
    trafficClass: 0,
    payload,
  });
  let sum = 58 + payload.length;
  const words = new DataView(frame.buffer, frame.byteOffset);
  for (let at = 22; at < 54 + payload.length; at += 2) sum += words.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  words.setUint16(54 + 2, ~sum & 0xffff);
  return frame;
}

describe('in backup', () => {
  test('the link makes no address out of anything, and forwards as its parent does', async () => {
    for (const forwarding of ['1', '0']) {
      ip(`link set ${cable.nearName} up`);
      writeSysctl(`${cable.nearName}/forwarding`, forwarding);
      const attachment = host.attachment(spec);
      attachment.prepare(cable.near);
      const keys = ['accept_ra', 'autoconf', 'router_solicitations', 'accept_dad', 'dad_transmits'];
      expect(keys.map((key) => sysctl(key))).toEqual(['0', '0', '0', '0', '0']);
      expect([sysctl('disable_ipv6'), sysctl('forwarding')]).toEqual(['0', forwarding]);
      expect(host.addressesOf(attachment.linkIfindex)).toEqual([]);
      expect(await ask(global)).toEqual([]);
      expect(
        seen.map(demuxFrame).filter((frame) => 'etherSource' in frame && frame.etherSource === virtualMac),
      ).toEqual([]);
      await attachment.destroy();
    }
  });
});

const writeSysctl = (path: string, value: string): void => {
  ip(`netns exec ${process.env.KOI_TEST_NAMESPACE} sysctl -qw net/ipv6/conf/${path}=${value}`);
};

describe('attached', () => {
  test('the addresses are usable at once, tagged, without prefix route, and answered for with the virtual MAC', async () => {
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    const addresses = host.addressesOf(attachment.linkIfindex);
    expect(addresses.map(({ address }) => address).sort()).toEqual([global, linkLocal].sort());
    for (const address of addresses) {
      expect(address).toMatchObject({
        prefixLength: 128,
        proto: ADDRESS_PROTO,
        flags: { tentative: false, dadFailed: false, noDad: true, noPrefixRoute: true },
      });
    }
    const groups = readFileSync('/proc/net/igmp6', 'utf8')
      .split('\n')
      .filter((line) => line.includes(spec.linkName));
    for (const address of spec.addresses) {
      const group = solicitedNodeMac(address).replaceAll(':', '').slice(6);
      expect(groups.some((line) => line.split(/\s+/)[2]?.endsWith(group))).toBe(true);
    }
    for (const address of spec.addresses) {
      const answers = await ask(address);
      expect(answers.length).toBeGreaterThan(0);
      for (const { message, etherSource } of answers) {
        expect([message.linkLayerAddress, etherSource]).toEqual([virtualMac, virtualMac]);
      }
    }
  });

  test('every time, although the kernel tells of an IPv6 address a moment after it has acknowledged it', async () => {
    for (let cycle = 0; cycle < 25; cycle++) {
      const attachment = host.attachment(spec);
      attachment.prepare(cable.near);
      await attachment.attach(cable.near);
      attachment.detach();
      expect(host.holders(spec.addresses)).toEqual([]);
      await attachment.destroy();
    }
  });

  test('a router that advertises a prefix gets no address on the virtual MAC', async () => {
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    for (let round = 0; round < 5; round++) {
      far.send([routerAdvertisement()]);
      await milliseconds(20);
    }
    host.renew(attachment);
    expect(host.addressesOf(attachment.linkIfindex)).toHaveLength(2);
  });

  test('renewing keeps them, releasing takes them off', async () => {
    const attachment = host.attachment(spec);
    await attachment.attach(cable.near);
    for (let round = 0; round < 6; round++) {
      await milliseconds(renewEveryMs);
      expect(host.renew(attachment)).toEqual([]);
    }
    attachment.detach();
    expect(host.holders(spec.addresses)).toEqual([]);
  });
});

describe('what would bind an address to another MAC', () => {
  const refusalOf = async (attach: Promise<unknown>): Promise<KoiError> => {
    const error = await attach.then(
      () => undefined,
      (refusal: unknown) => refusal,
    );
    if (!(error instanceof KoiError)) throw new Error(`not refused: ${String(error)}`);
    return error;
  };

  test('a proxy on the parent is refused by name, and nothing is left behind', async () => {
    ip(`-6 neigh add proxy ${global} dev ${cable.nearName}`);
    const attachment = host.attachment(spec);
    const refused = await refusalOf(attachment.attach(cable.near));
    expect(refused.message).toContain(`${cable.nearName} answers for ${global} with its own MAC`);
    expect(refused.remedy).toBe(`ip -6 neigh del proxy ${global} dev ${cable.nearName}`);
    expect(host.holders(spec.addresses)).toEqual([]);
    ip(`-6 neigh del proxy ${global} dev ${cable.nearName}`);
    await attachment.attach(cable.near);
  });

  test('the same address on the parent is refused; the same link-local one on another link is not', async () => {
    ip(`addr add ${linkLocal}/64 dev ${cable.nearName} nodad`);
    const attachment = host.attachment(spec);
    const refused = await refusalOf(attachment.attach(cable.near));
    expect(refused.message).toContain(`${linkLocal} is already on ${cable.nearName}`);
    ip(`addr del ${linkLocal}/64 dev ${cable.nearName}`);
    const other = await layCable();
    try {
      ip(`addr add ${linkLocal}/64 dev ${other.nearName} nodad`);
      await attachment.attach(cable.near);
    } finally {
      other.remove();
    }
  });

  test('another host that has the address ends the attach before the address is added', async () => {
    const duplicates = (): Promise<string> => Promise.reject(new KoiError('attach', 'somebody has it'));
    const attachment = host.attachment(spec, { duplicates });
    expect((await refusalOf(attachment.attach(cable.near))).message).toContain('step duplicates of the attach');
    expect(host.holders(spec.addresses)).toEqual([]);
  });
});

test('a hushed link is found by nobody and keeps its addresses, and is found again when that is over', async () => {
  // Of its own: what an attach before has left is still being made anew in the background.
  const addresses = ['fe80::77:253', '2001:db8:77::253'] as const;
  const attachment = host.attachment({ ...specOf(62, addresses), virtualMac: vrrpVirtualMac(6, 62) });
  await attachment.attach(cable.near);
  for (const address of addresses) expect(await ask(address)).not.toEqual([]);
  attachment.hush(true);
  seen = [];
  for (const address of addresses) expect(await ask(address)).toEqual([]);
  expect(host.renew(attachment)).toEqual([]);
  attachment.hush(false);
  expect(await ask(addresses[1])).not.toEqual([]);
  attachment.hush(true);
  attachment.detach();
  await attachment.remake();
  await attachment.attach(cable.near);
  seen = [];
  expect(await ask(addresses[1])).not.toEqual([]);
  await attachment.destroy();
});
