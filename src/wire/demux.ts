import type { AddressFamily } from './address.js';
import { type ArpPacket, type ArpRefusal, decodeArp } from './arp.js';
import { type CarpAdvert, type CarpRefusal, carpAuthLength, carpLength, decodeCarp } from './carp.js';
import { type Decoded, refused } from './decoded.js';
import { type EthernetRefusal, ethernetHeaderLength, etherType, peekEtherType } from './ethernet.js';
import { decodeIpv4, type Ipv4Header, type Ipv4Refusal, ipv4HeaderLength } from './ipv4.js';
import { decodeIpv6, type Ipv6Header, type Ipv6Refusal, ipv6HeaderLength } from './ipv6.js';
import { lanDatagramPort, peekLanDatagramId } from './lan-datagram.js';
import { type MacAddress, readMac } from './mac.js';
import {
  decodeNdp,
  icmpv6Protocol,
  type NdpMessage,
  type NdpRefusal,
  neighborAdvertisementType,
  neighborSolicitationType,
} from './ndp.js';
import { readU8, readU16 } from './octets.js';
import { decodeUdp, type UdpRefusal, udpProtocol } from './udp.js';
import { decodeVrrp, type VrrpAdvert, type VrrpRefusal, vrrpProtocol } from './vrrp.js';

/** From a whole Ethernet frame to the one protocol it belongs to. Frames of no concern cost no allocation. */

const ipsecAuthenticationHeader = 51;

interface EtherAddresses {
  readonly etherSource: MacAddress;
  readonly etherDestination: MacAddress;
}

/** The IP packet around a message. The hop limit is reported, not judged: unicast peers may be allowed another. */
export interface IpEnvelope extends EtherAddresses {
  readonly family: AddressFamily;
  readonly source: string;
  readonly destination: string;
  readonly hopLimit: number;
  /** Where the message lies in the frame, for those who verify a digest over its octets. */
  readonly payloadOffset: number;
  readonly payloadLength: number;
}

export interface VrrpPacket extends IpEnvelope {
  readonly kind: 'vrrp';
  /** The VRID as it stands there, even in an advert that is refused; 0 where there is none. */
  readonly id: number;
  readonly advert: Decoded<VrrpAdvert, VrrpRefusal>;
}

export interface CarpPacket extends IpEnvelope {
  readonly kind: 'carp';
  /** The VHID as it stands there, even in an advert that is refused. */
  readonly id: number;
  readonly advert: Decoded<CarpAdvert, CarpRefusal>;
}

export interface ArpFrame extends EtherAddresses {
  readonly kind: 'arp';
  readonly packet: ArpPacket;
}

export interface NdpPacket extends IpEnvelope {
  readonly kind: 'ndp';
  readonly message: NdpMessage;
}

/** A datagram of Koi's own, undecoded, since that takes a key: `decodeLanDatagram(frame, payloadOffset, …)`. */
export interface NoticeFrame extends IpEnvelope {
  readonly kind: 'notice';
  /** The VRID or VHID as it stands there, proven by nothing. */
  readonly id: number;
}

/** Why a frame could not even be handed to a protocol, or was no valid ARP or NDP. */
export type FrameRefusal = EthernetRefusal | Ipv4Refusal | Ipv6Refusal | UdpRefusal | ArpRefusal | NdpRefusal;

export interface RefusedFrame {
  readonly kind: 'refused';
  readonly reason: FrameRefusal;
  /** Absent if the frame ends before it. */
  readonly etherSource: MacAddress | undefined;
}

export type DemuxedFrame =
  | VrrpPacket
  | CarpPacket
  | ArpFrame
  | NdpPacket
  | NoticeFrame
  | RefusedFrame
  | { readonly kind: 'other' };

const other: DemuxedFrame = { kind: 'other' };

/**
 * Tells what an Ethernet frame is and decodes it. Never throws, whatever the octets. The result keeps no reference to
 * `frame`, which may be a view into a receive buffer that is used again.
 */
export function demuxFrame(frame: Uint8Array): DemuxedFrame {
  const type = peekEtherType(frame, 0, frame.length);
  switch (type) {
    case etherType.ipv4:
      return demuxIpv4(frame);
    case etherType.arp:
      return demuxArp(frame);
    case etherType.ipv6:
      return demuxIpv6(frame);
    case 'frame_truncated':
    case 'vlan_tagged':
      return refuse(frame, type);
    default:
      return other;
  }
}

function demuxArp(frame: Uint8Array): DemuxedFrame {
  const packet = decodeArp(frame, ethernetHeaderLength);
  return packet.ok ? { kind: 'arp', ...etherAddresses(frame), packet: packet.value } : refuse(frame, packet.reason);
}

function demuxIpv4(frame: Uint8Array): DemuxedFrame {
  const protocol = readU8(frame, ethernetHeaderLength + 9);
  const isNotice = protocol === udpProtocol && isToUs(frame, ethernetHeaderLength + ipv4HeaderLength);
  const isOurs = protocol === vrrpProtocol || protocol === ipsecAuthenticationHeader || isNotice;
  if (!isOurs && frame.length >= ethernetHeaderLength + ipv4HeaderLength) return other;
  const ip = decodeIpv4(frame, ethernetHeaderLength);
  if (!ip.ok) return refuse(frame, ip.reason);
  const { payloadOffset, payloadLength, addressSum } = ip.value;
  const envelope = envelopeOf(frame, 4, ip.value);
  if (isNotice) return notice(frame, envelope);
  if (protocol === ipsecAuthenticationHeader) {
    // RFC 2338's third kind of authentication: VRRP behind an IPsec header. Anything else behind one is not ours.
    if (payloadLength === 0 || readU8(frame, payloadOffset) !== vrrpProtocol) return other;
    return { kind: 'vrrp', ...envelope, id: 0, advert: refused('unsupported_auth') };
  }
  const id = payloadLength > 1 ? readU8(frame, payloadOffset + 1) : 0;
  // CARP and VRRPv2 share protocol and first octet. 36 octets of VRRPv2 are five addresses, so that octet 3 says 5.
  const isCarp =
    payloadLength === carpLength &&
    readU8(frame, payloadOffset) >>> 4 === 2 &&
    readU8(frame, payloadOffset + 3) === carpAuthLength;
  if (isCarp) return { kind: 'carp', ...envelope, id, advert: decodeCarp(frame, payloadOffset, payloadLength) };
  return { kind: 'vrrp', ...envelope, id, advert: decodeVrrp(frame, payloadOffset, payloadLength, 4, addressSum) };
}

function demuxIpv6(frame: Uint8Array): DemuxedFrame {
  const protocol = readU8(frame, ethernetHeaderLength + 6);
  const icmpType = readU8(frame, ethernetHeaderLength + ipv6HeaderLength);
  const isNotice = protocol === udpProtocol && isToUs(frame, ethernetHeaderLength + ipv6HeaderLength);
  const isOurs =
    protocol === vrrpProtocol ||
    isNotice ||
    (protocol === icmpv6Protocol && (icmpType === neighborSolicitationType || icmpType === neighborAdvertisementType));
  if (!isOurs && frame.length > ethernetHeaderLength + ipv6HeaderLength) return other;
  const ip = decodeIpv6(frame, ethernetHeaderLength);
  if (!ip.ok) return refuse(frame, ip.reason);
  if (!isOurs) return other;
  const { payloadOffset, payloadLength, addressSum } = ip.value;
  if (protocol === icmpv6Protocol) {
    const message = decodeNdp(frame, payloadOffset, payloadLength, addressSum);
    if (!message.ok) return refuse(frame, message.reason);
    return { kind: 'ndp', ...envelopeOf(frame, 6, ip.value), message: message.value };
  }
  const envelope = envelopeOf(frame, 6, ip.value);
  if (isNotice) return notice(frame, envelope);
  const id = payloadLength > 1 ? readU8(frame, payloadOffset + 1) : 0;
  // VRRPv2 has no IPv6, so version 2 here is CARP.
  if (readU8(frame, payloadOffset) >>> 4 === 2) {
    return { kind: 'carp', ...envelope, id, advert: decodeCarp(frame, payloadOffset, payloadLength) };
  }
  return { kind: 'vrrp', ...envelope, id, advert: decodeVrrp(frame, payloadOffset, payloadLength, 6, addressSum) };
}

/** Whether a UDP header without IP options before it is addressed to Koi's own port. */
const isToUs = (frame: Uint8Array, udpOffset: number): boolean => readU16(frame, udpOffset + 2) === lanDatagramPort;

function notice(frame: Uint8Array, envelope: IpEnvelope): DemuxedFrame {
  const udp = decodeUdp(frame, envelope.payloadOffset, envelope.payloadLength);
  if (!udp.ok) return refuse(frame, udp.reason);
  // Behind options it is somebody else's: the port was read where there is none.
  if (udp.value.destinationPort !== lanDatagramPort) return other;
  const { payloadOffset, payloadLength } = udp.value;
  const id = peekLanDatagramId(frame, payloadOffset, payloadLength);
  return { kind: 'notice', ...envelope, payloadOffset, payloadLength, id };
}

function etherAddresses(frame: Uint8Array): EtherAddresses {
  return { etherSource: readMac(frame, 6), etherDestination: readMac(frame, 0) };
}

function envelopeOf(frame: Uint8Array, family: AddressFamily, ip: Ipv4Header | Ipv6Header): IpEnvelope {
  return {
    etherSource: readMac(frame, 6),
    etherDestination: readMac(frame, 0),
    family,
    source: ip.source,
    destination: ip.destination,
    hopLimit: ip.hopLimit,
    payloadOffset: ip.payloadOffset,
    payloadLength: ip.payloadLength,
  };
}

function refuse(frame: Uint8Array, reason: FrameRefusal): DemuxedFrame {
  return { kind: 'refused', reason, etherSource: frame.length < ethernetHeaderLength ? undefined : readMac(frame, 6) };
}
