import { addressBytes, compareAddressBytes, isLinkLocalIpv6 } from './address.js';
import { addWords, foldSum, internetChecksum } from './checksum.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { type MacAddress, macBytes } from './mac.js';
import { copyOctets, equalInConstantTime, inRange, readU8, readU64, writeU16, writeU64 } from './octets.js';

/*
 * CARP (OpenBSD and FreeBSD `ip_carp.h`)
 *   0  1  version 2 | type 1: the same octet as VRRPv2's
 *   1  1  VHID
 *   2  1  advskew
 *   3  1  7: 32-bit words of counter and digest
 *   4  1  demotion (OpenBSD); padding (FreeBSD, ucarp)
 *   5  1  advbase in seconds
 *   6  2  checksum over these 36 octets, without pseudo-header in both families
 *   8  8  counter
 *  16 20  HMAC-SHA1
 */

export const carpProtocol = 112;
export const carpLength = 36;
export const carpAuthLength = 7;
/** The longest passphrase, in octets: BSD copies it with `strlcpy` into 20. */
export const carpPassphraseLengthMax = 19;
const carpKeyLength = 20;
const digestOffset = 16;

/** HMAC-SHA1 of `data`, 20 octets. The codecs import nothing, so cryptography is handed in. */
export type HmacSha1 = (key: Uint8Array, data: Uint8Array) => Uint8Array;

export interface CarpAdvert {
  /** 1..255. */
  readonly vhid: number;
  /** In 1/256 s; 255, together with advbase 255, is the farewell. */
  readonly advskew: number;
  /** In seconds. */
  readonly advbase: number;
  /** OpenBSD's demotion count; 0 from FreeBSD and ucarp. */
  readonly demote: number;
  /** 64 bits: constant per virtual host in OpenBSD, growing in FreeBSD and ucarp. */
  readonly counter: bigint;
  /** 20 octets, not yet verified. */
  readonly digest: Uint8Array;
}

export type CarpRefusal = 'truncated' | 'length_mismatch' | 'bad_version' | 'bad_type' | 'bad_checksum' | 'zero_id';

/** Decodes an advert from an IP payload of exactly `length` octets. Neither peer checks the octet of `7`, nor do we. */
export function decodeCarp(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Decoded<CarpAdvert, CarpRefusal> {
  if (length < carpLength || offset + length > bytes.length) return refused('truncated');
  if (length > carpLength) return refused('length_mismatch');
  if (readU8(bytes, offset) >>> 4 !== 2) return refused('bad_version');
  if ((readU8(bytes, offset) & 0x0f) !== 1) return refused('bad_type');
  if (foldSum(addWords(0, bytes, offset, carpLength)) !== 0xffff) return refused('bad_checksum');
  const vhid = readU8(bytes, offset + 1);
  if (vhid === 0) return refused('zero_id');
  return decoded({
    vhid,
    advskew: readU8(bytes, offset + 2),
    demote: readU8(bytes, offset + 4),
    advbase: readU8(bytes, offset + 5),
    counter: readU64(bytes, offset + 8),
    digest: copyOctets(bytes, offset + digestOffset, carpLength - digestOffset),
  });
}

/**
 * The 36 octets of an advert.
 * @throws RangeError for a field that does not fit the wire.
 */
export function encodeCarp(advert: CarpAdvert): Uint8Array {
  inRange('octets of a CARP digest', advert.digest.length, 20, 20);
  const bytes = new Uint8Array(carpLength);
  bytes[0] = 0x21;
  bytes[1] = inRange('VHID', advert.vhid, 1, 255);
  bytes[2] = inRange('advskew', advert.advskew, 0, 255);
  bytes[3] = carpAuthLength;
  bytes[4] = inRange('demote', advert.demote, 0, 255);
  bytes[5] = inRange('advbase', advert.advbase, 0, 255);
  writeU64(bytes, 8, BigInt.asUintN(64, advert.counter));
  bytes.set(advert.digest, digestOffset);
  writeU16(bytes, 6, internetChecksum(bytes));
  return bytes;
}

/**
 * The HMAC key: the passphrase in UTF-8, cut at 19 octets like BSD's `strlcpy`, padded with zeros to 20. No passphrase
 * is 20 zeros, and still authenticated.
 */
export function carpKey(passphrase: string): Uint8Array {
  const key = new Uint8Array(carpKeyLength);
  key.set(new TextEncoder().encode(passphrase).subarray(0, carpPassphraseLengthMax));
  return key;
}

/**
 * Which addresses a digest covers. OpenBSD sends `no-link-local` and accepts both; FreeBSD and ucarp know only `all`.
 * The two differ only where a virtual host has an IPv6 link-local address.
 */
export type CarpDigestForm = 'all' | 'no-link-local';

export interface CarpAuthentication {
  /** 20 octets, see `carpKey`. */
  readonly key: Uint8Array;
  readonly vhid: number;
  /** All addresses of the virtual host, both families, in any order: every advert's digest covers all of them. */
  readonly addresses: readonly string[];
  /** OpenBSD puts the MAC in where it is not the default one of the VHID. */
  readonly linkLayerAddress?: MacAddress | undefined;
}

/** What is hashed: version, type, [MAC], VHID, IPv4 then IPv6 addresses in ascending order, counter. */
export function carpHmacInput(
  authentication: Omit<CarpAuthentication, 'key'>,
  counter: bigint,
  form: CarpDigestForm,
): Uint8Array {
  const { vhid, addresses, linkLayerAddress } = authentication;
  const covered = addresses
    .map(addressBytes)
    .filter((bytes) => form === 'all' || !isLinkLocalIpv6(bytes))
    .sort(compareAddressBytes);
  const mac = linkLayerAddress === undefined ? [] : macBytes(linkLayerAddress);
  const counterBytes = new Uint8Array(8);
  writeU64(counterBytes, 0, BigInt.asUintN(64, counter));
  return Uint8Array.from([2, 1, ...mac, vhid, ...covered.flatMap((bytes) => [...bytes]), ...counterBytes]);
}

/** The digest for an advert with this counter, 20 octets. */
export function carpDigest(
  authentication: CarpAuthentication,
  counter: bigint,
  form: CarpDigestForm,
  hmacSha1: HmacSha1,
): Uint8Array {
  return hmacSha1(authentication.key, carpHmacInput(authentication, counter, form));
}

/**
 * Checks an advert's digest in both forms, like OpenBSD, and tells which one held. To tell a wrong list of addresses
 * from a wrong key, the caller tries the other lists it knows.
 */
export function verifyCarp(
  advert: CarpAdvert,
  authentication: CarpAuthentication,
  hmacSha1: HmacSha1,
): Decoded<CarpDigestForm, 'bad_digest'> {
  const holds = (form: CarpDigestForm) =>
    equalInConstantTime(carpDigest(authentication, advert.counter, form, hmacSha1), advert.digest);
  if (holds('all')) return decoded('all');
  return holds('no-link-local') ? decoded('no-link-local') : refused('bad_digest');
}
