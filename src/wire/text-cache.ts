import { readU32 } from './octets.js';

/*
 *   octets ──hash──►  slot 0   │ w0 w1 w2 w3 │ text
 *                     slot 1   │ w0 w1 w2 w3 │ text
 *                     …        one slot per hash: a newcomer replaces whoever is there
 */
const slotCount = 256;
/** 2^32 divided by the golden ratio: neighbouring addresses land far apart. */
const spread = 0x9e37_79b1;

interface Slot {
  w0: number;
  w1: number;
  w2: number;
  w3: number;
  text: string;
}

/**
 * Remembers the text of the addresses seen last. A LAN has few of them and a frame has up to four, so writing them out
 * afresh would be most of the cost of decoding. Of fixed size whatever arrives; it changes what a text costs, never
 * what it is.
 */
export class TextCache {
  readonly #length: number;
  readonly #format: (bytes: Uint8Array, offset: number) => string;
  readonly #slots: readonly Slot[];

  /** For addresses of `length` octets, 4, 6 or 16, which `format` writes out. */
  constructor(length: 4 | 6 | 16, format: (bytes: Uint8Array, offset: number) => string) {
    this.#length = length;
    this.#format = format;
    // A slot must not begin with words that an address can have.
    this.#slots = Array.from({ length: slotCount }, () => ({ w0: -1, w1: 0, w2: 0, w3: 0, text: '' }));
  }

  /** The text of the address at `offset`. */
  read(bytes: Uint8Array, offset: number): string {
    const length = this.#length;
    const w0 = readU32(bytes, offset);
    // The two last words overlap for a MAC: together they still tell it from every other.
    const w1 = length > 4 ? readU32(bytes, offset + length - 4) : 0;
    const w2 = length > 6 ? readU32(bytes, offset + 4) : 0;
    const w3 = length > 6 ? readU32(bytes, offset + 8) : 0;
    const mixed = Math.imul(Math.imul(Math.imul(w0, spread) ^ w1, spread) ^ w2 ^ w3, spread);
    const slot = this.#slots[mixed >>> 24];
    if (slot === undefined) return this.#format(bytes, offset);
    if (slot.w0 === w0 && slot.w1 === w1 && slot.w2 === w2 && slot.w3 === w3) return slot.text;
    slot.text = this.#format(bytes, offset);
    slot.w0 = w0;
    slot.w1 = w1;
    slot.w2 = w2;
    slot.w3 = w3;
    return slot.text;
  }
}
