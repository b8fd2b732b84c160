import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { replaceFile } from './replace-file.js';

/** Room for as many datagrams of one boot as nobody sends. */
const epochShift = 32n;

/**
 * Numbers this node's notices so that every one is above all before it, across restarts: what was recorded on the LAN
 * cannot be played again to who heard it. The upper half is the second of the start, and above that of the start before
 * where the clock went back; the state directory remembers it.
 */
export class LanCounter {
  #last: bigint;

  private constructor(epoch: bigint) {
    this.#last = epoch << epochShift;
  }

  /** A state directory that fails leaves the clock, and is told of. @param wallMs Unix time */
  static async open(stateDir: string, wallMs: number, log: Pick<Logger, 'warn'>): Promise<LanCounter> {
    const file = join(stateDir, 'lan-counter');
    const before = await lastEpoch(file);
    const second = BigInt(Math.floor(wallMs / 1000));
    const epoch = before === undefined || second > before ? second : before + 1n;
    try {
      await replaceFile(file, `${epoch}\n`);
    } catch (error) {
      log.warn({ err: error }, 'the counter of notices could not be saved: if the clock goes back, peers refuse them');
    }
    return new LanCounter(epoch);
  }

  next(): bigint {
    this.#last += 1n;
    return this.#last;
  }
}

/** Undefined where there is none, or none that can be read. */
async function lastEpoch(file: string): Promise<bigint | undefined> {
  try {
    const text = (await readFile(file, 'utf8')).trim();
    return /^\d{1,10}$/.test(text) ? BigInt(text) : undefined;
  } catch {
    return undefined;
  }
}
