import {
  AF_NETLINK,
  binding,
  demand,
  forceBuffer,
  metaFields,
  openSocket,
  SOCK_RAW,
  type SocketHandle,
} from './binding.js';
import { type ErrnoName, errnoName, errnoSentence } from './errno.js';
import {
  attributeText,
  flag,
  forEachAttribute,
  forEachMessage,
  headerBytes,
  type Message,
  messageType,
} from './netlink-message.js';
import type { Netns } from './netns.js';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

/** Messages in one send: their acknowledgements must fit the receive buffer together, even an unforced one. */
const messagesPerSend = 128;
/** A dump's datagram is at most 32 KiB (af_netlink.c), and so a slot never cuts one. */
const slotBytes = 32 * 1024;
const slots = 16;
const dumpAttempts = 8;

/** What the kernel said no to: its errno, and its own words where it had any (NETLINK_EXT_ACK). */
export interface NetlinkFailure {
  readonly ok: false;
  readonly errno: ErrnoName;
  readonly message: string;
}
export type Ack = { readonly ok: true } | NetlinkFailure;
export type Answer<T> = { readonly ok: true; readonly value: T } | NetlinkFailure;

const done: Ack = { ok: true };

export function failure(errno: number | ErrnoName, message?: string): NetlinkFailure {
  const name = typeof errno === 'number' ? errnoName(errno) : errno;
  return { ok: false, errno: name, message: message ?? errnoSentence(name) };
}

/** The first refusal of a batch that the caller treats as one step, or success. */
export function firstFailure(acks: readonly Ack[]): Ack {
  return acks.find((ack) => !ack.ok) ?? done;
}

/** Messages end to end, numbered from `first`. */
interface Batch {
  readonly bytes: Uint8Array;
  readonly first: number;
  readonly count: number;
}

/** The outcome in an NLMSG_ERROR or NLMSG_DONE message. */
function outcome(message: Message): Ack {
  const { view, start, end } = message;
  if (end - start < headerBytes + 4) return done;
  const error = view.getInt32(start + headerBytes, true);
  if (error === 0) return done;
  let words: string | undefined;
  if ((message.flags & flag.ackAttributes) !== 0) {
    const errorEcho = message.type === messageType.error ? headerBytes + 4 + echoBytes(message) : headerBytes + 4;
    forEachAttribute(view, start + errorEcho, end, (type, at, length) => {
      if (type === 1) words = attributeText(message.bytes, at, length);
    });
  }
  return failure(error, words);
}

/** How much of our own message the kernel echoed behind the error number. */
function echoBytes(message: Message): number {
  if ((message.flags & flag.capped) !== 0) return headerBytes;
  const at = message.start + headerBytes + 4;
  return at + 4 <= message.end ? (message.view.getUint32(at, true) + 3) & ~3 : headerBytes;
}

/**
 * A netlink socket for requests. Everything here is synchronous: rtnetlink does the work inside sendmsg and queues the
 * answers before it returns, so there is nothing to wait for. What makes the kernel itself wait (deleting links, setting
 * them down) belongs into {@link requestInBackground}.
 *
 * Not for notifications: those have their own socket in monitor.ts, so that an overflow there loses no answer here.
 */
export class Netlink {
  readonly #protocol: number;
  readonly #netns: Netns | undefined;
  readonly #socket: SocketHandle;
  readonly #buffer = new Uint8Array(slots * slotBytes);
  readonly #received = new Int32Array(slots * metaFields);
  readonly #sendTable = new Uint32Array(3);
  #sequence = 0;
  #closed = false;

  private constructor(protocol: number, netns: Netns | undefined, socket: SocketHandle) {
    this.#protocol = protocol;
    this.#netns = netns;
    this.#socket = socket;
  }

  /**
   * @param netns another network namespace, which must outlive this
   * @throws KoiError `kernel` when the kernel has no such netlink family; `privilege` where the namespace cannot be
   * entered. Opening in our own needs no privilege.
   */
  static open(protocol: number = NETLINK_ROUTE, netns?: Netns): Netlink {
    const what = `netlink socket (family ${protocol})`;
    const kernel = binding();
    const socket = openSocket(what, AF_NETLINK, SOCK_RAW, protocol, netns);
    const netlink = new Netlink(protocol, netns, socket);
    forceBuffer(socket, 'receive', 4 * 1024 * 1024);
    forceBuffer(socket, 'send', 4 * 1024 * 1024);
    // Both only improve the errors; kernels before 4.3 and 4.12 lack them.
    kernel.setOption(socket, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    kernel.setOption(socket, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    demand(kernel.prepareReceive(socket, netlink.#buffer, netlink.#received, slotBytes), what, socket);
    demand(kernel.bindNetlink(socket, 0), what, socket);
    return netlink;
  }

  /**
   * Sends changes, many in one system call, and returns the kernel's verdict on each, in order. A refused message does
   * not stop those behind it.
   */
  request(messages: readonly Uint8Array[]): Ack[] {
    const acks: Ack[] = [];
    for (let from = 0; from < messages.length; from += messagesPerSend) {
      const batch = this.#numbered(messages.slice(from, from + messagesPerSend));
      for (const ack of this.#exchange(batch)) acks.push(ack);
    }
    return acks;
  }

  /**
   * Sends changes whose outcome shows elsewhere: no acknowledgement is asked for, and refusals are read and passed over.
   */
  tell(messages: readonly Uint8Array[]): void {
    for (let from = 0; from < messages.length; from += messagesPerSend) {
      const batch = this.#numbered(messages.slice(from, from + messagesPerSend), flag.request);
      if (this.#send(batch.bytes).ok) this.#receive(batch, () => false);
    }
  }

  /** One change. */
  requestOne(message: Uint8Array): Ack {
    return this.request([message])[0] ?? failure('EIO');
  }

  /** One GET without the dump flag: `parse` of the message that answers. */
  query<T>(message: Uint8Array, parse: (message: Message) => T | undefined): Answer<T> {
    let value: T | undefined;
    const [ack] = this.#exchange(this.#numbered([message]), (answer) => {
      value ??= parse(answer);
    });
    if (ack !== undefined && !ack.ok) return ack;
    return value === undefined ? failure('EIO', 'the kernel answered nothing that could be read') : { ok: true, value };
  }

  /**
   * A whole table; `parse` picks what it wants, and must copy it out of the message. A dump that the kernel marks as
   * interrupted by a change is read again.
   */
  dump<T>(message: Uint8Array, parse: (message: Message) => T | undefined): Answer<T[]> {
    for (let attempt = 0; attempt < dumpAttempts; attempt++) {
      const value: T[] = [];
      let interrupted = false;
      const [ack] = this.#exchange(this.#numbered([message], flag.request | flag.dump), (answer) => {
        if ((answer.flags & flag.dumpInterrupted) !== 0) interrupted = true;
        const item = parse(answer);
        if (item !== undefined) value.push(item);
      });
      if (ack !== undefined && !ack.ok) {
        if (ack.errno === 'EINTR') continue;
        return ack;
      }
      if (!interrupted) return { ok: true, value };
    }
    return failure('EAGAIN', `the table changed during each of ${dumpAttempts} dumps`);
  }

  /**
   * As {@link request}, in the thread pool and on a socket of its own: the event loop goes on meanwhile. The kernel's
   * rtnetlink lock is still one for all, so a synchronous change sent meanwhile waits for it.
   */
  async requestInBackground(messages: readonly Uint8Array[], deadlineMs: number): Promise<Ack[]> {
    const { bytes, first } = this.#numbered(messages);
    const reply = await binding().requestAsync(this.#protocol, bytes, messages.length, deadlineMs, this.#netns?.fd);
    if (typeof reply === 'number') return messages.map(() => failure(reply));
    const acks: Ack[] = messages.map(() => failure('ETIMEDOUT'));
    forEachMessage(reply, 0, reply.length, (message) => {
      const index = message.sequence - first;
      if (message.type === messageType.error && index >= 0 && index < acks.length) acks[index] = outcome(message);
    });
    return acks;
  }

  /**
   * For nf_tables, whose batches are one transaction: sends `messages` as they are (but numbered), and returns the
   * first refusal, or success once the message at `ackIndex` is acknowledged.
   */
  transaction(messages: readonly Uint8Array[], ackIndex: number): Ack {
    const batch = this.#numbered(messages, 0);
    const sent = this.#send(batch.bytes);
    if (!sent.ok) return sent;
    let refused: NetlinkFailure | undefined;
    let acknowledged = false;
    const ended = this.#receive(batch, (message) => {
      if (message.type !== messageType.error) return false;
      const verdict = outcome(message);
      if (!verdict.ok) refused ??= verdict;
      else if (message.sequence - batch.first === ackIndex) acknowledged = true;
      return false;
    });
    return refused ?? (acknowledged ? done : (ended ?? failure('ETIMEDOUT')));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    binding().close(this.#socket);
  }

  /** Copies messages end to end, numbers them, and adds `flags` to their own. */
  #numbered(messages: readonly Uint8Array[], flags: number = flag.request | flag.ack): Batch {
    // A batch never straddles the wrap, so that an answer's place is a plain difference.
    if (this.#sequence + messages.length > 0x7fff_ffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    let length = 0;
    for (const message of messages) length += (message.length + 3) & ~3;
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const message of messages) {
      bytes.set(message, at);
      view.setUint16(at + 6, view.getUint16(at + 6, true) | flags, true);
      view.setUint32(at + 8, ++this.#sequence, true);
      at += (message.length + 3) & ~3;
    }
    return { bytes, first, count: messages.length };
  }

  #send(bytes: Uint8Array): Ack {
    this.#sendTable.set([0, bytes.length, 0]);
    const sent = binding().sendMany(this.#socket, bytes, this.#sendTable, 0, 1);
    return sent < 0 ? failure(sent) : done;
  }

  #exchange(batch: Batch, onAnswer?: (message: Message) => void): Ack[] {
    const sent = this.#send(batch.bytes);
    if (!sent.ok) return new Array<Ack>(batch.count).fill(sent);
    const acks = new Array<Ack | undefined>(batch.count).fill(undefined);
    let left = batch.count;
    const ended = this.#receive(batch, (message) => {
      if (message.type !== messageType.error && message.type !== messageType.done) {
        onAnswer?.(message);
        return false;
      }
      const index = message.sequence - batch.first;
      if (acks[index] === undefined) {
        acks[index] = outcome(message);
        left--;
      }
      return left === 0;
    });
    return acks.map((ack) => ack ?? ended ?? failure('ETIMEDOUT', 'the kernel did not answer'));
  }

  /**
   * Reads answers to the batch until `visit` returns true or nothing more waits. Answers to anything else are leftovers
   * of an exchange that was given up, and are skipped.
   */
  #receive({ first, count }: Batch, visit: (message: Message) => boolean): NetlinkFailure | undefined {
    const kernel = binding();
    for (let finished = false; !finished; ) {
      const got = kernel.receiveMany(this.#socket);
      if (got < 0) return errnoName(got) === 'EAGAIN' ? undefined : failure(got);
      for (let slot = 0; slot < got; slot++) {
        const fromKernel = this.#received[slot * metaFields + 1] === 0;
        const length = this.#received[slot * metaFields] ?? 0;
        if (!fromKernel || length > slotBytes) continue;
        const start = slot * slotBytes;
        forEachMessage(this.#buffer, start, start + length, (message) => {
          const index = message.sequence - first;
          if (index >= 0 && index < count && visit(message)) finished = true;
        });
      }
    }
    return undefined;
  }
}
