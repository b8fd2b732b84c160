import { type Decoded, decoded, refused } from './decoded.js';
import { type MacAddress, readMac, writeMac } from './mac.js';
import { readU16, writeU16 } from './octets.js';

/*
 * Ethernet II (IEEE 802.3 §3.1)
 *   0  6  destination
 *   6  6  source
 *  12  2  EtherType
 *  14     payload, padded so that the frame has at least 60 octets (without the check sequence)
 */

export const ethernetHeaderLength = 14;
/** The shortest frame, without the check sequence. Builders pad to it, so that nothing but zeros fills the rest. */
export const ethernetFrameLengthMin = 60;

export const etherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  serviceVlan: 0x88a8,
  ipv6: 0x86dd,
} as const;

export interface EthernetHeader {
  readonly destination: MacAddress;
  readonly source: MacAddress;
  readonly etherType: number;
  /** Where the payload begins, counted from the start of the byte array. */
  readonly payloadOffset: number;
}

export type EthernetRefusal = 'frame_truncated' | 'vlan_tagged' | 'length_instead_of_ether_type';

/** The EtherType of a frame, or the reason why it has none that can be used. Allocates nothing but a refusal. */
export function peekEtherType(bytes: Uint8Array, offset: number, length: number): number | EthernetRefusal {
  if (length < ethernetHeaderLength || offset + length > bytes.length) return 'frame_truncated';
  const type = readU16(bytes, offset + 12);
  if (type === etherType.vlan || type === etherType.serviceVlan) return 'vlan_tagged';
  // Below 0x600 the field is a length: 802.2 LLC, spanning tree and the like.
  return type < 0x600 ? 'length_instead_of_ether_type' : type;
}

export function decodeEthernet(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Decoded<EthernetHeader, EthernetRefusal> {
  const type = peekEtherType(bytes, offset, length);
  if (typeof type === 'string') return refused(type);
  return decoded({
    destination: readMac(bytes, offset),
    source: readMac(bytes, offset + 6),
    etherType: type,
    payloadOffset: offset + ethernetHeaderLength,
  });
}

/** Writes the 14 octets of a header at `offset`. */
export function writeEthernet(
  bytes: Uint8Array,
  offset: number,
  header: Pick<EthernetHeader, 'destination' | 'source' | 'etherType'>,
): void {
  writeMac(bytes, offset, header.destination);
  writeMac(bytes, offset + 6, header.source);
  writeU16(bytes, offset + 12, header.etherType);
}

/** The 14 octets of a header. */
export function encodeEthernet(header: Pick<EthernetHeader, 'destination' | 'source' | 'etherType'>): Uint8Array {
  const bytes = new Uint8Array(ethernetHeaderLength);
  writeEthernet(bytes, 0, header);
  return bytes;
}

/** A zeroed frame for a payload of `payloadLength` octets, long enough for Ethernet. */
export function allocateFrame(payloadLength: number): Uint8Array {
  return new Uint8Array(Math.max(ethernetFrameLengthMin, ethernetHeaderLength + payloadLength));
}
