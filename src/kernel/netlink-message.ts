import { type MacAddress, macBytes } from '../wire/mac.js';

/**
 * Netlink messages (netlink(7), linux/netlink.h), all in native byte order, which is little-endian on x64 and arm64.
 *
 *     0      4      6       8      12      16
 *     | length | type | flags | sequence | port id | family header | attributes …
 *
 * An attribute is {u16 length with its 4 bytes of header, u16 type}, payload, padding to 4.
 */
export const headerBytes = 16;

export const flag = {
  request: 0x001,
  multi: 0x002,
  ack: 0x004,
  dumpInterrupted: 0x010,
  /** On NLMSG_ERROR: attributes follow (NETLINK_EXT_ACK), and the message was not echoed in full (NETLINK_CAP_ACK). */
  capped: 0x100,
  ackAttributes: 0x200,
  root: 0x100,
  match: 0x200,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

export const messageType = { noop: 1, error: 2, done: 3 } as const;

const nested = 0x8000;
const typeMask = 0x3fff;
const text = new TextEncoder();
const fromText = new TextDecoder();

const align = (length: number): number => (length + 3) & ~3;

/** Builds one message. Attributes are appended in call order; `nest` brackets those made inside its callback. */
export class MessageBuilder {
  #bytes: Uint8Array;
  #view: DataView;
  #length: number;

  /** `familyHeader`: struct ifinfomsg and the like, already encoded. */
  constructor(type: number, flags: number, familyHeader: Uint8Array) {
    this.#bytes = new Uint8Array(256);
    this.#view = new DataView(this.#bytes.buffer);
    this.#view.setUint16(4, type, true);
    this.#view.setUint16(6, flags, true);
    this.#bytes.set(familyHeader, headerBytes);
    this.#length = align(headerBytes + familyHeader.length);
  }

  #attribute(type: number, length: number): number {
    const end = this.#length + align(4 + length);
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, end));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    const at = this.#length;
    this.#view.setUint16(at, 4 + length, true);
    this.#view.setUint16(at + 2, type, true);
    this.#length = end;
    return at + 4;
  }

  u8(type: number, value: number): this {
    const at = this.#attribute(type, 1);
    this.#view.setUint8(at, value);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** Network order: what nf_tables uses. */
  u32be(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, false);
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    const at = this.#attribute(type, value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** With the terminating zero that the kernel's NLA_NUL_STRING demands. */
  string(type: number, value: string): this {
    const encoded = text.encode(value);
    const at = this.#attribute(type, encoded.length + 1);
    this.#bytes.set(encoded, at);
    return this;
  }

  mac(type: number, value: MacAddress): this {
    return this.bytes(type, macBytes(value));
  }

  nest(type: number, build: (inside: this) => void, marked = false): this {
    const start = this.#length;
    this.#attribute(marked ? type | nested : type, 0);
    build(this);
    this.#view.setUint16(start, this.#length - start, true);
    return this;
  }

  finish(): Uint8Array {
    this.#view.setUint32(0, this.#length, true);
    return this.#bytes.slice(0, this.#length);
  }
}

/** One received message; `bytes` from `start` to `end`, header included, views of a reused buffer. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly start: number;
  readonly end: number;
}

/** Walks the messages of one datagram; stops at the first whose length makes no sense. */
export function forEachMessage(bytes: Uint8Array, from: number, to: number, visit: (message: Message) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let start = from;
  while (start + headerBytes <= to) {
    const length = view.getUint32(start, true);
    if (length < headerBytes || start + length > to) return;
    const type = view.getUint16(start + 4, true);
    const flags = view.getUint16(start + 6, true);
    visit({ type, flags, sequence: view.getUint32(start + 8, true), bytes, view, start, end: start + length });
    start += align(length);
  }
}

/**
 * Walks the attributes between two offsets; `visit` gets the type without its flag bits, where the payload starts, and
 * how long it is. Stops at the first attribute whose length makes no sense.
 */
export function forEachAttribute(
  view: DataView,
  from: number,
  to: number,
  visit: (type: number, start: number, length: number) => void,
): void {
  let start = from;
  while (start + 4 <= to) {
    const length = view.getUint16(start, true);
    if (length < 4 || start + length > to) return;
    visit(view.getUint16(start + 2, true) & typeMask, start + 4, length - 4);
    start += align(length);
  }
}

/** The text of a string attribute, without its terminating zero. */
export function attributeText(bytes: Uint8Array, start: number, length: number): string {
  let end = start + length;
  while (end > start && bytes[end - 1] === 0) end--;
  return fromText.decode(bytes.subarray(start, end));
}
