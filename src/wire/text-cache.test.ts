import { expect, it } from 'vitest';
import { readIpv4, readIpv6 } from './address.js';
import { readMac } from './mac.js';
import { TextCache } from './text-cache.js';

it('writes an address out once, and again only after another took its slot', () => {
  let written = 0;
  const cache = new TextCache(4, (bytes, offset) => {
    written++;
    return `${bytes[offset]}-${bytes[offset + 3]}`;
  });
  const address = Uint8Array.of(10, 0, 0, 1);
  for (let round = 0; round < 5; round++) expect(cache.read(address, 0)).toBe('10-1');
  expect(written).toBe(1);
  for (let host = 0; host < 65_536; host++) cache.read(Uint8Array.of(11, 0, host >>> 8, host & 0xff), 0);
  expect(cache.read(address, 0)).toBe('10-1');
});

it('never takes one address for another, however many there are', () => {
  // Pairs that differ in one octet only, at every place: each place must matter to the cache.
  for (const [length, read] of [
    [4, readIpv4],
    [6, readMac],
    [16, readIpv6],
  ] as const) {
    const base = Uint8Array.from({ length }, (_, index) => index + 1);
    for (let place = 0; place < length; place++) {
      const texts = new Set<string>();
      for (let octet = 0; octet < 256; octet++) {
        const address = base.slice();
        address[place] = octet;
        texts.add(read(address, 0));
        read(base, 0);
      }
      expect(texts.size).toBe(256);
    }
  }
});
