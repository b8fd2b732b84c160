import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KoiError } from '../koi-error.js';
import { type ErrnoName, errnoName, errnoSentence } from './errno.js';
import { type Netns, netnsError } from './netns.js';

/** An open socket of the addon. Opaque: only the addon's functions take it, and they check that it is theirs. */
export interface SocketHandle {
  readonly koiSocket: unique symbol;
}

/**
 * What `build/Release/koi_kernel.node` exports. Numbers that come back are results when ≥ 0 and negative errno
 * otherwise; exceptions only for arguments of the wrong type.
 */
export interface Binding {
  /** `netns`: descriptor of another network namespace to open it in. */
  open(family: number, type: number, protocol: number, netns?: number): SocketHandle | number;
  bindPacket(socket: SocketHandle, ifindex: number, protocol: number): number;
  bindNetlink(socket: SocketHandle, groups: number): number;
  setOption(socket: SocketHandle, level: number, name: number, value: number | Uint8Array): number;
  getOption(socket: SocketHandle, level: number, name: number, length: number): Uint8Array | number;
  /** `program`: struct sock_filter[], 8 bytes each, native byte order. */
  attachFilter(socket: SocketHandle, program: Uint8Array): number;
  /** Keeps both arrays: `buffer` is cut into slots, `meta` gets `metaFields` numbers a slot. */
  prepareReceive(socket: SocketHandle, buffer: Uint8Array, meta: Int32Array, slotSize: number): number;
  /**
   * Slots filled. Where something is known (`earPut`) a slot of length 0 has been dealt with, and behind the slots' numbers
   * in `meta` is how many frames more have been; 0 slots: there may be more.
   */
  receiveMany(socket: SocketHandle): number;
  /** `table`: (offset, length, ifindex) a message; ifindex 0 is the interface the socket is bound to. */
  sendMany(socket: SocketHandle, buffer: Uint8Array, table: Uint32Array, first: number, count: number): number;
  /** Starts the thread that sends adverts; lateness is counted between the bounds. Once in a process. */
  pumpStart(boundsMs: Float64Array): number;
  /** Of that thread; 0: none. */
  pumpPrioritize(priority: number): number;
  /** Of the calling thread, SCHED_RR; not inherited. */
  prioritize(priority: number): number;
  lockMemory(): number;
  /** `timesMs`: interval, longest silence, when it is due, when it was sent last. */
  pumpPut(
    slot: number,
    socket: SocketHandle,
    frames: Uint8Array,
    lengths: Uint32Array,
    timesMs: Float64Array,
    families: number,
  ): number;
  /** `out`: adverts since the last call, when it is due, when it was sent last, and 1 or 2 where it has lapsed. */
  pumpRead(slot: number, ends: boolean, out: Float64Array): boolean;
  /** How many have lapsed. */
  pumpAlive(untilMs: number): number;
  /** Adds the counts of all buckets, and behind them the sum in ms. */
  pumpLateness(out: Float64Array): void;
  /**
   * What comes in through the socket octet for octet like one of `frames` is counted, and not told of.
   * `timesMs`: how long it may be silent, before when it is not due, when it was heard last, within what time the other
   * frame is its twin, and when the last frame was heard without one (NaN: it was not).
   */
  earPut(socket: SocketHandle, frames: Uint8Array, lengths: Uint32Array, timesMs: Float64Array): number;
  /**
   * `out`: adverts since the last call, when heard last; how often each frame came, and when last; which has no twin yet
   * (-1: none), and since when.
   */
  earRead(socket: SocketHandle, place: number, ends: boolean, out: Float64Array): boolean;
  earKnows(socket: SocketHandle, buffer: Uint8Array, start: number, length: number, atMs: number): boolean;
  earDue(socket: SocketHandle): number;
  /** How many are due, of which `out` gets as many as fit. */
  earSilent(socket: SocketHandle, nowMs: number, out: Uint32Array): number;
  pollStart(socket: SocketHandle, callback: () => void, keepAlive: boolean): number;
  pollStop(socket: SocketHandle): void;
  close(socket: SocketHandle): void;
  requestAsync(
    protocol: number,
    message: Uint8Array,
    acks: number,
    timeoutMs: number,
    netns?: number,
  ): Promise<Uint8Array | number>;
  /** Listens on an abstract unix address (without its leading NUL) of the namespace the socket was opened in. */
  bindAbstract(socket: SocketHandle, name: string): number;
  connectAbstract(socket: SocketHandle, name: string): number;
  /** Takes an exclusive record lock of the open file description `fd`, without waiting; fcntl(2), F_OFD_SETLK. */
  lockFile(fd: number): number;
  /** The pid that holds it; 0: nobody; -1: an open file description, which belongs to no process. */
  fileLockHolder(fd: number): number;
  /** A descriptor of `path` as it is seen from within `netns`, for /proc/sys/net; `flags` as in open(2). */
  openFileIn(netns: number, path: string, flags: number): number;
  /** No program that this process starts inherits a descriptor above 2. */
  sealDescriptors(): number;
  execWithCapabilities(
    path: string,
    argv: readonly string[],
    env: readonly string[],
    maskLow: number,
    maskHigh: number,
  ): number;
  /** One datagram to a unix socket: a path, or an abstract address with '@' before it. Never waits. */
  sendDatagram(name: string, bytes: Uint8Array): number;
}

/** Numbers per slot in the `meta` array of {@link Binding.prepareReceive}. */
export const metaFields = 4;
/** Most messages that one `sendMany` or `receiveMany` moves. */
export const batchMax = 512;

export const AF_UNIX = 1;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_RAW = 3;
export const SOL_SOCKET = 1;
export const SO_PEERCRED = 17;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;

/** The package root is two levels above this file, both as src/kernel/binding.ts and as dist/kernel/binding.js. */
const addonPath = join(dirname(fileURLToPath(import.meta.url)), '../../build/Release/koi_kernel.node');

let loaded: Binding | undefined;

/**
 * The addon, loaded on first use so that commands that never touch the network run without it.
 * @throws KoiError `kernel` when it is missing or was built for another Node.
 */
export function binding(): Binding {
  if (loaded !== undefined) return loaded;
  try {
    loaded = createRequire(import.meta.url)(addonPath) as Binding;
    return loaded;
  } catch (cause) {
    throw new KoiError('kernel', `the kernel binding ${addonPath} cannot be loaded: ${reason(cause)}`, {
      remedy: 'build it with "npm run install" in the package directory, with the Node that runs Koi',
      cause,
    });
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? (cause.message.split('\n')[0] ?? cause.message) : String(cause);
}

/** A failed kernel call as an exception: `privilege` for EPERM and EACCES, `kernel` otherwise. */
export function kernelError(what: string, errno: number | ErrnoName): KoiError {
  const name = typeof errno === 'number' ? errnoName(errno) : errno;
  if (name === 'EPERM' || name === 'EACCES') {
    return new KoiError('privilege', `${what}: not permitted (${name})`, {
      remedy: 'run as root, or with CAP_NET_ADMIN and CAP_NET_RAW (AmbientCapabilities= in the systemd unit)',
    });
  }
  const sentence = errnoSentence(name);
  return new KoiError('kernel', `${what}: ${sentence === name ? name : `${sentence} (${name})`}`);
}

/**
 * Opens a socket or throws: families AF_PACKET, AF_NETLINK and AF_UNIX. `what` names the object in the error. In a `netns` it
 * belongs there for ever.
 */
export function openSocket(
  what: string,
  family: number,
  type: number,
  protocol: number,
  netns?: Pick<Netns, 'fd' | 'name'>,
): SocketHandle {
  const socket = binding().open(family, type, protocol, netns?.fd);
  if (typeof socket !== 'number') return socket;
  throw netns === undefined ? kernelError(what, socket) : netnsError(netns.name, socket);
}

/** Throws when `result` is a negative errno, closing `socket` first so that a failed setup leaks nothing. */
export function demand(result: number, what: string, socket: SocketHandle): void {
  if (result >= 0) return;
  binding().close(socket);
  throw kernelError(what, result);
}

/** Raises a buffer past the system's limit where allowed (CAP_NET_ADMIN), otherwise leaves it as it is. */
export function forceBuffer(socket: SocketHandle, which: 'receive' | 'send', bytes: number): void {
  binding().setOption(socket, SOL_SOCKET, which === 'receive' ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, bytes);
}

/**
 * Replaces this process by `path` with at most the capabilities in `mask` (bit n is capability n of
 * linux/capability.h) in every thread: same pid, no_new_privs set, ambient set cleared, bounding set dropped where
 * CAP_SETPCAP allows. Descriptors 0 to 2 survive. Must be called on the main thread.
 * @throws KoiError; when it returns at all it has failed. The thread may by then have lost its capabilities.
 */
export function execWithCapabilities(
  path: string,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  mask = 0n,
): never {
  const pairs = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const low = Number(mask & 0xffff_ffffn);
  const high = Number((mask >> 32n) & 0xffff_ffffn);
  throw kernelError(`exec ${path}`, binding().execWithCapabilities(path, argv, pairs, low, high));
}
