import { familyOf } from '../wire/address.js';
import { gratuitousArp } from '../wire/arp.js';
import type { MacAddress } from '../wire/mac.js';
import { unsolicitedNeighborAdvertisement } from '../wire/ndp.js';
import { macRefreshFrame } from '../wire/rarp.js';
import type { Attached } from './attached.js';

/** After a takeover the announcement is repeated at these times, and then every `refreshMs` for as long as it lasts. */
export const announceScheduleMs: readonly number[] = [0, 100, 1200, 2400, 5000];
export const announceRefreshMs = 15_000;
/** Switches are shown the virtual MAC at least so often: by adverts, or by a frame in their place. */
export const macRefreshMs = 1000;

export type AnnounceOperation = 'arp_request' | 'arp_reply' | 'na';
export type AnnounceRefusal = 'not_attached' | 'no_sender';

export interface AnnouncerOptions {
  readonly virtualMac: MacAddress;
  /** Virtual IPs, without prefix. */
  readonly addresses: readonly string[];
  /** This host forwards IPv6, which its neighbour advertisements say. Asked each time; default: it does not. */
  readonly isRouter?: () => boolean;
  /** Puts frames on the parent's wire; returns how many the kernel took. */
  readonly send: (frames: readonly Uint8Array[]) => number;
  readonly onSent: (operation: AnnounceOperation, count: number) => void;
  readonly onFailed: (count: number) => void;
  readonly onRefused: (reason: AnnounceRefusal) => void;
}

/**
 * Tells the LAN where the virtual IPs are: for IPv4 gratuitous ARP in both opcodes, since some hosts learn only from
 * requests and some only from replies; for IPv6 an unsolicited neighbour advertisement, which the kernel does not send
 * for addresses without duplicate address detection. Frames are built once.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  #arpFrames: readonly Uint8Array[] = [];
  #ipv4Count = 0;
  #neighbourFrames: { readonly host: readonly Uint8Array[]; readonly router: readonly Uint8Array[] } = {
    host: [],
    router: [],
  };

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.setAddresses(options.addresses);
  }

  /** Announces these from now on. */
  setAddresses(addresses: readonly string[]): void {
    const { virtualMac } = this.#options;
    const ipv4 = addresses.filter((address) => familyOf(address) === 4);
    const ipv6 = addresses.filter((address) => familyOf(address) === 6);
    this.#ipv4Count = ipv4.length;
    this.#arpFrames = (['request', 'reply'] as const).flatMap((operation) =>
      ipv4.map((address) => gratuitousArp({ virtualMac, address, operation })),
    );
    const neighbours = (router: boolean): Uint8Array[] =>
      ipv6.map((address) => unsolicitedNeighborAdvertisement({ virtualMac, address, router }));
    this.#neighbourFrames = { host: neighbours(false), router: neighbours(true) };
  }

  /** Somebody wants to announce and has no token to show: counted, and nothing leaves. */
  refuse(): void {
    this.#options.onRefused('not_attached');
  }

  /** Announces every address once. Without a valid token nothing leaves, and the refusal is counted. */
  announce(token: Attached): void {
    if (!token.valid) {
      this.refuse();
      return;
    }
    const isRouter = this.#neighbourFrames.host.length > 0 && this.#options.isRouter?.() === true;
    const neighbours = isRouter ? this.#neighbourFrames.router : this.#neighbourFrames.host;
    const frames = [...this.#arpFrames, ...neighbours];
    const sent = this.#options.send(frames);
    const each = this.#ipv4Count;
    this.#tell('arp_request', Math.min(sent, each));
    this.#tell('arp_reply', Math.min(sent - each, each));
    this.#tell('na', sent - 2 * each);
    if (sent < frames.length) this.#options.onFailed(frames.length - sent);
  }

  /** Shows the switches where the virtual MAC is, and no host anything. Without a valid token nothing leaves. */
  refresh(token: Attached | undefined): void {
    if (token?.valid === true) this.#options.send([macRefreshFrame(this.#options.virtualMac)]);
  }

  #tell(operation: AnnounceOperation, count: number): void {
    if (count > 0) this.#options.onSent(operation, count);
  }
}

/** When to announce next, `announced` times after having taken over at `sinceMs`. */
export function nextAnnouncementMs(sinceMs: number, announced: number): number {
  const scheduled = announceScheduleMs[announced];
  if (scheduled !== undefined) return sinceMs + scheduled;
  const last = announceScheduleMs.at(-1) ?? 0;
  return sinceMs + last + (announced - announceScheduleMs.length + 1) * announceRefreshMs;
}
