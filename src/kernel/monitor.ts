import { KoiError } from '../koi-error.js';
import {
  type Address,
  addressKey,
  dumpAddresses,
  isAddressRemoval,
  parseAddressMessage,
  sameAddress,
} from './addresses.js';
import {
  AF_NETLINK,
  binding,
  demand,
  forceBuffer,
  kernelError,
  metaFields,
  openSocket,
  SOCK_RAW,
  type SocketHandle,
} from './binding.js';
import { errnoName } from './errno.js';
import { type Ipv4Conf, type Link, parseLink, rtm, sameLink } from './link.js';
import { dumpIpv4Confs, dumpLinks, getLink } from './links.js';
import { type Answer, NETLINK_ROUTE, Netlink, type NetlinkFailure } from './netlink.js';
import { forEachMessage, type Message } from './netlink-message.js';
import type { Netns } from './netns.js';
import { RenewalEcho } from './renewal-echo.js';

/** A change of the tables. What the kernel says again without a change (a renewed lifetime) is no event. */
export type KernelEvent =
  | { readonly type: 'link'; readonly link: Link; readonly previous: Link | undefined }
  | { readonly type: 'linkGone'; readonly link: Link }
  | { readonly type: 'address'; readonly address: Address; readonly previous: Address | undefined }
  | { readonly type: 'addressGone'; readonly address: Address }
  /** Notifications were lost; the tables have been read anew, and the differences came as events just before. */
  | { readonly type: 'resynced' };

export interface KernelMonitorOptions {
  /** Kernel buffer for notifications, default 8 MiB: about 4,000 link changes while nobody reads. */
  readonly receiveBufferBytes?: number;
  /** Another network namespace to watch, which must outlive the monitor. */
  readonly netns?: Netns | undefined;
}

/** RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR as bits (linux/rtnetlink.h). */
const groups = (1 << 0) | (1 << 4) | (1 << 8);
const slotBytes = 32 * 1024;
const slots = 16;
const resyncAttempts = 8;
const noAddresses: ReadonlyMap<string, Address> = new Map();

interface Waiter {
  readonly check: () => boolean;
  readonly fail: (error: KoiError) => void;
}

/**
 * The interfaces and addresses of this network namespace, kept current by rtnetlink's notifications.
 *
 * It subscribes before it reads the tables, so nothing falls in between. When notifications are lost (ENOBUFS) it reads
 * the tables again and tells listeners the difference. IPv4 settings and address generation change without any
 * notification: {@link refreshLink} reads those.
 *
 *     kernel ──notifications──► tables ──► event queue ──► listeners, waiters
 *        └────dump, on start and after ENOBUFS────┘
 */
export class KernelMonitor {
  /** Times that the kernel had to drop notifications. */
  overflows = 0;

  readonly #socket: SocketHandle;
  readonly #netlink: Netlink;
  readonly #buffer = new Uint8Array(slots * slotBytes);
  readonly #received = new Int32Array(slots * metaFields);
  readonly #links = new Map<number, Link>();
  readonly #addresses = new Map<number, Map<string, Address>>();
  readonly #listeners = new Set<(event: KernelEvent) => void>();
  readonly #waiters = new Set<Waiter>();
  readonly #queue: KernelEvent[] = [];
  readonly #echo = new RenewalEcho();
  /** Something was lost, and the tables could not be read since: the next drain tries again. */
  #isStale = false;
  #dispatching = false;
  #closed = false;

  private constructor(socket: SocketHandle, netlink: Netlink) {
    this.#socket = socket;
    this.#netlink = netlink;
  }

  /** Subscribes and reads the tables. Needs no privilege. @throws KoiError `kernel` */
  static open(options: KernelMonitorOptions = {}): KernelMonitor {
    const what = 'rtnetlink notifications';
    const netlink = Netlink.open(NETLINK_ROUTE, options.netns);
    try {
      const socket = openSocket(what, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, options.netns);
      const monitor = new KernelMonitor(socket, netlink);
      forceBuffer(socket, 'receive', options.receiveBufferBytes ?? 8 * 1024 * 1024);
      demand(binding().prepareReceive(socket, monitor.#buffer, monitor.#received, slotBytes), what, socket);
      demand(binding().bindNetlink(socket, groups), what, socket);
      const failed = monitor.#readTables();
      if (failed !== undefined) {
        binding().close(socket);
        throw kernelError('reading interfaces and addresses', failed.errno);
      }
      monitor.#queue.length = 0;
      return monitor;
    } catch (error) {
      netlink.close();
      throw error;
    }
  }

  /** By ifindex. */
  get links(): ReadonlyMap<number, Link> {
    return this.#links;
  }

  /** Primary or alternative name. */
  linkByName(name: string): Link | undefined {
    for (const link of this.#links.values()) if (link.name === name || link.altNames.includes(name)) return link;
    return undefined;
  }

  /** The addresses of one interface, keyed `address/prefixLength` as by `addressKey()`. */
  addressesOf(ifindex: number): ReadonlyMap<string, Address> {
    return this.#addresses.get(ifindex) ?? noAddresses;
  }

  /** Every interface's entry of an address, whatever the prefix length. */
  holdersOf(address: string): Address[] {
    const holders: Address[] = [];
    for (const table of this.#addresses.values()) {
      for (const entry of table.values()) if (entry.address === address) holders.push(entry);
    }
    return holders;
  }

  /** Whether the interface has the address, whatever the prefix length. */
  has(ifindex: number, address: string): boolean {
    for (const entry of this.addressesOf(ifindex).values()) if (entry.address === address) return true;
    return false;
  }

  /** Calls `listener` for every event from now on, in order, until the returned function is called. */
  on(listener: (event: KernelEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Delivers through the event loop until {@link close}. */
  start(): void {
    demand(
      binding().pollStart(this.#socket, () => this.drain(), true),
      'rtnetlink notifications',
      this.#socket,
    );
  }

  /**
   * Reads, now, every notification that waits. The tables are current when it returns, and listeners have been called,
   * unless it was a listener that called it: then its own events follow when that one returns.
   */
  drain(): void {
    for (let attempt = 0; attempt < resyncAttempts && !this.#closed; attempt++) {
      if (!this.#readNotifications()) {
        this.overflows++;
        this.#isStale = true;
      }
      if (!this.#isStale) break;
      if (this.#readTables() !== undefined) continue;
      this.#isStale = false;
      this.#queue.push({ type: 'resynced' });
    }
    this.#dispatch();
  }

  /** Reads one link now, settings included, into the table. ENODEV when it is gone. */
  refreshLink(ifindex: number): Answer<Link> {
    this.drain();
    const answer = getLink(this.#netlink, ifindex);
    if (answer.ok) this.#applyLink(answer.value);
    this.#dispatch();
    return answer;
  }

  /** The IPv4 settings of every interface, read now: they change without any notification. */
  ipv4Confs(): Answer<ReadonlyMap<number, Ipv4Conf>> {
    return dumpIpv4Confs(this.#netlink);
  }

  /**
   * Resolves with what `look` returns as soon as that is not undefined; it is called at once and after every change.
   * @throws KoiError `timeout` naming `what`, or `kernel` when the monitor is closed meanwhile.
   */
  waitFor<T>(look: () => T | undefined, deadlineMs: number, what: string): Promise<T> {
    this.drain();
    const found = look();
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        check: () => {
          const value = look();
          if (value === undefined) return false;
          clearTimeout(timer);
          resolve(value);
          return true;
        },
        fail: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        // What arrived while the loop was late still counts.
        if (!this.#closed) this.drain();
        const late = look();
        if (late !== undefined) resolve(late);
        else reject(new KoiError('timeout', `waited ${deadlineMs} ms in vain for ${what}`));
      }, deadlineMs);
      this.#waiters.add(waiter);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    binding().close(this.#socket);
    this.#netlink.close();
    for (const waiter of this.#waiters) waiter.fail(new KoiError('kernel', 'the kernel monitor was closed'));
    this.#waiters.clear();
  }

  /** False when something was lost: the kernel dropped it (ENOBUFS), or would not give it. */
  #readNotifications(): boolean {
    const kernel = binding();
    let complete = true;
    for (;;) {
      const got = kernel.receiveMany(this.#socket);
      if (got < 0) {
        const errno = errnoName(got);
        if (errno === 'ENOBUFS' && complete) {
          complete = false;
          continue;
        }
        return complete && (errno === 'EAGAIN' || errno === 'EBADF');
      }
      for (let slot = 0; slot < got; slot++) {
        if (this.#received[slot * metaFields + 1] !== 0) continue;
        const length = this.#received[slot * metaFields] ?? 0;
        if (length > slotBytes) complete = false;
        else
          forEachMessage(this.#buffer, slot * slotBytes, slot * slotBytes + length, (message) => this.#apply(message));
      }
    }
  }

  #apply(message: Message): void {
    const renewed = this.#echo.renewed(message);
    if (renewed !== undefined) {
      this.#addresses.get(renewed.ifindex)?.set(addressKey(renewed), renewed);
      return;
    }
    const link = parseLink(message);
    if (link !== undefined) {
      if (message.type === rtm.delLink) this.#removeLink(link.ifindex);
      else this.#applyLink(link);
      return;
    }
    const address = parseAddressMessage(message);
    if (address === undefined) return;
    const queued = this.#queue.length;
    if (isAddressRemoval(message)) this.#removeAddress(address);
    else this.#applyAddress(address);
    if (this.#queue.length > queued) this.#echo.forget(address.ifindex);
    this.#echo.remember(message, address);
  }

  #applyLink(link: Link): void {
    const previous = this.#links.get(link.ifindex);
    if (previous !== undefined && sameLink(previous, link)) return;
    this.#links.set(link.ifindex, link);
    this.#queue.push({ type: 'link', link, previous });
  }

  #removeLink(ifindex: number): void {
    this.#echo.forget(ifindex);
    for (const address of this.#addresses.get(ifindex)?.values() ?? []) this.#removeAddress(address);
    const link = this.#links.get(ifindex);
    if (link === undefined) return;
    this.#links.delete(ifindex);
    this.#queue.push({ type: 'linkGone', link });
  }

  #applyAddress(address: Address): void {
    let table = this.#addresses.get(address.ifindex);
    if (table === undefined) {
      table = new Map();
      this.#addresses.set(address.ifindex, table);
    }
    const key = addressKey(address);
    const previous = table.get(key);
    table.set(key, address);
    if (previous === undefined || !sameAddress(previous, address)) {
      this.#queue.push({ type: 'address', address, previous });
    }
  }

  #removeAddress(address: Address): void {
    const table = this.#addresses.get(address.ifindex);
    const known = table?.get(addressKey(address));
    if (table === undefined || known === undefined) return;
    table.delete(addressKey(address));
    if (table.size === 0) this.#addresses.delete(address.ifindex);
    this.#queue.push({ type: 'addressGone', address: known });
  }

  /** Makes the tables what the kernel has, queueing the differences: what is gone first. */
  #readTables(): NetlinkFailure | undefined {
    this.#echo.clear();
    const links = dumpLinks(this.#netlink);
    if (!links.ok) return links;
    const addresses = dumpAddresses(this.#netlink);
    if (!addresses.ok) return addresses;
    const present = new Set(addresses.value.map((address) => `${address.ifindex} ${addressKey(address)}`));
    for (const table of [...this.#addresses.values()]) {
      for (const address of [...table.values()]) {
        if (!present.has(`${address.ifindex} ${addressKey(address)}`)) this.#removeAddress(address);
      }
    }
    const indexes = new Set(links.value.map((link) => link.ifindex));
    for (const ifindex of [...this.#links.keys()]) if (!indexes.has(ifindex)) this.#removeLink(ifindex);
    for (const link of links.value) this.#applyLink(link);
    for (const address of addresses.value) this.#applyAddress(address);
    return undefined;
  }

  #dispatch(): void {
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
        for (const listener of [...this.#listeners]) listener(event);
      }
    } finally {
      this.#dispatching = false;
    }
    for (const waiter of [...this.#waiters]) if (waiter.check()) this.#waiters.delete(waiter);
  }
}
