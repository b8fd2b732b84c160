/**
 * Random numbers that a seed repeats: xoshiro128** (Blackman and Vigna), filled by splitmix32. Everything that is left to
 * chance in a simulation is drawn here, in an order that depends on nothing else.
 */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    let mixed = (seed ^ Math.imul(Math.floor(seed / 0x1_0000_0000) + 1, 0x9e37_79b9)) >>> 0;
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e37_79b9) >>> 0;
      let word = mixed ^ (mixed >>> 16);
      word = Math.imul(word, 0x21f0_aaad);
      word ^= word >>> 15;
      word = Math.imul(word, 0x735a_2d97);
      this.#state[i] = word ^ (word >>> 15);
    }
  }

  /** At least 0 and less than 1. */
  next(): number {
    const s = this.#state;
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = s;
    const scrambled = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    const third = s2 ^ s0;
    const fourth = s3 ^ s1;
    s[0] = s0 ^ fourth;
    s[1] = s1 ^ third;
    s[2] = third ^ (s1 << 9);
    s[3] = rotate(fourth, 11);
    return scrambled / 0x1_0000_0000;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  /** Short ones as often as long ones, whatever the order of magnitude. */
  logBetween(low: number, high: number): number {
    return low * (high / low) ** this.next();
  }

  /** A whole number from 0 to `count` − 1. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  /** One of the list, or undefined of an empty one. */
  pickAny<T>(choices: readonly T[]): T | undefined {
    return choices[this.below(choices.length)];
  }
}

const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by));
