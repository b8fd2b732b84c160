import { type AddressFamily, addressBytes, readIpv4, readIpv6 } from './address.js';
import { type AuthHmacTrailer, authHmacLength, decodeAuthHmac, writeAuthHmac } from './auth-hmac.js';
import { addWords, checksumOfSum, foldSum, pseudoHeaderSum } from './checksum.js';
import { type Decoded, decoded, refused } from './decoded.js';
import { inRange, readU8, readU16, writeU16 } from './octets.js';

/*
 * VRRPv2 (RFC 3768 §5.1)                     VRRPv3 (RFC 9568 §5.2)
 *   0  1  version 2 | type 1                   0  1  version 3 | type 1
 *   1  1  VRID                                 1  1  VRID
 *   2  1  priority                             2  1  priority
 *   3  1  number of addresses n                3  1  number of addresses n
 *   4  1  0 none, 1 simple text, 2 AH          4  2  reserved (4 bits) | interval in centiseconds (12 bits)
 *   5  1  interval in seconds
 *   6  2  checksum                             6  2  checksum
 *   8 4n  addresses                            8 4n or 16n  addresses
 *      8  authentication data                     [28  trailer, see auth-hmac.ts]
 */

export const vrrpProtocol = 112;
export const vrrpHeaderLength = 8;
const authDataLength = 8;

/**
 * How a VRRPv3 advert over IPv4 was summed: over the message alone (RFC 9568 §5.2.8), or with a pseudo-header, as
 * keepalived and FRR read RFC 5798. Over IPv6 it is always the pseudo-header.
 */
export type ChecksumForm = 'rfc9568' | 'pseudo-header';

/** Simple text (RFC 2338 §5.3.6): up to eight octets in the clear, here as Latin-1 without the trailing zeros. */
export type Vrrp2Auth = { readonly type: 'none' } | { readonly type: 'text'; readonly password: string };

interface VrrpAdvertFields {
  /** 1..255. */
  readonly vrid: number;
  /** 0 the master stops, 1..254, 255 the addresses' owner. */
  readonly priority: number;
  /** Steps of 1 s up to 255 s in version 2, of 10 ms up to 40.95 s in version 3. */
  readonly intervalMs: number;
  /** Canonical text, in the order of the wire. */
  readonly addresses: readonly string[];
  /** keepalived's trailer, if there is one: decoded, not yet verified. */
  readonly authHmac?: AuthHmacTrailer | undefined;
}

export interface Vrrp2Advert extends VrrpAdvertFields {
  readonly version: 2;
  readonly family: 4;
  readonly auth: Vrrp2Auth;
}

export interface Vrrp3Advert extends VrrpAdvertFields {
  readonly version: 3;
  readonly family: AddressFamily;
  readonly checksumForm: ChecksumForm;
}

export type VrrpAdvert = Vrrp2Advert | Vrrp3Advert;

export type VrrpRefusal =
  | 'truncated'
  | 'bad_version'
  | 'bad_type'
  | 'length_mismatch'
  | 'bad_trailer'
  | 'bad_checksum'
  | 'zero_id'
  | 'zero_addresses'
  | 'zero_interval'
  | 'unsupported_auth';

/**
 * Decodes an advert from an IP payload.
 *
 * @param length the payload's, exactly: an advert has no padding of its own.
 * @param addressSum the words of the IP addresses (`sumAddresses`), for the pseudo-header.
 */
export function decodeVrrp(
  bytes: Uint8Array,
  offset: number,
  length: number,
  family: AddressFamily,
  addressSum: number,
): Decoded<VrrpAdvert, VrrpRefusal> {
  if (length < vrrpHeaderLength || offset + length > bytes.length) return refused('truncated');
  const version = readU8(bytes, offset) >>> 4;
  if (version !== 3 && (version !== 2 || family === 6)) return refused('bad_version');
  if ((readU8(bytes, offset) & 0x0f) !== 1) return refused('bad_type');

  const count = readU8(bytes, offset + 3);
  const addressLength = family === 4 ? 4 : 16;
  const addressesEnd = vrrpHeaderLength + count * addressLength;
  const messageLength = version === 2 ? addressesEnd + authDataLength : addressesEnd;
  if (length < messageLength) return refused('truncated');
  let authHmac: AuthHmacTrailer | undefined;
  if (length === messageLength + authHmacLength) {
    const trailer = decodeAuthHmac(bytes, offset + messageLength, authHmacLength);
    if (!trailer.ok) return trailer;
    authHmac = trailer.value;
  } else if (length !== messageLength) {
    return refused('length_mismatch');
  }

  const checksumForm = checksumFormOf(bytes, offset, version, family, messageLength, length, addressSum);
  if (checksumForm === undefined) return refused('bad_checksum');
  const vrid = readU8(bytes, offset + 1);
  if (vrid === 0) return refused('zero_id');
  if (count === 0) return refused('zero_addresses');
  const intervalMs = version === 2 ? readU8(bytes, offset + 5) * 1000 : (readU16(bytes, offset + 4) & 0x0fff) * 10;
  if (intervalMs === 0) return refused('zero_interval');

  const priority = readU8(bytes, offset + 2);
  const addresses: string[] = [];
  for (let at = offset + vrrpHeaderLength; at < offset + addressesEnd; at += addressLength) {
    addresses.push(family === 4 ? readIpv4(bytes, at) : readIpv6(bytes, at));
  }
  if (version === 3) {
    return decoded({ version: 3, family, vrid, priority, intervalMs, addresses, checksumForm, authHmac });
  }
  const auth = readVrrp2Auth(bytes, offset, offset + addressesEnd);
  if (auth === undefined) return refused('unsupported_auth');
  return decoded({ version: 2, family: 4, vrid, priority, intervalMs, addresses, auth, authHmac });
}

/** The form under which the checksum holds; undefined if under none. */
function checksumFormOf(
  bytes: Uint8Array,
  offset: number,
  version: number,
  family: AddressFamily,
  messageLength: number,
  length: number,
  addressSum: number,
): ChecksumForm | undefined {
  if (family === 6) {
    // The kernel sums IPv6 adverts on their way out, and with them the trailer.
    const sum = addWords(pseudoHeaderSum(addressSum, vrrpProtocol, length), bytes, offset, length);
    return foldSum(sum) === 0xffff ? 'pseudo-header' : undefined;
  }
  const sum = addWords(0, bytes, offset, messageLength);
  if (foldSum(sum) === 0xffff) return 'rfc9568';
  if (version === 2) return undefined;
  const withPseudoHeader = sum + pseudoHeaderSum(addressSum, vrrpProtocol, messageLength);
  return foldSum(withPseudoHeader) === 0xffff ? 'pseudo-header' : undefined;
}

function readVrrp2Auth(bytes: Uint8Array, offset: number, dataOffset: number): Vrrp2Auth | undefined {
  const type = readU8(bytes, offset + 4);
  if (type === 0) return { type: 'none' };
  if (type !== 1) return undefined;
  let end = dataOffset + authDataLength;
  while (end > dataOffset && readU8(bytes, end - 1) === 0) end--;
  let password = '';
  for (let at = dataOffset; at < end; at++) password += String.fromCharCode(readU8(bytes, at));
  return { type: 'text', password };
}

/** How many octets `encodeVrrp` gives for this advert. */
export function vrrpLength(advert: VrrpAdvert): number {
  const addresses = advert.addresses.length * (advert.family === 4 ? 4 : 16);
  const trailer = advert.authHmac === undefined ? 0 : authHmacLength;
  return vrrpHeaderLength + addresses + (advert.version === 2 ? authDataLength : 0) + trailer;
}

/**
 * The advert as an IP payload, sent from `source` to `destination`.
 * @throws RangeError for a field that does not fit the wire; configuration is checked before it gets here.
 */
export function encodeVrrp(advert: VrrpAdvert, source: string, destination: string): Uint8Array {
  const bytes = new Uint8Array(vrrpLength(advert));
  const addressLength = advert.family === 4 ? 4 : 16;
  bytes[0] = (advert.version << 4) | 1;
  bytes[1] = inRange('VRID', advert.vrid, 1, 255);
  bytes[2] = inRange('priority', advert.priority, 0, 255);
  bytes[3] = inRange('number of addresses', advert.addresses.length, 1, 255);
  let at = vrrpHeaderLength;
  for (const address of advert.addresses) {
    bytes.set(bytesOfFamily(address, advert.family), at);
    at += addressLength;
  }
  if (advert.version === 2) {
    bytes[4] = advert.auth.type === 'none' ? 0 : 1;
    bytes[5] = inRange('VRRPv2 interval in seconds', advert.intervalMs / 1000, 1, 255);
    if (advert.auth.type === 'text') writePassword(bytes, at, advert.auth.password);
    at += authDataLength;
  } else {
    writeU16(bytes, 4, inRange('VRRPv3 interval in centiseconds', advert.intervalMs / 10, 1, 4095));
  }
  if (advert.authHmac !== undefined) writeAuthHmac(bytes, at, advert.authHmac);
  const form = advert.version === 2 ? 'rfc9568' : advert.checksumForm;
  const addressSum = sumOf(bytesOfFamily(source, advert.family)) + sumOf(bytesOfFamily(destination, advert.family));
  writeVrrpChecksum(bytes, 0, bytes.length, advert.family, form, addressSum, at);
  return bytes;
}

/**
 * Computes the checksum of the advert at `offset` and puts it in place.
 *
 * @param length the payload's, with trailer.
 * @param messageLength the advert's, without trailer.
 */
export function writeVrrpChecksum(
  bytes: Uint8Array,
  offset: number,
  length: number,
  family: AddressFamily,
  form: ChecksumForm,
  addressSum: number,
  messageLength: number,
): void {
  writeU16(bytes, offset + 6, 0);
  const covered = family === 6 ? length : messageLength;
  const start = family === 4 && form === 'rfc9568' ? 0 : pseudoHeaderSum(addressSum, vrrpProtocol, covered);
  writeU16(bytes, offset + 6, checksumOfSum(addWords(start, bytes, offset, covered)));
}

function sumOf(bytes: Uint8Array): number {
  return addWords(0, bytes, 0, bytes.length);
}

function bytesOfFamily(address: string, family: AddressFamily): Uint8Array {
  const bytes = addressBytes(address);
  if ((bytes.length === 4) !== (family === 4)) throw new RangeError(`an IPv${family} advert cannot carry ${address}`);
  return bytes;
}

function writePassword(bytes: Uint8Array, offset: number, password: string): void {
  inRange('length of the VRRPv2 password', password.length, 0, authDataLength);
  for (let index = 0; index < password.length; index++) {
    bytes[offset + index] = inRange('character of the VRRPv2 password', password.charCodeAt(index), 0, 255);
  }
}
