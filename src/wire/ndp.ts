import { addressBytes, isMulticast, multicastMac, readIpv6 } from './address.js';
import { addWords, checksumOfSum, foldSum, pseudoHeaderSum } from './checksum.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { buildIpFrame } from './ip-frame.js';
import { type MacAddress, readMac, writeMac } from './mac.js';
import { readU8, writeU16 } from './octets.js';

/*
 * Neighbour solicitation and advertisement (RFC 4861 §4.3, §4.4), in ICMPv6
 *   0  1  type: 135 solicitation, 136 advertisement
 *   1  1  code 0
 *   2  2  checksum, with pseudo-header
 *   4  4  advertisement: router (bit 31), solicited (30), override (29)
 *   8 16  target
 *  24     options: type, length in 8 octets, content; 1 source, 2 target link-layer address
 */

export const icmpv6Protocol = 58;
export const neighborSolicitationType = 135;
export const neighborAdvertisementType = 136;
export const allNodesGroup = 'ff02::1';
const headerLength = 24;
const sourceLinkLayerOption = 1;
const targetLinkLayerOption = 2;
const linkLayerOptionLength = 8;

export interface NeighborSolicitation {
  readonly type: 'solicitation';
  readonly target: string;
  /** The source link-layer address; absent in the probes of duplicate address detection. */
  readonly linkLayerAddress?: MacAddress | undefined;
}

export interface NeighborAdvertisement {
  readonly type: 'advertisement';
  readonly router: boolean;
  readonly solicited: boolean;
  readonly override: boolean;
  readonly target: string;
  /** The target link-layer address. */
  readonly linkLayerAddress?: MacAddress | undefined;
}

export type NdpMessage = NeighborSolicitation | NeighborAdvertisement;

export type NdpRefusal =
  | 'ndp_truncated'
  | 'ndp_other_type'
  | 'ndp_bad_code'
  | 'ndp_bad_checksum'
  | 'ndp_bad_option'
  | 'ndp_multicast_target';

/**
 * Decodes an ICMPv6 payload of exactly `length` octets. Hop limit 255 is the caller's to check.
 *
 * @param addressSum the words of the IPv6 addresses (`sumAddresses`), for the pseudo-header.
 */
export function decodeNdp(
  bytes: Uint8Array,
  offset: number,
  length: number,
  addressSum: number,
): Decoded<NdpMessage, NdpRefusal> {
  if (length < headerLength || offset + length > bytes.length) return refused('ndp_truncated');
  const type = readU8(bytes, offset);
  if (type !== neighborSolicitationType && type !== neighborAdvertisementType) return refused('ndp_other_type');
  if (readU8(bytes, offset + 1) !== 0) return refused('ndp_bad_code');
  const sum = addWords(pseudoHeaderSum(addressSum, icmpv6Protocol, length), bytes, offset, length);
  if (foldSum(sum) !== 0xffff) return refused('ndp_bad_checksum');
  if (readU8(bytes, offset + 8) === 0xff) return refused('ndp_multicast_target');
  const isSolicitation = type === neighborSolicitationType;
  const wanted = isSolicitation ? sourceLinkLayerOption : targetLinkLayerOption;
  const linkLayerAddress = readLinkLayerOption(bytes, offset + headerLength, offset + length, wanted);
  if (linkLayerAddress === 'malformed') return refused('ndp_bad_option');
  const target = readIpv6(bytes, offset + 8);
  if (isSolicitation) return decoded({ type: 'solicitation', target, linkLayerAddress });
  const flags = readU8(bytes, offset + 4);
  return decoded({
    type: 'advertisement',
    router: (flags & 0x80) !== 0,
    solicited: (flags & 0x40) !== 0,
    override: (flags & 0x20) !== 0,
    target,
    linkLayerAddress,
  });
}

function readLinkLayerOption(
  bytes: Uint8Array,
  start: number,
  end: number,
  wanted: number,
): MacAddress | undefined | 'malformed' {
  let found: MacAddress | undefined;
  for (let at = start; at < end; ) {
    const optionLength = readU8(bytes, at + 1) * 8;
    // A length of zero would never end: the whole message is to be dropped (RFC 4861 §4.6).
    if (optionLength === 0 || at + optionLength > end) return 'malformed';
    if (readU8(bytes, at) === wanted && optionLength === linkLayerOptionLength) found = readMac(bytes, at + 2);
    at += optionLength;
  }
  return found;
}

/** The message as an ICMPv6 payload, sent from `source` to `destination`. */
export function encodeNdp(message: NdpMessage, source: string, destination: string): Uint8Array {
  const optionsLength = message.linkLayerAddress === undefined ? 0 : linkLayerOptionLength;
  const bytes = new Uint8Array(headerLength + optionsLength);
  const isSolicitation = message.type === 'solicitation';
  bytes[0] = isSolicitation ? neighborSolicitationType : neighborAdvertisementType;
  if (message.type === 'advertisement') {
    bytes[4] = (message.router ? 0x80 : 0) | (message.solicited ? 0x40 : 0) | (message.override ? 0x20 : 0);
  }
  bytes.set(ipv6Bytes(message.target), 8);
  if (message.linkLayerAddress !== undefined) {
    bytes[headerLength] = isSolicitation ? sourceLinkLayerOption : targetLinkLayerOption;
    bytes[headerLength + 1] = 1;
    writeMac(bytes, headerLength + 2, message.linkLayerAddress);
  }
  const addressSum = addWords(0, ipv6Bytes(source), 0, 16) + addWords(0, ipv6Bytes(destination), 0, 16);
  const sum = addWords(pseudoHeaderSum(addressSum, icmpv6Protocol, bytes.length), bytes, 0, bytes.length);
  writeU16(bytes, 2, checksumOfSum(sum));
  return bytes;
}

function ipv6Bytes(text: string): Uint8Array {
  const bytes = addressBytes(text);
  if (bytes.length !== 16) throw new RangeError(`neighbour discovery carries IPv6 addresses only, not ${text}`);
  return bytes;
}

/** ff02::1:ffXX:XXXX, the group that is asked for `address` (RFC 4291 §2.7.1). */
export function solicitedNodeGroup(address: string): string {
  const group = addressBytes('ff02::1:ff00:0');
  group.set(ipv6Bytes(address).subarray(13), 13);
  return readIpv6(group, 0);
}

/** The Ethernet address of `solicitedNodeGroup(address)`. */
export function solicitedNodeMac(address: string): MacAddress {
  return multicastMac(addressBytes(solicitedNodeGroup(address)));
}

/**
 * An unsolicited neighbour advertisement as a whole frame to all nodes, which binds `address` to `virtualMac` in every
 * cache: source the address itself, override set (RFC 9568 §6.4.2, §8.2.2).
 */
export function unsolicitedNeighborAdvertisement(announcement: {
  readonly virtualMac: MacAddress;
  readonly address: string;
  /** Set where the host forwards: a cleared flag makes hosts drop it as their router (RFC 4861 §7.2.5). */
  readonly router: boolean;
}): Uint8Array {
  const { virtualMac, address, router } = announcement;
  const message: NdpMessage = {
    type: 'advertisement',
    router,
    solicited: false,
    override: true,
    target: address,
    linkLayerAddress: virtualMac,
  };
  return ndpFrame(virtualMac, undefined, address, allNodesGroup, message);
}

/**
 * "Who has `targetAddress`" as a whole frame, to the solicited-node group or to `destination` alone. From `::` it is a
 * probe for duplicates, carries no link-layer address (RFC 4862 §5.4.2) and changes no cache.
 */
export function neighborSolicitation(probe: {
  readonly senderMac: MacAddress;
  readonly senderAddress: string;
  readonly targetAddress: string;
  readonly destination?: MacAddress;
}): Uint8Array {
  const { senderMac, senderAddress, targetAddress } = probe;
  const linkLayerAddress = senderAddress === '::' ? undefined : senderMac;
  const message: NdpMessage = { type: 'solicitation', target: targetAddress, linkLayerAddress };
  const destination = probe.destination === undefined ? solicitedNodeGroup(targetAddress) : targetAddress;
  return ndpFrame(senderMac, probe.destination, senderAddress, destination, message);
}

function ndpFrame(
  etherSource: MacAddress,
  etherDestination: MacAddress | undefined,
  source: string,
  destination: string,
  message: NdpMessage,
): Uint8Array {
  if (isMulticast(ipv6Bytes(message.target))) {
    throw new RangeError(`neighbour discovery asks for unicast addresses, not ${message.target}`);
  }
  return buildIpFrame({
    etherSource,
    etherDestination,
    source,
    destination,
    protocol: icmpv6Protocol,
    trafficClass: 0,
    payload: encodeNdp(message, source, destination),
  });
}
