import type { HmacSha256 } from './auth-hmac.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { buildIpFrame, type IpFrame } from './ip-frame.js';
import { copyOctets, equalInConstantTime, inRange, readU8, readU64, writeU64 } from './octets.js';
import { encodeUdp, udpProtocol } from './udp.js';

/*
 * The notice: what two masters of one cluster tell each other directly on the LAN, so that the log's word decides and
 * not the priority. Authenticated, of fixed length, over UDP to and from port 28112.
 *   0  3  'KOI'
 *   3  1  version 1
 *   4  8  the cluster and the virtual router, hashed by the sender as all nodes agree
 *  12  1  VRID or VHID
 *  13  1  protocol: 1 VRRPv2, 2 VRRPv3, 3 CARP
 *  14  1  flags: bit 0 the term held is in the log, else provisional
 *  15  1  octets of the node id, 1..32
 *  16  8  term held, 0 for none
 *  24  8  highest logged term known
 *  32  8  counter, growing with every datagram of this node, across its restarts
 *  40 32  node id in UTF-8, zero-padded
 *  72 16  HMAC-SHA256 over octets 0 to 71, truncated
 */

export const lanDatagramLength = 88;
/** Koi's own, below the ports that Linux gives to clients. */
export const lanDatagramPort = 28_112;
export const scopeLength = 8;
/** CS6, network control, as adverts have. */
const trafficClass = 0xc0;
export const nodeIdLengthMax = 32;
const version = 1;
const idOffset = 12;
const nodeOffset = 40;
const digestOffset = 72;
const loggedFlag = 1;
const protocols = ['vrrp2', 'vrrp3', 'carp'] as const;

export type LanProtocol = (typeof protocols)[number];
/** As it stands in Koi's own frames, and back. */
export const lanProtocolNumber = (protocol: LanProtocol): number => protocols.indexOf(protocol) + 1;
export const lanProtocolOf = (number: number): LanProtocol | undefined => protocols[number - 1];

export interface LanDatagram {
  /** Which virtual router of which cluster, in 8 octets: a notice from one LAN says nothing on another. */
  readonly scope: Uint8Array;
  readonly protocol: LanProtocol;
  /** VRID or VHID, 1..255. */
  readonly id: number;
  /** At most 32 octets of UTF-8. */
  readonly node: string;
  /** 0 for none. */
  readonly termHeld: number;
  /** Whether the term held is in the log, or provisional. */
  readonly logged: boolean;
  readonly highestLoggedTerm: number;
  /** 64 bits; a receiver takes only what is above the last one it took from this node. */
  readonly counter: bigint;
}

export type LanDatagramRefusal =
  | 'notice_truncated'
  | 'notice_foreign'
  | 'notice_bad_version'
  | 'notice_bad_length'
  | 'notice_bad_digest'
  | 'notice_bad_field';

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true });

/** The VRID or VHID as it stands there, proven by nothing: to find whom the datagram is for; 0 where there is none. */
export const peekLanDatagramId = (bytes: Uint8Array, offset: number, length: number): number =>
  length < lanDatagramLength ? 0 : readU8(bytes, offset + idOffset);

/**
 * Decodes and authenticates. Nothing but version and length is looked at before the digest has proven the rest, so a
 * `notice_bad_field` is a fault of one of our own.
 */
export function decodeLanDatagram(
  bytes: Uint8Array,
  offset: number,
  length: number,
  key: Uint8Array,
  hmacSha256: HmacSha256,
): Decoded<LanDatagram, LanDatagramRefusal> {
  if (length < lanDatagramLength || offset + length > bytes.length) return refused('notice_truncated');
  const isOurs =
    readU8(bytes, offset) === 0x4b && readU8(bytes, offset + 1) === 0x4f && readU8(bytes, offset + 2) === 0x49;
  if (!isOurs) return refused('notice_foreign');
  if (readU8(bytes, offset + 3) !== version) return refused('notice_bad_version');
  if (length !== lanDatagramLength) return refused('notice_bad_length');
  const digest = bytes.subarray(offset + digestOffset, offset + lanDatagramLength);
  const expected = digestOf(bytes.subarray(offset, offset + digestOffset), key, hmacSha256);
  if (!equalInConstantTime(expected, digest)) return refused('notice_bad_digest');

  const protocol = lanProtocolOf(readU8(bytes, offset + 13));
  const id = readU8(bytes, offset + idOffset);
  const node = readNode(bytes, offset + nodeOffset, readU8(bytes, offset + 15));
  const termHeld = readSafeInteger(bytes, offset + 16);
  const highestLoggedTerm = readSafeInteger(bytes, offset + 24);
  if (protocol === undefined || id === 0 || !node || termHeld === undefined || highestLoggedTerm === undefined) {
    return refused('notice_bad_field');
  }
  return decoded({
    scope: copyOctets(bytes, offset + 4, scopeLength),
    protocol,
    id,
    node,
    termHeld,
    logged: (readU8(bytes, offset + 14) & loggedFlag) !== 0,
    highestLoggedTerm,
    counter: readU64(bytes, offset + 32),
  });
}

/**
 * The 88 octets of a notice, signed.
 * @throws RangeError for a field that does not fit.
 */
export function encodeLanDatagram(datagram: LanDatagram, key: Uint8Array, hmacSha256: HmacSha256): Uint8Array {
  const node = utf8Encoder.encode(datagram.node);
  inRange('octets of the scope', datagram.scope.length, scopeLength, scopeLength);
  const bytes = new Uint8Array(lanDatagramLength);
  bytes.set([0x4b, 0x4f, 0x49, version]);
  bytes.set(datagram.scope, 4);
  bytes[idOffset] = inRange('VRID or VHID', datagram.id, 1, 255);
  bytes[13] = lanProtocolNumber(datagram.protocol);
  bytes[14] = datagram.logged ? loggedFlag : 0;
  bytes[15] = inRange('octets of the node id', node.length, 1, nodeIdLengthMax);
  writeU64(bytes, 16, BigInt(inRange('term held', datagram.termHeld, 0, Number.MAX_SAFE_INTEGER)));
  writeU64(bytes, 24, BigInt(inRange('highest logged term', datagram.highestLoggedTerm, 0, Number.MAX_SAFE_INTEGER)));
  writeU64(bytes, 32, BigInt.asUintN(64, datagram.counter));
  bytes.set(node, nodeOffset);
  bytes.set(digestOf(bytes.subarray(0, digestOffset), key, hmacSha256), digestOffset);
  return bytes;
}

/**
 * A notice as a whole Ethernet frame, to a group or to a single host.
 * @throws RangeError for a field that does not fit, or a single host without its MAC.
 */
export function buildLanDatagramFrame(
  envelope: Pick<IpFrame, 'etherSource' | 'etherDestination' | 'source' | 'destination'>,
  datagram: LanDatagram,
  key: Uint8Array,
  hmacSha256: HmacSha256,
): Uint8Array {
  const { source, destination } = envelope;
  const ports = { sourcePort: lanDatagramPort, destinationPort: lanDatagramPort };
  const payload = encodeUdp({ ...ports, source, destination }, encodeLanDatagram(datagram, key, hmacSha256));
  return buildIpFrame({ ...envelope, protocol: udpProtocol, trafficClass, payload });
}

function digestOf(message: Uint8Array, key: Uint8Array, hmacSha256: HmacSha256): Uint8Array {
  return hmacSha256(key, message).subarray(0, lanDatagramLength - digestOffset);
}

function readSafeInteger(bytes: Uint8Array, offset: number): number | undefined {
  const value = readU64(bytes, offset);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

/** Undefined or empty if there is no node id that could be one. */
function readNode(bytes: Uint8Array, offset: number, length: number): string | undefined {
  if (length > nodeIdLengthMax) return undefined;
  try {
    return utf8Decoder.decode(bytes.subarray(offset, offset + length));
  } catch {
    return undefined;
  }
}
