import { addressBytes, isMulticast, multicastMac, readIpv4, readIpv6 } from './address.js';
import { allocateFrame, ethernetHeaderLength, etherType, writeEthernet } from './ethernet.js';
import { ipv4HeaderLength, writeIpv4 } from './ipv4.js';
import { ipv6HeaderLength, writeIpv6 } from './ipv6.js';
import type { MacAddress } from './mac.js';
import { readU8, readU16 } from './octets.js';

/** Whole Ethernet frames around an IP payload, and the way back to the payload of a frame built here. */

export interface IpFrame {
  readonly etherSource: MacAddress;
  /** Needed for a unicast destination; a multicast group has its own address. */
  readonly etherDestination?: MacAddress | undefined;
  /** Decides the family. */
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** Type of service, or traffic class. */
  readonly trafficClass: number;
  readonly payload: Uint8Array;
}

/** What every protocol here sends with, and demands: nothing that was forwarded has it (RFC 9568 §5.1.1.3). */
export const hopLimitOnLink = 255;

/**
 * A frame with hop limit 255, padded to Ethernet's minimum.
 * @throws RangeError for a unicast destination without a MAC, or for addresses of two families.
 */
export function buildIpFrame(packet: IpFrame): Uint8Array {
  const { source, destination, protocol, trafficClass, payload } = packet;
  const destinationBytes = addressBytes(destination);
  const isIpv4 = destinationBytes.length === 4;
  const headerLength = isIpv4 ? ipv4HeaderLength : ipv6HeaderLength;
  const frame = allocateFrame(headerLength + payload.length);
  writeEthernet(frame, 0, {
    source: packet.etherSource,
    destination: packet.etherDestination ?? groupMac(destination, destinationBytes),
    etherType: isIpv4 ? etherType.ipv4 : etherType.ipv6,
  });
  const envelope = { source, destination, protocol, hopLimit: hopLimitOnLink, payloadLength: payload.length };
  if (isIpv4) writeIpv4(frame, ethernetHeaderLength, { ...envelope, typeOfService: trafficClass });
  else writeIpv6(frame, ethernetHeaderLength, { ...envelope, trafficClass });
  frame.set(payload, ethernetHeaderLength + headerLength);
  return frame;
}

function groupMac(destination: string, bytes: Uint8Array): MacAddress {
  if (!isMulticast(bytes)) throw new RangeError(`a frame to ${destination} needs the MAC of its receiver`);
  return multicastMac(bytes);
}

export interface IpPayload {
  readonly family: 4 | 6;
  readonly offset: number;
  readonly length: number;
}

/** Where the IP payload of a frame lies that `buildIpFrame` has built. */
export function ipPayloadOf(frame: Uint8Array): IpPayload {
  const ip = ethernetHeaderLength;
  if (readU16(frame, 12) === etherType.ipv6) {
    return { family: 6, offset: ip + ipv6HeaderLength, length: readU16(frame, ip + 4) };
  }
  const headerLength = (readU8(frame, ip) & 0x0f) * 4;
  return { family: 4, offset: ip + headerLength, length: readU16(frame, ip + 2) - headerLength };
}

/** Where the IP packet of such a frame is addressed to. */
export function ipDestinationOf(frame: Uint8Array): string {
  const ip = ethernetHeaderLength;
  return readU16(frame, 12) === etherType.ipv6 ? readIpv6(frame, ip + 24) : readIpv4(frame, ip + 16);
}
