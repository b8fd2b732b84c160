import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress } from './address.js';
import { type ArpPacket, arpProbe, arpReply, decodeArp, encodeArp, gratuitousArp } from './arp.js';
import { decodeEthernet, encodeEthernet } from './ethernet.js';
import { formatMac, type MacAddress, vrrpVirtualMac } from './mac.js';

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const virtualMac = vrrpVirtualMac(4, 51);
const padding = '00'.repeat(18);

describe('gratuitousArp', () => {
  it('request: the image that keepalived and FRR send', () => {
    const frame = gratuitousArp({ virtualMac, address: '192.0.2.1', operation: 'request' });
    const image = 'ffffffffffff00005e0001330806 0001080006040001 00005e000133 c0000201 ffffffffffff c0000201';
    expect(toHex(frame)).toBe(image.replaceAll(' ', '') + padding);
  });

  it('reply: broadcast, and the target is the sender, as Linux demands of a gratuitous reply', () => {
    const frame = gratuitousArp({ virtualMac, address: '192.0.2.1', operation: 'reply' });
    const image = 'ffffffffffff00005e0001330806 0001080006040002 00005e000133 c0000201 00005e000133 c0000201';
    expect(toHex(frame)).toBe(image.replaceAll(' ', '') + padding);
  });

  it('has no IPv6 form', () => {
    expect(() => gratuitousArp({ virtualMac, address: '2001:db8::1', operation: 'request' })).toThrow(RangeError);
  });
});

describe('arpProbe', () => {
  const probe = {
    senderMac: '02:00:00:00:00:01' as MacAddress,
    senderAddress: '192.0.2.11',
    targetAddress: '192.0.2.1',
  };

  it('asks everyone, with an empty target', () => {
    const image = 'ffffffffffff 020000000001 0806 0001080006040001 020000000001 c000020b 000000000000 c0000201';
    expect(toHex(arpProbe(probe))).toBe(image.replaceAll(' ', '') + padding);
  });

  it('or one neighbour alone', () => {
    const frame = arpProbe({ ...probe, destination: '02:00:00:00:00:02' as MacAddress });
    expect(decodeEthernet(frame)).toMatchObject({ value: { destination: '02:00:00:00:00:02' } });
    expect(decodeArp(frame, 14)).toMatchObject({ value: { targetMac: '00:00:00:00:00:00' } });
  });
});

describe('decodeArp', () => {
  const good = fromHex('0001080006040002 00005e000133 c0000201 020000000001 c000020b');

  it('decodes, with padding behind it', () => {
    const packet = {
      opcode: arpReply,
      senderMac: '00:00:5e:00:01:33',
      senderAddress: '192.0.2.1',
      targetMac: '02:00:00:00:00:01',
      targetAddress: '192.0.2.11',
    };
    expect(decodeArp(good)).toEqual({ ok: true, value: packet });
    expect(decodeArp(Uint8Array.of(1, 2, ...good, 0, 0, 0), 2)).toEqual({ ok: true, value: packet });
  });

  it('is refused when cut anywhere', () => {
    for (let length = 0; length < good.length; length++) {
      expect(decodeArp(good.slice(0, length))).toEqual({ ok: false, reason: 'arp_truncated' });
      expect(decodeArp(good, 0, length)).toEqual({ ok: false, reason: 'arp_truncated' });
    }
  });

  it.each([0, 1, 2, 3, 4, 5])('refuses another kind of ARP by octet %i', (offset) => {
    const other = good.slice();
    other[offset] = 0x77;
    expect(decodeArp(other)).toEqual({ ok: false, reason: 'arp_not_ipv4_over_ethernet' });
  });

  it('takes any opcode, since a wrong binding is one whatever the opcode', () => {
    const inverse = good.slice();
    inverse[7] = 9;
    expect(decodeArp(inverse)).toMatchObject({ ok: true, value: { opcode: 9 } });
  });

  it('gives back what was encoded', () => {
    const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMac);
    const address = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatAddress);
    const packet: fc.Arbitrary<ArpPacket> = fc.record({
      opcode: fc.integer({ min: 0, max: 0xffff }),
      senderMac: mac,
      senderAddress: address,
      targetMac: mac,
      targetAddress: address,
    });
    fc.assert(
      fc.property(packet, (value) => {
        expect(decodeArp(encodeArp(value))).toEqual({ ok: true, value });
      }),
    );
  });
});

describe('decodeEthernet', () => {
  const header = { destination: '01:00:5e:00:00:12' as MacAddress, source: virtualMac, etherType: 0x0800 };

  it('gives back what was encoded, and where the payload begins', () => {
    const bytes = Uint8Array.of(9, 9, ...encodeEthernet(header));
    expect(decodeEthernet(bytes, 2)).toEqual({ ok: true, value: { ...header, payloadOffset: 16 } });
  });

  it('is refused when cut anywhere', () => {
    const bytes = encodeEthernet(header);
    for (let length = 0; length < 14; length++) {
      expect(decodeEthernet(bytes.slice(0, length))).toEqual({ ok: false, reason: 'frame_truncated' });
    }
  });

  it.each([
    [0x8100, 'vlan_tagged'],
    [0x88a8, 'vlan_tagged'],
    [0x0026, 'length_instead_of_ether_type'],
  ])('refuses type %i: %s', (etherType, reason) => {
    expect(decodeEthernet(encodeEthernet({ ...header, etherType }))).toEqual({ ok: false, reason });
  });
});
