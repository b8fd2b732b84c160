import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addWords, foldSum, internetChecksum, pseudoHeaderSum, sumAddresses, updateChecksum } from './checksum.js';
import { readU16, writeU16 } from './octets.js';

it('sums the example of RFC 1071 §3', () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  expect(foldSum(addWords(0, bytes, 0, 8))).toBe(0xddf2);
  expect(internetChecksum(bytes)).toBe(0x220d);
});

it('takes an odd last octet for the high half of a word', () => {
  expect(internetChecksum(Uint8Array.of(0x12, 0x34, 0x56))).toBe(internetChecksum(Uint8Array.of(0x12, 0x34, 0x56, 0)));
});

it('stays exact for the longest packet of all', () => {
  const bytes = new Uint8Array(65_536).fill(0xff);
  expect(foldSum(addWords(0, bytes, 0, bytes.length))).toBe(0xffff);
});

describe('properties', () => {
  const message = fc.uint8Array({ minLength: 4, maxLength: 200 }).filter((bytes) => bytes.length % 2 === 0);

  it('a range that holds its own checksum sums to 0xffff', () => {
    fc.assert(
      fc.property(message, (bytes) => {
        writeU16(bytes, 2, 0);
        writeU16(bytes, 2, internetChecksum(bytes));
        // Only octets that are all zero have a checksum of 0xffff and a sum of 0 beside it.
        expect(foldSum(addWords(0, bytes, 0, bytes.length))).toBe(0xffff);
      }),
    );
  });

  it('an incremental update is what a new sum would give (RFC 1624)', () => {
    fc.assert(
      fc.property(message, fc.integer({ min: 0, max: 0xffff }), (bytes, word) => {
        fc.pre(bytes.length >= 6 && bytes[0] !== 0);
        writeU16(bytes, 2, 0);
        const before = internetChecksum(bytes);
        const oldWord = readU16(bytes, 4);
        writeU16(bytes, 4, word);
        expect(updateChecksum(before, oldWord, word)).toBe(internetChecksum(bytes));
      }),
      { numRuns: 1000 },
    );
  });
});

it('an update of RFC 1624 §4 does not give 0xffff', () => {
  expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
});

it('a pseudo-header never built sums like one that was', () => {
  const packet = Uint8Array.from({ length: 40 }, (_, index) => (index * 37) & 0xff);
  const ipv4 = Uint8Array.of(...packet.subarray(12, 20), 0, 112, 0, 12);
  expect(pseudoHeaderSum(sumAddresses(packet, 0, 4), 112, 12)).toBe(addWords(0, ipv4, 0, ipv4.length));
  const ipv6 = Uint8Array.of(...packet.subarray(8, 40), 0, 0, 0, 40, 0, 0, 0, 112);
  expect(pseudoHeaderSum(sumAddresses(packet, 0, 6), 112, 40)).toBe(addWords(0, ipv6, 0, ipv6.length));
});
