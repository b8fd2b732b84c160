import { type AddressFamily, addressBytes } from './address.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { copyOctets, equalInConstantTime, inRange, readU8, readU16, readU32, writeU16, writeU32 } from './octets.js';

/*
 * keepalived's `auth_hmac` trailer behind a VRRP advert (draft-cassen-vrrp-auth-hmac; keepalived 2.4.0)
 *   0  1  scheme 1: HMAC-SHA256, truncated to 128 bits
 *   1  1  key id
 *   2  2  reserved, 0
 *   4  4  seconds since the Unix epoch
 *   8  2  binary fraction of a second
 *  10  2  counter within one time stamp
 *  12 16  HMAC
 *
 * The HMAC covers a pseudo block (family 4 or 6, version, VRID, 0, source address in 16 octets, zero-padded), the
 * advert with its checksum zero, and the trailer with its HMAC zero. The destination is left out on purpose: one
 * signature serves every unicast peer.
 */

export const authHmacLength = 28;
const digestOffset = 12;
const digestLength = 16;
const pseudoBlockLength = 20;

/** HMAC-SHA256 of `data`, 32 octets. The codecs import nothing, so cryptography is handed in. */
export type HmacSha256 = (key: Uint8Array, data: Uint8Array) => Uint8Array;

export interface AuthHmacStamp {
  /** Which key signed, 0..255. */
  readonly keyId: number;
  /** Seconds since the Unix epoch, 32 bits. */
  readonly seconds: number;
  /** In units of 2^-16 s. */
  readonly subseconds: number;
  readonly counter: number;
}

export interface AuthHmacTrailer extends AuthHmacStamp {
  /** 16 octets. */
  readonly digest: Uint8Array;
}

export type AuthHmacRefusal = 'bad_trailer' | 'bad_digest';

export function decodeAuthHmac(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Decoded<AuthHmacTrailer, 'bad_trailer'> {
  const isTrailer =
    length === authHmacLength &&
    offset + length <= bytes.length &&
    readU8(bytes, offset) === 1 &&
    readU16(bytes, offset + 2) === 0;
  if (!isTrailer) return refused('bad_trailer');
  return decoded({
    keyId: readU8(bytes, offset + 1),
    seconds: readU32(bytes, offset + 4),
    subseconds: readU16(bytes, offset + 8),
    counter: readU16(bytes, offset + 10),
    digest: copyOctets(bytes, offset + digestOffset, digestLength),
  });
}

/** Writes the trailer's 28 octets at `offset`. */
export function writeAuthHmac(bytes: Uint8Array, offset: number, trailer: AuthHmacTrailer): void {
  if (trailer.digest.length !== digestLength) {
    throw new RangeError(`an auth_hmac digest has ${digestLength} octets, not ${trailer.digest.length}`);
  }
  bytes[offset] = 1;
  bytes[offset + 1] = inRange('key id', trailer.keyId, 0, 255);
  writeU16(bytes, offset + 2, 0);
  writeU32(bytes, offset + 4, inRange('seconds', trailer.seconds, 0, 0xffff_ffff));
  writeU16(bytes, offset + 8, inRange('subseconds', trailer.subseconds, 0, 0xffff));
  writeU16(bytes, offset + 10, inRange('counter', trailer.counter, 0, 0xffff));
  bytes.set(trailer.digest, offset + digestOffset);
}

/** The trailer's 28 octets. */
export function encodeAuthHmac(trailer: AuthHmacTrailer): Uint8Array {
  const bytes = new Uint8Array(authHmacLength);
  writeAuthHmac(bytes, 0, trailer);
  return bytes;
}

/**
 * The 16 octets that belong into the trailer of `message`.
 *
 * @param message advert and trailer, as in the IP payload; its checksum and digest may hold anything.
 * @param source the IP source the receiver will see.
 */
export function computeAuthHmac(
  message: Uint8Array,
  source: string,
  key: Uint8Array,
  hmacSha256: HmacSha256,
): Uint8Array {
  const sourceBytes = addressBytes(source);
  const family: AddressFamily = sourceBytes.length === 4 ? 4 : 6;
  const input = new Uint8Array(pseudoBlockLength + message.length);
  input[0] = family;
  input[1] = readU8(message, 0) >>> 4;
  input[2] = readU8(message, 1);
  input.set(sourceBytes, 4);
  input.set(message, pseudoBlockLength);
  writeU16(input, pseudoBlockLength + 6, 0);
  input.fill(0, input.length - digestLength);
  return copyOctets(hmacSha256(key, input), 0, digestLength);
}

/**
 * Checks the trailer at the end of `message` (an IP payload) against one key and gives it back. Which key id and which
 * time stamps are acceptable is for the caller to say.
 */
export function verifyAuthHmac(
  message: Uint8Array,
  source: string,
  key: Uint8Array,
  hmacSha256: HmacSha256,
): Decoded<AuthHmacTrailer, AuthHmacRefusal> {
  if (message.length < authHmacLength) return refused('bad_trailer');
  const trailer = decodeAuthHmac(message, message.length - authHmacLength, authHmacLength);
  if (!trailer.ok) return trailer;
  const expected = computeAuthHmac(message, source, key, hmacSha256);
  return equalInConstantTime(expected, trailer.value.digest) ? trailer : refused('bad_digest');
}
