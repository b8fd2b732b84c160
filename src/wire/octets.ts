/** Big-endian integers in a byte array. Reads outside the array give 0: decoders check lengths before they read. */

export function readU8(bytes: Uint8Array, offset: number): number {
  return bytes[offset] ?? 0;
}

export function readU16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}

export function readU32(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset) * 0x1_0000 + readU16(bytes, offset + 2);
}

export function readU64(bytes: Uint8Array, offset: number): bigint {
  return (BigInt(readU32(bytes, offset)) << 32n) | BigInt(readU32(bytes, offset + 4));
}

export function writeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  writeU16(bytes, offset, value >>> 16);
  writeU16(bytes, offset + 2, value & 0xffff);
}

export function writeU64(bytes: Uint8Array, offset: number, value: bigint): void {
  writeU32(bytes, offset, Number((value >> 32n) & 0xffff_ffffn));
  writeU32(bytes, offset + 4, Number(value & 0xffff_ffffn));
}

/** A copy of a range. Not `slice`, which for a Node `Buffer` is a view of memory that may be used again. */
export function copyOctets(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  const copy = new Uint8Array(length);
  copy.set(bytes.subarray(offset, offset + length));
  return copy;
}

/** Whether two byte arrays are equal, in a time that depends on their lengths only: for digests. */
export function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= readU8(a, i) ^ readU8(b, i);
  return difference === 0;
}

/**
 * The value, if it is an integer within the bounds.
 * @throws RangeError otherwise: encoders are given checked configuration, so this is a fault of the program, and a
 *   field silently cut to its width would put a lie on the wire.
 */
export function inRange(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, not ${value}`);
  }
  return value;
}
