/** Crockford's base 32: no I, L, O or U, so that an id survives being read aloud. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const timeCharacters = 10;
const randomCharacters = 16;

/**
 * A ULID (github.com/ulid/spec): 48 bits of time, 80 of randomness, sortable as text. `unixMs` is whole milliseconds
 * since 1970; `random` holds at least 10 bytes. Pure: the same arguments make the same id, which the simulator needs.
 */
export function eventId(unixMs: number, random: Uint8Array): string {
  let time = BigInt(Math.max(0, Math.trunc(unixMs)));
  let noise = 0n;
  for (let i = 0; i < 10; i++) noise = (noise << 8n) | BigInt(random[i] ?? 0);
  const digits: string[] = [];
  for (let i = 0; i < randomCharacters; i++, noise >>= 5n) digits.push(digit(noise));
  for (let i = 0; i < timeCharacters; i++, time >>= 5n) digits.push(digit(time));
  return digits.reverse().join('');
}

const digit = (value: bigint): string => alphabet.charAt(Number(value & 31n));
