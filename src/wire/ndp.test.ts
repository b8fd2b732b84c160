import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress } from './address.js';
import { addWords, checksumOfSum, pseudoHeaderSum, sumAddresses } from './checksum.js';
import { demuxFrame } from './demux.js';
import { formatMac, type MacAddress, vrrpVirtualMac } from './mac.js';
import {
  decodeNdp,
  encodeNdp,
  type NdpMessage,
  neighborSolicitation,
  solicitedNodeGroup,
  solicitedNodeMac,
  unsolicitedNeighborAdvertisement,
} from './ndp.js';
import { writeU16 } from './octets.js';

const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const virtualMac = vrrpVirtualMac(6, 51);
const ownMac = '02:00:00:00:00:01' as MacAddress;
const advertisement = unsolicitedNeighborAdvertisement({ virtualMac, address: '2001:db8::1', router: true });
const solicitation = neighborSolicitation({
  senderMac: ownMac,
  senderAddress: 'fe80::11',
  targetAddress: '2001:db8::1',
});

// Both images computed by an independent script.
it('an unsolicited advertisement: from the address, to all nodes, override and router', () => {
  expect(toHex(advertisement)).toBe(
    '33330000000100005e00023386dd6000000000203aff20010db8000000000000000000000001ff0200000000000000000000000000018800' +
      '1af8a000000020010db8000000000000000000000001020100005e000233',
  );
});

it('a solicitation: to the group of the target', () => {
  expect(toHex(solicitation)).toBe(
    '3333ff00000102000000000186dd6000000000203afffe800000000000000000000000000011ff0200000000000000000001ff0000018700' +
      '4b510000000020010db80000000000000000000000010101020000000001',
  );
});

it('both come back through the demultiplexer', () => {
  expect(demuxFrame(advertisement)).toMatchObject({
    kind: 'ndp',
    etherSource: virtualMac,
    etherDestination: '33:33:00:00:00:01',
    source: '2001:db8::1',
    destination: 'ff02::1',
    hopLimit: 255,
    message: {
      type: 'advertisement',
      router: true,
      solicited: false,
      override: true,
      target: '2001:db8::1',
      linkLayerAddress: virtualMac,
    },
  });
  expect(demuxFrame(solicitation)).toMatchObject({
    kind: 'ndp',
    destination: 'ff02::1:ff00:1',
    message: { type: 'solicitation', target: '2001:db8::1', linkLayerAddress: ownMac },
  });
});

it('a host that does not forward does not call itself a router', () => {
  const frame = unsolicitedNeighborAdvertisement({ virtualMac, address: '2001:db8::1', router: false });
  expect(demuxFrame(frame)).toMatchObject({ message: { router: false, override: true } });
});

it('a probe for duplicates names no link-layer address', () => {
  const frame = neighborSolicitation({ senderMac: ownMac, senderAddress: '::', targetAddress: '2001:db8::1' });
  expect(demuxFrame(frame)).toMatchObject({ kind: 'ndp', source: '::', message: { linkLayerAddress: undefined } });
});

it('a solicitation to one neighbour goes to its address, not to the group', () => {
  const destination = '02:00:00:00:00:02' as MacAddress;
  const frame = neighborSolicitation({
    senderMac: ownMac,
    senderAddress: 'fe80::11',
    targetAddress: 'fe80::12',
    destination,
  });
  expect(demuxFrame(frame)).toMatchObject({ etherDestination: destination, destination: 'fe80::12' });
});

it('groups follow the last 24 bits', () => {
  expect(solicitedNodeGroup('2001:db8::12:3456')).toBe('ff02::1:ff12:3456');
  expect(solicitedNodeMac('2001:db8::12:3456')).toBe('33:33:ff:12:34:56');
});

it('asks for no group and no IPv4 address', () => {
  const probe = { senderMac: ownMac, senderAddress: 'fe80::11' };
  expect(() => neighborSolicitation({ ...probe, targetAddress: 'ff02::1' })).toThrow(RangeError);
  expect(() => neighborSolicitation({ ...probe, targetAddress: '192.0.2.1' })).toThrow(RangeError);
});

describe('decodeNdp', () => {
  const addressSum = sumAddresses(advertisement, 14, 6);
  const good = advertisement.slice(54);
  const decode = (bytes: Uint8Array) => decodeNdp(bytes, 0, bytes.length, addressSum);

  /** The message with octets replaced, options appended, and its checksum put right. */
  function altered(changes: Record<number, number>, appended: readonly number[] = []): Uint8Array {
    const bytes = Uint8Array.of(...good, ...appended);
    for (const [offset, value] of Object.entries(changes)) bytes[Number(offset)] = value;
    writeU16(bytes, 2, 0);
    const sum = addWords(pseudoHeaderSum(addressSum, 58, bytes.length), bytes, 0, bytes.length);
    writeU16(bytes, 2, checksumOfSum(sum));
    return bytes;
  }

  it('is refused when cut anywhere', () => {
    for (let length = 0; length < good.length; length++) {
      const reason = length < 24 ? 'ndp_truncated' : 'ndp_bad_checksum';
      expect(decode(good.slice(0, length))).toEqual({ ok: false, reason });
    }
  });

  it('is refused when one bit is flipped', () => {
    for (let bit = 0; bit < good.length * 8; bit++) {
      const flipped = good.slice();
      flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decode(flipped).ok).toBe(false);
    }
  });

  it.each([
    ['ndp_other_type', altered({ 0: 134 })],
    ['ndp_bad_code', altered({ 1: 1 })],
    ['ndp_multicast_target', altered({ 8: 0xff })],
    ['ndp_bad_option', altered({ 25: 0 })],
    ['ndp_bad_option', altered({ 25: 2 })],
    ['ndp_bad_option', altered({}, [14, 0])],
    ['ndp_bad_option', altered({}, [14])],
  ])('%s', (reason, bytes) => {
    expect(decode(bytes)).toEqual({ ok: false, reason });
  });

  it('steps over options it does not know, and takes no source address for a target', () => {
    const nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    expect(decode(altered({}, nonce))).toMatchObject({ value: { linkLayerAddress: virtualMac } });
    expect(decode(altered({ 24: 1 }))).toMatchObject({ value: { linkLayerAddress: undefined } });
  });

  it('gives back what was encoded', () => {
    const unicast = fc
      .uint8Array({ minLength: 16, maxLength: 16 })
      .filter((bytes) => bytes[0] !== 0xff)
      .map(formatAddress);
    const linkLayerAddress = fc.option(fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMac), {
      nil: undefined,
    });
    const message: fc.Arbitrary<NdpMessage> = fc.oneof(
      fc.record({ type: fc.constant('solicitation' as const), target: unicast, linkLayerAddress }),
      fc.record({
        type: fc.constant('advertisement' as const),
        router: fc.boolean(),
        solicited: fc.boolean(),
        override: fc.boolean(),
        target: unicast,
        linkLayerAddress,
      }),
    );
    fc.assert(
      fc.property(message, (value) => {
        const bytes = encodeNdp(value, '2001:db8::1', 'ff02::1');
        expect(decode(bytes)).toEqual({ ok: true, value });
      }),
    );
  });
});
