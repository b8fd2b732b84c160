import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';

/**
 * What the outbox's file says, in order. An event is pending until a later frame of its index settles it.
 *
 * ```
 *  0        4        8    9          17
 *  +--------+--------+----+----------+---------------
 *  | length | crc32  |kind|  index   | payload ...
 *  +--------+--------+----+----------+---------------
 *            of everything after it; length counts from kind; numbers are big-endian
 * ```
 */
export type OutboxFrame =
  | { readonly kind: 'event'; readonly index: number; readonly encoded: Uint8Array }
  /** The log has it, at `sequence`. */
  | { readonly kind: 'stored'; readonly index: number; readonly sequence: number }
  /** Given up. `lost` sums up everything dropped so far that no event in the outbox or the log tells of yet. */
  | { readonly kind: 'dropped'; readonly index: number; readonly lost: Lost };

export interface Lost {
  readonly count: number;
  /** Wall time of the oldest and the newest one, milliseconds since 1970. */
  readonly firstMs: number;
  readonly lastMs: number;
}

const headBytes = 8;
const fixedBytes = 9;
const kinds = ['event', 'stored', 'dropped'] as const;

export interface OutboxContent {
  readonly frames: readonly OutboxFrame[];
  /** Bytes after the last whole frame: a write that a crash cut short, or damage. */
  readonly unreadableBytes: number;
}

/** What the file holds; nothing where there is none. Throws what the file system throws. */
export async function readOutboxFile(path: string): Promise<OutboxContent> {
  try {
    return parseFrames(await readFile(path));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { frames: [], unreadableBytes: 0 };
    throw error;
  }
}

/** Appends frames, each call durable when its promise resolves. Calls must not overlap. */
export class OutboxFile {
  readonly #path: string;
  #handle: FileHandle | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async append(frames: readonly OutboxFrame[]): Promise<void> {
    if (this.#handle === undefined) throw new Error(`${this.#path} is not open`);
    await this.#handle.appendFile(Buffer.concat(frames.map(encodeFrame)));
    await this.#handle.datasync();
  }

  /** Replaces the whole content; a crash leaves the old or the new one, never a mixture. */
  async replace(frames: readonly OutboxFrame[]): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    const next = `${this.#path}.new`;
    await rm(next, { force: true });
    const handle = await open(next, 'wx', 0o600);
    try {
      await handle.appendFile(Buffer.concat(frames.map(encodeFrame)));
      await handle.datasync();
      await rename(next, this.#path);
      await syncDirectory(dirname(this.#path));
    } catch (error) {
      await handle.close();
      throw error;
    }
    await this.close();
    this.#handle = handle;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function encodeFrame(frame: OutboxFrame): Buffer {
  const payload = encodePayload(frame);
  const body = Buffer.alloc(fixedBytes + payload.length);
  body.writeUInt8(kinds.indexOf(frame.kind), 0);
  body.writeBigUInt64BE(BigInt(frame.index), 1);
  body.set(payload, fixedBytes);
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(body.length, 0);
  head.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([head, body]);
}

function encodePayload(frame: OutboxFrame): Uint8Array {
  switch (frame.kind) {
    case 'event':
      return frame.encoded;
    case 'stored': {
      const payload = Buffer.alloc(8);
      payload.writeBigUInt64BE(BigInt(frame.sequence));
      return payload;
    }
    case 'dropped': {
      const payload = Buffer.alloc(24);
      payload.writeBigUInt64BE(BigInt(frame.lost.count), 0);
      payload.writeDoubleBE(frame.lost.firstMs, 8);
      payload.writeDoubleBE(frame.lost.lastMs, 16);
      return payload;
    }
  }
}

/** Reads frames up to the first that is not whole: what follows it cannot be trusted to be in its place. */
export function parseFrames(bytes: Buffer): OutboxContent {
  const frames: OutboxFrame[] = [];
  let at = 0;
  while (bytes.length - at >= headBytes + fixedBytes) {
    const length = bytes.readUInt32BE(at);
    const body = bytes.subarray(at + headBytes, at + headBytes + length);
    if (length < fixedBytes || body.length < length || crc32(body) !== bytes.readUInt32BE(at + 4)) break;
    const frame = decodeFrame(body);
    if (frame === undefined) break;
    frames.push(frame);
    at += headBytes + length;
  }
  return { frames, unreadableBytes: bytes.length - at };
}

function decodeFrame(body: Buffer): OutboxFrame | undefined {
  const kind = kinds[body.readUInt8(0)];
  const index = Number(body.readBigUInt64BE(1));
  const payload = body.subarray(fixedBytes);
  switch (kind) {
    case 'event':
      return { kind, index, encoded: Uint8Array.from(payload) };
    case 'stored':
      return payload.length < 8 ? undefined : { kind, index, sequence: Number(payload.readBigUInt64BE()) };
    case 'dropped': {
      if (payload.length < 24) return undefined;
      const count = Number(payload.readBigUInt64BE(0));
      return { kind, index, lost: { count, firstMs: payload.readDoubleBE(8), lastMs: payload.readDoubleBE(16) } };
    }
    default:
      return undefined;
  }
}
