import { createHash } from 'node:crypto';
import type { KoiConfig } from '../config/config.js';
import { lanKeyBytesMin, readSecretFile } from '../config/secret-file.js';
import { KoiError } from '../koi-error.js';
import { scopeLength } from '../wire/lan-datagram.js';
import type { LanCounter } from './lan-counter.js';

/** What this node signs its notices with, and knows those of the others by. */
export class LanKey {
  readonly bytes: Uint8Array;
  readonly #cluster: string;
  readonly #counter: LanCounter;

  private constructor(bytes: Uint8Array, cluster: string, counter: LanCounter) {
    this.bytes = bytes;
    this.#cluster = cluster;
    this.#counter = counter;
  }

  /**
   * Undefined where the configuration names no key: then notices are neither sent nor believed.
   * @throws KoiError `config`, `privilege` where the file cannot be read, or holds too little
   */
  static open(config: Pick<KoiConfig, 'cluster' | 'lanKeyFile'>, counter: LanCounter): LanKey | undefined {
    const { cluster, lanKeyFile } = config;
    if (lanKeyFile === undefined) return undefined;
    const bytes = new TextEncoder().encode(readSecretFile(lanKeyFile, 'lanKeyFile'));
    if (bytes.length < lanKeyBytesMin) {
      throw new KoiError('config', `lanKeyFile: ${lanKeyFile} holds a key of ${bytes.length} bytes`, {
        remedy: `it takes at least ${lanKeyBytesMin}: make one with \`openssl rand -hex 32\`, the same on every node`,
      });
    }
    return new LanKey(bytes, cluster, counter);
  }

  /** What a notice about this virtual router is marked with: names, since ids are used again on other LANs. */
  scopeOf(vr: string): Uint8Array {
    return Uint8Array.from(createHash('sha256').update(`${this.#cluster}\0${vr}`).digest().subarray(0, scopeLength));
  }

  nextCounter(): bigint {
    return this.#counter.next();
  }
}
