import { addWords, checksumOfSum, pseudoHeaderSum, sumAddresses } from '../../src/wire/checksum.js';
import { ethernetHeaderLength, etherType } from '../../src/wire/ethernet.js';
import { ipPayloadOf } from '../../src/wire/ip-frame.js';
import { readU8, readU16, writeU16 } from '../../src/wire/octets.js';

/** Numbers that look random and repeat for a seed: mulberry32, 32 bits of state. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * limit);
  }
}

const interestingOctets = [0x00, 0x01, 0x07, 0x1c, 0x21, 0x31, 0x40, 0x45, 0x60, 0x70, 0x7f, 0x80, 0x88, 0xfe, 0xff];
const interestingTypes = Object.values(etherType);

/**
 * A stream of frames that nobody should send: golden ones with octets changed, cut, grown or spliced, half of them
 * with their checksums put right again so that they reach deeper; and noise. Every frame is a view into one buffer,
 * like the frames of a receive ring.
 */
export class Mutator {
  readonly #random: Random;
  readonly #seeds: readonly Uint8Array[];
  readonly #buffer = new Uint8Array(2048);

  constructor(seeds: readonly Uint8Array[], seed: number) {
    this.#seeds = seeds;
    this.#random = new Random(seed);
  }

  /** The next frame; valid until the one after it. */
  next(): Uint8Array {
    const random = this.#random;
    if (random.below(10) === 0) return this.#noise();
    let length = this.#copySeed();
    for (let changes = random.below(6); changes > 0; changes--) length = this.#change(length);
    const frame = this.#buffer.subarray(0, length);
    if (random.below(2) === 0) repairChecksums(frame);
    return frame;
  }

  #noise(): Uint8Array {
    const random = this.#random;
    const frame = this.#buffer.subarray(0, random.below(160));
    for (let index = 0; index < frame.length; index++) frame[index] = random.below(256);
    if (frame.length >= ethernetHeaderLength && random.below(4) > 0) {
      writeU16(frame, 12, interestingTypes[random.below(interestingTypes.length)] ?? 0);
    }
    return frame;
  }

  #copySeed(): number {
    const seed = this.#seeds[this.#random.below(this.#seeds.length)] ?? new Uint8Array();
    this.#buffer.set(seed);
    return seed.length;
  }

  #change(length: number): number {
    const random = this.#random;
    const at = random.below(Math.max(1, length));
    switch (random.below(7)) {
      case 0:
        this.#buffer[at] = random.below(256);
        return length;
      case 1:
        this.#buffer[at] = readU8(this.#buffer, at) ^ (1 << random.below(8));
        return length;
      case 2:
        this.#buffer[at] = interestingOctets[random.below(interestingOctets.length)] ?? 0;
        return length;
      case 3:
        // The first octets of IP and of its payload decide most, so they get more than their share.
        this.#buffer[ethernetHeaderLength + random.below(60)] = random.below(256);
        return length;
      case 4:
        return at;
      case 5: {
        const grown = Math.min(this.#buffer.length, length + random.below(64));
        this.#buffer.fill(random.below(256), length, grown);
        return grown;
      }
      default: {
        const seed = this.#seeds[random.below(this.#seeds.length)] ?? new Uint8Array();
        const part = seed.subarray(at, at + random.below(32));
        this.#buffer.set(part, at);
        return Math.max(length, at + part.length);
      }
    }
  }
}

/** Makes the checksums of an IP frame hold as far as its lengths make sense. */
function repairChecksums(frame: Uint8Array): void {
  const type = readU16(frame, 12);
  const ip = ethernetHeaderLength;
  if (frame.length < 60 || (type !== etherType.ipv4 && type !== etherType.ipv6)) return;
  const { family, offset, length } = ipPayloadOf(frame);
  if (family === 4) {
    writeU16(frame, ip + 10, 0);
    writeU16(frame, ip + 10, checksumOfSum(addWords(0, frame, ip, (readU8(frame, ip) & 0x0f) * 4)));
  }
  if (length < 8 || offset + length > frame.length) return;
  const protocol = readU8(frame, family === 4 ? ip + 9 : ip + 6);
  const isIcmp = protocol === 58;
  const checksumAt = offset + (isIcmp ? 2 : 6);
  const start = family === 6 && !(length === 36) ? pseudoHeaderSum(sumAddresses(frame, ip, 6), protocol, length) : 0;
  writeU16(frame, checksumAt, 0);
  writeU16(frame, checksumAt, checksumOfSum(addWords(start, frame, offset, length)));
}
