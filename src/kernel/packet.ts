import { KoiError } from '../koi-error.js';
import type { MacAddress } from '../wire/mac.js';
import { writeMac } from '../wire/mac.js';
import {
  AF_PACKET,
  batchMax,
  binding,
  demand,
  forceBuffer,
  metaFields,
  openSocket,
  SOCK_RAW,
  SOL_SOCKET,
  type SocketHandle,
} from './binding.js';
import { type ErrnoName, errnoName } from './errno.js';
import { FrameBatch } from './frame-batch.js';

/** Ethertypes to bind a packet socket to (linux/if_ether.h). `none` receives nothing: a socket that only sends. */
export const etherProtocol = { none: 0, all: 0x0003, ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_STATISTICS = 6;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_MULTICAST = 0;
const PACKET_OUTGOING = 4;
const SO_PRIORITY = 12;
/** TC_PRIO_CONTROL (linux/pkt_sched.h): the default queue sends these before bulk traffic that waits already. */
const controlPriority = 7;

/** Frames handled in one turn of the event loop before timers get theirs. */
const framesPerTurn = 256;
/** Most frames one {@link PacketSocket.drain} reads: a flood must not keep it for ever. */
const framesPerDrain = 8192;

/** What the kernel says about a received frame. The object is reused: read it during the call. */
export interface FrameMeta {
  /** Sent by this host (PACKET_OUTGOING). */
  outgoing: boolean;
  /** packet(7): 0 to us, 1 broadcast, 2 multicast, 3 to another host, 4 outgoing. */
  packetType: number;
  /** Ethertype. */
  protocol: number;
  ifindex: number;
  /** Bytes on the wire; more than `frame.length` when the frame was longer than a slot. */
  wireLength: number;
}

export interface PacketSocketOptions {
  readonly ifindex: number;
  /** One of {@link etherProtocol}. */
  readonly protocol: number;
  /** From `assemble()` in bpf.ts. In force before the first frame is let in. */
  readonly filter?: Uint8Array;
  readonly multicast?: readonly MacAddress[];
  /** Nothing that this host sends comes in: the kernel does not even ask the filter. Ignored before Linux 4.20. */
  readonly ignoresOutgoing?: boolean;
  /** Kernel buffer, default 4 MiB: about 5,000 small frames while the process does not read. */
  readonly receiveBufferBytes?: number;
  /** Longest frame kept, default 2048 bytes; longer ones arrive cut, see {@link FrameMeta.wireLength}. */
  readonly slotBytes?: number;
  /** Frames handled in one turn of the event loop, default 256: others wait for the next one. */
  readonly framesPerTurn?: number;
  /** Called for every frame. `frame` is a view of a reused buffer, valid only during the call: copy what must last. */
  readonly onFrame?: (frame: Uint8Array, meta: Readonly<FrameMeta>) => void;
  /** Before each batch of frames that the kernel gave. */
  readonly onBatch?: () => void;
  /** Sees every frame first, where it lies in the buffer; true where nothing is left to do with it. */
  readonly onRaw?: (buffer: Uint8Array, start: number, length: number, packetType: number) => boolean;
  /** The kernel's asynchronous errors: ENETDOWN when the link goes down or away. The socket stays usable. */
  readonly onError?: (errno: ErrnoName) => void;
}

export interface SendResult {
  readonly sent: number;
  /** One entry a frame that the kernel refused; empty in the good case. `index` counts from 0 in the order given. */
  readonly failed: readonly { readonly index: number; readonly errno: ErrnoName }[];
}

const noFailures: SendResult['failed'] = [];

/**
 * A raw packet socket on one interface (packet(7)): whole Ethernet frames in and out.
 *
 * It never sees the frames it sends itself; with protocol `all` it does see what everybody else on this host sends
 * through the interface, marked `outgoing`. A frame that a macvlan sends passes its parent too, so a socket on the
 * parent sees it leave.
 */
export class PacketSocket {
  readonly ifindex: number;
  readonly #socket: SocketHandle;
  readonly #options: PacketSocketOptions;
  readonly #slotBytes: number;
  readonly #buffer: Uint8Array;
  readonly #received: Int32Array;
  readonly #meta: FrameMeta = { outgoing: false, packetType: 0, protocol: 0, ifindex: 0, wireLength: 0 };
  readonly #batch = new FrameBatch();
  #reading = false;
  #closed = false;
  #drops = 0;

  private constructor(options: PacketSocketOptions, socket: SocketHandle, slots: number, slotBytes: number) {
    this.ifindex = options.ifindex;
    this.#options = options;
    this.#socket = socket;
    this.#slotBytes = slotBytes;
    this.#buffer = new Uint8Array(slots * slotBytes);
    this.#received = new Int32Array(slots * metaFields + 1);
  }

  /**
   * Opens, filters, binds, joins; reading begins with {@link start} or {@link drain}.
   * @throws KoiError `privilege` without CAP_NET_RAW, `kernel` (ENODEV) when the interface is gone.
   */
  static open(options: PacketSocketOptions): PacketSocket {
    const what = `packet socket on interface ${options.ifindex}`;
    // Protocol 0 receives nothing, so no frame slips in before the filter is attached and the interface bound.
    const handle = openSocket(what, AF_PACKET, SOCK_RAW, 0);
    const slotBytes = options.slotBytes ?? 2048;
    const slots = options.protocol === etherProtocol.none ? 1 : 64;
    const socket = new PacketSocket(options, handle, slots, slotBytes);
    forceBuffer(handle, 'receive', options.receiveBufferBytes ?? 4 * 1024 * 1024);
    forceBuffer(handle, 'send', 4 * 1024 * 1024);
    binding().setOption(handle, SOL_SOCKET, SO_PRIORITY, controlPriority);
    if (options.ignoresOutgoing === true) binding().setOption(handle, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    if (options.filter !== undefined) demand(binding().attachFilter(handle, options.filter), `${what}: filter`, handle);
    demand(binding().prepareReceive(handle, socket.#buffer, socket.#received, slotBytes), what, handle);
    demand(binding().bindPacket(handle, options.ifindex, options.protocol), what, handle);
    for (const mac of options.multicast ?? []) {
      demand(socket.#join(mac), `${what}: multicast membership of ${mac}`, handle);
    }
    return socket;
  }

  /** struct packet_mreq: {int ifindex; u16 type; u16 length; u8 address[8]}. Ends with the socket. */
  #join(mac: MacAddress): number {
    const request = new Uint8Array(16);
    const view = new DataView(request.buffer);
    view.setInt32(0, this.ifindex, true);
    view.setUint16(4, PACKET_MR_MULTICAST, true);
    view.setUint16(6, 6, true);
    writeMac(request, 8, mac);
    return binding().setOption(this.#socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request);
  }

  /** For the binding's own functions. */
  get handle(): SocketHandle {
    return this.#socket;
  }

  /** Delivers frames through the event loop until {@link pause} or {@link close}. */
  start(): void {
    const perTurn = this.#options.framesPerTurn ?? framesPerTurn;
    const result = binding().pollStart(this.#socket, () => this.#read(perTurn), true);
    if (result < 0) throw new KoiError('kernel', `packet socket on interface ${this.ifindex}: ${errnoName(result)}`);
  }

  /** Another filter from now on; what waits already was let in by the one before. */
  refilter(filter: Uint8Array): void {
    if (this.#closed) return;
    const result = binding().attachFilter(this.#socket, filter);
    if (result < 0) throw new KoiError('kernel', `filter on interface ${this.ifindex}: ${errnoName(result)}`);
  }

  /** Leaves frames to wait in the kernel, which drops what does not fit, until {@link start}. */
  pause(): void {
    if (!this.#closed) binding().pollStop(this.#socket);
  }

  /**
   * Reads and delivers, now, everything that waits in the kernel; at most `limit` frames, 8,192 by default, and the rest of
   * the last batch. Call it before deciding that somebody is silent. Must not be called from within `onFrame`.
   * @returns how many frames were delivered.
   */
  drain(limit = framesPerDrain): number {
    if (this.#reading) throw new KoiError('internal', 'PacketSocket.drain() called from within onFrame');
    return this.#read(limit);
  }

  #read(limit: number): number {
    const { onFrame, onError } = this.#options;
    const kernel = binding();
    let frames = 0;
    this.#reading = true;
    try {
      while (frames < limit && !this.#closed) {
        const count = kernel.receiveMany(this.#socket);
        frames += this.#knownFrames;
        if (count < 0) {
          const errno = errnoName(count);
          if (errno === 'EAGAIN' || errno === 'EBADF') break;
          onError?.(errno);
          // The error was an event, now consumed; frames may still wait behind it. EFAULT and such would stay.
          if (errno === 'ENETDOWN') continue;
          break;
        }
        if (onFrame !== undefined) this.#deliver(count, onFrame);
        frames += count;
      }
    } finally {
      this.#reading = false;
    }
    return frames;
  }

  /** Which the ear took before, in batches that had nothing else. */
  get #knownFrames(): number {
    return this.#received[this.#received.length - 1] ?? 0;
  }

  #deliver(count: number, onFrame: NonNullable<PacketSocketOptions['onFrame']>): void {
    const received = this.#received;
    const meta = this.#meta;
    const { onBatch, onRaw } = this.#options;
    onBatch?.();
    for (let slot = 0; slot < count && !this.#closed; slot++) {
      const at = slot * metaFields;
      const wireLength = received[at] ?? 0;
      const start = slot * this.#slotBytes;
      const length = Math.min(wireLength, this.#slotBytes);
      // The ear knows it.
      if (wireLength === 0) continue;
      if (onRaw?.(this.#buffer, start, length, received[at + 1] ?? 0) === true) continue;
      meta.wireLength = wireLength;
      meta.packetType = received[at + 1] ?? 0;
      meta.outgoing = meta.packetType === PACKET_OUTGOING;
      meta.protocol = received[at + 2] ?? 0;
      meta.ifindex = received[at + 3] ?? 0;
      onFrame(this.#buffer.subarray(start, start + length), meta);
    }
  }

  /**
   * Sends whole Ethernet frames, in order, through the bound interface or `ifindex`. A refused frame (its interface
   * down, for example) is reported and the rest still sent; a full queue (EAGAIN, ENOBUFS) ends the attempt.
   */
  send(frames: readonly Uint8Array[], ifindex = 0): SendResult {
    const batch = this.#batch;
    batch.clear();
    for (const frame of frames) batch.add(frame, ifindex);
    return this.sendBatch(batch);
  }

  /** As {@link send}, for a batch that is kept and sent again and again: no copying, one system call per 512 frames. */
  sendBatch(batch: FrameBatch): SendResult {
    const kernel = binding();
    let failed: { index: number; errno: ErrnoName }[] | undefined;
    let next = 0;
    let sent = 0;
    while (next < batch.count) {
      const count = Math.min(batch.count - next, batchMax);
      const result = kernel.sendMany(this.#socket, batch.bytes, batch.table, next, count);
      if (result > 0) {
        next += result;
        sent += result;
        continue;
      }
      const errno = errnoName(result);
      failed ??= [];
      failed.push({ index: next++, errno });
      if (errno !== 'EAGAIN' && errno !== 'ENOBUFS' && errno !== 'EBADF') continue;
      while (next < batch.count) failed.push({ index: next++, errno });
    }
    return { sent, failed: failed ?? noFailures };
  }

  /** Frames the kernel dropped since opening because nobody read in time (PACKET_STATISTICS, which reading resets). */
  drops(): number {
    if (this.#closed) return this.#drops;
    const statistics = binding().getOption(this.#socket, SOL_PACKET, PACKET_STATISTICS, 8);
    if (typeof statistics !== 'number') {
      this.#drops += new DataView(statistics.buffer, statistics.byteOffset).getUint32(4, true);
    }
    return this.#drops;
  }

  /** Idempotent; allowed from within `onFrame`. */
  close(): void {
    if (this.#closed) return;
    this.drops();
    this.#closed = true;
    binding().close(this.#socket);
  }
}
