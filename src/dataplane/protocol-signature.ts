import type { AuthHmacConfig } from '../config/config.js';
import { readSecretFile } from '../config/secret-file.js';
import { KoiError } from '../koi-error.js';
import { type AuthHmacStamp, type AuthHmacTrailer, verifyAuthHmac } from '../wire/auth-hmac.js';
import { signVrrpFrame } from '../wire/vrrp-frame.js';
import { hmacSha256 } from './hmac.js';

/**
 * keepalived's auth_hmac, as its `vrrp_auth_hmac.c` signs and checks: a 64-bit sequence of wall time (seconds, 1/65,536 s)
 * and a counter, strictly growing for each sender, and in mode `time` within a window around the receiver's clock.
 */

const keyBytesMin = 32;
const keyBytesMax = 64;
const sendersMax = 16;
const windowSecondsMin = 5;

export type SignatureFault = 'bad_digest' | 'unknown_key' | 'missing_trailer' | 'stale' | 'replayed';

export class AdvertSignature {
  readonly #config: AuthHmacConfig;
  readonly #key: Uint8Array;
  readonly #wallNow: () => number;
  readonly #windowSeconds: number;
  readonly #lastSequences = new Map<string, bigint>();
  #sent = 0n;

  constructor(config: AuthHmacConfig, key: Uint8Array, advertIntervalMs: number, wallNow: () => number) {
    this.#config = config;
    this.#key = key;
    this.#wallNow = wallNow;
    this.#windowSeconds = Math.max(windowSecondsMin, Math.ceil((3 * advertIntervalMs) / 1000));
  }

  /** @throws KoiError `config` for a key of another length, `privilege` where it may not be read */
  static open(config: AuthHmacConfig, advertIntervalMs: number, wallNow: () => number): AdvertSignature {
    return new AdvertSignature(config, readKey(config.keyFile), advertIntervalMs, wallNow);
  }

  /** Whether adverts leave here signed. */
  get signs(): boolean {
    return this.#config.mode !== 'receive-only';
  }

  /** How long a frame made by `signForLater` outranks what is sent meanwhile. */
  get aheadMs(): number {
    return (this.#windowSeconds * 1000) / 2;
  }

  /** Signs a frame in place, with a sequence of its own. */
  sign(frame: Uint8Array): void {
    const clock = sequenceAt(this.#wallNow());
    // A clock that was set back must not hold the sequence beyond the receivers' window for ever.
    const isStranded = this.#config.antiReplay === 'time' && this.#sent - clock > this.#windowSequence();
    this.#sent = clock > this.#sent || isStranded ? clock : this.#sent + 1n;
    this.#put(frame, this.#sent);
  }

  /**
   * Signs a frame that somebody else sends when this process no longer can. Its sequence lies ahead of the clock by half
   * the window: receivers take it then, although they have heard later adverts since.
   */
  signForLater(frame: Uint8Array): void {
    this.#put(frame, sequenceAt(this.#wallNow() + this.aheadMs));
  }

  /** What is wrong with the signature of an advert; undefined where nothing is. */
  fault(message: Uint8Array, trailer: AuthHmacTrailer | undefined, source: string): SignatureFault | undefined {
    if (trailer === undefined) return this.#config.mode === 'enforce' ? 'missing_trailer' : undefined;
    const nowSeconds = this.#wallNow() / 1000;
    if (this.#config.antiReplay === 'time' && Math.abs(nowSeconds - trailer.seconds) > this.#windowSeconds + 1) {
      return 'stale';
    }
    if (trailer.keyId !== this.#config.keyId) return 'unknown_key';
    if (!verifyAuthHmac(message, source, this.#key, hmacSha256).ok) return 'bad_digest';
    return this.#isReplay(source, sequenceOf(trailer)) ? 'replayed' : undefined;
  }

  #isReplay(source: string, sequence: bigint): boolean {
    const last = this.#lastSequences.get(source);
    // A mark outside the window orders nothing that the window would let through: its sender's clock was set.
    const age = last === undefined ? 0n : sequenceAt(this.#wallNow()) - last;
    const isExpired =
      this.#config.antiReplay === 'time' && (age > this.#windowSequence() || -age > this.#windowSequence());
    if (last !== undefined && !isExpired && sequence <= last) return true;
    this.#lastSequences.delete(source);
    if (this.#lastSequences.size >= sendersMax) {
      for (const oldest of this.#lastSequences.keys()) {
        this.#lastSequences.delete(oldest);
        break;
      }
    }
    this.#lastSequences.set(source, sequence);
    return false;
  }

  #windowSequence(): bigint {
    return BigInt(this.#windowSeconds) << 32n;
  }

  #put(frame: Uint8Array, sequence: bigint): void {
    const stamp: AuthHmacStamp = {
      keyId: this.#config.keyId,
      seconds: Number((sequence >> 32n) & 0xffff_ffffn),
      subseconds: Number((sequence >> 16n) & 0xffffn),
      counter: Number(sequence & 0xffffn),
    };
    signVrrpFrame(frame, stamp, this.#key, hmacSha256);
  }
}

function sequenceAt(wallMs: number): bigint {
  const seconds = Math.floor(wallMs / 1000);
  const subseconds = Math.floor(((wallMs - seconds * 1000) * 65_536) / 1000);
  return (BigInt(seconds) << 32n) | (BigInt(subseconds) << 16n);
}

const sequenceOf = ({ seconds, subseconds, counter }: AuthHmacStamp): bigint =>
  (BigInt(seconds) << 32n) | (BigInt(subseconds) << 16n) | BigInt(counter);

/** 32 to 64 bytes: as they are, or in hexadecimal behind `hex:`, as keepalived writes them. */
function readKey(file: string): Uint8Array {
  const text = readSecretFile(file, 'authHmac.keyFile');
  const digits = /^hex:((?:[0-9a-f]{2})+)$/i.exec(text.trim())?.[1];
  const key = digits === undefined ? new TextEncoder().encode(text) : Buffer.from(digits, 'hex');
  if (key.length >= keyBytesMin && key.length <= keyBytesMax) return key;
  throw new KoiError('config', `authHmac.keyFile: ${file} holds a key of ${key.length} bytes`, {
    remedy: `keepalived takes ${keyBytesMin} to ${keyBytesMax}, or hex: and the digits of as many`,
  });
}
