import { addressBytes, readIpv4 } from './address.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { allocateFrame, ethernetHeaderLength, etherType, writeEthernet } from './ethernet.js';
import { broadcastMac, type MacAddress, readMac, writeMac, zeroMac } from './mac.js';
import { inRange, readU16, writeU16 } from './octets.js';

/*
 * ARP for IPv4 over Ethernet (RFC 826)
 *   0  2  hardware type 1
 *   2  2  protocol type 0x0800
 *   4  1  hardware address length 6
 *   5  1  protocol address length 4
 *   6  2  opcode: 1 request, 2 reply
 *   8  6  sender MAC
 *  14  4  sender address
 *  18  6  target MAC
 *  24  4  target address
 */

export const arpLength = 28;
export const arpRequest = 1;
export const arpReply = 2;

export interface ArpPacket {
  /** `arpRequest`, `arpReply`, or any other: a wrong binding is one whatever the opcode, so none is refused. */
  readonly opcode: number;
  readonly senderMac: MacAddress;
  readonly senderAddress: string;
  readonly targetMac: MacAddress;
  readonly targetAddress: string;
}

export type ArpRefusal = 'arp_truncated' | 'arp_not_ipv4_over_ethernet';

export function decodeArp(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Decoded<ArpPacket, ArpRefusal> {
  if (length < arpLength || offset + length > bytes.length) return refused('arp_truncated');
  const isIpv4OverEthernet =
    readU16(bytes, offset) === 1 &&
    readU16(bytes, offset + 2) === etherType.ipv4 &&
    readU16(bytes, offset + 4) === 0x0604;
  if (!isIpv4OverEthernet) return refused('arp_not_ipv4_over_ethernet');
  return decoded({
    opcode: readU16(bytes, offset + 6),
    senderMac: readMac(bytes, offset + 8),
    senderAddress: readIpv4(bytes, offset + 14),
    targetMac: readMac(bytes, offset + 18),
    targetAddress: readIpv4(bytes, offset + 24),
  });
}

/** The 28 octets of a packet. */
export function encodeArp(packet: ArpPacket): Uint8Array {
  const bytes = new Uint8Array(arpLength);
  writeArp(bytes, 0, packet);
  return bytes;
}

function writeArp(bytes: Uint8Array, offset: number, packet: ArpPacket): void {
  writeU16(bytes, offset, 1);
  writeU16(bytes, offset + 2, etherType.ipv4);
  writeU16(bytes, offset + 4, 0x0604);
  writeU16(bytes, offset + 6, inRange('ARP opcode', packet.opcode, 0, 0xffff));
  writeMac(bytes, offset + 8, packet.senderMac);
  bytes.set(ipv4Bytes(packet.senderAddress), offset + 14);
  writeMac(bytes, offset + 18, packet.targetMac);
  bytes.set(ipv4Bytes(packet.targetAddress), offset + 24);
}

function ipv4Bytes(text: string): Uint8Array {
  const bytes = addressBytes(text);
  if (bytes.length !== 4) throw new RangeError(`ARP carries IPv4 addresses only, not ${text}`);
  return bytes;
}

function arpFrame(source: MacAddress, destination: MacAddress, packet: ArpPacket): Uint8Array {
  const frame = allocateFrame(arpLength);
  writeEthernet(frame, 0, { destination, source, etherType: etherType.arp });
  writeArp(frame, ethernetHeaderLength, packet);
  return frame;
}

/**
 * A gratuitous ARP as a whole broadcast frame of 60 octets, which binds `address` to `virtualMac` in every cache.
 * Stacks differ in which opcode they learn from, so both are announced.
 *
 * The request names ff:ff:ff:ff:ff:ff as target MAC, like keepalived and FRR. The reply names the sender's own: Linux
 * takes a reply for gratuitous only then (`arp_is_garp` in net/ipv4/arp.c), and only a gratuitous one replaces an
 * entry that is younger than `locktime`.
 */
export function gratuitousArp(announcement: {
  readonly virtualMac: MacAddress;
  readonly address: string;
  readonly operation: 'request' | 'reply';
}): Uint8Array {
  const { virtualMac, address, operation } = announcement;
  return arpFrame(virtualMac, broadcastMac, {
    opcode: operation === 'request' ? arpRequest : arpReply,
    senderMac: virtualMac,
    senderAddress: address,
    targetMac: operation === 'request' ? broadcastMac : virtualMac,
    targetAddress: address,
  });
}

/**
 * "Who has `targetAddress`", as a whole frame of 60 octets, to everyone or to `destination` alone. A sender address of
 * 0.0.0.0 makes it a probe in the sense of RFC 5227 §2.1.1, which changes no cache.
 */
export function arpProbe(probe: {
  readonly senderMac: MacAddress;
  readonly senderAddress: string;
  readonly targetAddress: string;
  readonly destination?: MacAddress;
}): Uint8Array {
  const { senderMac, senderAddress, targetAddress, destination = broadcastMac } = probe;
  return arpFrame(senderMac, destination, {
    opcode: arpRequest,
    senderMac,
    senderAddress,
    targetMac: zeroMac,
    targetAddress,
  });
}
